"""Kill a training run again and again, go on with `--resume auto`, and compare with a run that was left alone.

    python benchmarks/kill.py --kills 10 [--workers 2] [--processes 2] [--folder DIR] [key=value …]

A tiny network learns a tiny drawn set through tools/train.py, with moving average, accumulation, mixup, plateau
schedule and patience on and a checkpoint every few steps. At a random moment SIGKILL goes to the whole process group;
then the same command is given again. When the kills are used up the run may finish, and best.safetensors, history.csv
(without its columns of time and memory) and the dashboard's scalars must be those of the undisturbed run, byte for
byte. Also asserted: kills landed in the middle of training, no step stands twice in the dashboard, and what is done
again after a kill is at most one save interval. Prints a Markdown table; exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TIMED = ("seconds", "img_per_s", "data_wait", "peak_mb", "elapsed")
RECORDS = "vdlrecords.monkeys.log"
CLASSES, PER_CLASS, SIZE = 3, 24, 16
SETTINGS = (
    *("model.name=plain", "model.layers=conv3-8 maxpool2 conv3-8 avgpool2 fc16 drop0.2 fc3", "model.zero_init=false"),
    f"data.size={SIZE}",
    *("data.cache=true", "data.val_fraction=0.25", "augment.recipe=light", "augment.mixup=0.2", "augment.cutmix=0.5"),
    *("optim.lr=0.003", "optim.schedule.name=plateau", "optim.schedule.patience=1", "optim.schedule.warmup_epochs=1"),
    *("train.batch_size=8", "train.accumulate=2", "train.ema=0.9", "train.patience=1000", "train.label_smoothing=0.1"),
)


def draw(folder: Path, seed: int = 0) -> Path:
    """Class folders of small noisy pictures; the place of a bright bar tells the class."""
    rng = np.random.default_rng(seed)
    for label in range(CLASSES):
        place = folder / f"n{label}"
        place.mkdir(parents=True)
        for index in range(PER_CLASS):
            image = cv2.resize(rng.integers(0, 140, (8, 8, 3), dtype=np.uint8), (40, 40), interpolation=cv2.INTER_CUBIC)
            image[:, 12 * label : 12 * label + 8] = 250
            cv2.imwrite(str(place / f"{index}.png"), image)
    return folder


def scalars(path: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of every scalar in a VisualDL file, in order, but for rates per second."""
    from monkeys.numpy_compat import restore_numpy_names

    restore_numpy_names()
    from visualdl.proto.record_pb2 import Record

    data, found = path.read_bytes(), []
    while len(data) >= 8:
        (length,) = struct.unpack("<Q", data[:8])
        if len(data) < 8 + length:
            break  # cut by the kill
        for value in Record.FromString(data[8 : 8 + length]).values:
            if value.WhichOneof("one_value") == "value" and not value.tag.endswith("img_per_s"):
                found.append((value.tag, value.id, value.value))
        data = data[8 + length :]
    return found


