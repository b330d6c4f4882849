"""What several runs have learned together: errors in pairs, temperatures that are not fitted to what is measured."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import paint

from monkeys.cli import train
from monkeys.evaluation.calibration import fit_temperature
from monkeys.evaluation.predictions import Predictions, answers

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import learned

CONFIG = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")


@dataclass(frozen=True)
class Class:
    id: str
    name: str


CLASSES = [Class("n0", "red"), Class("n1", "blue"), Class("n2", "grey")]


def predictions(labels: list[int], logits: np.ndarray) -> Predictions:
    paths = tuple(f"{index}.jpg" for index in range(len(labels)))
    return Predictions(paths, np.array(labels), logits.astype(np.float32), np.ones(len(labels), bool))


def test_errors_of_both_directions_are_one_pair():
    labels, said = [0, 0, 1, 1, 2, 0], [1, 1, 0, 2, 2, 0]
    rows = answers(predictions(labels, np.eye(3)[said]), CLASSES)
    assert learned.confused(rows, {info.id: info.name for info in CLASSES}) == [
        "3 of 4 errors: 2 red taken for blue, 1 the other way",
        "1 of 4 errors: 1 blue taken for grey, 0 the other way",
    ]


def test_copies_count_as_one_picture():
    rows = answers(predictions([0, 0, 1, 2], np.eye(3)[[0, 1, 1, 0]]), CLASSES)
    assert learned.by_picture(rows, ["a", "a", "b", "c"]) == "50.0% of 3"  # a half, one, and none


def test_the_line_of_calibration():
    probability = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    rows = answers(predictions([0, 0, 1, 0], np.log(probability)), CLASSES)  # three of four right, 80 % sure
    loss = -(3 * np.log(0.8) + np.log(0.1)) / 4
    said = learned.calibration("x", rows)
    assert said == f"x: calibration error 5.0%, loss {loss:.3f}, confidence 80.0%, top-1 75.0%"


def test_recall_is_that_of_the_runs_and_precision_that_of_all_answers():
    runs = [answers(predictions([0, 0, 1, 2], np.eye(3)[said]), CLASSES) for said in ([0, 0, 1, 2], [0, 1, 1, 2])]
    lines = learned.class_table(runs, CLASSES).splitlines()[2:]
    assert lines == [
        "| blue | 100.0 ± 0.0 % | 66.7% | 2 |",
        "| grey | 100.0 ± 0.0 % | 100.0% | 2 |",
        "| red | 75.0 ± 35.4 % | 100.0% | 4 |",
    ]


def test_each_half_is_scaled_by_what_fits_the_other():
    rng = np.random.default_rng(0)
    labels = [index % 3 for index in range(60)]
    groups = [f"g{index // 4:02d}" for index in range(60)]  # four copies each
    logits = np.eye(3)[labels] + rng.normal(size=(60, 3))
    halves = list(learned.halves(predictions(labels, logits), groups))
    shown = [{groups[int(path.partition(".")[0])] for path in half.paths} for half, _ in halves]
    assert shown[0] | shown[1] == set(groups)
    assert not shown[0] & shown[1]
    (first, of_second), (second, of_first) = halves
    assert of_second == fit_temperature(second.logits, second.labels)
    assert of_first == fit_temperature(first.logits, first.labels)
    assert of_first != of_second


def test_two_runs_are_told_of_as_one(tmp_path, shrunk, monkeypatch, capsys):
    photos = paint(tmp_path / "photos", {"n0": 16, "n1": 16})
    for seed in (0, 1):
        own = [f"data.root={photos}", f"data.split_seed={seed}", f"run.name=run{seed}"]
        assert train.main(["-c", CONFIG, "-o", *shrunk, *own]) == 0
    runs = [str(tmp_path / "runs" / f"run{seed}") for seed in (0, 1)]
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["learned.py", *runs, "--out", str(tmp_path / "out")])
    learned.main()
    said = capsys.readouterr().out
    counts = [json.loads((Path(run) / "metrics.json").read_text())["n"] for run in runs]
    assert said.startswith(f"{sum(counts)} answers on ")
    histories = [(Path(run) / "history.csv").read_text().splitlines() for run in runs]
    column = histories[0][0].split(",").index("val_loss")
    losses = [float(history[-1].split(",")[column]) for history in histories]
    mean = np.average(losses, weights=counts)
    loss = float(re.search(r"as trained: .* loss ([\d.]+)", said)[1])
    assert loss == pytest.approx(mean, abs=2e-3)  # unscaled, as the histories have it
    shares = [json.loads((Path(run) / "eval-val-last" / "cam.json").read_text())["border_share"] for run in runs]
    assert said.strip().endswith(", ".join("no heat" if share is None else f"{share:.0%}" for share in shares))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["confusion.png", "reliability.png"]
