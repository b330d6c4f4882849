"""Random rectangles inside an image."""

from __future__ import annotations

import math

import numpy as np

from .operations import Between

Box = tuple[slice, slice]  # rows, columns
_TRIES = 10


def random_box(size: tuple[int, ...], rng: np.random.Generator, *, area: Between, aspect: Between) -> Box | None:
    """A rectangle inside [H, W], anywhere; None where ten draws gave none that fits.

    area: share of the image's area. aspect: width by height, uniform on a logarithmic scale.
    """
    height, width = size
    for _ in range(_TRIES):
        pixels = area.draw(rng) * height * width
        ratio = math.exp(Between(math.log(aspect.low), math.log(aspect.high)).draw(rng))
        rows, columns = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
            return slice(top, top + rows), slice(left, left + columns)
    return None