def history(path: Path) -> list[dict[str, str]]:
    """Rows without what depends on the clock and the machine."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key not in TIMED} for row in csv.DictReader(file)]


def last_saved(run: Path) -> int:
    """Step of the newest checkpoint; 0 where there is none."""
    return max((int(path.stem.removeprefix("step-")) for path in run.glob("last/step-*.json")), default=0)


def last_done(run: Path) -> int:
    """The last step that the dashboard knows of."""
    path = run / RECORDS
    return max((step for tag, step, _ in scalars(path) if tag == "train/loss"), default=0) if path.exists() else 0


@dataclass
class Tries:
    """What came of the kills."""

    steps: int
    save_steps: int
    early: int = 0  # before the first step
    middle: int = 0
    late: int = 0  # after the last step, while the report was written
    resumed: list[int] = field(default_factory=list)
    redone: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note(self, done: int) -> None:
        """Count a kill by the last step done before it."""
        self.early += done == 0
        self.middle += 0 < done < self.steps
        self.late += done == self.steps


@dataclass(frozen=True)
class Harness:
    """The command under test. options: overrides beside SETTINGS."""

    folder: Path
    options: tuple[str, ...]

    def command(self, name: str) -> list[str]:
        here = self.folder
        places = (f"data.root={here / 'photos'}", f"run.dir={here}", f"data.cache_dir={here / 'cache'}")
        settings = [*SETTINGS, *places, f"run.name={name}", *self.options]
        config = str(ROOT / "configs" / "monkeys_cpu.yaml")
        return [sys.executable, str(ROOT / "tools" / "train.py"), "-c", config, "--resume", "auto", "-o", *settings]

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """A session of the run in a process group of its own; its words go to <name>.txt."""
        with (self.folder / f"{name}.txt").open("wb") as words:
            environ = {**os.environ, "OMP_NUM_THREADS": "1"}
            return subprocess.Popen(self.command(name), stdout=words, stderr=words, start_new_session=True, env=environ)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.txt").read_text(errors="replace")


def session(harness: Harness, name: str, tries: Tries, delay: float | None) -> bool:
    """One session, killed `delay` seconds after it began to train (None: left alone); True once the run is finished."""
    run, before, known = harness.folder / name, last_saved(harness.folder / name), _size(harness.folder / name)
    process = harness.start(name)
    try:
        while delay is not None and process.poll() is None and _size(run) <= known:
            known = min(known, _size(run))  # the dashboard is cut back to the checkpoint first
            time.sleep(0.01)
        code = process.wait(delay)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    _check(harness.said(name), before, tries)
    if code == 0:
        return True
    if code != -signal.SIGKILL:
        sys.exit(f"a session ended with {code}: {harness.said(name)[-2000:]}")
    done, saved = last_done(run), last_saved(run)
    tries.note(done)
    tries.redone.append(max(0, done - saved))
    return False


def _size(run: Path) -> int:
    path = run / RECORDS
    return path.stat().st_size if path.exists() else 0


def _check(words: str, saved: int, tries: Tries) -> None:
    """A session that got so far goes on exactly where the newest checkpoint is, and says so."""
    place = re.search(r"resumed at epoch (\d+) step (\d+)", words)
    if place:
        tries.resumed.append(int(place[2]))
        if int(place[2]) != saved:
            tries.faults.append(f"resumed at step {place[2]}, but step {saved} was saved")


def compare(one: Path, other: Path, tries: Tries) -> None:
    """Differences between the undisturbed run and the killed one."""
    if (one / "best.safetensors").read_bytes() != (other / "best.safetensors").read_bytes():
        tries.faults.append("best.safetensors differs")
    if history(one / "history.csv") != history(other / "history.csv"):
        tries.faults.append("history.csv differs")
    shown = scalars(other / RECORDS)
    if scalars(one / RECORDS) != shown:
        tries.faults.append("the dashboard differs")
    if len({(tag, step) for tag, step, _ in shown}) < len(shown):
        tries.faults.append("a step stands twice in the dashboard")


def harass(harness: Harness, kills: int, longest: float, rng: random.Random, tries: Tries) -> None:
    """Runs, killed until so many kills are used up; each that finishes is compared with the undisturbed one."""
    used = number = 0
    while used < kills:
        name, finished = f"killed{number}", False
        while not finished:
            finished = session(harness, name, tries, rng.uniform(0, longest) if used < kills else None)
            used += not finished
        compare(harness.folder / "alone", harness.folder / name, tries)
        number += 1


def main() -> int:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--kills", type=int, default=10)
    parse.add_argument("--epochs", type=int, default=30)
    parse.add_argument("--save-steps", type=int, default=4)
    parse.add_argument("--workers", type=int, default=0)
    parse.add_argument("--processes", type=int, default=1)
    parse.add_argument("--longest", type=float, default=1.5, help="seconds of training before a kill, at most")
    parse.add_argument("--seed", type=int, default=0)
    parse.add_argument("--folder", type=Path, help="kept afterwards; default: a temporary one")
    parse.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    args = parse.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="kill-"))
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "photos")
    sizes = (f"train.epochs={args.epochs}", f"train.save_steps={args.save_steps}", f"data.workers={args.workers}")
    harness = Harness(folder.resolve(), (*sizes, f"train.processes={args.processes}", *args.overrides))
    alone = Tries(0, args.save_steps)
    session(harness, "alone", alone, None)
    tries = Tries(last_saved(folder / "alone"), args.save_steps)
    harass(harness, args.kills, args.longest, random.Random(args.seed), tries)
    faults = [*tries.faults, *_missed(tries)]
    sys.stdout.write(table(args, tries, faults))
    if not args.folder and not faults:
        shutil.rmtree(folder)
    return 1 if faults else 0


def _missed(tries: Tries) -> list[str]:
    """What a harness that tested nothing would show."""
    faults = []
    if not tries.middle or not any(tries.resumed):
        faults.append("no kill landed in the middle of training")
    if max(tries.redone, default=0) > tries.save_steps:
        faults.append(f"{max(tries.redone)} steps were done again, more than the save interval of {tries.save_steps}")
    return faults


def table(args: argparse.Namespace, tries: Tries, faults: list[str]) -> str:
    total = tries.early + tries.middle + tries.late
    return (
        "| processes | workers | kills | before the first step | in training | after the last | sessions that resumed "
        "| most steps redone | save interval | steps of the run | result |\n" + "|---" * 11 + "|\n"
        f"| {args.processes} | {args.workers} | {total} | {tries.early} | {tries.middle} | {tries.late} "
        f"| {len(tries.resumed)} | {max(tries.redone, default=0)} | {tries.save_steps} | {tries.steps} "
        f"| {'; '.join(faults) or 'same bytes'} |\n"
    )


if __name__ == "__main__":
    sys.exit(main())
