"""Invented photographs with the statistics of real ones (large shapes, fine texture), and folders of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def picture(seed: int, height: int = 120, width: int = 160, smooth: float = 1.2) -> np.ndarray:
    """[H, W, 3] uint8: noise whose spectrum falls with frequency to the power `smooth`."""
    rng = np.random.default_rng([seed, 77])
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(rows * height, columns * width)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(3, height, width)) + rng.normal(size=(1, height, width)))
    field = np.fft.irfft2(spectrum / frequency**smooth, s=(height, width))
    field /= field.std(axis=(1, 2), keepdims=True)
    return np.clip(128 + 50 * field, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def watermarked(image: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    """With a text across the middle."""
    height, width = image.shape[:2]
    stamped = image.copy()
    place, thickness = (width // 20, height // 2), max(1, width // 40)
    cv2.putText(stamped, "photostock", place, cv2.FONT_HERSHEY_SIMPLEX, width / 200, (255, 255, 255), thickness)
    return cv2.addWeighted(stamped, alpha, image, 1 - alpha, 0)


def save(image: np.ndarray, path: Path, quality: int = 95) -> Path:
    """As JPEG or by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".jpg", ""):
        Image.fromarray(image).save(path, "JPEG", quality=quality)
    else:
        Image.fromarray(image).save(path)
    return path


def folder(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """`counts`: folder below root -> number of different pictures in it."""
    seed = first
    for name, count in counts.items():
        for index in range(count):
            save(picture(seed, 48, 64), root / name / f"{index:03d}.jpg")
            seed += 1
    return root
