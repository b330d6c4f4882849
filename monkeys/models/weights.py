"""Pretrained weights: from a file of ours, Paddle's, PaddleClas' or torchvision's, or from Paddle's own server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from ..errors import UserError
from ..paths import expand_home
from . import download
from .weight_files import read_weights
from .weight_names import Renamed, rename

_PROJECTION = "layer1.0.downsample.0.weight"
LEAST_FIT = 0.9  # share of the body's values, of the network and of the file, that have to find each other
LEAST_LAYERS = 0.8  # likewise of its layers, of which a few may have most values; another stem leaves out two or three


@dataclass(frozen=True)
class WeightReport:
    """What became of a file. left_out: its name → reason; missing: names of the network that stay as initialised."""

    source: str
    project: str  # whose names the file has
    matched: tuple[str, ...]
    left_out: dict[str, str]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(name)
        parts = [f"weights from {self.source}: {len(self.matched)} tensors matched"]
        for reason, names in reasons.items():
            parts.append(f"{len(names)} left out ({names[0]}{', …' if names[1:] else ''}): {reason}")
        if self.missing:
            parts.append(f"{len(self.missing)} of the network stay as initialised ({', '.join(self.missing[:4])})")
        return "; ".join(parts)


def load_pretrained(
    model: nn.Layer,
    source: str | Path,
    *,
    keep_head: bool = True,
    cache_dir: Path | None = None,
    timeout: float = 30.0,
) -> WeightReport:
    """Fill `model`, which `build_model` made, from a weights file, or from Paddle's published ones ("imagenet").

    A head for another number of classes, or one that is not to be kept, is left out and stays new. UserError where the
    file is missing, damaged or of another network; the model is then unchanged. `cache_dir` (default: Paddle's own,
    ~/.cache/paddle/hapi/weights) takes the download, `timeout` is in seconds without an answer. Only "imagenet" ever
    uses the network.
    """
    if str(source) == "imagenet":
        url, md5 = download.published(getattr(model, "architecture", type(model).__name__))
        path = download.fetch(url, md5, cache_dir or download.default_cache(), timeout=timeout)
    else:
        path = expand_home(source)
    target = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    renamed = rename(read_weights(path), target, str(path))
    heads = tuple(getattr(model, "head_prefixes", ()))
    report, arrays = _match(renamed, target, heads, str(path), keep_head)
    rest = {name: value for name, value in model.state_dict().items() if name not in arrays}
    missing, unexpected = model.set_state_dict(rest | arrays)  # all of them: Paddle warns of each that is not given
    if unexpected or missing:
        raise UserError(f"{path}: the network did not take {[*unexpected, *missing][:3]}")
    return report


def _match(
    renamed: Renamed, target: dict[str, tuple[int, ...]], heads: tuple[str, ...], source: str, keep_head: bool
) -> tuple[WeightReport, dict[str, np.ndarray]]:
    """Pair the file's tensors with the network's by name and shape; UserError where too little of either fits."""
    transpose = _is_transposed(renamed, target)
    arrays: dict[str, np.ndarray] = {}
    left_out = dict(renamed.left_out)
    for name, value in renamed.tensors.items():
        array = value.T if transpose and _is_linear(name, value, target) else value
        foreign = heads and name.startswith(heads) and not keep_head
        reason = "head, perhaps for other classes" if foreign else _misfit(name, array, target, heads)
        if reason:
            left_out[renamed.origin[name]] = reason
        elif not np.isfinite(array).all():
            raise UserError(f"{source}: {renamed.origin[name]} holds values that are not finite")
        else:
            arrays[name] = np.ascontiguousarray(array, dtype=np.float32)
    missing = tuple(name for name in target if name not in arrays)
    report = WeightReport(source, renamed.project, tuple(arrays), left_out, missing)
    _check_fit(report, renamed, target, heads)
    if _PROJECTION in renamed.tensors and _PROJECTION not in target:
        raise UserError(
            f"{source} projects the first shortcut, as PaddleClas' networks do: -o model.project_first=true"
        )
    return report, arrays


def _is_linear(name: str, value: Any, target: dict[str, tuple[int, ...]]) -> bool:
    return getattr(value, "ndim", 0) == 2 and len(target.get(name, ())) == 2


def _is_transposed(renamed: Renamed, target: dict[str, tuple[int, ...]]) -> bool:
    """Whether linear weights are [out, in], as torchvision's: known by its names, else by a shape that only fits so."""
    if renamed.project == "torchvision":
        return True
    linear = [(value.shape, target[name]) for name, value in renamed.tensors.items() if _is_linear(name, value, target)]
    return any(shape != wanted and shape[::-1] == wanted for shape, wanted in linear)


def _misfit(name: str, array: Any, target: dict[str, tuple[int, ...]], heads: tuple[str, ...]) -> str:
    """Why a tensor cannot be used; empty if it can."""
    if not isinstance(array, np.ndarray):
        return "no array"
    if name not in target:
        return "not in this network"
    if array.shape != target[name]:
        if heads and name.startswith(heads):
            given, wanted = _classes(array.shape), _classes(target[name])
            if given != wanted:
                return f"head for {given} classes, this network has {wanted}"
        return f"shape {list(array.shape)}, this network has {list(target[name])}"
    if array.dtype.kind != "f":
        return f"{array.dtype} values, not floating-point numbers"
    return ""


def _classes(shape: tuple[int, ...]) -> int:
    """Outputs of a head by the shape of its weight or bias; SqueezeNet's head is a convolution, [out, in, 1, 1]."""
    return shape[0] if len(shape) == 4 else shape[-1] if shape else 0


def _check_fit(
    report: WeightReport, renamed: Renamed, target: dict[str, tuple[int, ...]], heads: tuple[str, ...]
) -> None:
    """Refuse a file of another network: below LEAST_FIT the rest would train from scratch without anyone noticing."""
    if not report.matched:
        raise UserError(f"{report.source}: nothing in it fits this network{_example(report)}")
    file = {name: value.shape for name, value in renamed.tensors.items() if isinstance(value, np.ndarray)}
    own, offered = ([shape for name, shape in of.items() if not name.startswith(heads)] for of in (target, file))
    found = [target[name] for name in report.matched if not name.startswith(heads)]
    for what, least, size in (("values", LEAST_FIT, math.prod), ("layers", LEAST_LAYERS, _is_layer)):
        fit, wanted, given = (sum(map(size, shapes)) for shapes in (found, own, offered))
        if fit < least * max(wanted, given):
            raise UserError(
                f"{report.source} seems to hold another network: {fit:,} {what} fit, of {wanted:,} that this network "
                f"has and {given:,} in the file (heads not counted){_example(report)}"
            )


def _is_layer(shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the weight of a convolution or of a linear layer."""
    return len(shape) > 1


def _example(report: WeightReport) -> str:
    unusual = [(name, reason) for name, reason in report.left_out.items() if not reason.startswith("counter")]
    return f"; for example {unusual[0][0][:60]}: {unusual[0][1]}" if unusual else ""
