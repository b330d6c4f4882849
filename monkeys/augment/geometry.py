"""Operations that move pixels: flips, crops, affine and elastic warps. Images are [H, W, 3] uint8."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .boxes import random_box
from .draws import LEVELS, noise_bits
from .filters import gaussian_size
from .operations import Between

_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "symmetric": cv2.BORDER_REFLECT,
    "reflect": cv2.BORDER_REFLECT_101,
    "wrap": cv2.BORDER_WRAP,
}
_ORDERS = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR}


def flip(image: np.ndarray, rng: np.random.Generator, *, vertical: bool, p: float) -> np.ndarray:
    """Mirror image, sometimes."""
    return cv2.flip(image, 0 if vertical else 1) if rng.random() < p else image


def crop(image: np.ndarray, rng: np.random.Generator, *, sides: Between) -> np.ndarray:
    """The inner part, enlarged."""
    height, width = image.shape[:2]
    top, bottom = (round(height * sides.draw(rng)) for _ in range(2))
    left, right = (round(width * sides.draw(rng)) for _ in range(2))
    inner = image[top : max(height - bottom, top + 1), left : max(width - right, left + 1)]
    return cv2.resize(inner, (width, height), interpolation=cv2.INTER_AREA)


def resized_crop(image: np.ndarray, rng: np.random.Generator, *, area: Between, aspect: Between) -> np.ndarray:
    """A random part, enlarged; the whole image where no such part was found."""
    height, width = image.shape[:2]
    box = random_box((height, width), rng, area=area, aspect=aspect)
    return image if box is None else cv2.resize(image[box], (width, height), interpolation=cv2.INTER_LINEAR)


def affine(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    scale: Between,
    per_axis: bool,
    shift: Between,
    rotation: Between,
    shear: Between,
    orders: tuple[int, ...],
    fill: Between,
    borders: tuple[str, ...],
) -> np.ndarray:
    """Scale, shear, rotate about the centre, then shift."""
    height, width = image.shape[:2]
    scale_x = scale.draw(rng)
    scale_y = scale.draw(rng) if per_axis else scale_x
    linear = affine_matrix(scale_x, scale_y, math.radians(rotation.draw(rng)), math.radians(shear.draw(rng)))
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    moved = np.array([shift.draw(rng) * width, shift.draw(rng) * height])
    return cv2.warpAffine(
        image,
        np.column_stack([linear, centre + moved - linear @ centre]),
        (width, height),
        flags=_ORDERS[orders[rng.integers(len(orders))]],
        borderMode=_BORDERS[borders[rng.integers(len(borders))]],
        borderValue=[int(fill.draw(rng)) for _ in range(3)],
    )


def affine_matrix(scale_x: float, scale_y: float, rotation: float, shear: float) -> np.ndarray:
    """[2, 2] from (x, y) to (x, y); angles in radians.

    As imgaug 0.4.0 on scikit-image 0.19 or newer: one shear along both axes, then scale and rotation.
    """
    slope = math.tan(shear)
    along_y = np.array([[1, 0], [slope, 1]])
    along_x = np.array([[1, -slope], [0, 1]])
    turn = np.array([[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]])
    return turn @ along_x @ np.diag([scale_x, scale_y]) @ along_y


def elastic(image: np.ndarray, rng: np.random.Generator, *, alpha: Between, sigma: float) -> np.ndarray:
    """Each pixel moved a little on its own; black comes in at the border."""
    height, width = image.shape[:2]
    size = gaussian_size(sigma)
    amount = alpha.draw(rng)
    # Wider than the image by the kernel, so that the edge is smoothed with as many values as the middle.
    field = noise_bits(rng, (2, height + 2 * size, width + 2 * size)) * np.float32(-2 * amount / (LEVELS - 1))
    x, y = (
        cv2.GaussianBlur(plane, (size, size), sigmaX=sigma, sigmaY=sigma)[size:-size, size:-size] for plane in field
    )
    x = x + (np.arange(width) + amount).astype(np.float32)
    y = y + (np.arange(height) + amount).astype(np.float32)[:, None]
    return cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
