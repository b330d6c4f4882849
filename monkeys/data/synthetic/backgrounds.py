"""What lies behind the animal: functions (generator, height, width) → float32 RGB [height, width, 3]."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np

from .brush import Array, Colour, blend, clouds, ellipse, fill, gradient, knots, leaf, rgb, smooth, stroke

Background: TypeAlias = Callable[[np.random.Generator, int, int], Array]


def _between(field: Array, dark: Colour, bright: Colour) -> Array:
    """Colour a field of noise around 0."""
    share = np.clip(field * np.float32(0.3) + np.float32(0.5), 0, 1)[..., None]
    return np.array(dark, np.float32) * (1 - share) + np.array(bright, np.float32) * share


def _foliage(rng: np.random.Generator, height: int, width: int) -> Array:
    hue, side = rng.uniform(0.2, 0.38), max(height, width)
    canvas = _between(clouds(rng, height, width, 4), rgb(hue, 0.6, 0.12), rgb(hue - 0.04, 0.5, 0.55))
    for _ in range(60):
        outline = leaf(rng, rng.uniform(0, 1, 2) * (width, height), side * rng.uniform(0.03, 0.11))
        green = rgb(hue + rng.normal(0, 0.03), rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.75))
        fill(canvas, outline, green, opacity=0.7)
    for _ in range(rng.integers(0, 14)):  # gaps in the leaves, out of focus
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), side * rng.uniform(0.01, 0.03)
        fill(canvas, ellipse(x, y, radius, radius), rgb(hue - 0.08, 0.25, 0.95), opacity=0.5)
    return cv2.GaussianBlur(canvas, (0, 0), side * 0.006)


def _sky(rng: np.random.Generator, height: int, width: int) -> Array:
    hue = rng.uniform(0.53, 0.61) if rng.uniform() < 0.8 else rng.uniform(0.04, 0.12)
    canvas = _between(
        gradient(height, width, np.pi / 2) * 1.7,
        rgb(hue, rng.uniform(0.3, 0.65), rng.uniform(0.6, 0.9)),
        rgb(hue, 0.12, 0.95),
    )
    veil = np.clip(clouds(rng, height, width, 3, 4) * 0.5 - rng.uniform(-0.2, 0.5), 0, 0.85)[..., None]
    canvas += (0.97 - canvas) * veil.astype(np.float32)
    if rng.uniform() < 0.6:
        ridge = height * rng.uniform(0.6, 0.95) + clouds(rng, 1, width, 9, 4)[0] * height * 0.04
        hill = np.concatenate((np.stack((np.arange(width), ridge), axis=1), ((width, height), (0, height))))
        fill(canvas, hill.astype(np.float32), rgb(rng.uniform(0.2, 0.5), 0.35, 0.3))
    return canvas


def _rock(rng: np.random.Generator, height: int, width: int) -> Array:
    hue, value = rng.uniform(0.03, 0.13), rng.uniform(0.45, 0.85)
    canvas = _between(clouds(rng, height, width, 3, 6), rgb(hue, 0.3, 0.4 * value), rgb(hue, 0.15, value))
    for _ in range(rng.integers(3, 9)):
        walk = rng.uniform(0, 1, 2) * (width, height) + np.cumsum(rng.normal(0, width / 9, (6, 2)), axis=0)
        crack = smooth(walk.astype(np.float32), 30)
        stroke(canvas, crack, rng.uniform(1, width / 60 + 1), rgb(hue, 0.3, 0.25 * value), opacity=0.7)
    return canvas


def _enclosure(rng: np.random.Generator, height: int, width: int) -> Array:
    hue, value = rng.uniform(0, 1), rng.uniform(0.35, 0.85)
    wall = clouds(rng, height, width, 2) + gradient(height, width, rng.uniform(0, 6))
    canvas = _between(wall, rgb(hue, 0.15, value * 0.6), rgb(hue, 0.1, value))
    slant, gap = rng.uniform(-0.2, 0.2), max(height, width) / rng.uniform(6, 14)
    metal = blend(rgb(hue, 0.12, value * 0.8), rgb(hue, 0.08, rng.uniform(0.1, 0.95)), 0.5)
    bars = [knots((x, 0), (x + slant * height, height)) for x in np.arange(-gap, width + gap, gap)]
    if rng.uniform() < 0.5:
        bars += [knots((0, y), (width, y - slant * width)) for y in np.arange(-gap, height + gap, gap)]
    for bar in bars:
        stroke(canvas, bar, gap * 0.12, metal)
    return canvas


def _trunks(rng: np.random.Generator, height: int, width: int) -> Array:
    hue = rng.uniform(0.18, 0.45)
    canvas = _between(clouds(rng, height, width, 5), rgb(hue, 0.5, 0.1), rgb(hue, 0.35, 0.6))
    bark = 1 + 0.2 * clouds(rng, height, width, 12)
    for _ in range(rng.integers(3, 8)):
        x, lean = rng.uniform(0, width), rng.normal(0, 0.08) * height
        brown = rgb(rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.5), rng.uniform(0.12, 0.5))
        trunk = knots((x, -9), (x + lean, height + 9))
        stroke(canvas, trunk, width * rng.uniform(0.03, 0.12), brown, texture=bark)
    return cv2.GaussianBlur(canvas, (0, 0), width * 0.006)


def _savanna(rng: np.random.Generator, height: int, width: int) -> Array:
    canvas = _sky(rng, height, width)
    level, hue = int(height * rng.uniform(0.2, 0.55)), rng.uniform(0.09, 0.17)
    canvas[level:] = _between(clouds(rng, height - level, width, 6, 4), rgb(hue, 0.55, 0.4), rgb(hue, 0.4, 0.85))
    for _ in range(80):
        x, y = rng.uniform(0, width), rng.uniform(level, height)
        tip = (x + rng.normal(0, 0.03) * width, y - height * rng.uniform(0.05, 0.15))
        blade = rgb(hue, rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.9))
        stroke(canvas, knots((x, y), tip), 1, blade, opacity=0.8)
    return canvas


BACKGROUNDS: MappingProxyType[str, Background] = MappingProxyType(
    {
        "foliage": _foliage,
        "sky": _sky,
        "rock": _rock,
        "enclosure": _enclosure,
        "trunks": _trunks,
        "savanna": _savanna,
    }
)
