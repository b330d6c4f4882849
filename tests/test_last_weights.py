"""`eval --weights last`: the weights that training ended with, which no choice of an epoch has touched."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from untrained import CLASSES, TEMPERATURE, make_run

from monkeys.cli import eval as eval_command
from monkeys.config import load_config, to_yaml
from monkeys.evaluation.calibration import fit_temperature
from monkeys.models import build_model
from monkeys.serving.network import load_network
from monkeys.training.checkpoint import Checkpoints, model_tensors
from monkeys.training.engine import score


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path)[1]


def end_of_training(run: Path, *, average: bool = False) -> dict[str, np.ndarray]:
    """A last checkpoint of other weights than the best ones, with averages of twice that; returns its own."""
    paddle.seed(11)
    own = model_tensors(build_model("resnet18", len(CLASSES)))
    tensors = {f"model/{name}": value for name, value in own.items()}
    if average:
        tensors |= {f"average/{name}": value * 2 for name, value in own.items()}
    Checkpoints(run / "last").save(7, tensors, {"progress": {"step": 7}})
    return own


@pytest.mark.parametrize("average", [False, True])
def test_the_last_weights_are_those_of_the_checkpoint(run, average):
    own = end_of_training(run, average=average)
    found = model_tensors(load_network(run, weights="last").model)
    for name, value in own.items():
        np.testing.assert_array_equal(found[name], value * (2 if average else 1))
    assert any((model_tensors(load_network(run).model)[name] != value).any() for name, value in own.items())


def test_the_confidence_of_the_last_weights_is_fitted_to_them(run):
    end_of_training(run)
    assert eval_command.main([str(run), "--weights", "last"]) == 0
    folder = run / "eval-val-last"
    loss = json.loads((folder / "metrics.json").read_text())["loss"]
    temperature = json.loads((folder / "examined.json").read_text())["temperature"]
    network = load_network(run, weights="last")
    predictions = list(csv.DictReader((folder / "predictions.csv").open()))
    images = np.stack([network.preprocess(run.parents[1] / "photos" / row["path"]) for row in predictions])
    labels = np.array([network.class_ids.index(row["label"]) for row in predictions])
    logits = network.model(paddle.to_tensor(images)).numpy()
    assert temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-3)
    assert loss == pytest.approx(score(logits / temperature, labels)[0] / len(labels), abs=1e-5)
    assert abs(loss - score(logits / TEMPERATURE, labels)[0] / len(labels)) > 1e-3  # of the best weights


def test_both_evaluations_stand_side_by_side(run, capsys):
    end_of_training(run)
    assert eval_command.main([str(run)]) == 0
    said = capsys.readouterr().out
    assert "--weights last" in said
    assert "the best epoch was chosen on this split" in said
    assert "fitted on these images" in said
    assert eval_command.main([str(run), "--weights", "last"]) == 0
    assert "chosen on this split" not in capsys.readouterr().out
    best, last = ((run / name) for name in ("eval-val", "eval-val-last"))
    chosen = [json.loads((folder / "metrics.json").read_text())["selected_on_this_split"] for folder in (best, last)]
    assert chosen == [True, False]
    answers = [list(csv.DictReader((folder / "predictions.csv").open())) for folder in (best, last)]
    assert answers[0] != answers[1]


def test_a_run_that_validation_stopped_has_chosen_its_last_epoch_too(run):
    end_of_training(run)
    (run / "config.yaml").write_text(to_yaml(load_config(run / "config.yaml", ["train.patience=3"], {})))
    assert eval_command.main([str(run), "--weights", "last"]) == 0
    assert json.loads((run / "eval-val-last" / "metrics.json").read_text())["selected_on_this_split"]


def test_without_a_checkpoint_or_with_an_export_it_says_so(run, capsys):
    assert eval_command.main([str(run), "--weights", "last"]) == 2
    assert "holds no checkpoint" in capsys.readouterr().err
    end_of_training(run)
    assert eval_command.main([str(run), "--weights", "last", "--engine", "inference"]) == 2
    assert "--weights last" in capsys.readouterr().err
    assert not (run / "eval-val-last").exists()
