"""Batch-norm statistics are renewed from the run's own training photographs; weights and files stay."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import paint

from monkeys.cli import eval as eval_command
from monkeys.cli import train
from monkeys.evaluation.metrics import read_predictions

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from batch_norm import examine

CONFIG = str(Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml")


def test_the_last_weights_are_examined_with_each_kind_of_statistics(tmp_path, shrunk):
    photos = paint(tmp_path / "photos", {"n0": 16, "n1": 16})
    settings = [*shrunk, f"data.root={photos}", "augment.recipe=crop", "augment.unaugmented_epochs=1"]
    assert train.main(["-c", CONFIG, "-o", *settings]) == 0
    run = tmp_path / "runs" / "monkeys_cpu"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    found = list(examine(run, size=8))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert [name for name, _, _ in found] == ["as trained", "augmented", "as they are"]
    assert len({loss for _, _, loss in found}) == 3
    text = (run / "config.yaml").read_text()
    assert "unaugmented_epochs: 1" in text
    (run / "config.yaml").write_text(text.replace("unaugmented_epochs: 1", "unaugmented_epochs: 0"))
    assert list(examine(run, size=8)) == found  # "augmented" is so to the last epoch
    assert eval_command.main([str(run), "--weights", "last"]) == 0
    rows = read_predictions(run / "eval-val-last" / "predictions.csv")
    assert found[0][1] == pytest.approx(sum(row.correct for row in rows) / len(rows))
