"""What is kept of a picture to recognise it again: 24x24 grey cells, and the detail in them."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

SIDE = 24
PLAIN = 1.0  # grey levels of detail (root mean square) below which a picture cannot be told from others like it

_BLOCK = 2048  # pictures worked on at once


def signature(image: np.ndarray) -> np.ndarray:
    """Grey cells [24, 24] float16, 0 to 255, of an RGB picture [H, W, 3] uint8."""
    return grey(cells(image))


def grey(means: np.ndarray) -> np.ndarray:
    """Brightness float16 of mean colours [..., 3]."""
    return (means @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float16)


def cells(image: np.ndarray) -> np.ndarray:
    """Mean colours [24, 24, 3] float32 of an RGB picture [H, W, 3] uint8."""
    # by way of 96x96 bytes: averaging 16 of them keeps the rounding below a tenth of a level, without a float copy;
    # sides that shrink first, because where one grows OpenCV takes single pixels instead of means of both
    side = 4 * SIDE
    height, width = image.shape[:2]
    image = cv2.resize(image, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def is_plain(signatures: np.ndarray) -> np.ndarray:
    """[N] bool: too little detail to be recognised; only equal bytes make such pictures the same."""
    return ~detail_of(signatures).any(axis=1)


def detail_of(signatures: np.ndarray) -> np.ndarray:
    """What a blur does not explain, as rows [N, 576] float32 of length one; zero, like nothing else, where plain."""
    blur = _blur_matrix()
    detail = np.empty((len(signatures), SIDE * SIDE), np.float32)
    for start in range(0, len(signatures), _BLOCK):
        part = signatures[start : start + _BLOCK].astype(np.float32)
        fine = (part - blur @ part @ blur.T).reshape(-1, SIDE * SIDE)
        fine -= fine.mean(axis=1, keepdims=True)
        length = np.linalg.norm(fine, axis=1, keepdims=True)
        detail[start : start + _BLOCK] = np.where(length < PLAIN * SIDE, 0, fine / np.maximum(length, 1e-6))
    return detail


@cache
def _blur_matrix(sigma: float = 1.5) -> np.ndarray:
    """Gaussian blur along one side as a matrix [24, 24]; the picture is reflected at its edges."""
    blur = np.zeros((SIDE, SIDE))
    for offset in range(-6, 7):
        source = np.arange(SIDE) + offset
        source = np.where(source < 0, -1 - source, np.where(source >= SIDE, 2 * SIDE - 1 - source, source))
        blur[np.arange(SIDE), source] += np.exp(-0.5 * (offset / sigma) ** 2)
    return (blur / blur.sum(axis=1, keepdims=True)).astype(np.float32)
