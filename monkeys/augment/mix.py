"""Mixing of images and targets within a batch, and random erasing. Images are [N, 3, H, W] float32, normalised."""

from __future__ import annotations

import math

import numpy as np

from .boxes import Box, random_box
from .operations import Between

_ERASED_AREA = Between(0.02, 1 / 3)
_ERASED_ASPECT = Between(0.3, 1 / 0.3)


def mix(
    images: np.ndarray,
    targets: np.ndarray,
    rng: np.random.Generator,
    *,
    mixup: float,
    cutmix: float,
    prob: float = 1.0,
    cutmix_share: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Mixup (arXiv 1710.09412) or cutmix (arXiv 1905.04899) of each image with another one of the batch.

    images: [N, 3, H, W] float32. targets: [N, C] float32, rows summing to one; they still do.
    mixup, cutmix: alpha of the Beta(alpha, alpha) that a batch's share is drawn from; 0 is off.
    prob: of mixing a batch at all. cutmix_share: of the mixed batches, where both are on. Without mixing, the inputs
    themselves come back.
    """
    if not (mixup or cutmix) or len(images) < 2 or rng.random() >= prob:
        return images, targets
    boxes = cutmix > 0 and (mixup == 0 or rng.random() < cutmix_share)
    way, alpha = (mix_box, cutmix) if boxes else (mix_whole, mixup)
    partner = rng.permutation(len(images))
    mixed, share = way(images, images[partner], rng.beta(alpha, alpha), rng)
    return mixed, blend(targets, targets[partner], share)


def mix_whole(
    images: np.ndarray, others: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """`share` of each image and the rest of the other one; returns the images and `share`."""
    return blend(images, others, share), share


def mix_box(images: np.ndarray, others: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A box of the other image, of 1 - `share` of the area, anywhere; returns the images and the share that was kept.

    The box is cut off at the border, so that the share kept is not less than `share` (but for rounding).
    """
    rows, columns = cut_box(images.shape[2:], share, rng)
    mixed = images.copy()
    mixed[:, :, rows, columns] = others[:, :, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (images.shape[2] * images.shape[3])


def cut_box(size: tuple[int, ...], share: float, rng: np.random.Generator) -> Box:
    """A box of the image's aspect and 1 - `share` of its area; its centre is anywhere, and the border cuts it off."""
    spans = []
    for side in size:
        half = side * math.sqrt(1 - share) / 2
        centre = rng.random() * side
        spans.append(slice(max(0, round(centre - half)), min(side, round(centre + half))))
    return spans[0], spans[1]


def blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """share * first + (1 - share) * second, float32."""
    return np.float32(share) * first + np.float32(1 - share) * second


def erase(images: np.ndarray, rng: np.random.Generator, *, prob: float) -> np.ndarray:
    """Random erasing (arXiv 1708.04896): with `prob`, a rectangle of an image is filled with noise.

    2 to 33 % of the area, sides 0.3 to 3.3. Noise: uniform between the least and the greatest value of the image.
    """
    hit = np.flatnonzero(rng.random(len(images)) < prob)
    if len(hit) == 0:
        return images
    images = images.copy()
    for index in hit:
        box = random_box(images.shape[2:], rng, area=_ERASED_AREA, aspect=_ERASED_ASPECT)
        if box is not None:
            part = images[index][:, box[0], box[1]]
            part[...] = rng.uniform(images[index].min(), images[index].max(), part.shape)
    return images
