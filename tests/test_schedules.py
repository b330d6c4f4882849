"""Closed-form rates at the start, the peak, the middle, the end and beyond; memory; refusals."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monkeys.errors import UserError
from monkeys.optim.rates import Schedule
from monkeys.optim.schedules import SCHEDULES, build_schedule

EPOCH = 10  # steps


def build(name: str, **changes: object) -> Schedule:
    needed = {"values": (0.4,)} if name == "piecewise" and "values" not in changes else {}
    return build_schedule(name, **{"lr": 0.4, "total_steps": 100, "steps_per_epoch": EPOCH, **needed, **changes})


CASES = [
    # name, settings, {step: rate}
    ("constant", {}, {0: 0.4, 50: 0.4, 1000: 0.4}),
    ("constant", {"warmup_steps": 4}, {0: 0.1, 1: 0.2, 3: 0.4, 4: 0.4, 99: 0.4}),
    ("cosine", {}, {0: 0.4, 50: 0.2, 100: 0.0, 101: 0.0, 5000: 0.0}),
    ("cosine", {"min_lr": 0.1}, {0: 0.4, 25: 0.25 + 0.15 * math.sqrt(0.5), 50: 0.25, 100: 0.1, 250: 0.1}),
    ("cosine", {"warmup_steps": 20}, {-3: 0.02, 0: 0.02, 9: 0.2, 19: 0.4, 20: 0.4, 60: 0.2, 100: 0.0, 999: 0.0}),
    ("cosine", {"warmup_steps": 200}, {0: 0.002, 99: 0.2, 199: 0.4}),  # cut off by the end of the training
    ("power", {"scale": 2.0}, {0: 0.4, 20: 0.2, 60: 0.1, 100: 0.4 / 6, 200: 0.4 / 11}),
    ("power", {"scale": 2.0, "power": 0.5, "warmup_steps": 10}, {0: 0.04, 10: 0.4, 30: 0.4 / math.sqrt(2)}),
    ("power", {"scale": 2.0, "min_lr": 0.15}, {60: 0.15}),
    (
        "piecewise",
        {"boundaries": (5, 20), "values": (0.1, 0.01, 0.001)},
        {0: 0.1, 49: 0.1, 50: 0.01, 199: 0.01, 200: 0.001, 9999: 0.001},
    ),
    ("piecewise", {"boundaries": (0.5,), "values": (1, 2), "warmup_steps": 2}, {0: 0.5, 4: 1, 5: 2}),
    ("step", {"drop_period": 3, "drop_factor": 0.5}, {0: 0.4, 29: 0.4, 30: 0.2, 60: 0.1, 90: 0.05, 120: 0.025}),
    ("step", {"drop_period": 1, "drop_factor": 0.1, "min_lr": 0.01}, {99: 0.01}),
    ("one_cycle", {}, {0: 0.016, 15: (0.4 + 0.016) / 2, 30: 0.4, 65: (0.4 + 1.6e-6) / 2, 100: 1.6e-6, 300: 1.6e-6}),
    ("one_cycle", {"warmup_steps": 50, "min_lr": 0.2}, {0: 0.016, 50: 0.4, 75: 0.3, 100: 0.2}),
    ("plateau", {"warmup_steps": 2}, {0: 0.2, 1: 0.4, 500: 0.4}),
    ("matlab", {}, {0: 0.4, 500: 0.4}),
]


@pytest.mark.parametrize(("name", "settings", "rates"), CASES)
def test_closed_form(name: str, settings: dict, rates: dict[int, float]) -> None:
    schedule = build(name, **settings)
    assert {step: schedule.lr(step) for step in rates} == pytest.approx(rates, rel=1e-12)


def test_every_schedule_stands_in_a_case() -> None:
    assert {case[0] for case in CASES} == set(SCHEDULES)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one_cycle"])
def test_warm_up_is_linear_for_all(name: str) -> None:
    warm, cold = build(name, warmup_steps=5), build(name)
    if name in ("cosine", "power"):  # these begin where the warm-up ends
        assert [warm.lr(step) for step in range(5)] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    else:
        assert [warm.lr(step) / cold.lr(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


@pytest.mark.parametrize("name", list(SCHEDULES))
@given(step=st.integers(-10, 10**6), warmup=st.integers(0, 150), total=st.integers(1, 300))
def test_the_rate_stays_between_zero_and_its_peak(name: str, step: int, warmup: int, total: int) -> None:
    rate = build(name, warmup_steps=warmup, total_steps=total, min_lr=0.001).lr(step)
    assert 0 < rate <= 0.4 * (1 + 1e-12)


def test_plateau_drops_after_more_than_patience_bad_epochs_and_not_below_min_lr() -> None:
    schedule = build("plateau", patience=1, drop_factor=0.1, min_lr=0.01)
    rates = []
    for loss in (1.0, 0.9, 0.9, 0.89999, 0.5, math.nan, 0.6, 0.6, 0.6):
        schedule.observe(9.0, loss)
        rates.append(schedule.lr(0))
    assert rates == pytest.approx([0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.01, 0.01, 0.01])


def test_plateau_waits_anew_after_each_drop() -> None:
    schedule = build("plateau", patience=2, drop_factor=0.5)
    rates = []
    for _ in range(8):
        schedule.observe(1.0, 1.0)
        rates.append(schedule.lr(0) / 0.4)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_plateau_recovers_from_a_first_loss_that_is_no_number() -> None:
    schedule = build("plateau", patience=0)
    schedule.observe(1.0, math.nan)
    schedule.observe(1.0, 1.0)
    schedule.observe(1.0, 0.5)
    assert schedule.state_dict() == {"factor": 0.1, "best": 0.5, "bad_epochs": 0}


def test_matlab_rule() -> None:
    schedule = build("matlab")
    rates = []
    for loss in (2.0, 1.5, 1.5, 1.0, 3.0):
        schedule.observe(loss, 0.0)
        rates.append(schedule.lr(7) / 0.4)
    assert rates == pytest.approx([1, 1.05, 1.05 * 0.7, 1.05**2 * 0.7, 1.05**2 * 0.49])


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_the_state_survives_a_checkpoint(name: str) -> None:
    losses = [(2.0, 1.0), (1.5, 1.1), (1.6, 1.2), (1.0, 1.3), (1.1, 0.5), (0.9, 0.6), (0.8, 0.7)]
    whole, first, second, untold = (build(name, patience=2, drop_factor=0.5) for _ in range(4))
    for pair in losses[:3]:
        first.observe(*pair)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for pair in losses[3:]:
        second.observe(*pair)
    for pair in losses:
        whole.observe(*pair)
    assert second.state_dict() == whole.state_dict()
    assert second.lr(70) == whole.lr(70)
    assert (whole.lr(70) == untold.lr(70)) == (name not in ("plateau", "matlab"))


@pytest.mark.parametrize(
    ("name", "settings", "part"),
    [
        ("cosinus", {}, "nearest: cosine"),
        ("cosine", {"lr": 0.0}, "optim.lr"),
        ("cosine", {"lr": math.inf}, "optim.lr"),
        ("cosine", {"min_lr": 0.5}, "min_lr"),
        ("cosine", {"min_lr": -0.1}, "min_lr"),
        ("cosine", {"warmup_steps": -1}, "warmup_epochs"),
        ("cosine", {"total_steps": 0}, "0 steps"),
        ("power", {"power": 0.0}, "power"),
        ("power", {"scale": -1.0}, "scale"),
        ("piecewise", {"boundaries": (5,), "values": (0.1,)}, "one more than the 1 boundaries"),
        ("piecewise", {"boundaries": (5, 5), "values": (1, 2, 3)}, "boundaries"),
        ("piecewise", {"boundaries": (0,), "values": (1, 2)}, "boundaries"),
        ("piecewise", {"values": (0.0,)}, "positive rates"),
        ("step", {"drop_period": 0}, "drop_period"),
        ("step", {"drop_factor": 1.0}, "drop_factor"),
        ("plateau", {"drop_factor": 0.0}, "drop_factor"),
        ("plateau", {"patience": -1}, "patience"),
    ],
)
def test_wrong_numbers_and_names_are_refused(name: str, settings: dict, part: str) -> None:
    with pytest.raises(UserError, match=part):
        build(name, **settings)


def test_numbers_of_other_schedules_are_not_looked_at() -> None:
    assert build("cosine", boundaries=(3, 2), drop_factor=7.0).lr(0) == 0.4
