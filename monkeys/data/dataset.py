"""A row of the manifest becomes arrays; randomness is asked for by (seed, epoch, index)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import UserError
from .image import Preprocess

Augmenter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Mixer = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]

_AUGMENT, _MIX = 1, 2  # separate streams of random numbers


class Key(NamedTuple):
    """Which picture, in which epoch: all that a sample's randomness depends on, beside the seed."""

    epoch: int
    index: int  # type: ignore[assignment]  # tuples have a method of this name


class Sample(NamedTuple):
    """One picture as the loader hands it on."""

    image: np.ndarray  # [S, S, 3] uint8
    label: int
    key: Key


class Batch(NamedTuple):
    """What one step, or one part of it, is trained on."""

    images: np.ndarray  # [N, 3, S, S] float32
    targets: np.ndarray  # [N, C] float32: what the loss compares with
    labels: np.ndarray  # [N] int64: the true classes


class Pictures(Protocol):
    """Decoded, resized pictures by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


def keep_size(epoch: int, image: np.ndarray) -> np.ndarray:
    """The size of pictures that are augmented at the size they are trained at."""
    return image


@dataclass(frozen=True)
class Dataset:
    """Pictures with labels, augmented unless `augment` leaves them alone.

    pictures: epoch -> those that are augmented. resize: epoch and an augmented picture -> it at that epoch's size.
    augment_until: below which epoch pictures are augmented.
    """

    pictures: Callable[[int], Pictures]
    labels: np.ndarray
    augment: Augmenter
    seed: int
    resize: Callable[[int, np.ndarray], np.ndarray] = keep_size
    augment_until: float = math.inf

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Sample:
        image = self.pictures(key.epoch)[key.index]
        if key.epoch < self.augment_until:
            image = self.augment(image, np.random.default_rng([self.seed, _AUGMENT, key.epoch, key.index]))
        return Sample(self.resize(key.epoch, image), int(self.labels[key.index]), key)


def as_they_are(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The augmenter of evaluation: none."""
    return image


@dataclass(frozen=True)
class Collate:
    """Samples become one batch: normalised images and targets with smoothing, class weights and mixing.

    class_weights: [C], mean 1 over the training images. mix: applied below epoch `mix_until`.
    """

    normalise: Callable[[np.ndarray], np.ndarray]
    class_weights: np.ndarray
    smoothing: float
    mix: Mixer
    mix_until: int
    seed: int

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        labels = np.array([sample.label for sample in samples], dtype=np.int64)
        images = self.normalise(np.stack([sample.image for sample in samples]))
        targets = smooth(labels, len(self.class_weights), self.smoothing)
        epoch, index = samples[0].key
        if epoch < self.mix_until:
            images, targets = self.mix(images, targets, np.random.default_rng([self.seed, _MIX, epoch, index]))
        return Batch(images, (targets * self.class_weights).astype(np.float32), labels)


def plain_collate(preprocess: Preprocess, classes: int) -> Collate:
    """Of evaluation: images and one-hot targets."""
    ones = np.ones(classes, np.float32)
    return Collate(preprocess.normalise, ones, 0.0, _unmixed, 0, seed=0)


def _unmixed(images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return images, targets


def smooth(labels: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """One-hot targets [N, C] float32 that give `smoothing` of their weight to all classes alike."""
    targets = np.full((len(labels), classes), smoothing / classes, dtype=np.float32)
    targets[np.arange(len(labels)), labels] += np.float32(1 - smoothing)
    return targets


def class_weights(labels: np.ndarray, classes: int, rule: str | Sequence[float]) -> np.ndarray:
    """Weights [C] float32 by rule (none, inverse frequency, or given), scaled to mean 1 over the images."""
    counts = np.bincount(labels, minlength=classes)
    if rule == "none":
        weights = np.ones(classes)
    elif rule == "inverse":
        weights = 1.0 / np.maximum(counts, 1)
    else:
        weights = np.asarray(rule, dtype=np.float64)
        if weights.shape != (classes,):
            raise UserError(f"train.class_weights: {weights.size} weights were given for {classes} classes")
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
