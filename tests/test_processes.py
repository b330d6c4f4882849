"""One run in two processes: the same steps as one process, and an end with a reason whichever of them dies."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faults import ROOT, command, kill

from monkeys import launch
from monkeys.training.checkpoint import Checkpoints, load_tensors
from monkeys.training.runlog import RECORDS

TWO = ("train.processes=2", "train.accumulate=2", "train.epochs=12")
PLAIN_STEPS = ("optim.name=momentum", "optim.schedule.name=constant", "train.epochs=2", "train.save_steps=4")
PATIENCE = 60.0  # seconds in which a run must end once one of its processes is gone


def start(folder: Path, name: str, *overrides: str, program: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    words = [sys.executable, *program, str(ROOT / "tools" / "train.py"), *command(folder, name, *overrides)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PADDLE_DISTRI_BACKEND": "gloo"}
    return subprocess.Popen(
        [*words, "--resume", "auto"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == code, said[-3000:]
    return said


def children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(what, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def in_training(folder: Path, name: str, process: subprocess.Popen[str], steps: int) -> list[int]:
    """Wait until so many more steps are saved; the ranks of the run."""
    before = kill.last_saved(folder / name)
    wait_for(lambda: process.poll() is not None or kill.last_saved(folder / name) >= before + steps)
    assert process.poll() is None, process.communicate()[0][-3000:]
    return children(process.pid)


def same(one: Path, other: Path) -> bool:
    return (
        (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()
        and kill.history(one / "history.csv") == kill.history(other / "history.csv")
        and kill.scalars(one / RECORDS) == kill.scalars(other / RECORDS)
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """A folder with photographs and a finished run of two processes, `alone`."""
    folder = tmp_path_factory.mktemp("two")
    kill.draw(folder / "photos")
    finish(start(folder, "alone", *TWO))
    return folder


@pytest.mark.slow
def test_whichever_process_dies_the_run_ends_and_goes_on_to_the_same_bytes(alone):
    process = start(alone, "hurt", *TWO)
    ranks = in_training(alone, "hurt", process, 6)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    died = time.monotonic()
    said = finish(process, 128 + signal.SIGKILL)
    assert time.monotonic() - died < PATIENCE
    assert re.search(r"rank \d was killed by signal 9; the other ranks are stopped, go on with --resume auto", said)
    assert not any(map(alive, ranks))

    process = start(alone, "hurt", *TWO)
    in_training(alone, "hurt", process, 4)
    process.terminate()
    said = finish(process, 128 + signal.SIGTERM)
    step = int(re.search(r"interrupted; saved at epoch \d+ step (\d+)", said)[1])
    assert step == kill.last_saved(alone / "hurt")

    process = start(alone, "hurt", *TWO)
    ranks = in_training(alone, "hurt", process, 4)
    process.kill()
    wait_for(lambda: not any(map(alive, ranks)), PATIENCE)
    process.communicate()

    said = finish(start(alone, "hurt", *TWO))
    assert "resumed at epoch" in said
    assert same(alone / "alone", alone / "hurt")


@pytest.mark.slow
def test_paddles_own_launcher_gives_the_same_bytes(alone):
    program = ("-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", str(alone / "logs"))
    finish(start(alone, "launched", *TWO, program=program))
    assert same(alone / "alone", alone / "launched")
    finish(start(alone, "launched", *TWO, program=program))  # --resume auto of a finished run: nothing to do
    assert same(alone / "alone", alone / "launched")


@pytest.mark.slow
def test_what_is_validated_and_saved_are_the_statistics_of_rank_0(alone):
    """The recorded validation loss is that of the saved network, over every image once."""
    from monkeys.serving.network import load_network
    from monkeys.training.engine import predict, score

    run = alone / "alone"
    network = load_network(run)
    with (run / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    labels = np.array([network.class_ids.index(row["label"]) for row in rows])
    images = np.stack([network.preprocess(alone / "photos" / row["path"]) for row in rows])
    batch = type("Images", (), {"images": images})
    loss, correct, count = score(predict(network.model, [batch]), labels)
    saved = json.loads((run / "best.json").read_text())
    assert saved["val_loss"] == pytest.approx(loss / count, rel=1e-5)
    assert saved["val_top1"] == pytest.approx(correct / count)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_that_accumulates(alone):
    """The same micro-batches: weights agree to 1e-5 after 12 steps, and each image is counted once."""
    said = finish(start(alone, "ranks", *PLAIN_STEPS, "train.processes=2", "train.accumulate=1"))
    assert [said.count(f"epoch {number}/2 ") for number in (1, 2)] == [1, 1]  # one rank tells how it goes
    finish(start(alone, "one", *PLAIN_STEPS, "train.processes=1", "train.accumulate=2"))
    ends = [Checkpoints(alone / name / "last").latest()[0] for name in ("ranks", "one")]
    compared = [name for name in ends[0] if name.startswith("model/") and not name.endswith(("_mean", "_variance"))]
    assert len(compared) > 5
    for name in compared:
        np.testing.assert_allclose(ends[0][name], ends[1][name], atol=1e-5, err_msg=name)
    middle = [json.loads((alone / name / "last" / "step-000000008.json").read_text()) for name in ("ranks", "one")]
    assert [record["state"]["tally"]["seen"] for record in middle] == [16, 16]
    tops = [[row["train_top1"] for row in kill.history(alone / name / "history.csv")] for name in ("ranks", "one")]
    assert tops[0] == tops[1]
    assert load_tensors(alone / "one" / "best.safetensors")


@pytest.mark.slow
def test_two_processes_thaw_a_frozen_body_as_one_does(alone):
    frozen = (*PLAIN_STEPS, "train.freeze_epochs=1")
    finish(start(alone, "ranks-thawed", *frozen, "train.processes=2", "train.accumulate=1"))
    finish(start(alone, "one-thawed", *frozen, "train.processes=1", "train.accumulate=2"))
    ends = [Checkpoints(alone / name / "last").latest()[0] for name in ("ranks-thawed", "one-thawed")]
    for name in (name for name in ends[0] if name.startswith("model/") and not name.endswith(("_mean", "_variance"))):
        np.testing.assert_allclose(ends[0][name], ends[1][name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_only_rank_0_writes(alone):
    """Rank 1 trains a whole run in this process, and the folder stays as it is."""
    from monkeys.config import load_config
    from monkeys.experiment import _follow
    from monkeys.training.distributed import Group
    from monkeys.training.run_folder import RunFolder

    shutil.copytree(alone / "alone", alone / "watched")
    shutil.rmtree(alone / "watched" / "last")
    before = {path: path.read_bytes() for path in (alone / "watched").rglob("*") if path.is_file()}
    outcome = _follow(load_config(alone / "alone" / "config.yaml"), RunFolder(alone / "watched"), Group(1, 2))
    assert outcome.reason == "all steps done"
    assert {path: path.read_bytes() for path in (alone / "watched").rglob("*") if path.is_file()} == before


STORM = """
import os, signal, threading, time
from monkeys.training.distributed import join_group
from monkeys.training.interrupt import Signals
group = join_group()
group.barrier()
def storm():
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.0002)
with Signals() as signals:
    threading.Thread(target=storm, daemon=True).start()
    for _ in range(200):
        group.barrier()
    assert signals.received == signal.SIGTERM
    os._exit(0)
