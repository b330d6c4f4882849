"""The measurements: ratios, turns, absent peers, noise; and every probe of the project itself with tiny numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monkeys.cli import bench
from monkeys.errors import UserError

ROOT = Path(__file__).parents[1]
OURS, THEIRS, PEER = bench.Probe(("a",)), bench.Probe(("b",)), bench.Probe(("c",), peer=True)


def test_probes_are_run_in_turn_and_shared_between_rows(tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(bench, "run", lambda probe, data: told.append(probe.arguments[0]) or {"rate": len(told)})
    rows = [bench.Row("x", OURS, THEIRS, "rate", "1/s", 1), bench.Row("y", OURS, 2.0, "rate", "1/s", 1)]
    measured = bench.measure(rows, 3, tmp_path)
    assert told == ["a", "b"] * 3
    assert [figures["rate"] for figures in measured.figures[OURS]] == [1, 3, 5]


def test_a_ratio_is_the_median_of_ratios_and_says_how_far_they_spread(caplog):
    measured = bench.Measured({OURS: [{"s": 10.0}, {"s": 20.0}, {"s": 30.0}], THEIRS: [{"s": 10.0}] * 3})
    row = bench.compare(bench.Row("x", OURS, THEIRS, "s", "1/s", 1), measured)
    assert (row["ours"], row["reference"], row["ratio"], row["repeats"], row["spread"]) == (20, 10, 2, 3, 1.0)
    assert "too noisy" in caplog.text
    less = bench.compare(bench.Row("y", OURS, 30.0, "s", "s", 1, less_is_better=True), measured)
    assert less["ratio"] == 1.5


def test_an_absent_reference_is_named_and_its_row_left_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(bench, "PEERS", tmp_path / "none")
    with pytest.raises(UserError, match=r"setup_peers.sh"):
        bench.run(PEER, tmp_path)
    measured = bench.measure([bench.Row("x", PEER, 1.0, "rate", "1/s", 1)], 2, tmp_path)
    assert bench.compare(bench.Row("x", PEER, 1.0, "rate", "1/s", 1), measured) is None
    assert "x is left out" in caplog.text


def test_a_probe_that_fails_gives_its_last_line(tmp_path):
    with pytest.raises(UserError, match="invalid choice"):
        bench.run(OURS, tmp_path)


def test_no_folder_named_is_no_folder_of_photographs(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MONKEYS_DATA", raising=False)
    monkeypatch.chdir(ROOT)  # where a folder named monkeys lies
    assert bench.main(["--json", str(tmp_path / "bench.json")]) == 2
    assert "name one with --data" in capsys.readouterr().err


def test_the_command_writes_rows_whose_ratio_is_a_number(tmp_path, capsys):
    out = tmp_path / "bench.json"
    arguments = ["--json", str(out), "--only", "start_vs_half_a_second", "--repeats", "1", "--data", str(tmp_path)]
    assert bench.main(arguments) == 0
    (row,) = json.loads(out.read_text())
    assert {"name", "ours", "reference", "unit", "ratio", "repeats", "spread"} <= row.keys()
    assert row["repeats"] == 1
    assert row["ratio"] == pytest.approx(0.5 / row["ours"], rel=1e-3)
    assert "start_vs_half_a_second" in capsys.readouterr().out


def test_what_is_refused(tmp_path, capsys):
    assert bench.main(["--json", str(tmp_path / "x"), "--data", str(tmp_path / "none")]) == 2
    assert "--data" in capsys.readouterr().err
    assert bench.main(["--json", str(tmp_path / "x"), "--data", str(tmp_path), "--repeats", "0"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--size", "32", "--batch", "8", "--steps", "2"],
        ["augment", "--engine", "fast", "--size", "32"],
        ["augment", "--engine", "imgaug", "--size", "32"],
        ["load", "--engine", "cached", "--size", "32"],
        ["load", "--engine", "naive", "--size", "32"],
        ["feed", "--engine", "light", "--size", "32", "--processes", "2"],
        ["predict", "--engine", "dygraph", "--size", "32", "--batch", "2", "--steps", "1"],
        ["predict", "--engine", "fp32", "--size", "32", "--batch", "2", "--steps", "1"],
    ],
    ids=" ".join,
)
def test_every_probe_gives_figures(arguments, real_data):
    command = [sys.executable, str(ROOT / "benchmarks" / "probes.py"), *arguments, "--data", str(real_data / "monkeys")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["images_per_s"] > 0
