"""Both engines side by side, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from . import operations as op
from .fast import fast_augmenter
from .plans import REPORT
from .recipes import imgaug_augmenter


def operation_pairs(image: np.ndarray, rng: np.random.Generator) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """For each operation of the recipe `report`: its name, what imgaug and what the fast engine make of the image.

    image: [H, W, 3] uint8. Both engines get the same parameters, drawn once; noise and the like differ.
    """
    pairs = []
    for operation in operations_of(REPORT):
        one = fixed(operation, rng)
        images = [build(one)(image, rng) for build in (imgaug_augmenter, fast_augmenter)]
        pairs.append((type(one).__name__, images[0], images[1]))
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


def _one(name: str, value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, op.Between | op.Whole):
        drawn = value.draw(rng)
        return type(value)(drawn, drawn)
    if isinstance(value, tuple):
        return (value[rng.integers(len(value))],)
    if name == "per_channel":
        return float(rng.random() < value)
    return 1.0 if name == "p" else value
