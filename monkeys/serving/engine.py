"""Two ways to run a network: Paddle's eager mode, and paddle.inference with oneDNN on an exported one (CPU only)."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle
from paddle import nn

from .. import runtime
from ..errors import UserError
from ..paths import sha256
from .network import RECORD, WEIGHTS, read_record

ENGINES = ("dygraph", "inference")
EXPORT_RECORD = "network.json"
PARAMETERS, PROGRAMS = "model.pdiparams", ("model.json", "model.pdmodel")  # of Paddle 3, of Paddle 2
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_OF_NETWORK = ("model", "preprocess", "classes", "epoch", "temperature")  # what makes two records describe one network


class Engine(Protocol):
    """Images [N, 3, S, S] float32 to logits [N, C] float32. kind: in words, for people."""

    @property
    def kind(self) -> str: ...

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


class Dygraph:
    """The network as it was trained, on the device in use."""

    kind = "dygraph"

    def __init__(self, model: nn.Layer) -> None:
        self.model = model

    def __call__(self, images: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return self.model(paddle.to_tensor(images)).astype("float32").numpy()


class Inference:
    """An exported network in paddle.inference; calls from several threads wait for each other.

    bf16: weights and activations in bfloat16 where oneDNN knows how; RuntimeError where the processor has none.
    """

    def __init__(self, folder: Path, *, bf16: bool = False) -> None:
        from paddle import inference

        config = inference.Config(str(program(folder)), str(folder / PARAMETERS))
        config.disable_gpu()
        config.disable_glog_info()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(_threads())
        if bf16:
            if not has_bf16():
                raise RuntimeError("this processor has no bfloat16 instructions")
            config.enable_mkldnn_bfloat16()
        self.kind = f"paddle.inference with oneDNN, {'bf16' if bf16 else 'fp32'}"
        self._predictor = inference.create_predictor(config)
        self._images = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._logits = self._predictor.get_output_handle(self._predictor.get_output_names()[0])
        self._lock = threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        with self._lock:
            self._images.copy_from_cpu(np.ascontiguousarray(images, np.float32))
            self._predictor.run()
            return np.asarray(self._logits.copy_to_cpu(), np.float32)


def open_exported(folder: Path, record: Mapping[str, Any]) -> Inference:
    """An exported network as its record allows it: in bf16 only where that was checked and this processor has it."""
    if record["bf16"]["use"] and has_bf16():
        try:
            return Inference(folder, bf16=True)
        except RuntimeError:  # the processor says so, this build of Paddle does not
            return Inference(folder)
    return Inference(folder)


def has_bf16() -> bool:
    """Whether this processor computes in bfloat16."""
    return bool(BF16_FLAGS & runtime.Cpu.read().flags)


def program(folder: Path) -> Path:
    """The file that holds an exported network's structure; UserError where this Paddle cannot read it."""
    found = [folder / name for name in PROGRAMS if (folder / name).exists()]
    if not found:
        raise UserError(f"{folder} holds no exported network ({' or '.join(PROGRAMS)} is missing)")
    if found[0].name == PROGRAMS[0] and paddle.__version__.startswith("2."):
        raise UserError(f"{folder} was exported by Paddle 3, this is Paddle {paddle.__version__}: export it again")
    return found[0]


def export_folder(run: Path) -> Path:
    """Where the run's network lies for paddle.inference."""
    return run / "export" / "paddle"


def is_export(folder: Path) -> bool:
    """Whether a folder is an export (and not a run)."""
    return (folder / EXPORT_RECORD).is_file()


def read_export(folder: Path) -> dict[str, Any]:
    """network.json of an export; UserError where it is missing, damaged, or not this project's."""
    record = read_record(folder, EXPORT_RECORD)
    missing = [key for key in ("format", "weights_sha256", "made_with", "files", "bf16") if key not in record]
    if missing:
        raise UserError(f"{folder / EXPORT_RECORD} is not the record of an export: no {', '.join(missing)}")
    if any(not isinstance(record[key], dict) for key in ("files", "bf16")):
        raise UserError(f"{folder / EXPORT_RECORD} is damaged: files and bf16 are not as an export writes them")
    return record


def why_stale(run: Path) -> str:
    """Why the run's export cannot stand for its network; empty where it can."""
    folder = export_folder(run)
    if not (folder / EXPORT_RECORD).exists():
        return "is missing"
    try:
        record = read_export(folder)
    except UserError:
        return "is damaged"
    if record["weights_sha256"] != digest(run / WEIGHTS):
        return "is of other weights"
    own = read_record(run)
    if any(record[key] != own[key] for key in _OF_NETWORK):
        return f"does not agree with {RECORD}"
    if record["made_with"] != f"paddlepaddle {paddle.__version__}":
        return f"was made with {record['made_with']}"
    return "is damaged" if damaged_file(folder, record) else ""


def damaged_file(folder: Path, record: Mapping[str, Any]) -> str:
    """The first file of an export's network that is missing or not as it was written; empty where all are whole."""
    files = {name: sha for name, sha in record["files"].items() if name.startswith("model.") or name == WEIGHTS}
    return next((n for n, sha in files.items() if not (folder / n).is_file() or digest(folder / n) != sha), "")


def digest(path: Path) -> str:
    """SHA-256 of a file; UserError where it cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _threads() -> int:
    """As many as the rest of Paddle uses."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(said) if said.isdigit() and int(said) else runtime.usable_cores()
