"""The run folder: who may write into it, what it holds, and whether a run can go on from it."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import atomic
from ..errors import TrainingError, UserError
from .checkpoint import Checkpoints, Tensors

# all that a run and its examinations and exports write; overwriting a run removes these and nothing else
FILES = (
    *("config.yaml", "environment.json", "classes.json", "manifest.csv", "history.csv", "metrics.json", "report.html"),
    *("best.safetensors", "best.json", "vdlrecords.*"),
)
PARTS = {  # folder -> files
    "last": ("step-*.json", "step-*.safetensors", "finished.json"),
    "plots": ("curves.png",),
    "eval-*": (
        *(f"{name}.csv" for name in ("predictions", "per_class", "confusion_matrix", "reliability")),
        *(f"{name}.json" for name in ("metrics", "cam", "examined")),
        *(f"{name}.png" for name in ("confusion_matrix", "per_class", "reliability", "errors", "samples", "cam")),
    ),
    "export/*": (
        *("README.md", "network.json", "best.safetensors", "model.onnx"),
        *("model.json", "model.pdmodel", "model.pdiparams", "model.pdiparams.info"),
    ),
}
FOLDERS = (*PARTS, "export")  # removed once they are empty
_MARKS = {"eval-*": ("predictions.csv", "per_class.csv"), "export/*": ("network.json",)}  # without them: not a run's


@dataclass(frozen=True)
class RunFolder:
    """`<run.dir>/<run.name>/`."""

    path: Path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; a folder that was made only for this and stays empty is removed."""
        self._refuse_foreign()
        created = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(f"run folder: {atomic.explain(error, self.path)}") from None
        try:
            _take(lock.fileno(), self.path)
            with _disk_faults_told(self.path):
                for folder in (self.path, self.path / "last"):
                    atomic.remove_unfinished(folder)
                yield
        finally:
            if created and [path.name for path in self.path.iterdir()] == [".lock"]:
                shutil.rmtree(self.path)
            lock.close()

    @property
    def holds_run(self) -> bool:
        return (self.path / "config.yaml").exists()

    @property
    def holds_checkpoint(self) -> bool:
        return Checkpoints(self.path / "last").exist

    @property
    def finished(self) -> str:
        """Why the run ended, once all of it is written; empty before."""
        path = self.path / "last" / "finished.json"
        return atomic.read_json(path).get("reason", "finished") if path.exists() else ""

    def finish(self, reason: str) -> None:
        """The last thing that a run writes."""
        atomic.write_json(self.path / "last" / "finished.json", {"reason": reason})

    def refuse_existing(self) -> None:
        """UserError where the folder already holds a run."""
        if self.holds_run:
            raise UserError(
                f"{self.path} already holds a run: add --resume auto to go on, --overwrite to replace it, "
                "or choose another run.name"
            )

    def refuse_lost_checkpoints(self) -> None:
        """UserError where a run has trained and its checkpoints are gone: going on would begin anew and replace it."""
        history = self.path / "history.csv"
        epochs = len(history.read_bytes().splitlines()) - 1 if history.exists() else 0
        trained = epochs > 1 or (self.path / "metrics.json").exists()  # the first may precede the first checkpoint
        if self.holds_run and trained and not self.holds_checkpoint:
            raise UserError(
                f"{self.path} holds a trained network, but its checkpoints in last/ are gone, so that it cannot go on: "
                "choose another run.name, or remove it, or --overwrite instead of --resume"
            )

    def _refuse_foreign(self) -> None:
        """UserError where the folder is none of a run, and holds what a run would take for its own."""
        if self.holds_run or (self.path / ".lock").exists():
            return
        written = (path for pattern in (*FILES, *FOLDERS) for path in self.path.glob(pattern))
        found = sorted({path.relative_to(self.path).parts[0] for path in written})
        if found:
            raise UserError(
                f"{self.path} is not the folder of a run, and holds {', '.join(found[:3])}, which a run would replace: "
                "choose another run.name or run.dir"
            )

    def clear(self) -> None:
        """Remove an earlier run, and nothing that a run did not write."""
        for path in list(self._written()):
            path.unlink()
        for folder in [path for pattern in FOLDERS for path in self.path.glob(pattern)]:
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()

    def _written(self) -> Iterator[Path]:
        """The files of an earlier run. Of linked folders `last` alone is one's: checkpoints may lie elsewhere."""
        yield from (path for pattern in FILES for path in self.path.glob(pattern))
        for pattern, names in PARTS.items():
            for part in self.path.glob(pattern):
                own = pattern == "last" or part.resolve() == self.path.resolve() / part.relative_to(self.path)
                if own and all((part / mark).is_file() for mark in _MARKS.get(pattern, ())):
                    yield from (path for name in names for path in part.glob(name) if not path.is_dir())

    def write_config(self, text: str) -> None:
        """The settings that the run goes by."""
        atomic.write_text(self.path / "config.yaml", text)

    def write_json(self, name: str, value: Any) -> None:
        """One of the run's JSON files."""
        atomic.write_json(self.path / name, value)

    def checkpoint(
        self, fingerprint: Mapping[str, Any], defaults: Mapping[str, Any], *, force: bool
    ) -> tuple[Tensors, dict[str, Any]] | None:
        """The state to go on from, or None; UserError where it belongs to another experiment and `force` is not set.

        defaults: of settings that an older version, which wrote the checkpoint, did not have yet.
        """
        found = Checkpoints(self.path / "last").latest()
        if found is None:
            return None
        saved, advice = {**defaults, **found[1]["fingerprint"]}, "--resume force goes on all the same"
        if force:  # an optimizer's state is no other's
            saved, fingerprint = ({"optim.name": has.get("optim.name")} for has in (saved, fingerprint))
            advice = "choose another run.name"
        self.refuse_other(saved, fingerprint, advice)
        return found

    def refuse_other(self, saved: Mapping[str, Any], now: Mapping[str, Any], advice: str) -> None:
        """UserError that shows what has changed since the run was started, if anything has."""
        differing = [key for key in sorted(saved.keys() | now.keys()) if saved.get(key) != now.get(key)]
        if differing:
            shown = [f"{key} {_brief(saved.get(key))} then, {_brief(now.get(key))} now" for key in differing]
            raise UserError(f"{self.path} was started with other settings: {'; '.join(shown)}; {advice}")


def _take(descriptor: int, folder: Path) -> None:
    """A POSIX record lock: unlike with flock, forked loader workers do not inherit it, so none outlives the run."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(f"another process is training into {folder}; wait for it, or choose another run.name") from None


@contextlib.contextmanager
def _disk_faults_told(folder: Path) -> Iterator[None]:
    """TrainingError in words where a file of the run cannot be written; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in atomic.DISK_FAULTS:
            raise
        why = atomic.explain(error, error.filename or folder)
        raise TrainingError(f"{why}; what was saved before is whole, --resume auto goes on from it") from error


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
