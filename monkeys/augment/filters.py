"""Blurs and 3×3 filters. Images are [H, W, 3] uint8; edges are mirrored without repeating the last pixel."""

from __future__ import annotations

import cv2
import numpy as np

from .operations import Between, Whole

_UNCHANGED = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
_OUTLINE = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)
_RELIEF = np.array([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]], np.float32)
_RELIEF_BASE = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
_LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
_LEAST_SIGMA = 1e-3


def gaussian_size(sigma: float) -> int:
    """Side of the kernel that imgaug 0.4.0 takes for `sigma`: odd, at least 5."""
    factor = 3.3 if sigma < 3 else 2.9 if sigma < 5 else 2.6
    return int(max(factor * sigma, 5)) // 2 * 2 + 1


def gaussian_blur(image: np.ndarray, rng: np.random.Generator, *, sigma: Between) -> np.ndarray:
    """Out of focus."""
    amount = sigma.draw(rng)
    if amount <= _LEAST_SIGMA:
        return image
    size = gaussian_size(amount)
    return cv2.GaussianBlur(image, (size, size), sigmaX=amount, sigmaY=amount)


def average_blur(image: np.ndarray, rng: np.random.Generator, *, size: Whole) -> np.ndarray:
    """Mean of a square window."""
    side = size.draw(rng)
    return cv2.blur(image, (side, side))


def median_blur(image: np.ndarray, rng: np.random.Generator, *, size: Whole) -> np.ndarray:
    """Median of a square window of odd side."""
    return cv2.medianBlur(image, size.draw(rng) // 2 * 2 + 1)


def sharpen(image: np.ndarray, rng: np.random.Generator, *, alpha: Between, lightness: Between) -> np.ndarray:
    """Edges raised."""
    amount = alpha.draw(rng)
    return _filtered(image, amount, _OUTLINE + lightness.draw(rng) * _UNCHANGED)


def emboss(image: np.ndarray, rng: np.random.Generator, *, alpha: Between, strength: Between) -> np.ndarray:
    """Relief lit from the upper left."""
    amount = alpha.draw(rng)
    return _filtered(image, amount, _RELIEF_BASE + strength.draw(rng) * _RELIEF)


def edge_detect(image: np.ndarray, rng: np.random.Generator, *, alpha: Between) -> np.ndarray:
    """Edges of all directions."""
    return _filtered(image, alpha.draw(rng), _LAPLACE)


def directed_edge_detect(
    image: np.ndarray, rng: np.random.Generator, *, alpha: Between, direction: Between
) -> np.ndarray:
    """Edges that face one direction, to the degree."""
    amount = alpha.draw(rng)
    return _filtered(image, amount, _directed(int(direction.draw(rng) * 360) % 360))


def _filtered(image: np.ndarray, alpha: float, kernel: np.ndarray) -> np.ndarray:
    mixed = (1 - alpha) * _UNCHANGED + alpha * kernel
    return cv2.filter2D(image, -1, mixed.astype(np.float32))


def _directed(degrees: int) -> np.ndarray:
    """Centre less its neighbours, each weighted by how near it lies to the direction; 0 is up, clockwise."""
    y, x = np.mgrid[-1:2, -1:2]
    facing = np.deg2rad(degrees - 90)
    length = np.hypot(x, y)
    length[1, 1] = 1
    apart = np.arccos(np.clip((x * np.cos(facing) + y * np.sin(facing)) / length, -1, 1))
    near = (1 - apart / np.pi) ** 4
    near[1, 1] = 0
    kernel = -near / near.sum()
    kernel[1, 1] = 1
    return kernel
