"""Names of parameters in other projects' files, turned into ours, which are those of paddle.vision.

torchvision   the same names, but running_mean and running_var for the statistics, and linear weights transposed
PaddleClas    ResNets: stem.0.conv, blocks.N.conv0.conv, blocks.N.short.bn, fc (N counts through all stages);
              before version 2.0: conv._conv, res2a.conv0._conv, res4b7.conv1._batch_norm, out
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError

_STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}
_COUNTER = "num_batches_tracked"
_BLOCK = re.compile(r"blocks\.([0-9]{1,3})\.(conv[0-2]|short)\.(conv|bn)\.(\w+)")
_OLD_BLOCK = re.compile(r"res([2-5])(?:b([0-9]{1,2})|([a-z]))\.(conv[0-2]|short)\._(conv|batch_norm)\.(\w+)")
_STEM = re.compile(r"(?:stem\.0|conv)\._?(conv|bn|batch_norm)\.(\w+)")


@dataclass(frozen=True)
class Renamed:
    """Tensors under our names, the file's name of each, and what was left out on the way with the reason."""

    project: str
    tensors: dict[str, Any]
    origin: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)


def rename(tensors: Mapping[str, Any], model_names: Collection[str], source: str) -> Renamed:
    """Recognise the project by its names and translate; the names of the model tell how many blocks a stage has.

    UserError naming `source` for PaddleClas' ResNet_vd, whose names fit but whose shortcuts compute something else.
    """
    project = _project(tensors, source)
    blocks = _blocks(model_names)
    renamed = Renamed(project, {}, {})
    for name, tensor in tensors.items():
        new = _PROJECTS[project](name, blocks)
        if new.endswith(_COUNTER):
            renamed.left_out[name] = "counter of PyTorch's batch norm, not used here"
        elif new in renamed.tensors:
            renamed.left_out[name] = f"same as {renamed.origin[new]} under our names"
        else:
            renamed.tensors[new] = tensor
            renamed.origin[new] = name
    return renamed


def _project(names: Collection[str], source: str) -> str:
    if any(name.startswith("stem.1.") for name in names) and any(_BLOCK.fullmatch(name) for name in names):
        raise UserError(
            f"{source} holds PaddleClas ResNet_vd weights: their shortcuts average before the convolution, which none "
            "of our networks does; use the plain ResNet's"
        )
    if any(_BLOCK.fullmatch(name) or _OLD_BLOCK.fullmatch(name) for name in names):
        return "PaddleClas"
    if any(name.endswith((*_STATISTICS, _COUNTER)) for name in names):
        return "torchvision"
    return "Paddle"


def _blocks(model_names: Collection[str]) -> list[str]:
    """Prefixes of a ResNet's blocks in order: layer1.0, layer1.1, …, layer2.0 …"""
    found = {match.groups() for name in model_names if (match := re.match(r"layer([1-4])\.([0-9]+)\.", name))}
    return [f"layer{stage}.{index}" for stage, index in sorted((int(a), int(b)) for a, b in found)]


def _from_torchvision(name: str, blocks: list[str]) -> str:
    head, _, last = name.rpartition(".")
    return f"{head}.{_STATISTICS[last]}" if last in _STATISTICS else name


def _from_paddleclas(name: str, blocks: list[str]) -> str:
    if match := _STEM.fullmatch(name):
        kind, value = match.groups()
        return f"{'conv1' if kind == 'conv' else 'bn1'}.{value}"
    if match := _BLOCK.fullmatch(name):
        number, part, kind, value = match.groups()
        prefix = blocks[int(number)] if int(number) < len(blocks) else f"block {number}"
        return f"{prefix}.{_part(part, kind)}.{value}"
    if match := _OLD_BLOCK.fullmatch(name):
        stage, numbered, lettered, part, kind, value = match.groups()
        index = int(numbered) if numbered else ord(lettered) - ord("a")
        return f"layer{int(stage) - 1}.{index}.{_part(part, kind)}.{value}"
    return name.replace("out.", "fc.", 1) if name.startswith("out.") else name


def _part(part: str, kind: str) -> str:
    """conv0 + conv → conv1, conv0 + bn → bn1, short + conv → downsample.0, short + bn → downsample.1"""
    if part == "short":
        return "downsample.0" if kind == "conv" else "downsample.1"
    return f"{'conv' if kind == 'conv' else 'bn'}{int(part[-1]) + 1}"


_PROJECTS = {"Paddle": lambda name, _: name, "torchvision": _from_torchvision, "PaddleClas": _from_paddleclas}
