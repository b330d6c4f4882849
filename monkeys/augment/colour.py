"""Operations on single pixels: tables of grey levels, noise, dropout. Images are [H, W, 3] uint8."""

from __future__ import annotations

import cv2
import numpy as np

from .draws import LEVELS, channel_values, noise_bits, normal_quantiles
from .operations import Between

_GREYS = np.arange(256, dtype=np.float32)[:, None]
_MIDDLE = 127
_COARSE_MINIMUM = 3


def add(image: np.ndarray, rng: np.random.Generator, *, value: Between, per_channel: float) -> np.ndarray:
    """Brighter or darker by whole grey levels."""
    return _through_table(image, _GREYS + np.round(channel_values(rng, value, per_channel)))


def multiply(image: np.ndarray, rng: np.random.Generator, *, factor: Between, per_channel: float) -> np.ndarray:
    """Brighter or darker in proportion."""
    return _through_table(image, _GREYS * channel_values(rng, factor, per_channel))


def contrast(image: np.ndarray, rng: np.random.Generator, *, alpha: Between, per_channel: float) -> np.ndarray:
    """Grey levels spread about, or drawn to, the middle one."""
    return _through_table(image, _MIDDLE + channel_values(rng, alpha, per_channel) * (_GREYS - _MIDDLE))


def saturate(image: np.ndarray, rng: np.random.Generator, *, factor: Between) -> np.ndarray:
    """Colours driven from, or drawn to, their grey."""
    amount = factor.draw(rng)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, amount, grey, 1 - amount, 0)


def gaussian_noise(image: np.ndarray, rng: np.random.Generator, *, scale: Between, per_channel: float) -> np.ndarray:
    """Normal noise, rounded to whole grey levels."""
    sigma = scale.draw(rng)
    channels = 3 if rng.random() < per_channel else 1
    levels = np.rint(sigma * normal_quantiles()).astype(np.int16)
    noise = np.take(levels, noise_bits(rng, (*image.shape[:2], channels)))
    if channels == 1:
        noise = cv2.merge([noise, noise, noise])
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def dropout(image: np.ndarray, rng: np.random.Generator, *, p: Between, per_channel: float) -> np.ndarray:
    """Single pixels, or single values of them, turn black."""
    return image * _kept(rng, (image.shape[0], image.shape[1]), p, per_channel)


def coarse_dropout(
    image: np.ndarray, rng: np.random.Generator, *, p: Between, size: Between, per_channel: float
) -> np.ndarray:
    """Rectangles turn black."""
    height, width = image.shape[:2]
    small = [max(int(size.draw(rng) * side), _COARSE_MINIMUM) for side in (height, width)]
    mask = _kept(rng, (small[0], small[1]), p, per_channel)
    return image * cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


def _through_table(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table: [256, 1 or 3] float32; cut to 0-255, fractions dropped."""
    return cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None])


def _kept(rng: np.random.Generator, shape: tuple[int, int], p: Between, per_channel: float) -> np.ndarray:
    """[*shape, 3] uint8: 0 with a probability drawn from `p`, else 1."""
    threshold = round(p.draw(rng) * LEVELS)
    channels = 3 if rng.random() < per_channel else 1
    kept = (noise_bits(rng, (*shape, channels)) >= threshold).view(np.uint8)
    return cv2.merge([kept, kept, kept]) if channels == 1 else kept
