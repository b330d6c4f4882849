"""What is known of every file of a folder, remembered in the cache (the folder itself may be read-only)."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import atomic
from .signatures import SIDE

log = logging.getLogger("monkeys")

_VERSION = 3  # raised when records or signatures change their meaning

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Record:
    """One file. reason: why it cannot be read, else empty; odd: kinds with a few words on each.

    width, height: as decoded; colour: mean RGB, 0 to 1; stamp: size and times by which a change is noticed.
    """

    path: str
    bytes: int
    digest: str
    reason: str = ""
    odd: tuple[tuple[str, str], ...] = ()
    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stamp: Stamp | None = None

    @property
    def readable(self) -> bool:
        return not self.reason


@dataclass
class Store:
    """Records and signatures of one folder as remembered, and the last comparison of all its pictures."""

    records: dict[str, Record]
    signatures: dict[str, np.ndarray]
    comparison: dict[str, Any]

    @staticmethod
    def path(root: Path, cache_dir: Path) -> Path:
        """Where a folder's store lies."""
        name = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return cache_dir / "audit" / f"{name}.npz"

    @staticmethod
    def load(path: Path) -> Store:
        """Empty where there is none that can be used."""
        try:
            with np.load(path, allow_pickle=False) as file:
                meta, signatures = json.loads(file["meta"].tobytes()), file["signatures"]
            if meta["version"] != _VERSION:
                return Store({}, {}, {})
            records = [_record(values) for values in meta["records"]]
            rows = zip((record.path for record in records), signatures, strict=True)
            return Store({record.path: record for record in records}, dict(rows), meta["comparison"])
        except FileNotFoundError:
            return Store({}, {}, {})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be used (%s); the pictures are examined anew", path, error)
            return Store({}, {}, {})

    def save(self, path: Path) -> None:
        """Keep for the next audit; a full disk costs time then, not this run."""
        records = [asdict(record) for record in self.records.values()]
        meta = json.dumps({"version": _VERSION, "records": records, "comparison": self.comparison}).encode()
        signatures = [self.signatures[path] for path in self.records]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic.atomic_write(path) as file:
                np.savez(file, meta=np.frombuffer(meta, np.uint8), signatures=_stacked(signatures))
        except OSError as error:
            log.warning("the audit is not remembered: %s", atomic.explain(error, path))


def _stacked(signatures: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(signatures) if signatures else np.empty((0, SIDE, SIDE), np.float16)


def _record(values: dict[str, Any]) -> Record:
    """From JSON, whose lists were tuples."""
    odd = tuple((kind, text) for kind, text in values["odd"])
    stamp = tuple(values["stamp"]) if values["stamp"] else None
    return Record(**{**values, "odd": odd, "colour": tuple(values["colour"]), "stamp": stamp})
