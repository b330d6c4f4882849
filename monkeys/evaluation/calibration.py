"""Temperature scaling (Guo et al., arXiv 1706.04599): one number that makes confidence mean what it says."""

from __future__ import annotations

import math

import numpy as np

from .predictions import log_softmax

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the labels [N] most likely when the logits [N, C] are divided by it.

    The likelihood has one peak over log temperature; kept between 0.05 and 20 where the labels fit perfectly or not.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / math.exp(log_temperature)
        return float(-log_softmax(scaled)[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    return float(math.exp(found.x))
