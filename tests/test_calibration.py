from __future__ import annotations

import numpy as np
import pytest

from monkeys.evaluation.calibration import HIGHEST, LOWEST, fit_temperature
from monkeys.evaluation.metrics import softmax


def test_the_temperature_that_made_the_labels_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 5))
    probabilities = softmax(logits / 2.5)
    labels = np.array([rng.choice(5, p=row) for row in probabilities])
    assert fit_temperature(logits.astype(np.float32), labels) == pytest.approx(2.5, rel=0.03)


def test_perfect_and_hopeless_logits_stay_within_bounds():
    logits = np.eye(4, dtype=np.float32) * 5
    assert LOWEST <= fit_temperature(logits, np.arange(4)) < 0.3
    assert fit_temperature(logits, (np.arange(4) + 1) % 4) == pytest.approx(HIGHEST, rel=0.1)
