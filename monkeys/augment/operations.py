"""What an augmentation recipe is made of: operations with the ranges of their parameters, and ways to combine them.

Plain values only: `fast.py` and `recipes.py` each turn them into something that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Between(NamedTuple):
    """A real number, uniform from `low` to `high`."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        return self.low + (self.high - self.low) * rng.random()


class Whole(NamedTuple):
    """An integer, uniform from `low` to `high`, both included."""

    low: int
    high: int

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.low, self.high + 1))


@dataclass(frozen=True)
class Operation:
    """One change of an image [H, W, 3] uint8 that keeps its shape."""


@dataclass(frozen=True)
class Flip(Operation):
    """Mirror left to right, or top to bottom, with probability `p`."""

    vertical: bool
    p: float


@dataclass(frozen=True)
class Crop(Operation):
    """Cut a fraction of the side off each of the four sides, then scale back."""

    sides: Between


@dataclass(frozen=True)
class ResizedCrop(Operation):
    """Cut out a rectangle of this share of the area and this aspect (width by height), then scale it to the whole."""

    area: Between
    aspect: Between


@dataclass(frozen=True)
class Affine(Operation):
    """Scale, shift (fractions of the sides), rotation and shear (degrees), about the centre.

    per_axis: scales of x and y are drawn apart. orders: 0 nearest, 1 bilinear. fill: each channel, where the border
    is `constant`. borders: constant, edge, symmetric, reflect, wrap.
    """

    scale: Between
    per_axis: bool
    shift: Between
    rotation: Between
    shear: Between
    orders: tuple[int, ...]
    fill: Between
    borders: tuple[str, ...]


@dataclass(frozen=True)
class Superpixels(Operation):
    """Some segments of similar neighbouring pixels take their mean colour.

    replace: probability for each segment, drawn once an image. segments: number aimed at. Works at 128 pixels at most.
    """

    replace: Between
    segments: Whole


@dataclass(frozen=True)
class GaussianBlur(Operation):
    """sigma: pixels."""

    sigma: Between


@dataclass(frozen=True)
class AverageBlur(Operation):
    """size: side of the window."""

    size: Whole


@dataclass(frozen=True)
class MedianBlur(Operation):
    """size: side of the window; an even one is made odd by adding one."""

    size: Whole


@dataclass(frozen=True)
class Sharpen(Operation):
    """alpha: 0 the image, 1 its edges alone; lightness: added to the centre of the kernel."""

    alpha: Between
    lightness: Between


@dataclass(frozen=True)
class Emboss(Operation):
    """alpha: 0 the image, 1 the relief alone."""

    alpha: Between
    strength: Between


@dataclass(frozen=True)
class EdgeDetect(Operation):
    """alpha: 0 the image, 1 its edges alone."""

    alpha: Between


@dataclass(frozen=True)
class DirectedEdgeDetect(Operation):
    """Edges that face one direction: 0 to 1 is a full turn."""

    alpha: Between
    direction: Between


@dataclass(frozen=True)
class GaussianNoise(Operation):
    """scale: standard deviation in grey levels. per_channel: probability that the channels differ."""

    scale: Between
    per_channel: float


@dataclass(frozen=True)
class Dropout(Operation):
    """A share `p` of the pixels turns black. per_channel: probability that the channels are drawn apart."""

    p: Between
    per_channel: float


@dataclass(frozen=True)
class CoarseDropout(Operation):
    """As Dropout, in rectangles: the mask is drawn at `size` of each side, at least 3 pixels, and enlarged."""

    p: Between
    size: Between
    per_channel: float


@dataclass(frozen=True)
class Add(Operation):
    """value: grey levels. per_channel: probability that the channels differ."""

    value: Between
    per_channel: float


@dataclass(frozen=True)
class Multiply(Operation):
    """per_channel: probability that the channels differ."""

    factor: Between
    per_channel: float


@dataclass(frozen=True)
class Contrast(Operation):
    """Distance from grey level 127 times alpha. per_channel: probability that the channels differ."""

    alpha: Between
    per_channel: float


@dataclass(frozen=True)
class Saturate(Operation):
    """Distance of each colour from its own grey times `factor`."""

    factor: Between


@dataclass(frozen=True)
class Elastic(Operation):
    """Every pixel is moved by up to `alpha` pixels; the field is smoothed with a Gaussian of `sigma` pixels."""

    alpha: Between
    sigma: float


@dataclass(frozen=True)
class PiecewiseAffine(Operation):
    """The points of a regular grid are moved and the triangles between them follow.

    scale: standard deviation of the shift, a fraction of the side. rows, columns: points of the grid.
    """

    scale: Between
    rows: Whole
    columns: Whole


@dataclass(frozen=True)
class Chain:
    """All children, in the order given or in a random one."""

    children: tuple[Node, ...]
    shuffled: bool = False


@dataclass(frozen=True)
class Sometimes:
    """The child, with probability `p`."""

    p: float
    child: Node


@dataclass(frozen=True)
class SomeOf:
    """`count` children, drawn without repeating, in random order."""

    count: Whole
    children: tuple[Node, ...]


Node = Operation | Chain | Sometimes | SomeOf


def one_of(*children: Node) -> SomeOf:
    """One child, all equally likely."""
    return SomeOf(Whole(1, 1), children)
