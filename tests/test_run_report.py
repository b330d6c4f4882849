from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from invented_runs import history, write_run

from monkeys.errors import UserError
from monkeys.reports.history import pace, read_history
from monkeys.reports.run import write_run_report
from monkeys.serving.engine import digest
from monkeys.serving.examinations import examinations, note_network
from monkeys.serving.network import RECORD, WEIGHTS

RIGHT = [True] * 18 + [False] * 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runs") / "run", RIGHT, leaking=4, pictures=True)
    (run / "environment.json").write_text(json.dumps({"device": "cpu", "packages": {"numpy": "1.26.4"}}))
    write_run_report(run)
    return run


def text_of(run: Path) -> str:
    return unescape((run / "report.html").read_text(encoding="utf-8"))


def test_the_page_says_what_the_figures_are_worth(finished):
    text = text_of(finished)
    for said in (
        "75.0 %",  # 18 of 24
        "55.1 % to 88.0 %",  # Wilson's interval of 18 of 24, from a table
        "70.0 %",  # 14 of the 20 that do not leak
        "chosen on these very images",
        "lr: 0.1",
        "numpy 1.26.4",
        "bald uakari taken for",
    ):
        assert said in text, said


def test_the_page_needs_no_network_and_escapes_names(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "<b>howler" not in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert "<script" not in page
    sources = re.findall(r'<img src="([^"]{22})', page)
    assert len(sources) == 6  # curves and five pictures of the examination
    assert all(source.startswith("data:image/") for source in sources)
    for link in re.findall(r'href="([^"]+)"', page):
        assert (finished / link).is_file(), link


def test_curves_are_drawn(finished):
    assert (finished / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_missing_is_left_out(tmp_path):
    write_run_report(tmp_path)
    text = text_of(tmp_path)
    for heading in ("Validation", "Training", "Settings", "Environment", "<img"):
        assert heading not in text


def test_figures_of_older_metrics_are_left_out(tmp_path, finished):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    metrics = json.loads((run / "eval-val/metrics.json").read_text())
    metrics["selected_on_this_split"] = False
    for name in ("ece", "top1_leak_free_low", "top1_leak_free_high"):
        del metrics[name]
    (run / "eval-val/metrics.json").write_text(json.dumps(metrics))
    write_run_report(run)
    assert "chosen on these very images" not in text_of(run)


def test_the_test_split_comes_first(tmp_path, caplog):
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / RECORD).write_text('{"temperature": 0.7}')
    for name in ("eval-val", "eval-zoo", "eval-test", "eval-broken", "eval-val-last", "eval-unknown", "eval-early"):
        (tmp_path / name).mkdir()
        if name != "eval-unknown":
            weights, temperature = "last" if "last" in name else "best", 1.0 if name == "eval-early" else 0.7
            best = digest(tmp_path / WEIGHTS)
            note_network(tmp_path / name, weights=weights, best_sha256=best, temperature=temperature)
        if name != "eval-broken":
            (tmp_path / name / "metrics.json").write_text("{}")
    views = {"weights": "best", "best_sha256": digest(tmp_path / WEIGHTS), "temperature": 0.9}
    (tmp_path / "eval-val-tta").mkdir()
    (tmp_path / "eval-val-tta" / "examined.json").write_text(json.dumps(views))  # as earlier versions noted it
    (tmp_path / "eval-val-tta" / "metrics.json").write_text("{}")
    assert [folder.name for folder in examinations(tmp_path)] == ["eval-test", "eval-val-tta", "eval-zoo", "eval-val"]
    assert [record.args[0].name for record in caplog.records] == [
        "eval-early",
        "eval-unknown",
    ]  # left out, which is said


def test_what_was_said_of_earlier_weights_is_not_said_of_better_ones(tmp_path, finished):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    write_run_report(run)
    assert "75.0 %" in text_of(run)
    (run / WEIGHTS).write_bytes(b"better weights")
    write_run_report(run)
    assert "75.0 %" not in text_of(run)


def test_a_history_that_is_still_written(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(history(3).removesuffix("\n").rpartition(",")[0])
    assert read_history(path)["epoch"] == [1, 2]
    assert read_history(tmp_path / "none.csv") == {"epoch": []}
    path.write_text(history(0))
    assert read_history(path) == {"epoch": []}


def test_a_history_from_a_spreadsheet_and_a_damaged_one(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("\ufeff" + history(2), encoding="utf-8")
    assert read_history(path)["epoch"] == [1, 2]
    lines = history(2).splitlines()
    for text in (
        f"{lines[0]}\n{lines[1]},7\n",
        "step,lr\n1,2\n",
        "epoch,lr\n1,2\n",
        f"{lines[0]}\n{lines[1].replace('0.5', 'half')}\n",
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"history\.csv is damaged"):
            read_history(path)
    path.write_bytes(b"epoch\n\xff\n")
    with pytest.raises(UserError, match=r"history\.csv is damaged"):
        read_history(path)


def test_the_pace_is_a_median(tmp_path):
    (tmp_path / "history.csv").write_text(history(2))
    assert pace(read_history(tmp_path / "history.csv")) == {"epochs": 2, "minutes": 1.0, "img_per_s": 15.0}
    assert set(pace({"epoch": []}).values()) == {None}


def test_the_table_of_confusions_has_a_line_for_each_true_class(finished):
    lines = (finished / "eval-val" / "confusion_matrix.csv").read_text().splitlines()
    assert lines == ["true \\ predicted,n0,n1,n2", "n0,6,2,0", "n1,0,6,2", "n2,2,0,6"]
