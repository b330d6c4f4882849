"""Other photographs that a run is examined on: which classes they are of, and where what was found is written."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from untrained import make_run

from monkeys.cli import eval as eval_command


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path)[1]


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


def test_folders_that_are_called_as_the_network_calls_its_classes_are_known(run, tmp_path):
    record = json.loads((run / "best.json").read_text())
    for item in record["classes"][:2]:
        item["name"] = f"red fox ({item['id']})"
    (run / "best.json").write_text(json.dumps(record))
    for label in ("n0", "n1"):
        shutil.copytree(run.parents[1] / "photos" / label, tmp_path / "set" / f"red fox ({label})")
    assert eval_command.main([str(run), "--data", str(tmp_path / "set")]) == 0
    rows = list(csv.DictReader((run / "eval-set" / "predictions.csv").open()))
    assert {row["label"] for row in rows} == {"n0", "n1"}


def test_a_folder_called_like_an_examination_of_the_run_has_another_place(run, tmp_path):
    photos = shutil.copytree(run.parents[1] / "photos", tmp_path / os.fsdecode(b"caf\xe9") / "val-last")
    assert eval_command.main([str(run), "--data", str(photos)]) == 0
    assert not (run / "eval-val-last").exists()
    noted = json.loads((run / "eval-caf\\xe9-val-last" / "examined.json").read_text())
    assert noted["source"] == f"{tmp_path}/caf\\xe9/val-last"
