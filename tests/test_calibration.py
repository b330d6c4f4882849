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


def test_a_few_answers_that_are_all_right_or_all_wrong_are_no_reason_to_be_certain():
    few, many = (np.tile(np.eye(4, dtype=np.float32), (times, 1)) for times in (1, 100))
    right = [fit_temperature(logits * 2, np.arange(len(logits)) % 4) for logits in (few, many)]
    assert LOWEST < right[1] < right[0]
    assert 0.4 < right[0] < 1
    assert right[1] > 0.2
    wrong = [fit_temperature(logits * 2, (np.arange(len(logits)) + 1) % 4) for logits in (few, many)]
    assert 1 < wrong[0] < wrong[1] <= HIGHEST
