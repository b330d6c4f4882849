"""Decoded, resized pictures in one memory-mapped file: made on first use, shared by loader workers and processes.

The file is named by a digest of all that decides on its bytes: the photographs' digests in order, size, fit, and the
versions of the libraries that decode. It is used as long as its length and time of change are those that its builder
noted; otherwise it is built again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import PIL

from .. import atomic
from ..errors import UserError
from ..progress import progress
from .dataset import Pictures
from .image import Preprocess, decode, read_file
from .pool import in_processes

FORMAT = 1
KEEP_FILES = 16  # of one folder, the most recently used
KEEP_BYTES = 100 * 2**30  # together with a new one, which is made in any case
SPARE_BYTES = 2**28  # left free on the disk

log = logging.getLogger("monkeys")


class Row(Protocol):
    """What is needed of a manifest's row. path: below the root. digest: SHA-256 of the file's bytes, in hex."""

    @property
    def path(self) -> str: ...

    @property
    def digest(self) -> str: ...


@dataclass(frozen=True)
class DecodedPictures:
    """Pictures that are decoded each time they are asked for; [i] is [S, S, 3] uint8.

    UserError where a file cannot be read, or is not the one that its row was made of.
    """

    rows: tuple[Row, ...]
    root: Path
    preprocess: Preprocess

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        path = self.root / self.rows[index].path
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() != self.rows[index].digest:
            raise UserError(
                f"{path}: has changed since the manifest was made; put the old file back or start a new run"
            )
        return self.preprocess.resize(decode(data, str(path)))


@dataclass(frozen=True)
class CachedPictures:
    """Pictures in a file; [i] is a copy, [S, S, 3] uint8. Survives forks, and pickles carry only the path."""

    path: Path
    shape: tuple[int, int, int, int]
    _pixels: np.memmap = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pixels", np.memmap(self.path, np.uint8, "r", shape=self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(self._pixels[index])

    def __reduce__(self) -> tuple[type[CachedPictures], tuple[Path, tuple[int, int, int, int]]]:
        return CachedPictures, (self.path, self.shape)


def open_pictures(
    rows: Sequence[Row], root: Path, preprocess: Preprocess, *, cache: bool, cache_dir: Path, workers: int
) -> Pictures:
    """The pictures of these rows, from the cache, which is built with `workers` processes where it is missing.

    Where it cannot be (short disk, no permission) a message says so, and each picture is decoded when it is asked for.
    UserError names a file that cannot be read or has changed.
    """
    decoded = DecodedPictures(tuple(rows), root, preprocess)
    if not cache or not rows:
        return decoded
    store = _Store(cache_dir / "pictures", _key(rows, preprocess), (len(rows), preprocess.size, preprocess.size, 3))
    try:
        return store.find() or store.make(decoded, workers)
    except OSError as error:
        why = atomic.explain(error, store.folder)
        log.warning("pictures are decoded in every epoch anew, because they cannot be kept: %s", why)
        return decoded


def _key(rows: Sequence[Row], preprocess: Preprocess) -> str:
    made_by = [FORMAT, PIL.__version__, cv2.__version__, preprocess.size, preprocess.fit]
    digest = hashlib.sha256(json.dumps(made_by).encode())
    for row in rows:
        digest.update(f"\n{row.digest}".encode())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class _Store:
    """The place of one set of pictures in the cache folder."""

    folder: Path
    key: str
    shape: tuple[int, int, int, int]

    @property
    def pixels(self) -> Path:
        return self.folder / f"{self.key}.u8"

    @property
    def note(self) -> Path:
        """Written last; its own time of change is that of the last use."""
        return self.folder / f"{self.key}.json"

    def find(self) -> CachedPictures | None:
        """The finished pictures, or None where they are missing, damaged or half done."""
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
            if noted != self._facts():
                return None
            pictures = CachedPictures(self.pixels, self.shape)
        except (FileNotFoundError, ValueError):  # ValueError: no JSON, no text, or fewer bytes than pictures
            return None
        with contextlib.suppress(OSError):  # a cache that is read-only is good enough
            os.utime(self.note)
        return pictures

    def make(self, decoded: DecodedPictures, workers: int) -> CachedPictures:
        """Build, or wait for another process that does. OSError where the disk does not allow it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / ".lock"):
            found = self.find()
            if found is None:
                _make_room(self.folder, _bytes(self.shape))
                self._build(decoded, workers)
                found = CachedPictures(self.pixels, self.shape)
        return found

    def _build(self, decoded: DecodedPictures, workers: int) -> None:
        unfinished = self.pixels.with_suffix(".part")
        try:
            with unfinished.open("wb") as file:
                file.truncate(_bytes(self.shape))
                written = _fill(unfinished, decoded, workers)
                for _ in progress(written, total=len(decoded), desc=f"decoding to {self.shape[1]} px", unit="img"):
                    pass
                os.fsync(file.fileno())
            unfinished.replace(self.pixels)
        finally:
            unfinished.unlink(missing_ok=True)
        atomic.write_json(self.note, self._facts())

    def _facts(self) -> dict[str, int]:
        status = self.pixels.stat()
        return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _fill(path: Path, decoded: DecodedPictures, workers: int) -> Iterator[int]:
    """Write all pictures into the file; yields once for each."""
    step = max(8, -(-len(decoded) // (64 * workers)))
    tasks = (
        (path, first, DecodedPictures(decoded.rows[first : first + step], decoded.root, decoded.preprocess))
        for first in range(0, len(decoded), step)
    )
    for count in in_processes(_write_pictures, tasks, workers if len(decoded) > step else 1):
        yield from range(count)


def _write_pictures(path: Path, first: int, pictures: DecodedPictures) -> int:
    """Write these pictures to their place; returns how many. Written, not mapped: a full disk is an error, no crash."""
    with path.open("r+b") as file:
        file.seek(first * 3 * pictures.preprocess.size**2)
        for index in range(len(pictures)):
            file.write(pictures[index].tobytes())
    return len(pictures)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other builders out of the folder, or wait for them."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process is decoding pictures into %s; waiting for it", path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_room(folder: Path, needed: int) -> None:
    """Remove what nobody finished, and the caches least recently used; OSError where the disk stays short."""
    notes = sorted(folder.glob("*.json"), key=lambda note: note.stat().st_mtime_ns, reverse=True)
    kept, total = set(), needed
    for note in notes[: KEEP_FILES - 1]:
        pixels = note.with_suffix(".u8")
        total += pixels.stat().st_size if pixels.exists() else 0
        if total > KEEP_BYTES:
            break
        kept.add(note.stem)
    unfinished = {*folder.glob("*.part"), *folder.glob(".*.tmp")}
    for path in [*folder.glob("*.json"), *folder.glob("*.u8"), *unfinished]:
        if path.stem not in kept or path in unfinished:
            path.unlink(missing_ok=True)
    if shutil.disk_usage(folder).free < needed + SPARE_BYTES:
        raise OSError(errno.ENOSPC, f"{needed >> 20} MB are needed")
