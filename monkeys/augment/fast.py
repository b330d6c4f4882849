"""The fast engine: recipes on OpenCV and numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from . import colour, filters, geometry
from . import operations as op
from .piecewise import piecewise_affine
from .superpixels import superpixels

Augmenter = Callable[[np.ndarray, np.random.Generator], np.ndarray]

FUNCTIONS: dict[type[op.Operation], Callable[..., np.ndarray]] = {
    op.Flip: geometry.flip,
    op.Crop: geometry.crop,
    op.ResizedCrop: geometry.resized_crop,
    op.Affine: geometry.affine,
    op.Elastic: geometry.elastic,
    op.PiecewiseAffine: piecewise_affine,
    op.Superpixels: superpixels,
    op.GaussianBlur: filters.gaussian_blur,
    op.AverageBlur: filters.average_blur,
    op.MedianBlur: filters.median_blur,
    op.Sharpen: filters.sharpen,
    op.Emboss: filters.emboss,
    op.EdgeDetect: filters.edge_detect,
    op.DirectedEdgeDetect: filters.directed_edge_detect,
    op.GaussianNoise: colour.gaussian_noise,
    op.Dropout: colour.dropout,
    op.CoarseDropout: colour.coarse_dropout,
    op.Add: colour.add,
    op.Multiply: colour.multiply,
    op.Contrast: colour.contrast,
    op.Saturate: colour.saturate,
}


def fast_augmenter(node: op.Node) -> Augmenter:
    """What the node says, for images [H, W, 3] uint8; the result is contiguous and may be the input itself."""
    return partial(_contiguous, _runner(node))


def operation_function(operation: op.Operation) -> Augmenter:
    """The function of one operation with its parameters filled in."""
    given = {field.name: getattr(operation, field.name) for field in fields(operation)}
    return partial(FUNCTIONS[type(operation)], **given)


def _contiguous(run: Augmenter, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(run(np.ascontiguousarray(image), rng))


def _runner(node: op.Node) -> Augmenter:
    if isinstance(node, op.Chain):
        return _Chain(tuple(map(_runner, node.children)), node.shuffled)
    if isinstance(node, op.Sometimes):
        return _Sometimes(node.p, _runner(node.child))
    if isinstance(node, op.SomeOf):
        return _SomeOf(node.count, tuple(map(_runner, node.children)))
    return operation_function(node)


@dataclass(frozen=True)
class _Chain:
    children: tuple[Augmenter, ...]
    shuffled: bool

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        count = len(self.children)
        for index in rng.permutation(count) if self.shuffled else range(count):
            image = self.children[index](image, rng)
        return image


@dataclass(frozen=True)
class _Sometimes:
    p: float
    child: Augmenter

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.child(image, rng) if rng.random() < self.p else image


@dataclass(frozen=True)
class _SomeOf:
    count: op.Whole
    children: tuple[Augmenter, ...]

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chosen = rng.permutation(len(self.children))[: self.count.draw(rng)]
        for index in chosen:
            image = self.children[index](image, rng)
        return image
