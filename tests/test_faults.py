"""A disk that is full, read-only or broken: a clear end, nothing lost, and the same bytes after going on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from faults import Disk, command, kill
from toy import make_toy

from monkeys.cli import train
from monkeys.errors import TrainingError
from monkeys.training.checkpoint import Checkpoints
from monkeys.training.run_folder import RunFolder
from monkeys.training.runlog import RECORDS, NullLog, RunLog

OPTIONS = {"epochs": 2, "save_steps": 2, "ema": 0.9, "accumulate": 2, "schedule": "plateau"}


def run(folder: Path) -> None:
    """A tiny run as experiment.py does it: locked, going on from what is saved."""
    with RunFolder(folder).locked():
        trainer = make_toy(folder, log=NullLog(), **OPTIONS)
        saved = trainer.checkpoints.latest()
        trainer.log = RunLog(folder, saved[1]["log"] if saved else None)
        if saved:
            trainer.restore(*saved)
        trainer.fit()
        trainer.log.close()


def attempt(folder: Path) -> str:
    """What the run says of the disk; empty where it passes."""
    try:
        run(folder)
    except TrainingError as error:
        return str(error)
    return ""


def results(folder: Path) -> tuple[object, ...]:
    return (
        (folder / "best.safetensors").read_bytes(),
        kill.history(folder / "history.csv"),
        kill.scalars(folder / RECORDS),
    )


@pytest.mark.parametrize(
    ("number", "words", "stride"),
    [
        pytest.param(errno.ENOSPC, "the disk is full", 1, marks=pytest.mark.slow),
        (errno.ENOSPC, "the disk is full", 13),
        (errno.EROFS, "the disk is read-only", 19),
        (errno.EACCES, "no permission", 23),
    ],
)
def test_a_disk_that_fails_at_any_write_loses_nothing(tmp_path, number, words, stride):
    run(tmp_path / "alone")
    expected = results(tmp_path / "alone")
    for k in range(1, 200, stride):
        folder = tmp_path / f"run{k}"
        folder.mkdir()
        with Disk(folder, k, number).in_place() as disk:
            said = attempt(folder)
        assert not list(folder.rglob("*.tmp"))
        if disk.count < k:
            break
        assert words in said
        assert "--resume auto" in said
        assert "\n" not in said
        complete = sorted(folder.glob("last/step-*.json"))
        if complete:
            found = Checkpoints(folder / "last").latest()
            assert found is not None
            assert found[1]["progress"]["step"] == int(complete[-1].stem.removeprefix("step-"))
        run(folder)
        assert results(folder) == expected, k
    assert 20 < k < 199, "the walk must reach a run that passes"


def test_other_faults_are_not_taken_for_the_disk(tmp_path):
    with pytest.raises(ConnectionResetError), RunFolder(tmp_path / "run").locked():
        raise ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.mark.slow
def test_a_full_disk_ends_the_whole_command_with_its_reason(tmp_path, capsys):
    kill.draw(tmp_path / "photos")
    with Disk(tmp_path / "alone").in_place() as disk:
        assert train.main(command(tmp_path, "alone")) == 0
    expected = results(tmp_path / "alone")
    last = disk.count
    for k in sorted({1, 2, 3, 5, 8, 20, 40, last // 2, last - 40, last - 2, last}):
        name = f"run{k}"
        capsys.readouterr()
        with Disk(tmp_path / name, k).in_place():
            assert train.main(command(tmp_path, name)) == 3
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert "the disk is full" in lines[0]
        assert train.main([*command(tmp_path, name), "--resume", "auto"]) == 0
        assert results(tmp_path / name) == expected, k
        assert (tmp_path / name / "metrics.json").read_bytes() == (tmp_path / "alone" / "metrics.json").read_bytes()
