from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from invented_runs import write_run
from scipy.stats import binomtest

from monkeys.cli import compare
from monkeys.errors import UserError
from monkeys.reports.comparison import compare_runs, differing, flat

BETTER = [True] * 18 + [False] * 6
WORSE = [True] * 9 + [False] * 12 + [True] * 3


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_runs_on_the_same_images(tmp_path):
    a, b = write_run(tmp_path / "a", BETTER, lr=0.1), write_run(tmp_path / "b", WORSE, lr=0.02, leaking=4)
    page = compare_runs([a, b], tmp_path / "out")
    first, second = rows(tmp_path / "out/comparison.csv")
    assert (first["run"], float(first["top1"]), first["n"]) == ("a", 18 / 24, "24")
    assert float(first["top1_low"]) < 0.75 < float(first["top1_high"])
    assert (second["n_leak_free"], float(second["top1_leak_free"])) == ("20", 8 / 20)
    assert (first["epochs"], float(first["minutes"]), float(first["img_per_s"])) == ("2", 1.0, 15.0)
    assert rows(tmp_path / "out/settings.csv") == [{"setting": "optim.lr", "a": "0.1", "b": "0.02"}]
    (pair,) = rows(tmp_path / "out/pairs.csv")
    assert (pair["n"], pair["only_first"], pair["only_second"]) == ("24", "9", "3")
    assert float(pair["p"]) == pytest.approx(binomtest(9, 12).pvalue)
    text = page.read_text(encoding="utf-8")
    assert "75.0%" in text
    assert "`optim.lr`" in text
    assert "chosen on these very images" in text
    assert (tmp_path / "out/curves.png").read_bytes().startswith(b"\x89PNG")


def test_other_images_are_not_tested_against_each_other(tmp_path):
    a, b = write_run(tmp_path / "a", BETTER), write_run(tmp_path / "b", BETTER[1:])
    same_names = write_run(tmp_path / "c", BETTER, digest="other")
    page = compare_runs([a, b, same_names], tmp_path / "out")
    reasons = [(row["p"], row["reason"]) for row in rows(tmp_path / "out/pairs.csv")]
    assert reasons[0][0] == ""
    assert "not the same images (24 and 23" in reasons[0][1]
    assert "0 in common" in reasons[1][1]
    assert "not the same images" in page.read_text(encoding="utf-8")


def test_what_is_missing_is_left_out(tmp_path):
    a, b = write_run(tmp_path / "a", BETTER), write_run(tmp_path / "b", WORSE)
    for run in (a, b):
        shutil.rmtree(run / "eval-val")
        (run / "history.csv").unlink()
        (run / "config.yaml").unlink()
    text = compare_runs([a, b], tmp_path / "out").read_text(encoding="utf-8")
    assert "predictions.csv is missing" in text
    assert "curves.png" not in text
    assert not (tmp_path / "out/curves.png").exists()


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [write_run(tmp_path / place / "same" / "run", BETTER) for place in "xy"]
    compare_runs(runs, tmp_path / "out")
    assert [row["run"] for row in rows(tmp_path / "out/comparison.csv")] == ["x/same/run", "y/same/run"]


@pytest.mark.parametrize("name", ["eval-val/metrics.json", "history.csv"])
def test_a_damaged_run_is_named(tmp_path, name):
    runs = [write_run(tmp_path / "a", BETTER), write_run(tmp_path / "b", WORSE)]
    text = (runs[1] / name).read_text()
    (runs[1] / name).write_text(text.replace("0.5", "half") if name.endswith("csv") else text[:-9])
    with pytest.raises(UserError, match=f"{runs[1] / name} is damaged"):
        compare_runs(runs, tmp_path / "out")


@pytest.mark.parametrize("case", ["one", "twice", "absent", "unfinished", "out is a file"])
def test_what_cannot_be_compared_is_said(tmp_path, case):
    run, out = write_run(tmp_path / "a", BETTER), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    runs, message = {
        "one": ([run], "at least two"),
        "twice": ([run, tmp_path / "." / "a"], "named twice"),
        "absent": ([run, tmp_path / "none"], "no such run folder"),
        "unfinished": ([run, tmp_path / "empty"], "no validation metrics"),
        "out is a file": ([run, write_run(tmp_path / "b", WORSE)], "no folder for results"),
    }[case]
    if case == "out is a file":
        out.write_text("")
    with pytest.raises(UserError, match=message):
        compare_runs(runs, out)


def test_settings():
    assert flat({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}
    first = {"run.name": "x", "optim.lr": 0.1, "data.size": 32, "gone": 1}
    second = {"run.name": "y", "optim.lr": 0.1000001, "data.size": 32}
    assert differing({"x": first, "y": second}) == {"optim.lr": ["0.1", "0.1000001"], "gone": ["1", "–"]}


def test_the_command(tmp_path, capsys):
    a, b = write_run(tmp_path / "a", BETTER), write_run(tmp_path / "b", WORSE)
    assert compare.main([str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    assert "# Comparison of runs" in capsys.readouterr().out
    assert compare.main([str(a), str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2


def test_a_table_of_the_users_is_not_replaced(tmp_path, capsys):
    a, b, out = write_run(tmp_path / "a", BETTER), write_run(tmp_path / "b", WORSE), tmp_path / "out"
    out.mkdir()
    (out / "settings.csv").write_text("mine")
    assert compare.main([str(a), str(b), "--out", str(out)]) == 2
    assert "holds settings.csv, which no comparison has written" in capsys.readouterr().err
    assert (out / "settings.csv").read_text() == "mine"
    (out / "settings.csv").unlink()
    for _ in range(2):
        assert compare.main([str(a), str(b), "--out", str(out)]) == 0
