"""The average of the weights, against numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from toy import make_toy

from monkeys.training.checkpoint import load_tensors, model_tensors
from monkeys.training.ema import Averaged


def network() -> paddle.nn.Layer:
    paddle.seed(0)
    return paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2))


@pytest.mark.parametrize("decay", [0.5, 0.05])
def test_the_recurrence_with_its_warm_up(decay):
    model = network()
    averaged = Averaged(model, decay)
    expected = {name: value.astype(np.float64) for name, value in model_tensors(model).items()}
    for update in range(6):
        for index, value in enumerate(model.state_dict().values()):
            value.set_value(value * 0.5 + 0.1 * (index + update))
        averaged.update()
        d = min(decay, (1 + update) / (10 + update))
        now = model_tensors(model)
        expected = {name: d * value + (1 - d) * now[name] for name, value in expected.items()}
    assert averaged.updates == 6
    assert averaged.state_dict().keys() == now.keys()
    for name, value in averaged.state_dict().items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


def test_the_model_carries_the_average_only_inside_the_block():
    model = network()
    averaged = Averaged(model, 0.9)
    start = model_tensors(model)
    for value in model.state_dict().values():
        value.set_value(value + 1)
    after = model_tensors(model)
    with averaged.applied():
        for name, value in model_tensors(model).items():
            np.testing.assert_array_equal(value, start[name])
    for name, value in model_tensors(model).items():
        np.testing.assert_array_equal(value, after[name])


def test_off_it_costs_and_changes_nothing():
    model = network()
    averaged = Averaged(model, 0.0)
    averaged.update()
    before = model_tensors(model)
    with averaged.applied():
        for name, value in model_tensors(model).items():
            np.testing.assert_array_equal(value, before[name])
    assert averaged.state_dict() == {}


def test_what_is_saved_as_best_is_the_average(tmp_path):
    trainer = make_toy(tmp_path, ema=0.8, epochs=1)
    trainer.fit()
    saved = load_tensors(tmp_path / "best.safetensors")
    for name, value in trainer.averaged.state_dict().items():
        np.testing.assert_array_equal(saved[name], value)
    assert any((saved[name] != value).any() for name, value in model_tensors(trainer.model).items())


def test_a_frozen_body_keeps_weights_and_statistics(tmp_path):
    trainer = make_toy(tmp_path, epochs=2, freeze_epochs=1, max_steps=4)
    before = model_tensors(trainer.model)
    trainer.fit()
    after = model_tensors(trainer.model)
    changed = {name for name, value in before.items() if (after[name] != value).any()}
    assert changed
    assert all(name.startswith(trainer.heads) for name in changed)
    longer = make_toy(tmp_path / "b", epochs=2, freeze_epochs=1)
    longer.fit()
    thawed = model_tensors(longer.model)
    assert any((thawed[name] != value).any() for name, value in before.items() if "_mean" in name)
