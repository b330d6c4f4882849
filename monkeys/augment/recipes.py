"""The imgaug engine: the same recipes on imgaug 0.4.0. The only module that imports imgaug."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import imgaug.augmenters as iaa
import imgaug.parameters as iap
import numpy as np
from imgaug.random import RNG

from ..numpy_compat import restore_numpy_names
from . import operations as op
from .fast import operation_function

# Given to every augmenter, because imgaug's default is a generator that it seeds from numpy's global one.
_SEED = 0


class ImgaugAugmenter:
    """Runs an imgaug pipeline on the generator that it is handed.

    All augmenters share one RNG object, so that one assignment takes the place of reseeding them (2.4 ms an image).
    """

    def __init__(self, pipeline: iaa.Augmenter) -> None:
        restore_numpy_names()
        self.pipeline = pipeline
        self._rng = RNG(_SEED)
        for augmenter in (pipeline, *pipeline.get_all_children(flat=True)):
            augmenter.random_state = self._rng

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """image [H, W, 3] uint8 -> the same shape and type; the input stays as it is."""
        self._rng.generator = rng
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # imgaug calls scikit-image by names that will go one day
            return np.ascontiguousarray(self.pipeline.augment_image(np.array(image)))


class Superpixels(iaa.Superpixels):
    """imgaug's superpixels with segments numbered from 0, as it takes for granted.

    scikit-image numbers them from 1 since 0.18, which paints each segment in the colour of the next one.
    """

    @classmethod
    def _replace_segments(cls, image: np.ndarray, segments: np.ndarray, replace_samples: np.ndarray) -> np.ndarray:
        return super()._replace_segments(image, segments - segments.min(), replace_samples)


def imgaug_augmenter(node: op.Node) -> ImgaugAugmenter:
    """What the node says, for images [H, W, 3] uint8."""
    return ImgaugAugmenter(pipeline(node))


def pipeline(node: op.Node) -> iaa.Augmenter:
    """imgaug's augmenter for a node."""
    if isinstance(node, op.Chain):
        return iaa.Sequential(list(map(pipeline, node.children)), random_order=node.shuffled, seed=_SEED)
    if isinstance(node, op.Sometimes):
        # In a list of one: of a list imgaug finds the children, but not the list itself, which a child may be too.
        return iaa.Sometimes(node.p, iaa.Sequential([pipeline(node.child)], seed=_SEED), seed=_SEED)
    if isinstance(node, op.SomeOf):
        return iaa.SomeOf(tuple(node.count), list(map(pipeline, node.children)), random_order=True, seed=_SEED)
    return _BUILDERS[type(node)](node)


def _flip(o: op.Flip) -> iaa.Augmenter:
    return (iaa.Flipud if o.vertical else iaa.Fliplr)(o.p, seed=_SEED)


def _affine(o: op.Affine) -> iaa.Augmenter:
    scale = {"x": tuple(o.scale), "y": tuple(o.scale)} if o.per_axis else tuple(o.scale)
    return iaa.Affine(
        scale=scale,
        translate_percent={"x": tuple(o.shift), "y": tuple(o.shift)},
        rotate=tuple(o.rotation),
        shear=tuple(o.shear),
        order=list(o.orders),
        cval=tuple(o.fill),
        mode=list(o.borders),
        seed=_SEED,
    )


def _piecewise(o: op.PiecewiseAffine) -> iaa.Augmenter:
    return iaa.PiecewiseAffine(tuple(o.scale), nb_rows=tuple(o.rows), nb_cols=tuple(o.columns), seed=_SEED)


def _directed(o: op.DirectedEdgeDetect) -> iaa.Augmenter:
    return iaa.DirectedEdgeDetect(tuple(o.alpha), direction=tuple(o.direction), seed=_SEED)


def _coarse_dropout(o: op.CoarseDropout) -> iaa.Augmenter:
    return iaa.CoarseDropout(_share(o.p), size_percent=tuple(o.size), per_channel=o.per_channel, seed=_SEED)


def _share(p: op.Between) -> float | tuple[float, float]:
    """imgaug's dropouts refuse a range of one value."""
    return p.low if p.low == p.high else (p.low, p.high)


def _own(operation: op.Operation) -> iaa.Augmenter:
    """An operation that imgaug does not have: ours, drawing from imgaug's generator."""
    function = operation_function(operation)

    def apply(images: Sequence[np.ndarray], random_state: RNG, parents: object, hooks: object) -> list[np.ndarray]:
        return [function(image, random_state.generator) for image in images]

    return iaa.Lambda(func_images=apply, seed=_SEED)


_BUILDERS: dict[type[op.Operation], Callable[[Any], iaa.Augmenter]] = {
    op.Flip: _flip,
    op.Crop: lambda o: iaa.Crop(percent=tuple(o.sides), seed=_SEED),
    op.ResizedCrop: _own,
    op.Affine: _affine,
    op.Elastic: lambda o: iaa.ElasticTransformation(tuple(o.alpha), sigma=o.sigma, seed=_SEED),
    op.PiecewiseAffine: _piecewise,
    op.Superpixels: lambda o: Superpixels(tuple(o.replace), tuple(o.segments), seed=_SEED),
    op.GaussianBlur: lambda o: iaa.GaussianBlur(tuple(o.sigma), seed=_SEED),
    op.AverageBlur: lambda o: iaa.AverageBlur(tuple(o.size), seed=_SEED),
    op.MedianBlur: lambda o: iaa.MedianBlur(iap.DiscreteUniform(*o.size), seed=_SEED),
    op.Sharpen: lambda o: iaa.Sharpen(tuple(o.alpha), lightness=tuple(o.lightness), seed=_SEED),
    op.Emboss: lambda o: iaa.Emboss(tuple(o.alpha), strength=tuple(o.strength), seed=_SEED),
    op.EdgeDetect: lambda o: iaa.EdgeDetect(tuple(o.alpha), seed=_SEED),
    op.DirectedEdgeDetect: _directed,
    op.GaussianNoise: lambda o: iaa.AdditiveGaussianNoise(0, tuple(o.scale), o.per_channel, seed=_SEED),
    op.Dropout: lambda o: iaa.Dropout(_share(o.p), o.per_channel, seed=_SEED),
    op.CoarseDropout: _coarse_dropout,
    op.Add: lambda o: iaa.Add(tuple(o.value), o.per_channel, seed=_SEED),
    op.Multiply: lambda o: iaa.Multiply(tuple(o.factor), o.per_channel, seed=_SEED),
    op.Contrast: lambda o: iaa.LinearContrast(tuple(o.alpha), o.per_channel, seed=_SEED),
    op.Saturate: _own,
}
