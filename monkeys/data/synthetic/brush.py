"""Pencil and paint: anti-aliased shapes and soft noise on float32 RGB canvases with values around 0..1."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Colour: TypeAlias = tuple[float, float, float]
Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom

_BITS = 4  # fractional bits of the coordinates that OpenCV draws with


def rgb(hue: float, saturation: float, value: float) -> Colour:
    """Turn hue (0..1, red is 0), saturation and value into RGB."""
    shares = (min(max(abs((hue * 6 + shift) % 6 - 3) - 1, 0.0), 1.0) for shift in (0, 4, 2))
    red, green, blue = (value * (1 - saturation * (1 - share)) for share in shares)
    return red, green, blue


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """Mix two colours; `share` is the part of the second."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(one, other, strict=True))
    return red, green, blue


def clouds(rng: np.random.Generator, height: int, width: int, cells: float, octaves: int = 3) -> Array:
    """Soft noise [height, width] around 0, mostly within ±1, with `cells` blots along the longer side."""
    field = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = max(height, width) / (cells * 2**octave)
        grid = rng.standard_normal((int(height / step) + 2, int(width / step) + 2), dtype=np.float32)
        field += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return field


def gradient(height: int, width: int, angle: float) -> Array:
    """Ramp [height, width] that climbs from -1 to 1 along `angle` (radians)."""
    down, right = np.sin(angle), np.cos(angle)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return ((down * y + right * x) / (abs(down) + abs(right))).astype(np.float32)


def knots(*points: Point) -> Array:
    """Points as an array [N, 2]."""
    return np.array(points, np.float32)


def smooth(points: Array, count: int) -> Array:
    """Round off a polyline [N, 2] to `count` points (Catmull-Rom spline through its knots)."""
    padded = np.concatenate((2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]))
    at = np.linspace(0, len(points) - 1, count)
    segment = np.minimum(at.astype(int), len(points) - 2)
    t = (at - segment)[:, None]
    a, b, c, d = (padded[segment + shift] for shift in range(4))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return curve.astype(np.float32)


def ellipse(x: float, y: float, rx: float, ry: float, count: int = 40) -> Array:
    """Outline [count, 2] of an upright ellipse."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack((x + rx * np.cos(angles), y + ry * np.sin(angles)), axis=1).astype(np.float32)


def leaf(rng: np.random.Generator, foot: Array, length: float) -> Array:
    """Outline [24, 2] of a pointed leaf that grows from `foot` in any direction; its tip is in the middle."""
    along = np.linspace(0, 1, 12)
    half = np.sin(np.pi * along**0.8) * rng.uniform(0.12, 0.25)
    bend = rng.normal(0, 0.15) * along**2
    shape = np.concatenate((np.stack((along, bend + half), 1), np.stack((along, bend - half), 1)[::-1]))
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    return (foot + shape @ turn * length).astype(np.float32)


def ragged(rng: np.random.Generator, outline: Array, depth: float, count: int) -> Array:
    """Turn a closed outline [N, 2] into `count` points in and out of it, like locks of hair up to `depth` long."""
    closed = np.concatenate((outline, outline[:1]))
    at = np.linspace(0, len(outline), count, endpoint=False)
    ring = np.stack([np.interp(at, np.arange(len(closed)), closed[:, axis]) for axis in (0, 1)], axis=1)
    outward = ring - ring.mean(axis=0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-6
    lift = rng.uniform(0.1, 1.0, count) * np.where(np.arange(count) % 2, 1.0, -0.35)
    return (ring + outward * (depth * lift)[:, None]).astype(np.float32)


def fill(canvas: Array, outline: Array, colour: Colour, *, texture: Array | None = None, opacity: float = 1.0) -> None:
    """Fill a polygon ([N, 2] pixels) in place; `texture` [H, W] multiplies the colour."""
    box = _box(canvas, outline, 0)
    if box is not None:
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        cv2.fillPoly(mask, [_fixed(outline, box)], 255, cv2.LINE_AA, _BITS)
        _paint(canvas, box, mask, colour, texture, opacity)


def stroke(
    canvas: Array, line: Array, width: float, colour: Colour, *, texture: Array | None = None, opacity: float = 1.0
) -> None:
    """Draw an open line ([N, 2] pixels) `width` pixels thick in place."""
    box = _box(canvas, line, width)
    if box is not None:
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        cv2.polylines(mask, [_fixed(line, box)], False, 255, max(1, round(width)), cv2.LINE_AA, _BITS)
        _paint(canvas, box, mask, colour, texture, opacity)


def _fixed(points: Array, box: Box) -> NDArray[np.int32]:
    return np.round((points - box[:2]) * 2**_BITS).astype(np.int32)


def _box(canvas: Array, points: Array, width: float) -> Box | None:
    """The part of the canvas that a shape can touch, or nothing."""
    margin = width / 2 + 2
    low, high = np.floor(points.min(axis=0) - margin), np.ceil(points.max(axis=0) + margin)
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = min(int(high[0]), canvas.shape[1]), min(int(high[1]), canvas.shape[0])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _paint(
    canvas: Array, box: Box, mask: NDArray[np.uint8], colour: Colour, texture: Array | None, opacity: float
) -> None:
    left, top, right, bottom = box
    part = canvas[top:bottom, left:right]
    paint = np.array(colour, np.float32)
    if texture is not None:
        paint = paint * texture[top:bottom, left:right, None]
    part += (paint - part) * (mask.astype(np.float32) * np.float32(opacity / 255))[..., None]
