"""The comparison on Iris: its runs, its medians, its files, and what it refuses."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest

from monkeys.cli.compare_optimizers import main
from monkeys.optim import OPTIMIZERS, SECOND_ORDER, comparison
from monkeys.optim.comparison import GRID, METHODS, RATES, Run, compare, tune
from monkeys.reports.optimizers import Course, by_method, markdown, median_course, table
from monkeys.reports.plots_optimizers import plot_optimizers

ROOT = Path(__file__).resolve().parents[1]
PNG = b"\x89PNG"


def made_up(method: str, seed: int, losses: list[float], seconds: list[float]) -> Run:
    return Run(method, seed, tuple(losses), tuple(seconds), gradients=10 * seed, top1=0.5)


RUNS = [
    made_up("adam", 0, [1.0, 0.5, 0.011], [0.0, 1.0, 2.0]),
    made_up("adam", 1, [0.8, 0.02, 0.015], [0.0, 1.2, 2.2]),
    made_up("adam", 2, [0.9, 0.6, math.nan], [0.0, 1.1, 5.0]),
    made_up("bfgs", 0, [1.0, 0.1], [0.0, 3.0]),
    made_up("bfgs", 1, [0.8, 0.3, 0.2], [0.0, 1.0, 4.0]),
]


def test_every_first_order_method_has_a_rate_of_the_grid() -> None:
    assert set(RATES) == set(OPTIMIZERS)
    assert set(RATES.values()) <= set(GRID)
    assert set(METHODS) == set(OPTIMIZERS) | set(SECOND_ORDER)


def test_the_table_holds_medians_best_first() -> None:
    adam, bfgs = table(RUNS, {"adam": 0.3})
    assert (adam.method, adam.rate, adam.seeds) == ("adam", 0.3, 3)
    assert adam.loss == 0.015
    assert adam.loss_low == pytest.approx(0.013)
    assert adam.loss_high == math.inf  # a run that diverged is the worst, not left out
    assert adam.epochs_to_target == 2  # 2, 1, never
    assert adam.seconds == 2.2
    assert adam.gradients == 10
    assert (bfgs.method, bfgs.rate, bfgs.epochs_to_target) == ("bfgs", None, None)
    assert bfgs.loss == pytest.approx(0.15)


def test_one_of_five_that_diverged_leaves_the_quartiles_numbers() -> None:
    ends = [0.01, 0.02, 0.03, 0.04, math.inf]
    (row,) = table([made_up("adam", seed, [1.0, end], [0.0, 1.0]) for seed, end in enumerate(ends)], {})
    assert (row.loss_low, row.loss, row.loss_high) == (0.02, 0.03, 0.04)


def test_one_seed_is_its_own_quartiles() -> None:
    (row,) = table(RUNS[:1], {})
    assert row.loss == row.loss_low == row.loss_high == 0.011


def test_the_course_carries_ended_runs_on_and_reads_errors_at_a_time() -> None:
    course = median_course(by_method(RUNS)["bfgs"])
    assert course.by_epoch == pytest.approx((0.9, 0.2, 0.15))
    assert course.seconds == (0.0, 2.0, 3.5, 4.0)
    # at 2 s the first is still at its start (1.0), the second at 0.3; at 3.5 s: 0.1 and 0.3; at 4 s: 0.1 and 0.2
    assert course.by_time == pytest.approx((0.9, 0.65, 0.2, 0.15))


def test_markdown_has_a_line_per_method_and_a_dash_for_never() -> None:
    lines = [line for line in markdown(table(RUNS, {"adam": 0.3}), 2).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert lines[2].startswith("| adam | 0.3 | 0.015 | 0.013 to inf | 2 |")
    assert lines[3].startswith("| bfgs |  | 0.15 |")
    assert " – |" in lines[3]


def test_all_methods_start_alike_repeat_exactly_and_learn() -> None:
    first = list(compare(list(METHODS), (0, 1), 6, RATES))
    again = list(compare(["adam", "bfgs"], (1,), 6, RATES))
    assert [(run.seed, run.method) for run in first] == [(seed, method) for seed in (0, 1) for method in METHODS]
    for run in first:
        assert run.losses[0] == pytest.approx(first[run.seed * len(METHODS)].losses[0], rel=1e-12)
        assert len(run.losses) == len(run.seconds) <= 7
        assert min(run.losses) < run.losses[0]
        assert list(run.seconds) == sorted(run.seconds)
        assert run.gradients >= len(run.losses) - 1
        assert 0.2 < run.top1 <= 1
    by_name = {(run.method, run.seed): run.losses for run in first}
    assert first[0].losses[0] != by_name["sgd", 1][0]
    for run in again:
        assert run.losses == by_name[run.method, run.seed]
    assert by_name["adam", 0] == by_name["adamw", 0] != by_name["adamp", 0]


def test_tuning_avoids_rates_that_fail() -> None:
    assert tune("adam", 25) in (0.1, 0.3)


def test_tuning_takes_the_rate_whose_worst_run_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    lasts = {1.0: [0.1] * 9 + [math.nan], 0.3: [0.2] * 10, 0.1: [0.01] * 9 + [0.3]}

    def pretend(method: str, seed: int, epochs: int, data: object, rates: dict[str, float]) -> Run:
        return made_up(method, seed, [lasts.get(rates[method], [1.0] * 10)[seed % 10]], [0.0])

    monkeypatch.setattr(comparison, "run", pretend)
    assert tune("adam", 1) == 0.3


def test_the_command_writes_curves_tables_and_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "iris"
    arguments = ["--out", str(out), "--epochs", "3", "--seeds", "2", "--methods", "sgd,adam", "dfp", "sgd"]
    assert main(arguments) == 0
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"sgd", "adam", "dfp"}
    assert [float(row["loss"]) for row in rows] == sorted(float(row["loss"]) for row in rows)
    assert {row["seeds"] for row in rows} == {"2"}
    with (out / "curves.csv").open() as file:
        points = list(csv.DictReader(file))
    assert len(points) == 3 * 2 * 4
    assert (out / "optimizers.png").read_bytes().startswith(PNG)
    assert (out / "table.md").read_text(encoding="utf-8") in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["first", "second"])
def test_the_plot_of_one_kind_alone(kind: str, tmp_path: Path) -> None:
    course = Course((0.5, 0.1, 1e-30), (0.0, 0.1, 0.2), (0.5, 0.1, 1e-30))
    groups = ({"adam": course}, {}) if kind == "first" else ({}, {"levenberg_marquardt": course})
    assert plot_optimizers(*groups, tmp_path / "a.png", "2 seeds").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "resnet50"], "resnet50 has 25,557,032 weights, so its Hessian has 6.53·10^14 entries"),
        (["--model", "vgg16"], "vgg16 has 138,357,544 weights, so its Hessian has 1.91·10^16 entries"),
        (["--model", "resnet50", "--methods", "adam"], "only the small Iris network is compared"),
        (["--model", "resnet49"], "no model 'resnet49' (nearest: resnet"),
        (["--methods", "adma"], "no method 'adma' (nearest: adam"),
        (["--methods", ","], "--methods: name one or more of"),
        (["--epochs", "0"], "--epochs: expected at least 1"),
        (["--seeds", "-1"], "--seeds: expected at least 1"),
    ],
)
def test_refusals(arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_table_of_the_users_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text("mine")
    assert main(["--out", str(tmp_path)]) == 2
    assert "holds table.csv, which no comparison of optimizers has written" in capsys.readouterr().err


def test_a_file_is_no_place_for_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2
    assert "this is a file, not a folder" in capsys.readouterr().err


def test_the_tool_refuses_before_it_imports_anything_heavy(tmp_path: Path) -> None:
    tool = [sys.executable, "-X", "importtime", "tools/compare_optimizers.py"]
    done = subprocess.run(
        [*tool, "--out", str(tmp_path / "out"), "--model", "resnet50"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stdout == ""
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not {"paddle", "numpy", "scipy", "sklearn", "matplotlib"} & imported
