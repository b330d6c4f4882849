"""The composition root: which photographs a run begins with, and at which rate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import paint

from monkeys.config import load_config
from monkeys.data.loader import TrainOrder
from monkeys.errors import UserError
from monkeys.experiment import _manifest, run_experiment
from monkeys.parts import make_schedule, make_trainer
from monkeys.photographs import Photographs
from monkeys.training.checkpoint import Checkpoints
from monkeys.training.distributed import Group
from monkeys.training.run_folder import RunFolder

CPU = Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml"
SMALL = ("model.name=resnet18", "train.epochs=2", "train.batch_size=4")


def test_photographs_are_drawn_anew_until_there_is_a_checkpoint(tmp_path):
    photos, folder = paint(tmp_path / "photos", {"n0": 8, "n1": 8, "n2": 8}), RunFolder(tmp_path / "run")
    own = [f"data.root={photos}", f"data.cache_dir={tmp_path / 'cache'}"]
    first = _manifest(load_config(CPU, own), folder, "auto")
    folder.path.mkdir()
    first.write(folder.path / "manifest.csv")  # and then the run died

    config = load_config(CPU, [*own, "data.exclude=n1"])
    assert config == load_config(CPU, [*own, "data.exclude=[n1]"])
    assert {row.label for row in _manifest(config, folder, "auto").rows} == {"n0", "n2"}
    Checkpoints(folder.path / "last").save(1, {}, {})
    classes = [{"id": info.id, "name": info.name} for info in first.classes]
    (folder.path / "classes.json").write_text(json.dumps(classes))
    assert _manifest(config, folder, "auto").rows == first.rows


@pytest.mark.parametrize(
    ("plan", "rates"),
    [
        (["name=piecewise", "values=[0.1, 0.01]", "boundaries=[1]"], (0.1, 0.01)),
        (["name=cosine", "min_lr=0.02"], (0.1, 0.02)),
    ],
)
def test_every_rate_of_the_plan_is_for_batches_of_lr_batch(plan, rates):
    own = [
        *(f"optim.schedule.{text}" for text in plan),
        "optim.lr=0.1",
        "optim.lr_batch=256",
        "train.batch_size=32",
        "train.epochs=2",
    ]
    config = load_config(CPU, [*own, "optim.schedule.warmup_epochs=0"])
    order = TrainOrder(320, 32, 0, 1, 0, 1)
    rate = make_schedule(config, order).lr
    assert rate(0) == pytest.approx(rates[0] / 8)
    assert rate(2 * order.steps_per_epoch) == pytest.approx(rates[1] / 8)


def test_the_settings_of_the_split_reach_it(tmp_path):
    photos, folder = paint(tmp_path / "photos", {"n0": 8, "n1": 8, "n2": 8}), RunFolder(tmp_path / "run")
    own = [f"data.root={photos}", f"data.cache_dir={tmp_path / 'cache'}"]

    def held_out(*settings):
        return {row.path for row in _manifest(load_config(CPU, [*own, *settings]), folder, "").of("val")}

    folds = [held_out("data.folds=4", f"data.fold={fold}") for fold in range(4)]
    assert sorted(path for fold in folds for path in fold) == sorted(
        f"n{k}/{i}.jpg" for k in range(3) for i in range(8)
    )
    assert held_out("data.folds=4") != held_out("data.folds=4", "data.split_seed=1")
    assert held_out("data.val_fraction=0.5") != held_out("data.val_fraction=0.5", "data.split_seed=1")


@pytest.mark.parametrize("left", ["metrics.json", "history.csv"])
def test_a_trained_network_whose_checkpoints_are_gone_is_not_begun_anew(tmp_path, left):
    config = load_config(CPU, [f"data.root={tmp_path}", f"run.dir={tmp_path}", "run.name=run"])
    (tmp_path / "run").mkdir()
    for name in ("config.yaml", left, "best.safetensors"):
        (tmp_path / "run" / name).write_text("epoch\n1\n2\n")
    with pytest.raises(UserError, match=r"checkpoints in last/ are gone"):
        run_experiment(config, resume="auto")
    assert (tmp_path / "run" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.sizes={0: 32, 1: 48}", "data.size=64"], "data.size=64 is not used"),
        (["data.sizes={0: 32, 9: 48}", "data.size=48"], "data.sizes from epoch 9 on are not reached in 2"),
        (["augment.mixup=1", "train.batch_size=4", "train.accumulate=4"], "mixup and cutmix need two images at a time"),
        (["data.fold=1"], "data.fold=1 is not used without data.folds"),
    ],
)
def test_settings_that_are_not_used_are_mentioned(tmp_path, caplog, settings, said):
    photos = paint(tmp_path / "photos", {"n0": 8, "n1": 8})
    places = [f"data.root={photos}", f"data.cache_dir={tmp_path / 'cache'}", *SMALL]
    config = load_config(CPU, [*places, *settings])
    folder = RunFolder(tmp_path / "run")
    data = Photographs(config, _manifest(config, folder, ""))
    make_trainer(config, data, folder, Group(), "cpu")
    assert said in caplog.text
