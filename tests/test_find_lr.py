from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy import make_toy

from monkeys import experiment
from monkeys.cli import train
from monkeys.config import load_config
from monkeys.errors import TrainingError, UserError
from monkeys.training.checkpoint import model_tensors, optimizer_tensors
from monkeys.training.find_lr import LrCurve, find_lr, suggest


def test_everything_is_put_back(tmp_path):
    trainer = make_toy(tmp_path, optimizer="adam")
    step_fn = trainer.step_fn
    step_fn.optimizer.set_lr(0.125)
    before = model_tensors(trainer.model), optimizer_tensors(step_fn.optimizer, trainer.model)
    curve = find_lr(step_fn, trainer.train(0, 40), accumulate=1, steps=40)
    after = model_tensors(trainer.model), optimizer_tensors(step_fn.optimizer, trainer.model)
    for then, now in zip(before, after, strict=True):
        assert then.keys() == now.keys()
        for name, value in then.items():
            np.testing.assert_array_equal(now[name], value)
    assert step_fn.optimizer.get_lr() == 0.125
    assert curve.rates[0] == 1e-7
    assert 1e-5 < curve.suggestion < 1


def test_training_after_the_search_is_training_without_it(tmp_path):
    plain, searched = (make_toy(tmp_path / name) for name in ("plain", "searched"))
    find_lr(searched.step_fn, searched.train(0, 12), accumulate=1, steps=12)
    for trainer in (plain, searched):
        trainer.fit()
    for name, value in model_tensors(plain.model).items():
        np.testing.assert_array_equal(model_tensors(searched.model)[name], value)


def test_the_steepest_fall_is_suggested():
    rates = list(10.0 ** np.linspace(-6, 0, 61))
    losses = [2 - 1 / (1 + (1e-3 / rate) ** 2) + (rate > 0.5) for rate in rates]
    assert suggest(rates, losses) == pytest.approx(1e-3, rel=0.3)


def test_the_lowest_loss_is_no_suggestion():
    rates = list(10.0 ** np.linspace(-6, 0, 31))
    losses = [2.0 - 0.001 * step**2 for step in range(25)] + [3.0] * 6  # falls faster and faster, then explodes
    assert suggest(rates, losses) == pytest.approx(rates[23])


def test_a_loss_that_never_falls_gets_no_suggestion():
    with pytest.raises(UserError, match="no learning rate"):
        suggest([1e-6, 1e-5, 1e-4], [1.0, 2.0, float("inf")])


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.3])
def test_noise_before_the_fall_is_no_suggestion(noise):
    """As measured on small batches: nothing is learned up to 3e-4, then the loss falls, and explodes at 0.3."""
    rates = list(10.0 ** np.linspace(-7, 0, 100))
    for seed in range(40):
        rng, mean, losses = np.random.default_rng(seed), 0.0, []
        for step, rate in enumerate(rates):
            plain = 2.3 - 0.45 * max(0.0, np.log10(rate / 3e-4)) + (50 * (rate - 0.3) if rate > 0.3 else 0)
            mean = 0.9 * mean + 0.1 * (plain + noise * rng.normal())
            losses.append(mean / (1 - 0.9 ** (step + 1)))
        assert 1e-4 < suggest(rates, losses) < 0.3


def test_memory_that_runs_out_is_not_taken_for_a_rate_too_high(tmp_path, monkeypatch):
    trainer = make_toy(tmp_path)

    def no_room(*_: object) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(trainer.step_fn, "_micro_batch", no_room)
    with pytest.raises(TrainingError, match="memory ran out at step 0"):
        find_lr(trainer.step_fn, trainer.train(0, 4), accumulate=1, steps=4)


def test_the_command_suggests_a_rate_and_leaves_no_run(photos, shrunk, tmp_path, capsys):
    recipe = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")
    arguments = ["-c", recipe, "--find-lr", "-o", *shrunk, f"data.root={photos}", "optim.lr_batch=64"]
    arguments += ["data.sizes={0: 24, 1: 32}"]  # of the whole plan; the test has one size
    assert train.main(arguments) == 0
    said = capsys.readouterr().out
    assert "suggested: -o optim.lr=" in said
    assert "for batches of 64" in said
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "monkeys_cpu-lr"
    assert sorted(path.name for path in folder.iterdir()) == ["lr_finder.csv", "lr_finder.png"]
    assert len((folder / "lr_finder.csv").read_text().splitlines()) > 20


def test_a_short_plan_is_searched_as_it_trains_before_its_plain_epochs(photos, shrunk, tmp_path, monkeypatch):
    plans = []

    class Seen(experiment.Photographs):
        def __init__(self, config, manifest):
            plans.append(config)
            super().__init__(config, manifest)

    monkeypatch.setattr(experiment, "Photographs", Seen)
    monkeypatch.setattr(experiment, "find_lr", lambda *_, **__: LrCurve([1e-4, 1e-3], [1.0, 0.5], 1e-3))
    recipe = Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml"
    own = [f"data.root={photos}", "augment.plain_epochs=1", "augment.mixup=0.2", "train.epochs=2"]
    experiment.search_lr(load_config(recipe, [*shrunk, *own]), tmp_path / "out", steps=20)
    (plan,) = plans
    assert plan.train.epochs - max(plan.augment.plain_epochs, plan.augment.unaugmented_epochs) >= 20
    assert plan.augment.mixup == 0.2


def test_a_table_of_the_users_is_not_replaced(photos, shrunk, tmp_path, capsys):
    (tmp_path / "lr_finder.png").write_text("mine")
    own = [f"data.root={photos}", f"run.dir={tmp_path}", *shrunk]
    recipe = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")
    assert train.main(["-c", recipe, "--find-lr", "--out", str(tmp_path), "-o", *own]) == 2
    assert "holds lr_finder.png, which no range test has written" in capsys.readouterr().err
