"""A hostile place to train: a tiny run, as a user starts it, where something is missing that others rely on."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import ROOT, command, kill

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path) -> Path:
    kill.draw(tmp_path / "photos")
    return tmp_path


def train(
    place: Path,
    *overrides: str,
    before: Callable[[], object] | None = None,
    prefix: tuple[str, ...] = (),
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    words = [*prefix, sys.executable, str(ROOT / "tools" / "train.py"), *command(place, "run", *overrides)]
    return subprocess.run(
        [*words, "--resume", "auto"],
        capture_output=True, text=True, check=False, timeout=300, preexec_fn=before,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
    )  # fmt: skip


def finished(place: Path, done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    with (place / "run" / "history.csv").open(newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> bool:
    """Ended by the error line that holds these words, and no traceback."""
    assert done.returncode == code, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return all(word in done.stderr.strip().splitlines()[-1] for word in words)


def test_one_core(place):
    assert finished(place, train(place, before=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})))


def test_sixty_four_open_files(place):
    limit = (64, 64)
    assert finished(
        place, train(place, "data.workers=2", before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
    )


def test_a_home_that_cannot_be_written(place, tmp_path):
    done = train(
        place, "data.cache_dir=null", "data.cache=true", HOME="/proc/1/nowhere", XDG_CACHE_HOME="", TMPDIR=str(tmp_path)
    )
    assert finished(place, done)
    assert "the home folder cannot be written" in done.stderr


def test_shared_memory_of_one_megabyte(place):
    """Loader workers do not need /dev/shm at all; sixteen times less than the 64 MB of a container does as well."""
    if os.getuid() or not shutil.which("unshare"):
        pytest.skip("mounting a small /dev/shm takes root and unshare")
    script = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", script, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let us mount")
    assert finished(place, train(place, "data.workers=2", "data.size=96", prefix=prefix))


def test_a_gpu_that_is_not_there(place):
    import paddle

    if paddle.device.is_compiled_with_cuda():
        pytest.skip("this Paddle may find a GPU")
    assert refused(train(place, "run.device=gpu"), 2, "run.device=gpu", "requirements-gpu.txt")
    assert not (place / "run").exists()


def started(place: Path, *overrides: str) -> subprocess.Popen[str]:
    """A long run that has saved its first epochs."""
    words = [sys.executable, str(ROOT / "tools" / "train.py"), *command(place, "run", "train.epochs=2000", *overrides)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)
    while process.poll() is None and kill.last_saved(place / "run") < 4:
        time.sleep(0.02)
    return process


def last_words(process: subprocess.Popen[str], code: int) -> str:
    said = process.communicate(timeout=120)[0]
    assert process.returncode == code, said[-3000:]
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_photograph_that_changes_or_vanishes_is_named(place, change):
    process = started(place)
    with (place / "run" / "manifest.csv").open(newline="") as file:
        path = next(row["path"] for row in csv.DictReader(file) if row["split"] == "train")
    photo = place / "photos" / path
    if change == "other":
        photo.write_bytes(photo.read_bytes() + b" ")
    else:
        photo.unlink()
    assert path in last_words(process, 2)
    assert kill.last_saved(place / "run") >= 4


def test_a_loader_worker_that_the_system_kills(place):
    process = started(place, "data.workers=2")
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    forks = [pid for pid in found.stdout.split() if Path(f"/proc/{pid}/cmdline").read_bytes() == words]
    assert len(forks) == 2
    os.kill(int(forks[0]), signal.SIGKILL)
    assert "a loader worker was killed" in last_words(process, 3)


# A limit on steps alone, counted from the first: what the program maps before differs by machine.
LIMITED = """
import resource, sys
from pathlib import Path
from monkeys.cli import train
from monkeys.training.engine import Step
if __name__ == "__main__":
    whole, used = Step.__call__, []
    def limited(*arguments):
        used.append(int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
        resource.setrlimit(resource.RLIMIT_AS, (used[0] + 400 * 2**20, -1))
        whole(*arguments)
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    Step.__call__ = limited
    sys.exit(train.main(sys.argv[1:]))
"""


def test_memory_that_runs_out(place):
    """The advice is taken: the same steps in more parts then fit under the same limit."""
    program = place / "program.py"
    program.write_text(LIMITED)

    def run(*overrides: str) -> subprocess.CompletedProcess[str]:
        same = "model.name=resnet18", "model.layers=null", "data.size=160", "train.batch_size=32", "train.max_steps=2"
        words = [sys.executable, str(program), *command(place, "run", *same, *overrides)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, env=environ)

    done = run("train.accumulate=1")
    assert refused(done, 3, "memory ran out at step 0 with 32 images of 160 px at a time", "fit: train.accumulate=")
    advice = done.stderr.strip().splitlines()[-1].partition("fit: ")[2].split()[0]
    assert run(advice, "run.name=smaller").returncode == 0
