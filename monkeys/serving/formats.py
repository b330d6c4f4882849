"""The formats of an export: each writer fills a folder and gives back an engine that runs what it wrote."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ..errors import UserError
from .engine import PARAMETERS, Dygraph, Engine, Inference, program
from .network import WEIGHTS, Network, load_network, read_record

ONNX_PACKAGES = ("paddle2onnx", "onnx", "onnxruntime")
ONNX_FILE = "model.onnx"
OPSET = 13  # old enough for most readers of ONNX


class Traced(nn.Layer):
    """The network as it runs in evaluation: Python's decisions are taken once, now, instead of being translated."""

    def __init__(self, model: nn.Layer) -> None:
        super().__init__()
        self.model = model

    @paddle.jit.not_to_static
    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        return self.model(images)


def require_onnx() -> None:
    """UserError where the optional packages are not installed, or this Paddle is older than they ask for."""
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--format onnx needs {', '.join(missing)}: pip install '.[onnx]' in this project's folder")
    if paddle.__version__.startswith("2."):
        raise UserError(f"--format onnx needs Paddle 3, this is {paddle.__version__}")


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
    with _quiet_stdout():
        try:
            paths = str(program(between)), str(between / PARAMETERS), str(folder / ONNX_FILE)
            paddle2onnx.export(*paths, opset_version=OPSET, optimize_tool="None")
        except UnboundLocalError:  # what it comes to after it has printed the true reason
            raise UserError("paddle2onnx cannot convert this network (its reason stands above)") from None
    shutil.rmtree(between)
    return Onnx(folder / ONNX_FILE)


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Whatever a library writes to standard output, from C++ too, goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


class Onnx:
    """A network in onnxruntime, on the CPU."""

    kind = "onnxruntime"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self.session.run(None, {self.name: images})[0])


def _write_safetensors(network: Network, run: Path, folder: Path) -> Engine:
    shutil.copyfile(run / WEIGHTS, folder / WEIGHTS)
    return Dygraph(load_network(folder, read_record(run)).model)


WRITERS: dict[str, Callable[[Network, Path, Path], Engine]] = {
    "paddle": _write_paddle,
    "onnx": _write_onnx,
    "safetensors": _write_safetensors,
}
