from __future__ import annotations

import csv
import signal
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from toy import make_toy

from monkeys.errors import Interrupted, TrainingError, UserError
from monkeys.training.checkpoint import model_tensors
from monkeys.training.runlog import COLUMNS, RECORDS, NullLog, RunLog
from monkeys.training.stopping import Stopping

TIMED = ("seconds", "img_per_s", "data_wait", "peak_mb", "elapsed")
EVERYTHING_ON = {"accumulate": 2, "ema": 0.9, "schedule": "plateau", "save_steps": 3, "epochs": 4}


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in TIMED} for row in csv.DictReader(file)]


class SignalAt(RunLog):
    """A log that sends this process a signal after a step, as a service would."""

    def __init__(self, folder: Path, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__(folder)
        self._at, self._number = step, number

    def step(self, step, values) -> None:
        super().step(step, values)
        if step == self._at:
            signal.raise_signal(self._number)


class Rows(NullLog):
    """A log that remembers."""

    def __init__(self) -> None:
        self.rates: list[tuple[int, float]] = []
        self.rows: list[dict] = []

    def step(self, step, values) -> None:
        self.rates.append((step - 1, values["lr"]))

    def epoch(self, row) -> None:
        self.rows.append(row)


def test_a_run_learns_and_writes_what_it_promises(tmp_path):
    trainer = make_toy(tmp_path, epochs=6)
    progress = trainer.fit()
    rows = history(tmp_path)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [int(row["step"]) for row in rows] == [4, 8, 12, 16, 20, 24]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert progress.best_top1 == max(float(row["val_top1"]) for row in rows) > 0.5
    assert progress.stopped == "all steps done"
    assert (tmp_path / "history.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert (tmp_path / "best.safetensors").exists()


def test_a_log_has_a_line_every_tenth_step(tmp_path, caplog):
    caplog.set_level("INFO", "monkeys")
    make_toy(tmp_path, epochs=6).fit()
    steps = [record.getMessage() for record in caplog.records if record.getMessage().startswith("step ")]
    assert [line.split("  ")[0] for line in steps] == ["step 10", "step 20"]
    assert "loss" in steps[0]
    assert "top-1" in steps[0]


def test_without_visualdl_a_run_still_has_its_history(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "visualdl", None)
    log = RunLog(tmp_path)
    log.step(1, {"loss": 1.0})
    log.epoch(dict.fromkeys(COLUMNS, 1))
    log.image("a", np.zeros((4, 4, 3), np.uint8), 1)
    log.text("b", "words")
    log.hparams({"lr": 1}, {"top1": 0.5})
    log.pr_curve("c", np.ones(2), np.ones(2))
    log.embedding("d", np.ones((2, 3)), ["x", "y"])
    assert log.offsets()[RECORDS] == 0
    log.close()
    assert len(history(tmp_path)) == 1
    assert "no dashboard" in caplog.text


def test_elapsed_time_counts_validation_and_saving_and_goes_on_after_a_stop(tmp_path):
    part = make_toy(tmp_path)
    part.log = SignalAt(tmp_path, 8)
    with pytest.raises(Interrupted):
        part.fit()
    part.log.close()
    again = make_toy(tmp_path, log=NullLog())
    tensors, state = again.checkpoints.latest()
    again.log = RunLog(tmp_path, state["log"])
    again.restore(tensors, state)
    again.fit()
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    elapsed, training = ([float(row[key]) for row in rows] for key in ("elapsed", "seconds"))
    assert all(later > earlier for earlier, later in pairwise(elapsed))
    assert all(passed > sum(training[: number + 1]) for number, passed in enumerate(elapsed))


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        make_toy(tmp_path / name).fit()
    one, two = ((tmp_path / name / "best.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path, step):
    whole = make_toy(tmp_path / "whole", **EVERYTHING_ON)
    whole.fit()
    part = make_toy(tmp_path / "part", **EVERYTHING_ON)
    part.log = SignalAt(tmp_path / "part", step)
    with pytest.raises(Interrupted, match=f"step {step}"):
        part.fit()
    part.log.close()
    again = make_toy(tmp_path / "part", log=NullLog(), **EVERYTHING_ON)
    tensors, state = again.checkpoints.latest()
    again.log = RunLog(tmp_path / "part", state["log"])
    best = "none yet" if step < 4 else f"{state['progress']['best_top1']:.1%}"
    where = f"resumed at epoch {step // 4 + 1} step {step}, lr {again.schedule.lr(step):.2g}, best top-1 {best}"
    assert again.restore(tensors, state) == where
    again.fit()
    assert history(tmp_path / "part") == history(tmp_path / "whole")
    for name, value in model_tensors(whole.model).items():
        np.testing.assert_array_equal(model_tensors(again.model)[name], value)
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "part")]
    assert best[0] == best[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_is_reported(tmp_path, number):
    trainer = make_toy(tmp_path)
    trainer.log = SignalAt(tmp_path, 2, number)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        trainer.fit()
    assert caught.value.signum == number
    assert trainer.checkpoints.latest()[1]["progress"]["step"] == 2
    assert signal.getsignal(number) is before


def test_steps_can_be_limited(tmp_path):
    progress = make_toy(tmp_path, max_steps=5).fit()
    assert progress.step == 5
    assert [int(row["step"]) for row in history(tmp_path)] == [4, 5]


def test_patience_ends_a_run_whose_validation_loss_stays(tmp_path):
    progress = make_toy(tmp_path, epochs=20, lr=1e-12, stopping=Stopping(patience=2, min_delta=0.5)).fit()
    assert "has not fallen for 2 epochs" in progress.stopped
    assert len(history(tmp_path)) == 3


def test_a_loss_that_is_no_number_stops_the_run_with_the_step_named(tmp_path):
    with pytest.raises(TrainingError, match="at step"):
        make_toy(tmp_path, optimizer="sgd", lr=1e30, schedule="constant").fit()


def test_a_gradient_that_is_no_number_stops_the_run_before_it_moves_the_weights(tmp_path, monkeypatch):
    trainer = make_toy(tmp_path)
    before = model_tensors(trainer.model)
    trained = [name for name, value in trainer.model.named_parameters() if not value.stop_gradient]  # no statistics
    monkeypatch.setattr(trainer.step_fn, "_gradient_norm", lambda: float("nan"))
    with pytest.raises(TrainingError, match="the gradient is not finite at step 0"):
        trainer.fit()
    assert all(np.array_equal(model_tensors(trainer.model)[name], before[name]) for name in trained)


def test_a_network_whose_validation_is_no_number_is_not_kept(tmp_path):
    with pytest.raises(TrainingError, match="validation loss is nan"):
        make_toy(tmp_path, optimizer="sgd", lr=1e30, schedule="constant", max_steps=1).fit()
    assert not (tmp_path / "best.safetensors").exists()
    assert history(tmp_path) == []


@pytest.mark.parametrize(
    ("limit", "advice"),
    [(3, "3 fit: train.accumulate=4 (the same steps), or train.batch_size=6"), (0, "not even one fits")],
)
def test_when_memory_runs_out_a_batch_that_fits_is_named(tmp_path, limit, advice):
    trainer = make_toy(tmp_path, batch_size=12, accumulate=2)
    whole = trainer.model.forward

    def greedy(images):
        if images.shape[0] > limit:
            raise MemoryError
        return whole(images)

    trainer.model.forward = greedy
    with pytest.raises(TrainingError) as caught:
        trainer.fit()
    assert "memory ran out at step 0 with 6 images of 16 px at a time" in str(caught.value)
    assert advice in str(caught.value)


def test_a_frozen_body_stays_as_it_is(tmp_path):
    trainer = make_toy(tmp_path, epochs=1, freeze_epochs=1)
    before = model_tensors(trainer.model)
    trainer.fit()
    changed = {name for name, value in model_tensors(trainer.model).items() if (value != before[name]).any()}
    assert changed
    assert all(name.startswith(trainer.heads) for name in changed)


def test_a_run_resumed_while_frozen_goes_on_once_thawed(tmp_path):
    whole = make_toy(tmp_path / "whole", epochs=2, freeze_epochs=1)
    whole.fit()
    part = make_toy(tmp_path / "part", epochs=2, freeze_epochs=1)
    part.log = SignalAt(tmp_path / "part", 2)
    with pytest.raises(Interrupted):
        part.fit()
    again = make_toy(tmp_path / "part", epochs=2, freeze_epochs=1)
    again.restore(*again.checkpoints.latest())
    again.fit()
    for name, value in model_tensors(whole.model).items():
        np.testing.assert_array_equal(model_tensors(again.model)[name], value)


def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path):
    """Without batch norm and dropout in the way, one step of 6 and one of 2 x 3 move the weights alike."""
    ends = []
    for accumulate in (1, 2):
        trainer = make_toy(tmp_path / str(accumulate), accumulate=accumulate, max_steps=1, optimizer="sgd", lr=0.1)
        trainer._set_modes = trainer.model.eval
        trainer.fit()
        ends.append(model_tensors(trainer.model))
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, atol=1e-6)


def test_twenty_four_images_are_learnt_by_heart(tmp_path):
    trainer = make_toy(tmp_path, epochs=40, schedule="constant")
    trainer.fit()
    assert max(float(row["train_top1"]) for row in history(tmp_path)) == 1.0


def restored(folder, saved, **options):
    trainer = make_toy(folder, **options)
    trainer.restore(*saved.checkpoints.latest())
    return trainer


def test_a_plan_that_became_shorter_is_done(tmp_path):
    saved = make_toy(tmp_path / "a", epochs=2)
    saved.fit()
    saved.progress.stopped = ""
    saved.saved_step = -1
    saved.save()
    again = restored(tmp_path / "b", saved, max_steps=saved.progress.step - 1)
    assert again.fit().stopped == "all steps done"
    assert again.progress.step == saved.progress.step


def test_the_rate_in_the_history_is_the_one_that_was_used(tmp_path):
    trainer = make_toy(tmp_path, epochs=4, schedule="plateau", log=(log := Rows()))
    trainer.schedule.best = 0.0  # no epoch is better: the rate falls after each
    trainer.fit()
    used = {step // trainer.order.steps_per_epoch: lr for step, lr in log.rates}
    assert [row["lr"] for row in log.rows] == pytest.approx(list(used.values()))
    assert len(set(used.values())) == 4


@pytest.mark.parametrize(
    ("then", "now", "setting"),
    [({}, {"ema": 0.9}, "train.ema"), ({}, {"schedule": "plateau"}, "optim.schedule.name")],
)
def test_a_state_that_was_not_saved_is_missed_in_words(tmp_path, then, now, setting):
    saved = make_toy(tmp_path / "a", epochs=1, **then)
    saved.fit()
    with pytest.raises(UserError, match=f"was made with another {setting}, and has no state for this one"):
        restored(tmp_path / "b", saved, epochs=1, **now)


def test_a_step_that_was_left_out_says_nothing_of_how_the_weights_move(tmp_path, monkeypatch):
    trainer = make_toy(tmp_path, epochs=2, stopping=Stopping(min_weight_change=1e-9))
    trainer.step_fn.watch_weights = True
    monkeypatch.setattr(trainer.step_fn, "_gradient_norm", lambda: float("inf"))
    monkeypatch.setattr(trainer.step_fn.scaler, "is_enable", lambda: True)
    monkeypatch.setattr(trainer.step_fn.scaler, "step", lambda optimizer: None)  # as a scaler does after an overflow
    assert trainer.fit().stopped == "all steps done"


def test_weights_that_hardly_move_end_the_run(tmp_path):
    trainer = make_toy(tmp_path, epochs=2, stopping=Stopping(min_weight_change=1e9))
    trainer.step_fn.watch_weights = True
    assert "the weights moved by" in trainer.fit().stopped
