"""Temperature scaling (Guo et al., arXiv 1706.04599): one number that makes confidence mean what it says."""

from __future__ import annotations

import math

import numpy as np

from .predictions import log_softmax

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature by which logits [N, C] are divided to make the labels [N] most likely: the posterior's mode.

    The prior of its logarithm is normal, mean 0 and deviation 1: hundreds of labels outweigh it, but a few that are all
    right are no reason to be certain of everything. Kept between 0.05 and 20.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / math.exp(log_temperature)
        return float(-log_softmax(scaled)[np.arange(len(labels)), labels].sum()) + log_temperature**2 / 2

    found = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    return float(math.exp(found.x))
