"""Which parameters decay, and how fast each moves relative to the learning rate. Names and numbers only."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping

from ..errors import UserError

_STAGE_AND_BLOCK = re.compile(r"\w*\d[a-z]?_\d\w*")  # conv2_1, 4_3, conv_1a_3x3


def decayed(axes: int) -> bool:
    """Whether a parameter with this many axes is a weight proper: biases and the pairs of a norm have one axis."""
    return axes > 1


def lr_factors(axes: Mapping[str, int], heads: tuple[str, ...], body: float, layer_decay: float) -> dict[str, float]:
    """Rate of each parameter relative to the learning rate.

    axes: structured name -> number of axes, in the order of the model's declaration (input to output).
    heads: what the names of the head, and behind it of auxiliary heads, as new as it when fine-tuning, begin with;
    these have 1.
    A block that lies d blocks before them (d = 1, 2, …) has body * layer_decay ** (d - 1).
    Raises UserError where a body is asked for but one of the heads is not there.
    """
    if not (body > 0 and math.isfinite(body)):
        raise UserError(f"optim.body_lr_factor: expected a positive number, got {body}")
    if not 0 < layer_decay <= 1:
        raise UserError(f"optim.layer_decay: expected above 0 and at most 1, got {layer_decay}")
    if body == 1 and layer_decay == 1:
        return dict.fromkeys(axes, 1.0)
    for prefix in heads or ("",):
        if not (prefix and any(name.startswith(prefix) for name in axes)):
            raise UserError(f"optim.body_lr_factor, optim.layer_decay: this model has no head named {prefix!r}")
    head = {name for name in axes if name.startswith(heads)}
    depth = block_depths({name: count for name, count in axes.items() if name not in head})
    before = list(itertools.takewhile(lambda name: not name.startswith(heads[0]), axes))
    last = max((depth[name] for name in before if name in depth), default=0)  # auxiliary branches may come later
    return {name: 1.0 if name in head else body * layer_decay ** max(0, last - depth[name]) for name in axes}


def block_depths(axes: Mapping[str, int]) -> dict[str, int]:
    """Number of the block that each parameter belongs to, counted from the input.

    A block is what shares a name up to its first number (`layer1.0`, `features.3`, `conv2_1`), or its first part.
    Norms that stand alone belong to the block before them.
    """
    members: dict[str, list[str]] = {}
    for name in axes:
        members.setdefault(_block(name), []).append(name)
    depths: dict[str, int] = {}
    depth = -1
    for names in members.values():
        if depth < 0 or any(decayed(axes[name]) for name in names):
            depth += 1
        depths.update(dict.fromkeys(names, depth))
    return depths


def _block(name: str) -> str:
    parts = name.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit() or _STAGE_AND_BLOCK.fullmatch(part)]
    return ".".join(parts[: numbers[0] + 1]) if numbers else parts[0]
