"""What a run tells while it goes: history.csv and the VisualDL records. The only door to visualdl."""

from __future__ import annotations

import csv
import io
import logging
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..numpy_compat import restore_numpy_names
from ..runtime import home_to_write

COLUMNS = (
    *("epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "seconds", "img_per_s"),
    *("data_wait", "grad_norm", "peak_mb", "elapsed"),
)
RECORDS = "vdlrecords.monkeys.log"

log = logging.getLogger("monkeys")


class NullLog:
    """Says nothing: for ranks other than 0. What each method takes stands at RunLog."""

    def step(self, step: int, values: Mapping[str, float]) -> None: ...

    def epoch(self, row: Mapping[str, Any]) -> None: ...

    def image(self, tag: str, image: np.ndarray, step: int) -> None: ...

    def text(self, tag: str, text: str) -> None: ...

    def hparams(self, settings: Mapping[str, Any], metrics: Mapping[str, float]) -> None: ...

    def pr_curve(self, tag: str, truth: np.ndarray, probability: np.ndarray) -> None: ...

    def embedding(self, tag: str, vectors: np.ndarray, names: Sequence[str]) -> None: ...

    def offsets(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


class _Records:
    """VisualDL's file of records, written in this thread.

    VisualDL's own thread swallows what goes wrong, and on a full disk leaves a queue behind that nobody empties.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("ab")

    def get_filename(self) -> str:
        return str(self._path)

    def add_record(self, record: Any) -> None:
        data = record.SerializeToString()
        self._file.write(struct.pack("<Q", len(data)) + data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class RunLog(NullLog):
    """Appends to the run folder's files; `offsets` of a checkpoint say where each of them is to go on."""

    def __init__(self, folder: Path, offsets: Mapping[str, int] | None = None) -> None:
        self._history = folder / "history.csv"
        self._records = folder / RECORDS
        for path in (self._history, self._records):
            _cut(path, (offsets or {}).get(path.name, 0))
        if not self._history.exists() or not self._history.stat().st_size:
            self._history.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        self._open = _Records(self._records)
        self._writer = _log_writer(folder, self._open)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars of one step, under train/."""
        for name, value in values.items():
            self._writer.add_scalar(f"train/{name}", float(value), step)
        self._open.flush()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One line of history.csv, and its validation figures as scalars by epoch."""
        line = io.StringIO()
        csv.DictWriter(line, COLUMNS, lineterminator="\n").writerow(row)
        with self._history.open("a", encoding="utf-8") as file:
            file.write(line.getvalue())
            file.flush()
            os.fsync(file.fileno())
        for name in ("train_loss", "train_top1", "val_loss", "val_top1", "img_per_s"):
            self._writer.add_scalar(f"epoch/{name}", float(row[name]), int(row["epoch"]))

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        """One [H, W, 3] uint8 picture."""
        self._writer.add_image(tag, image, step)

    def text(self, tag: str, text: str) -> None:
        """A page of text, e.g. the model's summary."""
        self._writer.add_text(tag, text, 0)

    def hparams(self, settings: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Settings with their final figures: the page that compares runs."""
        self._writer.add_hparams(dict(settings), list(metrics))
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, 0)

    def pr_curve(self, tag: str, truth: np.ndarray, probability: np.ndarray) -> None:
        """Precision against recall of one class; truth [N] 0/1, probability [N]."""
        self._writer.add_pr_curve(tag, truth.astype(np.int64), probability.astype(np.float64), 0)

    def embedding(self, tag: str, vectors: np.ndarray, names: Sequence[str]) -> None:
        """Vectors [N, D] with one name each."""
        self._writer.add_embeddings(tag, mat=vectors, metadata=list(names))

    def offsets(self) -> dict[str, int]:
        """Sizes of both files once all is on disk."""
        self._open.flush()
        return {path.name: path.stat().st_size for path in (self._history, self._records)}

    def close(self) -> None:
        self._open.close()


def _log_writer(folder: Path, records: _Records) -> Any:
    """VisualDL's writer, which hands its records to ours."""
    restore_numpy_names()
    try:
        with home_to_write():
            from visualdl import LogWriter
    except ImportError as error:
        log.warning("no dashboard, VisualDL cannot be imported (%s); history.csv and the pictures are written", error)
        return _NoWriter()

    class Writer(LogWriter):
        def _get_file_writer(self) -> _Records:
            self._file_writer = records
            return records

    return Writer(logdir=str(folder), display_name=folder.name)


class _NoWriter:
    """In the place of VisualDL's writer where there is no VisualDL."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...

    def add_image(self, tag: str, image: np.ndarray, step: int) -> None: ...

    def add_text(self, tag: str, text: str, step: int) -> None: ...

    def add_hparams(self, settings: Mapping[str, Any], metrics: Sequence[str]) -> None: ...

    def add_pr_curve(self, tag: str, truth: np.ndarray, probability: np.ndarray, step: int) -> None: ...

    def add_embeddings(self, tag: str, mat: np.ndarray, metadata: Sequence[str]) -> None: ...


def _cut(path: Path, size: int) -> None:
    """Forget what was written after a checkpoint, so that no step stands twice."""
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)