"""


@pytest.mark.slow
def test_signals_do_not_part_the_ranks_while_they_wait_for_each_other(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert launch.launch(child(STORM), 2, gloo=True) == 0


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failed_rank_ends_the_others_and_is_named(caplog):
    code = "import os, sys, time; os.environ['PADDLE_TRAINER_ID'] == '1' and sys.exit(3); time.sleep(600)"
    assert launch.launch(child(code), 2, gloo=True) == 3
    assert "rank 1 ended with exit code 3" in caplog.text


def test_what_a_rank_has_told_the_user_needs_no_second_word(caplog):
    code = "import os, sys, time; os.environ['PADDLE_TRAINER_ID'] == '0' and sys.exit(2); time.sleep(600)"
    assert launch.launch(child(code), 2, gloo=True) == 2
    assert not caplog.text


def test_ranks_that_end_well_are_a_success():
    code = (
        "import os; assert os.environ['PADDLE_TRAINERS_NUM'] == '2' and os.environ['PADDLE_DISTRI_BACKEND'] == 'gloo'"
    )
    assert launch.launch(child(code), 2, gloo=True) == 0


def test_an_interrupted_rank_leaves_the_others_time_to_save(tmp_path, caplog):
    note = tmp_path / "saved"
    code = (
        "import os, sys, time; rank = int(os.environ['PADDLE_TRAINER_ID']); time.sleep(rank)\n"
        f"if rank: open({str(note)!r}, 'w').close()\n"
        "sys.exit(143)"
    )
    assert launch.launch(child(code), 2, gloo=True) == 143
    assert note.exists()
    assert not caplog.text


def test_no_rank_outlives_its_launcher(tmp_path):
    note = tmp_path / "pids"
    code = f"import os, time; open({str(note)!r}, 'a').write(str(os.getpid()) + ' '); time.sleep(600)"
    program = f"from monkeys.launch import launch; import sys; launch([sys.executable, '-c', {code!r}], 2, True)"
    launcher = subprocess.Popen(child(program), cwd=ROOT)
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    launcher.kill()
    launcher.wait()
    ranks = [int(word) for word in note.read_text().split()]
    wait_for(lambda: not any(map(alive, ranks)), PATIENCE)
