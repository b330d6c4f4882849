"""Every stopping rule alone, its being off, and its memory."""

from __future__ import annotations

import json
import math

import pytest

from monkeys.errors import UserError
from monkeys.training.stopping import Stopping


def reasons(stopping: Stopping, losses: list[float]) -> list[bool]:
    return [stopping.update(val_loss=loss) is not None for loss in losses]


def test_everything_is_off_by_default() -> None:
    stopping = Stopping()
    for epoch in range(50):
        assert stopping.update(
            val_loss=1.0 + epoch, val_top1=1.0, grad_norm=0.0, weight_change=0.0, minutes=1e9
        ) is None  # fmt: skip


def test_patience_counts_epochs_in_a_row() -> None:
    assert reasons(Stopping(patience=2), [1.0, 1.1, 0.9, 0.9, 0.95]) == [False, False, False, False, True]


def test_patience_says_the_best_loss() -> None:
    stopping = Stopping(patience=1)
    stopping.update(val_loss=0.5)
    assert stopping.update(val_loss=0.6) == "validation loss has not fallen for 1 epoch (best 0.5)"


def test_min_delta_is_what_counts_as_lower() -> None:
    assert reasons(Stopping(patience=1, min_delta=0.1), [1.0, 0.85, 0.8]) == [False, False, True]
    assert reasons(Stopping(patience=1), [1.0, 0.85, 0.8]) == [False, False, False]


def test_small_gains_add_up_to_one_that_counts() -> None:
    """The comparison is with the best that counted, so a slow steady fall is progress."""
    assert reasons(Stopping(patience=3, min_delta=0.1), [1.0, 0.95, 0.88, 0.83, 0.77]) == [False] * 5


def test_a_loss_that_is_no_number_is_no_progress() -> None:
    stopping = Stopping(patience=2)
    assert reasons(stopping, [math.nan, math.inf]) == [False, True]
    assert "never finite" in Stopping(patience=1).update(val_loss=math.nan)


@pytest.mark.parametrize(
    ("rule", "value", "near", "there", "word"),
    [
        ("target_top1", 0.9, {"val_top1": 0.899}, {"val_top1": 0.9}, "target"),
        ("min_grad_norm", 1e-3, {"grad_norm": 1e-3}, {"grad_norm": 9e-4}, "gradient norm"),
        ("min_weight_change", 1e-3, {"weight_change": 1e-3}, {"weight_change": 0.0}, "weights moved"),
        ("max_minutes", 0.5, {"minutes": 0.49}, {"minutes": 0.5}, "minutes"),
    ],
)
def test_each_limit_alone(rule: str, value: float, near: dict, there: dict, word: str) -> None:
    stopping = Stopping(**{rule: value})
    assert stopping.update(val_loss=1.0) is None
    assert stopping.update(**near) is None
    assert word in stopping.update(**there)


def test_the_memory_survives_a_checkpoint() -> None:
    losses = [1.0, 0.8, 0.9, 0.85, 0.81]
    whole, first, second = Stopping(patience=3), Stopping(patience=3), Stopping(patience=3)
    expected = reasons(whole, losses)
    seen = reasons(first, losses[:3])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen + reasons(second, losses[3:]) == expected == [False, False, False, False, True]


@pytest.mark.parametrize("field", ["patience", "min_delta", "target_top1", "max_minutes"])
@pytest.mark.parametrize("value", [-1, math.nan])
def test_negative_numbers_are_refused(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"train.{field}"):
        Stopping(**{field: value})
