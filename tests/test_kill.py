"""A few kills of the harness; `python benchmarks/kill.py --kills 30` is the whole of it."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from faults import ROOT, kill


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--workers", "2"], ["optim.name=adamp", "optim.schedule.name=cosine"]])
def test_a_killed_run_ends_with_the_bytes_of_one_left_alone(options):
    command = [sys.executable, str(ROOT / "benchmarks" / "kill.py"), "--kills", "2", "--epochs", "20", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same bytes" in done.stdout


def tries(**found: int) -> object:
    result = kill.Tries(steps=180, save_steps=4)
    for name, value in found.items():
        setattr(result, name, value)
    return result


def test_the_harness_notices_that_it_tested_nothing():
    assert kill._missed(tries()) == ["no kill landed in the middle of training"]
    fine = tries(middle=3)
    fine.resumed, fine.redone = [8, 12], [4, 0]
    assert kill._missed(fine) == []
    fine.redone = [5]
    assert "more than the save interval of 4" in kill._missed(fine)[0]


def test_the_harness_notices_a_wrong_place_and_other_bytes(tmp_path):
    found = tries()
    kill._check("resumed at epoch 2 step 8", 12, found)
    assert found.faults == ["resumed at step 8, but step 12 was saved"]
    for name, value in (("one", 0.5), ("other", 0.25)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").write_bytes(name.encode())
        (tmp_path / name / "history.csv").write_text(f"epoch,seconds,lr\n1,{random.random()},{value}\n")
        (tmp_path / name / kill.RECORDS).write_bytes(b"")
    found = tries()
    kill.compare(tmp_path / "one", tmp_path / "other", found)
    assert found.faults == ["best.safetensors differs", "history.csv differs"]


def test_the_clock_is_no_difference(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"epoch,seconds,lr\n1,{random.random()},0.5\n")
    assert kill.history(tmp_path / "one") == kill.history(tmp_path / "two") == [{"epoch": "1", "lr": "0.5"}]
