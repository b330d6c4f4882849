"""Nothing that changes while a run trains is missing from its checkpoint: a walk over all parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from toy import make_toy

from monkeys.optim import OPTIMIZERS
from monkeys.optim.schedules import SCHEDULES
from monkeys.training.runlog import NullLog
from monkeys.training.stopping import Stopping
from monkeys.training.trainer import Trainer

ALL_ON = {"accumulate": 2, "ema": 0.9, "epochs": 6}
STEPS = 10  # the middle of the third epoch of four steps

# What may differ between a run and its continuation, and why.
EXEMPT = (
    ".saved_step",  # which checkpoint this session wrote last
    ".frozen",  # of this session's wrapping; set anew from the epoch before the first step
    ".signum",  # ends the session
    ".checkpoints",  # a folder's name
    ".log",  # files, cut to the offsets in the checkpoint; tested by the kill harness
    ".clock",
    ".tally.seconds",
    ".tally.waited",
    ".progress.seconds",
    "._grad",  # cleared after each step
)
# Paddle's own bookkeeping within a step: rebuilt by every call of step(), or names of things.
SCRATCH = ("_param_device_map", "_accumulators_holder", "helper", "_param_dict", "_opti_name_list", "_use_multi_tensor")
SCRATCH += ("_learning_rate", "_learning_rate_map")  # set before every step


def leaves(part: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Every value below a part with its dotted path: numbers, texts and arrays."""
    seen = set() if seen is None else seen
    if part is None or isinstance(part, (bool, int, float, str, bytes, np.generic)):
        yield path, part
    elif isinstance(part, paddle.Tensor):
        yield path, part.astype("float64").numpy() if part.is_floating_point() else part.numpy()
    elif isinstance(part, np.ndarray):
        yield path, part
    elif id(part) not in seen:
        seen.add(id(part))
        for name, value in members(part):
            if not f"{path}.{name}".endswith(EXEMPT) and name not in SCRATCH:
                yield from leaves(value, f"{path}.{name}", seen)


def members(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        yield from ((str(key), value) for key, value in part.items())
    elif isinstance(part, (list, tuple, set, frozenset)):
        yield from ((str(index), value) for index, value in enumerate(part))
    elif callable(part) and hasattr(part, "__closure__"):
        yield from ((f"cell{index}", cell.cell_contents) for index, cell in enumerate(part.__closure__ or ()))
    elif hasattr(part, "__dict__") and not isinstance(part, type):
        yield from vars(part).items()


def differences(one: Trainer, other: Trainer) -> set[str]:
    """Paths of the values in which two trainers differ."""
    left, right = dict(leaves(one)), dict(leaves(other))
    same = {path for path in left.keys() & right.keys() if np.array_equal(left[path], right[path])}
    return (left.keys() | right.keys()) - same


def trained(folder: Path, steps: int = STEPS, **options: Any) -> Trainer:
    """A trainer that was left in the middle of an epoch, its state saved."""
    trainer = make_toy(folder, log=NullLog(), stopping=Stopping(patience=50), **ALL_ON, **options)
    done = trainer._after_step

    class Enough(Exception):
        pass

    def after_step(step: int, *rest: Any) -> None:
        done(step, *rest)
        if step + 1 == steps:
            raise Enough

    trainer._after_step = after_step
    with pytest.raises(Enough):
        trainer.fit()
    del trainer._after_step
    trainer.save()
    return trainer


def fresh(folder: Path, **options: Any) -> Trainer:
    trainer = make_toy(folder, log=NullLog(), stopping=Stopping(patience=50), **ALL_ON, **options)
    trainer.model.train()
    return trainer


def continued(folder: Path, **options: Any) -> Trainer:
    trainer = fresh(folder, **options)
    trainer.restore(*trainer.checkpoints.latest())
    return trainer


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("adam", name) for name in SCHEDULES if name not in ("piecewise",)] + [(name, "plateau") for name in OPTIMIZERS],
)
def test_every_part_of_a_run_is_in_its_checkpoint(tmp_path, optimizer, schedule):
    options = {"optimizer": optimizer, "schedule": schedule}
    before = trained(tmp_path, **options)
    assert differences(before, continued(tmp_path, **options)) == set()


def test_the_walk_sees_every_part(tmp_path):
    """A trainer that was not restored differs in each part that changes."""
    changed = differences(trained(tmp_path, schedule="plateau"), fresh(tmp_path, schedule="plateau"))
    for part in (
        *(".model.", ".step_fn.optimizer.", ".schedule.", ".stopping.", ".averaged._average.", ".averaged._updates"),
        *(".progress.step", ".progress.best_top1", ".tally.loss", ".tally.last_loss", ".tally.grad_norm"),
    ):
        assert any(path.startswith(part) for path in changed), part


@pytest.mark.parametrize("part", ["model", "optimizer", "average"])
def test_a_part_whose_tensors_were_forgotten_is_noticed(tmp_path, part):
    before, after = trained(tmp_path), fresh(tmp_path)
    tensors, state = after.checkpoints.latest()
    kept = {name: value for name, value in tensors.items() if not name.startswith(part)}
    original = {name: value for name, value in after._tensors().items() if name.startswith(part)}
    after.restore({**kept, **original}, state)
    assert differences(before, after)


def test_new_state_anywhere_is_noticed(tmp_path):
    """A part that counts steps for itself and tells no checkpoint, wherever it is put."""
    before, after = trained(tmp_path), continued(tmp_path)
    for part in (before, before.step_fn, before.schedule, before.stopping, before.averaged, before.step_fn.optimizer):
        object.__setattr__(part, "counted", 10)
    found = differences(before, after)
    assert len(found) == 6
    assert all(path.endswith(".counted") for path in found)


def test_other_threads_are_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    trained(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    continued(tmp_path)
    assert "the last digits may differ" in caplog.text


def test_a_changed_digit_in_the_state_is_noticed(tmp_path, caplog):
    trainer = trained(tmp_path)
    path = max((tmp_path / "last").glob("step-*.json"))
    path.write_text(
        path.read_text().replace('"bad_epochs": 0', '"bad_epochs": 3').replace(f'"step": {STEPS}', '"step": 7')
    )
    assert trainer.checkpoints.latest()[1]["progress"]["step"] == 8  # the one before
    assert "its checksum is not the recorded one" in caplog.text
