"""`eval --weights last`: the weights that training ended with, which no choice of an epoch has touched."""

from __future__ import annotations

import csv
import json
import os
import shutil
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


def test_another_source_of_the_same_name_does_not_take_the_place_of_an_examination(run, tmp_path, capsys):
    photos = run.parents[1] / "photos"
    for place in ("first", "second"):
        shutil.copytree(photos, tmp_path / place / "others")
    for _ in range(2):
        assert eval_command.main([str(run), "--data", str(tmp_path / "first" / "others")]) == 0
    assert eval_command.main([str(run), "--data", str(tmp_path / "second" / "others")]) == 2
    assert f"holds the examination of {tmp_path}/first/others" in capsys.readouterr().err


def test_a_folder_whose_name_two_classes_have_is_neither(run, tmp_path, capsys):
    record = json.loads((run / "best.json").read_text())
    for item in record["classes"][:2]:
        item["name"] = "red fox"
    (run / "best.json").write_text(json.dumps(record))
    shutil.copytree(run.parents[1] / "photos" / "n0", tmp_path / "set" / "red fox")
    shutil.copytree(run.parents[1] / "photos" / "n1", tmp_path / "set" / "n1")
    assert eval_command.main([str(run), "--data", str(tmp_path / "set")]) == 0
    rows = list(csv.DictReader((run / "eval-set" / "predictions.csv").open()))
    assert {row["label"] for row in rows} == {"n1"}


def test_a_folder_called_like_an_examination_of_the_run_has_another_place(run, tmp_path):
    photos = shutil.copytree(run.parents[1] / "photos", tmp_path / os.fsdecode(b"caf\xe9") / "val-last")
    assert eval_command.main([str(run), "--data", str(photos)]) == 0
    assert not (run / "eval-val-last").exists()
    noted = json.loads((run / "eval-caf\\xe9-val-last" / "examined.json").read_text())
    assert noted["source"] == f"{tmp_path}/caf\\xe9/val-last"
