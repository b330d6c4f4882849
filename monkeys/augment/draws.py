"""Cheap random arrays."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from .operations import Between

LEVELS = 1 << 16


def noise_bits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform uint16: a quarter of the price of floats, and finer than eight-bit images can show."""
    return np.frombuffer(rng.bytes(2 * math.prod(shape)), "<u2").reshape(shape)


def channel_values(rng: np.random.Generator, between: Between, per_channel: float) -> np.ndarray:
    """Three values with probability `per_channel`, else one for all channels; [3] or [1] float32."""
    count = 3 if rng.random() < per_channel else 1
    return np.array([between.draw(rng) for _ in range(count)], dtype=np.float32)


@lru_cache(maxsize=1)
def normal_quantiles() -> np.ndarray:
    """[LEVELS] float32: the standard normal value in the middle of each of LEVELS equally likely steps."""
    inverse = NormalDist().inv_cdf
    upper = np.array([inverse((index + 0.5) / LEVELS) for index in range(LEVELS // 2, LEVELS)], dtype=np.float32)
    table = np.concatenate([-upper[::-1], upper])
    table.setflags(write=False)
    return table
