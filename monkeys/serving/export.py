"""A run's network for other programs: written beside its place, compared with the original, then moved there whole."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle

from .. import atomic
from ..errors import UserError
from . import check
from .card import write_card
from .engine import (
    EXPORT_RECORD,
    PARAMETERS,
    PROGRAMS,
    Dygraph,
    Inference,
    digest,
    export_folder,
    is_export,
    open_exported,
    read_export,
    why_stale,
)
from .formats import ONNX_FILE, WRITERS, require_onnx
from .network import WEIGHTS, load_network, read_record

log = logging.getLogger("monkeys")

CARD = "README.md"
OWN_FILES = {
    *(CARD, EXPORT_RECORD, WEIGHTS, ONNX_FILE, PARAMETERS, *PROGRAMS),
    "model.pdiparams.info",  # Paddle 2 writes it beside the others
}


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it differs from the network that was trained."""

    folder: Path
    record: dict[str, Any]

    @property
    def summary(self) -> str:
        """In a few lines."""
        checked, bf16 = self.record["check"], self.record["bf16"]
        lines = [
            f"written: {self.folder} ({', '.join(sorted(self.record['files']))}, {EXPORT_RECORD})",
            f"loaded back and asked {checked['images']} {checked['of']}: logits differ by at most "
            f"{checked['largest_difference']:.2g} (largest logit {checked['largest_logit']:.3g})",
        ]
        return "\n".join([*lines, f"bf16: {bf16['why']}"] if self.record["format"] == "paddle" else lines)


def export(run: Path, kind: str, out: Path | None = None, *, photographs: bool = True) -> Exported:
    """Write the run's network, its record and a model card to `out` (RUN/export/<kind>).

    What was written is loaded back and compared with the trained network on validation photographs; without
    `photographs` on noise, which says less and leaves bf16 off. UserError where the photographs cannot be had, where
    packages are missing, or where `out` holds files of others.
    """
    if kind == "onnx":
        require_onnx()
    target = Path(os.path.realpath(out or run / "export" / kind))
    replace, weights = _replaceable(target), digest(run / WEIGHTS)
    network = load_network(run)
    examples = check.from_run(run, network) if photographs else check.noise(network)
    with _beside(target, replace) as folder:
        exported = WRITERS[kind](network, run, folder)
        record = read_record(run) | {
            "format": kind,
            "weights_sha256": weights,
            "made_with": f"paddlepaddle {paddle.__version__}",
            "check": check.compare(Dygraph(network.model), exported, examples),
            "bf16": check.bf16(folder, examples) if kind == "paddle" else check.no_bf16("only in the paddle format"),
        }
        write_card(folder / CARD, run, record)
        record["files"] = {path.name: digest(path) for path in sorted(folder.iterdir())}
        atomic.write_json(folder / EXPORT_RECORD, record)
    return Exported(target, record)


def open_inference(run: Path) -> Inference:
    """The run's network in paddle.inference, exported first where RUN/export/paddle cannot stand for it."""
    folder, reason = export_folder(run), why_stale(run)
    if reason:
        log.info("%s %s: exporting first", folder, reason)
        try:
            log.info(export(run, "paddle").summary)
        except UserError:
            if why_stale(run):  # else another process has just exported the same
                raise
    engine = open_exported(folder, read_export(folder))
    log.info("engine: %s", engine.kind)
    return engine


def _replaceable(target: Path) -> bool:
    """Whether an earlier export lies there; UserError where anything else does, which stays untouched."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise UserError(f"{target} is a file, not a folder; choose another --out")
    present = {path.name for path in target.iterdir()}
    foreign = present - OWN_FILES if is_export(target) else present
    if foreign:
        raise UserError(f"{target} holds {min(foreign)}, which no export has written; choose another --out")
    return bool(present)


@contextlib.contextmanager
def _beside(target: Path, replace: bool) -> Iterator[Path]:
    """A folder that takes the place of `target` when the block ends, and is gone without trace when it fails."""
    mark = secrets.token_hex(4)
    folder, away = (target.with_name(f".{target.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        folder.mkdir(parents=True)
        yield folder
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if replace:
            target.rename(away)
        folder.rename(target)
        atomic.sync_folder(target.parent)
    except OSError as error:
        raise UserError(f"export: {atomic.explain(error, target)}") from None
    finally:
        if away.exists() and not target.exists():
            away.rename(target)
        for leftover in (folder, away):
            shutil.rmtree(leftover, ignore_errors=True)
