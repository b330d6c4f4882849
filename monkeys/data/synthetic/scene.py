"""A picture but for the animal: background, things in front of it, light and camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .backgrounds import BACKGROUNDS
from .brush import Array, blend, clouds, fill, gradient, leaf, rgb, smooth, stroke
from .nuisance import Nuisance


def backdrop(nuisance: Nuisance, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint the background [height, width, 3]: small, then enlarged, so that it lies out of focus."""
    shrink = rng.uniform(2.0, 4.0)
    small = BACKGROUNDS[nuisance.background](rng, max(int(height / shrink), 24), max(int(width / shrink), 24))
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def cover(canvas: Array, nuisance: Nuisance, rng: np.random.Generator) -> None:
    """Put branches, vines and bars in front of the animal, in place."""
    side = min(canvas.shape[:2])
    for _ in range(nuisance.cover):
        kind = rng.choice(("vine", "branch", "bar"), p=(0.5, 0.35, 0.15))
        ends = _across(rng, *canvas.shape[:2])
        if kind == "bar":
            stroke(canvas, ends, side * rng.uniform(0.012, 0.02), rgb(0, 0, rng.uniform(0.2, 0.8)))
        elif kind == "branch":
            _twig(canvas, rng, ends, side * rng.uniform(0.012, 0.03), leaves=4)
        else:
            _twig(canvas, rng, ends, side * 0.006, leaves=12)


def _across(rng: np.random.Generator, height: int, width: int) -> Array:
    """Ends [2, 2] of a line through the whole picture that often grazes the middle and seldom hides it."""
    angle = rng.uniform(0, np.pi)
    along = np.array((np.cos(angle), np.sin(angle)))
    aside = rng.choice((-1, 1)) * rng.uniform(0.1, 0.5) * min(height, width)
    middle = np.array((width, height)) / 2 + aside * np.array((-along[1], along[0]))
    reach = max(height, width) * along
    return np.stack((middle - reach, middle + reach)).astype(np.float32)


def _twig(canvas: Array, rng: np.random.Generator, ends: Array, thickness: float, leaves: int) -> None:
    side, hue = min(canvas.shape[:2]), rng.uniform(0.18, 0.4)
    bent = np.linspace(ends[0], ends[1], 5) + rng.normal(0, side * 0.03, (5, 2))
    way = smooth(bent.astype(np.float32), 40)
    stroke(canvas, way, thickness, rgb(rng.uniform(0.05, 0.1), 0.4, rng.uniform(0.15, 0.4)))
    for at in rng.integers(0, len(way), leaves):
        outline = leaf(rng, way[at], side * rng.uniform(0.06, 0.13))
        green = rgb(hue + rng.normal(0, 0.02), rng.uniform(0.4, 0.7), rng.uniform(0.2, 0.75))
        fill(canvas, outline, green)
        stroke(canvas, (outline[1:11] + outline[22:12:-1]) / 2, 1, blend(green, (1.0, 1.0, 0.8), 0.3))


def develop(canvas: Array, nuisance: Nuisance, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, dapples, exposure, white balance, lens and sensor: canvas → photograph of the final size."""
    height, width = canvas.shape[:2]
    light = 1 + nuisance.light * gradient(height, width, nuisance.light_angle) + 0.06 * clouds(rng, height, width, 6, 2)
    balance = 2**nuisance.exposure * np.array((1 + nuisance.warmth, 1, 1 - nuisance.warmth))
    canvas = canvas * light.astype(np.float32)[..., None] * balance.astype(np.float32)  # type: ignore[assignment]
    blur = nuisance.blur * min(height, width)
    if blur > 0.4:
        canvas = cv2.GaussianBlur(canvas, (0, 0), blur)
    canvas += rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(0.012)
    photograph = np.clip(canvas * 255, 0, 255).astype(np.uint8)
    return cv2.resize(photograph, (nuisance.width, nuisance.height), interpolation=cv2.INTER_CUBIC)
