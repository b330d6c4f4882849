"""The harness of studies: its record, its table, and what it trains and what it finds trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import study
import yaml

from monkeys.config import load_config

STUDIES = sorted((Path(__file__).parents[1] / "benchmarks" / "studies").glob("*.yaml"))

TRAINS = """
import pathlib, sys
own = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
folder = pathlib.Path(own["run.dir"]) / own["run.name"]
folder.mkdir()
if own.get("train.ema") == "wrong":
    sys.exit(2)
seed = int(own.get("run.seed") or own["data.split_seed"])
lines = [f"{epoch},{0.1 * epoch + 0.01 * seed},2.0,30" for epoch in (1, 3, 2)]
(folder / "history.csv").write_text("\\n".join(["epoch,val_top1,val_loss,seconds", *lines]))
"""
STUDY = """
config: none.yaml
seeds: [0, 1]
rows:
  plain: []
  averaged, always: [train.ema=0.9]
"""


EXAMINES = """
import json, pathlib, sys
run, *words = sys.argv[1:]
assert words == ["--weights", "last", "--tta"]
folder = pathlib.Path(run) / "eval-val-last-tta"
folder.mkdir()
(folder / "metrics.json").write_text(json.dumps({"top1": 0.5, "loss": 1.0}))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(study, "train_command", lambda words: [sys.executable, "-c", TRAINS, *words])

    def run(*words: str) -> int:
        place = ["--data", str(tmp_path), "--out", str(tmp_path / "runs")]
        monkeypatch.setattr(sys, "argv", ["study", str(tmp_path / "study.yaml"), *place, *words])
        return study.main()

    return run


def test_every_row_is_trained_with_every_seed_and_judged_by_its_last_epoch(run, tmp_path, capfd):
    assert run("--jobs", "2") == 0
    record = study.read_record(tmp_path / "runs" / "study.csv")
    assert record.keys() == {(row, seed) for row in ("plain", "averaged, always") for seed in (0, 1)}
    assert record["plain", 1] == pytest.approx({"top1": 0.21, "loss": 2.0, "best": 0.31, "seconds": 90})
    said = (tmp_path / "runs" / "study.md").read_text()
    assert "| plain | 20.5 ± 0.7 % |  | 2.000 | 2 | – |" in said
    assert "| averaged, always | 20.5 ± 0.7 % | +0.0 ± 0.0 | 2.000 | 2 | `train.ema=0.9` |" in said
    assert said in capfd.readouterr().out


def test_what_all_rows_set_and_a_row_with_photographs_of_its_own(run, tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(STUDY + "  other photographs: [data.root=others]\nalways: [train.epochs=2]\n")
    roots = []

    def train_command(words):
        assert "train.epochs=2" in words
        roots.append([word for word in words if word.startswith("data.root=")][-1])
        return [sys.executable, "-c", TRAINS, *words]

    monkeypatch.setattr(study, "train_command", train_command)
    assert run() == 0
    assert roots == 2 * ([f"data.root={tmp_path}"] * 2 + ["data.root=others"])


def test_seeds_of_another_setting_and_every_run_examined_with_test_time_augmentation(run, tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(STUDY + "seed: data.split_seed\ntta: true\n")
    (tmp_path / "examine.py").write_text(EXAMINES)
    monkeypatch.setattr(study, "EVAL", tmp_path / "examine.py")
    assert run() == 0
    record = study.read_record(tmp_path / "runs" / "study.csv")
    assert len(record) == 8
    assert record["plain", 1]["top1"] == pytest.approx(0.21)  # from the seed that the stand-in was given
    assert record["plain" + study.TTA, 1]["top1"] == 0.5
    said = (tmp_path / "runs" / "study.md").read_text()
    assert "| plain, test-time augmentation | 50.0 ± 0.0 % | +29.5 ± 0.7 | – | 2 | – |" in said


def test_a_run_is_done_when_it_is_examined(run, tmp_path, monkeypatch):
    assert run() == 0
    (tmp_path / "study.yaml").write_text(STUDY + "tta: true\n")
    (tmp_path / "examine.py").write_text(EXAMINES)
    monkeypatch.setattr(study, "EVAL", tmp_path / "examine.py")
    monkeypatch.setattr(study, "train_command", lambda words: [sys.executable, "-c", ""])  # finished: nothing to do
    assert run() == 0
    record = study.read_record(tmp_path / "runs" / "study.csv")
    assert len(record) == 8
    assert record["plain" + study.TTA, 1]["top1"] == 0.5


def test_a_row_that_the_study_has_not_is_refused(run, tmp_path, capfd):
    assert run("--only", "plane") == 2
    assert "no row 'plane'; its rows: plain, averaged, always" in capfd.readouterr().err
    assert not (tmp_path / "runs" / "study.csv").exists()


def test_what_the_record_holds_is_not_trained_again(run, tmp_path):
    record = tmp_path / "kept.csv"
    assert run("--record", str(record), "--only", "averaged, always") == 0
    before = study.read_record(record)
    assert run("--record", str(record)) == 0  # the stand-in fails on a folder that is there
    after = study.read_record(record)
    assert len(after) == 4
    assert {key: after[key] for key in before} == before


def test_a_run_that_fails_is_told_and_the_others_go_on(run, tmp_path, capfd):
    (tmp_path / "study.yaml").write_text(STUDY.replace("0.9", "wrong"))
    assert run() == 1
    assert study.read_record(tmp_path / "runs" / "study.csv").keys() == {("plain", 0), ("plain", 1)}
    assert "averaged_always-0: exit code 2" in capfd.readouterr().out


@pytest.mark.parametrize("path", [path for path in STUDIES if "rows:" in path.read_text()], ids=lambda path: path.stem)
def test_every_row_of_the_kept_studies_is_a_configuration(path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    kept = yaml.safe_load(path.read_text(encoding="utf-8"))
    read = [load_config(Path(kept["config"]), study.overrides_of(kept, row), {}) for row in kept["rows"]]
    assert len({repr(config) for config in read}) == len(read) > 0
