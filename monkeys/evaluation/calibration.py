"""Temperature scaling (Guo et al., arXiv 1706.04599): one number that makes confidence mean what it says."""

from __future__ import annotations

import math

import numpy as np

from .predictions import log_softmax

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the labels [N] most likely when the logits [N, C] are divided by it.

    Its logarithm is held to be normal around 0 with deviation 1 beforehand: of hundreds of labels that moves it by a
    hundredth, but a few that are all right are no reason to be certain of everything. There is one best value.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / math.exp(log_temperature)
        return float(-log_softmax(scaled)[np.arange(len(labels)), labels].sum()) + log_temperature**2 / 2

    found = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    return float(math.exp(found.x))
