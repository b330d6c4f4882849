"""Speed and memory, measured side by side with a reference: `--json FILE [--only NAME …]`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import atomic
from ..errors import UserError
from ..progress import progress
from . import DONE, entry, say

log = logging.getLogger("monkeys")

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venv-bench" / "bin" / "python"
SMALLEST = 1e-9  # stands for nothing at all, such as no waiting for data, below a ratio
NOISY = 0.20  # spread of the ratios above which a machine cannot judge
UNTUNED = {"MONKEYS_NO_TUNING": "1", "OMP_NUM_THREADS": "", "MKL_DEBUG_CPU_TYPE": ""}
ONE_CORE = {"OMP_NUM_THREADS": "1"}

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Probe:
    """One measurement: a script of benchmarks/ with its arguments. environ: an empty value unsets a variable."""

    arguments: tuple[str, ...]
    peer: bool = False
    environ: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """Ours against a reference. goal: the ratio to reach. less_is_better: of seconds and megabytes."""

    name: str
    ours: Probe
    reference: Probe | float
    key: str
    unit: str
    goal: float
    less_is_better: bool = False


def _ours(*arguments: str, environ: Mapping[str, str] | None = None) -> Probe:
    return Probe(arguments, environ=tuple((environ or {}).items()))


def _torch(*arguments: str) -> Probe:
    return Probe(arguments, peer=True)


_ONE, _TWO = _ours("train"), _ours("train", "--processes", "2")
_BF16 = _ours("predict", "--engine", "bf16", "--steps", "60")
_FP32 = _ours("predict", "--engine", "fp32", "--steps", "20")
_DYGRAPH = _ours("predict", "--engine", "dygraph", "--steps", "10")
ROWS = (
    Row("training_vs_installed", _ONE, _ours("train", environ=UNTUNED), "images_per_s", "images/s", 7),
    Row("training_vs_torch", _ONE, _torch("train"), "images_per_s", "images/s", 1),
    Row("training_2_processes_vs_torch", _TWO, _torch("train"), "images_per_s", "images/s", 1),
    Row("training_memory_vs_torch", _ONE, _torch("train"), "peak_mb", "MB", 1, less_is_better=True),
    Row(
        "memory_of_128_accumulated_vs_16",
        _ours("train", "--batch", "128", "--accumulate", "8", "--steps", "1"),
        _ONE, "peak_mb", "MB", 0.9, less_is_better=True,
    ),
    Row("data_wait_vs_5_percent", _ONE, 0.05, "data_wait", "share of the step", 1, less_is_better=True),
    Row(
        "augmentation_vs_imgaug",
        _ours("augment", "--engine", "fast", environ=ONE_CORE),
        _ours("augment", "--engine", "imgaug", environ=ONE_CORE),
        "images_per_s", "images/s of processor time", 5,
    ),
    Row(
        "loading_12_megapixels_vs_decoding",
        _ours("load", "--engine", "cached", environ=ONE_CORE),
        _ours("load", "--engine", "naive", environ=ONE_CORE),
        "images_per_s", "images/s", 10,
    ),
    Row("prediction_bf16_vs_dygraph", _BF16, _DYGRAPH, "images_per_s", "images/s", 3.5),
    Row("prediction_fp32_vs_dygraph", _FP32, _DYGRAPH, "images_per_s", "images/s", 1.5),
    Row(
        "prediction_bf16_vs_torch_bf16",
        _BF16, _torch("predict", "--engine", "bf16", "--steps", "30"), "images_per_s", "images/s", 1.2,
    ),
    Row("start_vs_half_a_second", _ours("start"), 0.5, "seconds", "s", 1, less_is_better=True),
)  # fmt: skip


@dataclass
class Measured:
    """Figures of each probe, a list of one per repeat; or why there are none."""

    figures: dict[Probe, list[Figures]] = field(default_factory=dict)
    missing: dict[Probe, str] = field(default_factory=dict)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="bench", description="Measure speed and memory against a reference.")
    parse.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the rows are written")
    parse.add_argument(
        "--only",
        nargs="+",
        choices=[row.name for row in ROWS],
        metavar="NAME",
        help=f"of {', '.join(row.name for row in ROWS)}",
    )
    parse.add_argument("--repeats", type=int, default=5, help="of every measurement, in turn (5)")
    parse.add_argument("--data", type=Path, help="folder of photographs ($MONKEYS_DATA/monkeys)")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Run every probe in turn, as often as asked, then compare."""
    args = parser().parse_args(argv)
    if args.repeats < 1:
        raise UserError(f"--repeats {args.repeats}: at least 1")
    named = os.environ.get("MONKEYS_DATA")
    data = args.data or (Path(named) / "monkeys" if named else None)
    if data is None or not data.is_dir():
        raise UserError(f"no folder of photographs{f' at {data}' if data else ''}: name one with --data")
    if not (ROOT / "benchmarks").is_dir():
        raise UserError("the measurements are part of the source tree (benchmarks/): run this from a checkout")
    if args.json.is_dir():
        raise UserError(f"--json {args.json} is a folder: name a file")
    atomic.make_folder(args.json.parent)
    rows = [row for row in ROWS if not args.only or row.name in args.only]
    measured = measure(rows, args.repeats, data.resolve())
    found = [result for row in rows if (result := compare(row, measured)) is not None]
    atomic.write_text(args.json, json.dumps(found, indent=2) + "\n")
    say(table(found))
    return DONE


