"""Both engines side by side, for people to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from . import operations as op
from .fast import fast_augmenter
from .recipes import imgaug_augmenter


def pairs_of(node: op.Node, image: np.ndarray, rng: np.random.Generator) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """For each operation of a recipe, with parameters drawn once: its name, imgaug's image, the fast engine's image."""
    pairs = []
    for operation in operations_of(node):
        one = fixed(operation, rng)
        slow, fast = (build(one)(image, rng) for build in (imgaug_augmenter, fast_augmenter))
        pairs.append((_name(one), slow, fast))
    return pairs


def operations_of(node: op.Node) -> Iterator[op.Operation]:
    """The operations of a recipe, in the order in which it names them."""
    if isinstance(node, op.Operation):
        yield node
    else:
        for child in (node.child,) if isinstance(node, op.Sometimes) else node.children:
            yield from operations_of(child)


def fixed(operation: op.Operation, rng: np.random.Generator) -> op.Operation:
    """The operation with every range, choice and probability narrowed to one value; a flip is certain."""
    given = {field.name: getattr(operation, field.name) for field in fields(operation)}
    return replace(operation, **{name: _one(name, value, rng) for name, value in given.items()})


def _name(operation: op.Operation) -> str:
    """GaussianBlur -> gaussian blur; the two flips by what they exchange."""
    if isinstance(operation, op.Flip):
        return "flip top and bottom" if operation.vertical else "flip left and right"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(operation).__name__).lower()


def _one(name: str, value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, op.Between | op.Whole):
        drawn: Any = value.draw(rng)
        return type(value)(drawn, drawn)
    if isinstance(value, tuple):
        return (value[rng.integers(len(value))],)
    if name == "per_channel":
        return float(rng.random() < value)
    return 1.0 if name == "p" else value
