"""Mixed precision: when it is on, in which type, and what scales the loss. The cards are invented."""

from __future__ import annotations

import paddle
import pytest

from monkeys.training.engine import choose_precision


@pytest.mark.parametrize(
    ("wanted", "words"), [("auto", "is off"), (True, "was asked for, but stays off"), (False, "is off")]
)
def test_a_cpu_has_none(wanted, words):
    precision, said = choose_precision(wanted, "cpu")
    assert not precision.enabled
    assert words in said
    assert precision.scaler().state_dict() == {}


@pytest.mark.parametrize(
    ("capability", "enabled", "dtype"),
    [((9, 0), True, "bfloat16"), ((8, 0), True, "bfloat16"), ((7, 5), True, "float16"), ((6, 1), False, "float16")],
)
def test_a_card_has_what_its_age_allows(monkeypatch, capability, enabled, dtype):
    monkeypatch.setattr(paddle.device.cuda, "get_device_capability", lambda: capability)
    precision, said = choose_precision("auto", "gpu:0")
    assert precision.enabled == enabled
    assert f"compute capability {capability[0]}" in said
    assert not enabled or precision.dtype == dtype


def test_a_card_is_left_alone_where_it_is_not_wanted():
    precision, said = choose_precision(False, "gpu:0")
    assert (precision.enabled, said) == (False, "mixed precision is off, as asked for")