def measure(rows: Sequence[Row], repeats: int, data: Path) -> Measured:
    """Every distinct probe of the rows, in turn: A B C A B C …, so that a busy minute hits all alike."""
    probes = list(dict.fromkeys(part for row in rows for part in (row.ours, row.reference) if isinstance(part, Probe)))
    measured = Measured({probe: [] for probe in probes})
    turns = [probe for _ in range(repeats) for probe in probes]
    for probe in progress(turns, desc="measuring", unit="probe"):
        if probe in measured.missing:
            continue
        try:
            measured.figures[probe].append(run(probe, data))
        except UserError as error:
            measured.missing[probe] = str(error)
            log.warning("%s: %s", " ".join(probe.arguments), error)
    return measured


def run(probe: Probe, data: Path) -> Figures:
    """One measurement in a process of its own; UserError with the reason where it cannot be had."""
    python = str(PEERS) if probe.peer else sys.executable
    script = ROOT / "benchmarks" / ("peer_torch.py" if probe.peer else "probes.py")
    if not Path(python).exists():
        raise UserError("the peers' environment is absent: bash benchmarks/setup_peers.sh makes it")
    environ = {**os.environ, **dict(probe.environ)}
    environ = {key: value for key, value in environ.items() if value}
    command = [python, str(script), *probe.arguments, "--data", str(photographs(probe, data))]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    if done.returncode:
        raise UserError(f"failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def photographs(probe: Probe, data: Path) -> Path:
    """torchvision takes class folders only, so a peer gets the training part."""
    return data / "training" if probe.peer and (data / "training").is_dir() else data


def compare(row: Row, measured: Measured) -> dict[str, object] | None:
    """A row of the JSON file; None, said on standard error, where one of its sides could not be measured."""
    sides: list[list[float]] = []
    for side in (row.ours, row.reference):
        if isinstance(side, float):
            sides.append([side] * len(sides[0]))
        elif side in measured.missing:
            log.warning("%s is left out: %s", row.name, measured.missing[side])
            return None
        else:
            sides.append([figures[row.key] for figures in measured.figures[side]])
    ours, reference = sides
    ratios = [b / max(a, SMALLEST) if row.less_is_better else a / b for a, b in zip(ours, reference, strict=True)]
    ratio = statistics.median(ratios)
    spread = (max(ratios) - min(ratios)) / ratio
    if spread > NOISY:
        log.warning("%s: the ratios spread by %.0f %%, too noisy a machine to judge", row.name, 100 * spread)
    return {
        "name": row.name,
        "ours": statistics.median(ours),
        "reference": statistics.median(reference),
        "unit": row.unit,
        "ratio": ratio,
        "repeats": len(ratios),
        "spread": spread,
        "goal": row.goal,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| measurement | ours | reference | unit | ratio | goal | spread |", "|" + " --- |" * 7]
    lines += [
        "| {name} | {ours:.4g} | {reference:.4g} | {unit} | {ratio:.2f} | {goal:g} | {spread:.0%} |".format(**row)
        for row in rows
    ]
    return "\n".join(lines)
