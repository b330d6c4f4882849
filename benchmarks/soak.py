"""Memory, open files, threads and children of a long run: they must not grow.

    python benchmarks/soak.py [--epochs 200] [--workers 2] [--folder DIR] [key=value …]

A tiny network learns a tiny drawn set through tools/train.py with everything on that writes: checkpoints within the
epoch, dashboard, history. Every so often the run's process is looked at through /proc. The second half is compared with
the first quarter, because caches fill at the start. Prints a Markdown table; exit code 1 where something grew.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill import Harness, draw, last_saved

GROWTH = 1.05  # of memory; the other counts may not grow at all
FIGURES = ("resident memory, MB", "open files", "threads", "children")


def look(pid: int) -> tuple[float, int, int, int]:
    """Resident megabytes, open files, threads and children of a process."""
    place = Path(f"/proc/{pid}")
    memory = int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    children = sum(len(path.read_text().split()) for path in place.glob("task/*/children"))
    return memory, len(list((place / "fd").iterdir())), len(list((place / "task").iterdir())), children


def watch(process: subprocess.Popen[bytes], run: Path, steps: int) -> list[tuple[float, int, int, int]]:
    """One look at every further per cent of the steps, until the last of them."""
    looks, seen = [], 0
    while process.poll() is None and seen < steps:
        saved = last_saved(run)
        if saved >= seen + max(1, steps // 100):
            looks.append(look(process.pid))
            seen = saved
        time.sleep(0.02)
    return looks


def main() -> int:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--epochs", type=int, default=200)
    parse.add_argument("--workers", type=int, default=0)
    parse.add_argument("--folder", type=Path, help="kept afterwards; default: a temporary one")
    parse.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    args = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        draw(folder / "photos")
        lengths = (f"train.epochs={args.epochs}", "train.save_steps=4", f"data.workers={args.workers}")
        harness = Harness(folder, (*lengths, *args.overrides))
        process = harness.start("soak")
        looks = watch(process, folder / "soak", args.epochs * 6)
        if code := process.wait():
            sys.exit(f"the run ended with {code}: {harness.said('soak')[-2000:]}")
    return report(looks)


def report(looks: list[tuple[float, int, int, int]]) -> int:
    """The median of the first quarter beside that of the second half; 1 where one grew."""
    if len(looks) < 8:
        sys.exit(f"only {len(looks)} looks: too short a run to judge")
    early, late = looks[: len(looks) // 4], looks[len(looks) // 2 :]
    grown = 0
    lines = ["| | first quarter | second half | looks |", "|---|---|---|---|"]
    for index, name in enumerate(FIGURES):
        before, after = (statistics.median(figures[index] for figures in part) for part in (early, late))
        grown += after > before * (GROWTH if index == 0 else 1)
        lines.append(f"| {name} | {before:.0f} | {after:.0f} | {len(looks)} |")
    print("\n".join(lines))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
