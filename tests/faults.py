"""A disk that fails at the k-th write below a folder, and the tiny run that meets it."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import pathlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import kill  # noqa: E402  (the harness knows how runs are compared)

SETTINGS = [
    *kill.SETTINGS,
    *("train.epochs=2", "train.save_steps=2", "data.cache=false", "augment.recipe=none"),
]


def command(folder: Path, name: str, *overrides: str) -> list[str]:
    """Arguments of train for a tiny run named `name` below `folder`, whose photographs lie in folder/photos."""
    places = [f"data.root={folder / 'photos'}", f"run.dir={folder}", f"run.name={name}"]
    config = str(ROOT / "configs" / "monkeys_cpu.yaml")
    return ["-c", config, "-o", *SETTINGS, *places, f"data.cache_dir={folder / 'cache'}", *overrides]


class Failing:
    """A file whose write fails when its disk says so, after half of the bytes."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def write(self, data: Any) -> int:
        if self._disk.fails():
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            self._disk.refuse()
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()


class Disk:
    """Counts writes below `folder` and refuses all from the k-th on; k 0 only counts."""

    def __init__(self, folder: Path, k: int = 0, number: int = errno.ENOSPC) -> None:
        self.folder, self.k, self.number, self.count = folder, k, number, 0

    def fails(self) -> bool:
        self.count += 1
        return bool(self.k) and self.count >= self.k

    def refuse(self) -> None:
        raise OSError(self.number, os.strerror(self.number))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[Disk]:
        """Every file that this process opens for writing below the folder is on this disk."""
        real = builtins.open

        def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            found = real(file, mode, *rest, **options)
            writes = set(mode) & set("wax+") and not isinstance(file, int)
            inside = writes and self.folder in Path(os.fspath(file)).parents
            return Failing(found, self) if inside and not str(file).endswith(".lock") else found

        places = [builtins, io]
        if sys.version_info < (3, 11):  # its pathlib has a copy of its own
            places.append(pathlib._NormalAccessor)
        for place in places:
            place.open = staticmethod(opened) if isinstance(place, type) else opened
        try:
            yield self
        finally:
            for place in places:
                place.open = staticmethod(real) if isinstance(place, type) else real
