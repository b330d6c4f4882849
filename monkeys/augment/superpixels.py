"""Superpixels: SLIC on numpy and OpenCV, with the steps and constants of scikit-image's, in a quarter of its time.

Saved: centres are found on a sample of the pixels and in fewer rounds, a pixel is compared with the nine cells around
its own, and segments are joined and coloured without a loop over pixels or segments.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from .operations import Between, Whole

MAX_SIDE = 128  # larger images are shrunk to it first, as imgaug does by default
_COMPACTNESS = 10  # units of CIELAB that weigh as much as the distance between two centres
_ROUNDS = 2
_SAMPLE = 2000  # pixels of the image, about


def superpixels(image: np.ndarray, rng: np.random.Generator, *, replace: Between, segments: Whole) -> np.ndarray:
    """Some segments of an image [H, W, 3] uint8 in their mean colour; the image itself if none was chosen."""
    wanted = segments.draw(rng)
    chosen = rng.random(wanted) < replace.draw(rng)
    if not chosen.any():
        return image
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest > MAX_SIDE:
        shrunk = max(1, width * MAX_SIDE // longest), max(1, height * MAX_SIDE // longest)
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_LINEAR)
    labels = segment(image, wanted)
    painted = _paint(image, labels, np.resize(chosen, labels.max() + 1))
    return cv2.resize(painted, (width, height), interpolation=cv2.INTER_LINEAR)


def segment(image: np.ndarray, wanted: int) -> np.ndarray:
    """About `wanted` connected segments of [H, W, 3] uint8: labels [H, W] int32 from 0; shrinking may lose one."""
    height, width = image.shape[:2]
    (rows, columns), step = lattice((height, width), wanted)
    side = math.ceil(max(height / rows, width / columns))
    # To whole cells by repeating pixels: smoothing would take away the speckle that breaks segments up.
    whole = cv2.resize(image, (columns * side, rows * side), interpolation=cv2.INTER_NEAREST_EXACT)
    cells = _features(whole, (height, width), step, side)
    near = _neighbours(rows, columns)
    labels = _assign(cells, _centres(cells, near, side), near)
    labels = labels.reshape(rows, columns, side, side).transpose(0, 2, 1, 3).reshape(whole.shape[:2])
    labels = _connected(labels, side * side // 2).astype(np.int32)
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def lattice(size: tuple[int, int], wanted: int) -> tuple[tuple[int, int], int]:
    """Rows and columns of the centres in an image [H, W], and the distance between two of them in pixels."""
    if math.prod(size) <= wanted:
        return size, 1
    spacings = [math.sqrt(math.prod(size) / wanted)] * 2
    if spacings[0] > min(size):  # too narrow for more than one row or column
        spacings = [side if side == min(size) else max(size) / wanted for side in size]
    counts = [len(range(int(gap // 2), side, round(gap))) for gap, side in zip(spacings, size, strict=True)]
    return (counts[0], counts[1]), max(map(round, spacings))


def _features(image: np.ndarray, size: tuple[int, int], step: int, side: int) -> np.ndarray:
    """[cells, 5, pixels] float32: lightness, a, b, x, y of each pixel, in units that may be added.

    size: of the image before its sides were rounded, which `step` refers to.
    """
    height, width = image.shape[:2]
    darkest, brightest = int(image.min()), int(image.max())
    colour = image.astype(np.float32)
    colour -= darkest
    colour /= max(brightest - darkest, 1)
    blocks = np.empty((height // side, width // side, 5, side, side), np.float32)
    for index, plane in enumerate(cv2.split(cv2.cvtColor(colour, cv2.COLOR_RGB2Lab))):
        plane /= _COMPACTNESS
        blocks[:, :, index] = _by_cell(plane, side)
    blocks[:, :, 3] = (np.arange(width) * (size[1] / (width * step))).reshape(-1, 1, side)
    blocks[:, :, 4] = (np.arange(height) * (size[0] / (height * step))).reshape(-1, 1, side, 1)
    return blocks.reshape(-1, 5, side * side)


def _by_cell(plane: np.ndarray, side: int) -> np.ndarray:
    """[H, W] -> [rows, columns, side, side], a view."""
    height, width = plane.shape
    return plane.reshape(height // side, side, width // side, side).transpose(0, 2, 1, 3)


def _neighbours(rows: int, columns: int) -> np.ndarray:
    """[cells, 9] the cells around each cell and itself; those over the border are replaced by the nearest inside."""
    around = np.arange(-1, 2)
    y = np.clip(np.arange(rows)[:, None] + around, 0, rows - 1)
    x = np.clip(np.arange(columns)[:, None] + around, 0, columns - 1)
    return (y[:, None, :, None] * columns + x[None, :, None, :]).reshape(-1, 9)


def _centres(cells: np.ndarray, near: np.ndarray, side: int) -> np.ndarray:
    """[cells, 5] mean features of each segment, after a few rounds of k-means on a sample of the pixels."""
    stride = max(1, min(round(side * math.sqrt(len(cells) / _SAMPLE)), side // 3))
    at = np.arange(stride // 2, side, stride)
    sample = cells[:, :, (at[:, None] * side + at).ravel()]
    by_feature = sample.transpose(1, 0, 2).reshape(5, -1)
    centres = sample.mean(axis=2)
    for _ in range(_ROUNDS):
        labels = _assign(sample, centres, near).ravel()
        counts = np.bincount(labels, minlength=len(cells))[:, None]
        sums = np.stack([np.bincount(labels, feature, len(cells)) for feature in by_feature], axis=1)
        centres = np.where(counts > 0, sums / np.maximum(counts, 1), centres).astype(np.float32)
    return centres


def _assign(pixels: np.ndarray, centres: np.ndarray, near: np.ndarray) -> np.ndarray:
    """[cells, pixels] int: of the nine centres around its cell, the one nearest to each pixel [cells, 5, pixels]."""
    candidates = centres[near]
    # |p - c|² without |p|², which is the same for all candidates
    distance = np.matmul(-2 * candidates, pixels)
    distance += np.square(candidates).sum(axis=-1)[..., None]
    least = distance[:, 0].copy()
    which = np.zeros(least.shape, np.uint8)
    for candidate in range(1, near.shape[1]):
        np.copyto(which, candidate, where=distance[:, candidate] < least)
        np.minimum(least, distance[:, candidate], out=least)
    return np.take_along_axis(near, which.astype(np.intp), axis=1)


def _connected(labels: np.ndarray, smallest: int) -> np.ndarray:
    """Each connected piece its own label, 0 to n - 1; pieces under `smallest` pixels join the one before them."""
    pieces = _pieces(labels)
    flat, width = pieces.ravel(), pieces.shape[1]
    sizes = np.bincount(flat)
    first = np.empty(len(sizes), np.int64)
    first[flat[::-1]] = np.arange(flat.size)[::-1]
    # The pixels to the left of and above a piece's first pixel belong to pieces that began earlier.
    before = np.where(first % width > 0, flat[first - 1], flat[first - width])
    joins = (sizes < smallest) & (first > 0)
    heir = np.where(joins, before, np.arange(len(sizes)))
    while not np.array_equal(heir, heir[heir]):
        heir = heir[heir]
    return np.unique(heir, return_inverse=True)[1][flat].reshape(pieces.shape)


def _pieces(labels: np.ndarray) -> np.ndarray:
    """Connected regions of equal label, four neighbours, numbered from 0.

    OpenCV knows two colours only: between neighbours of equal label a bridge pixel is drawn, between others a gap.
    """
    height, width = labels.shape
    bridged = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    bridged[::2, ::2] = 1
    bridged[1::2, ::2] = labels[1:] == labels[:-1]
    bridged[::2, 1::2] = labels[:, 1:] == labels[:, :-1]
    _, pieces = cv2.connectedComponents(bridged, connectivity=4, ltype=cv2.CV_32S)
    return pieces[::2, ::2] - 1


def _paint(image: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The pixels of each chosen segment in its mean colour. chosen: [segments] bool."""
    flat = labels.ravel()
    counts = np.bincount(flat)
    sums = np.stack([np.bincount(flat, channel.ravel(), len(counts)) for channel in cv2.split(image)], axis=1)
    means = np.rint(sums / np.maximum(counts, 1)[:, None]).astype(np.uint8)
    return cv2.copyTo(np.take(means, labels, axis=0), chosen.view(np.uint8)[labels], image.copy())
