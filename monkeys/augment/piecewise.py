"""Piecewise affine warp: a regular grid of points is moved, and the triangles between them follow."""

from __future__ import annotations

import cv2
import numpy as np

from .operations import Between, Whole


def piecewise_affine(
    image: np.ndarray, rng: np.random.Generator, *, scale: Between, rows: Whole, columns: Whole
) -> np.ndarray:
    """The warp of an image [H, W, 3] uint8.

    Which diagonal parts a rectangle into triangles is a coin here; imgaug leaves it to the rounding of a Delaunay
    triangulation, which has no preference on a regular grid either.
    """
    height, width = image.shape[:2]
    if min(height, width) <= 1:
        return image
    points = moved_grid(rng, (rows.draw(rng), columns.draw(rng)), (height, width), scale.draw(rng))
    falling = rng.random((points.shape[0] - 1, points.shape[1] - 1)) < 0.5
    x, y = dense_map(points, falling, (height, width))
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def moved_grid(rng: np.random.Generator, grid: tuple[int, int], size: tuple[int, int], scale: float) -> np.ndarray:
    """[rows, columns, 2] (x, y) in pixels: points from corner to corner, shifted by normal noise, kept in the image."""
    height, width = size
    points = np.empty((*grid, 2), np.float32)
    points[..., 0] = np.linspace(0, width, grid[1])
    points[..., 1] = np.linspace(0, height, grid[0])[:, None]
    points += rng.normal(0, scale, points.shape) * (width, height)
    return np.clip(points, 0, (width - 1, height - 1)).astype(np.float32)


def dense_map(points: np.ndarray, falling: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel of [H, W], the x and the y that it is taken from; float32.

    points: [rows, columns, 2], where the points of the regular grid are taken from.
    falling: [rows - 1, columns - 1] bool, True where the diagonal runs from the upper left to the lower right.

    On a triangle the map is linear. With u, v from 0 to 1 across a cell it equals the bilinear one plus
    (min(u, v) - u v) times the cell's twist, p00 - p01 - p10 + p11, for a falling diagonal; for a rising one
    u is counted from the right, which changes the sign of the twist.
    """
    maps = _bilinear(points, size)
    rows, columns = (np.arange(side) * (count / side) for side, count in zip(size, falling.shape, strict=True))
    row_edges, column_edges = (
        np.searchsorted(at, np.arange(count + 1)) for at, count in zip((rows, columns), falling.shape, strict=True)
    )
    twist = points[:-1, :-1] - points[:-1, 1:] - points[1:, :-1] + points[1:, 1:]
    for i, j in np.ndindex(*falling.shape):
        cell = slice(row_edges[i], row_edges[i + 1]), slice(column_edges[j], column_edges[j + 1])
        down = (rows[cell[0]] - i).astype(np.float32)
        across = (columns[cell[1]] - j if falling[i, j] else j + 1 - columns[cell[1]]).astype(np.float32)
        bump = np.minimum.outer(down, across) - np.outer(down, across)
        for plane, amount in zip(maps, twist[i, j] if falling[i, j] else -twist[i, j], strict=True):
            plane[cell] += amount * bump
    return maps


def _bilinear(points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """x and y, [H, W] float32, interpolated between the grid's points."""
    down, across = (_tents(side, count) for side, count in zip(size, points.shape[:2], strict=True))
    return down @ points[..., 0] @ across.T, down @ points[..., 1] @ across.T


def _tents(side: int, count: int) -> np.ndarray:
    """[side, count] float32: the weight of each of `count` evenly spaced points at each pixel."""
    at = np.arange(side) * ((count - 1) / side)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count))).astype(np.float32)
