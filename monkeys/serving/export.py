"""A run's network for other programs: written beside its place, compared with the original, then moved there whole."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from .. import atomic
from ..errors import UserError
from . import check
from .card import write_card
from .engine import (
    EXPORT_RECORD,
    PARAMETERS,
    Dygraph,
    Engine,
    Inference,
    digest,
    export_folder,
    open_exported,
    program,
    read_export,
    why_stale,
)
from .network import WEIGHTS, Network, load_network, read_record

log = logging.getLogger("monkeys")

FORMATS = {
    "paddle": "for paddle.inference, with oneDNN on a CPU",
    "onnx": "for onnxruntime and others that read ONNX (optional extra)",
    "safetensors": "plain weights",
}
ONNX_PACKAGES = ("paddle2onnx", "onnx", "onnxruntime")
ONNX_FILE, CARD = "model.onnx", "README.md"


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


class Traced(nn.Layer):
    """The network as it runs in evaluation: Python's decisions are taken once, now, instead of being translated."""

    def __init__(self, model: nn.Layer) -> None:
        super().__init__()
        self.model = model

    @paddle.jit.not_to_static
    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        return self.model(images)


def export(run: Path, kind: str, out: Path | None = None, *, photographs: bool = True) -> Exported:
    """Write the run's network, its record and a model card to `out` (RUN/export/<kind>).

    What was written is loaded back and compared with the trained network on validation photographs; without
    `photographs` on noise, which says less and leaves bf16 off. UserError where the photographs cannot be had, where
    packages are missing, or where `out` holds files of others.
    """
    if kind == "onnx":
        require_onnx()
    target = Path(os.path.realpath(out or run / "export" / kind))
    old = _own_files(target)
    network = load_network(run)
    examples = check.from_run(run, network) if photographs else check.noise(network)
    with _beside(target, old) as folder:
        engine = WRITERS[kind](network, run, folder)
        record = read_record(run) | {
            "format": kind,
            "weights_sha256": digest(run / WEIGHTS),
            "made_with": f"paddlepaddle {paddle.__version__}",
            "check": check.compare(Dygraph(network.model), engine, examples),
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
        log.info(export(run, "paddle").summary)
    engine = open_exported(folder, read_export(folder))
    log.info("engine: %s", engine.kind)
    return engine


def require_onnx() -> None:
    """UserError where the optional packages are not installed."""
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--format onnx needs {', '.join(missing)}: pip install 'monkeys[onnx]' (or these by name)")


def _write_paddle(network: Network, run: Path, folder: Path) -> Engine:
    save_program(network, folder)
    return Inference(folder)


def save_program(network: Network, folder: Path) -> None:
    """model.json (Paddle 3) or model.pdmodel (Paddle 2), with model.pdiparams."""
    traced = Traced(network.model)
    traced.eval()
    size = network.preprocess.size
    spec = paddle.static.InputSpec([None, 3, size, size], "float32", "images")
    paddle.jit.save(traced, str(folder / "model"), input_spec=[spec])
    program(folder)


def _write_onnx(network: Network, run: Path, folder: Path) -> Engine:
    import paddle2onnx

    # the default tool to optimise with installs packages while it runs: where it cannot be switched off, do not start
    if "optimize_tool" not in inspect.signature(paddle2onnx.export).parameters:
        version = importlib.metadata.version("paddle2onnx")
        raise UserError(f"paddle2onnx {version} is not one that this project knows: install 2.1.0")
    between = folder / "between"
    between.mkdir()
    save_program(network, between)
    paddle2onnx.export(str(program(between)), str(between / PARAMETERS), str(folder / ONNX_FILE), optimize_tool="None")
    shutil.rmtree(between)
    return Onnx(folder / ONNX_FILE)


class Onnx:
    """A network in onnxruntime, on the CPU."""

    kind = "onnxruntime"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def __call__(self, images: Any) -> Any:
        return self.session.run(None, {self.name: images})[0]


def _write_safetensors(network: Network, run: Path, folder: Path) -> Engine:
    shutil.copyfile(run / WEIGHTS, folder / WEIGHTS)
    return Dygraph(load_network(folder, read_record(run)).model)


WRITERS: dict[str, Callable[[Network, Path, Path], Engine]] = {
    "paddle": _write_paddle,
    "onnx": _write_onnx,
    "safetensors": _write_safetensors,
}


def _own_files(target: Path) -> set[str]:
    """Names of an earlier export's files; UserError where the folder holds anything else."""
    if not target.exists():
        return set()
    if not target.is_dir():
        raise UserError(f"{target} is a file, not a folder; choose another --out")
    present = {path.name for path in target.iterdir()}
    own = {EXPORT_RECORD, *read_export(target)["files"]} if EXPORT_RECORD in present else set()
    if present - own:
        example = min(present - own)
        raise UserError(f"{target} holds {example}, which no export has written; choose another --out")
    return present


@contextlib.contextmanager
def _beside(target: Path, old: set[str]) -> Iterator[Path]:
    """A folder that takes the place of `target` when the block ends, and is gone without trace when it fails."""
    mark = secrets.token_hex(4)
    folder, away = (target.with_name(f".{target.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        folder.mkdir(parents=True)
        yield folder
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if old:
            target.rename(away)
        folder.rename(target)
        atomic.sync_folder(target.parent)
    except OSError as error:
        raise UserError(f"export: {atomic.explain(error, target)}") from None
    finally:
        for leftover in (folder, away):
            shutil.rmtree(leftover, ignore_errors=True)
