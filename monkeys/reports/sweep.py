"""Many configurations side by side: what a source document reports of each, and what was measured here."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .. import atomic
from ..config import read_yaml
from .history import pace, read_history, read_json
from .plots_sweep import plot_sweep

# accuracies that the report on plain networks gives; its first three networks come without a list of layers
REPORTED = {
    "network_64_0764": 0.6408,
    "network_65_6561": 0.6566,
    "network_71_6943": 0.7169,
    "network_74_1656": 0.7417,
    "network_74_2675": 0.7427,
    "network_75_4395": 0.7544,
    "network_79_0828": 0.7908,
    "network_82_242": 0.8224,
    "network_82_3185": 0.8232,
    "network_82_828": 0.8283,
    "network_83_1338": 0.8313,
    "network_83_2611": 0.8326,
    "network_83_949": 0.8395,
    "network_84_3312": 0.8433,
    "network_84_8153": 0.8482,
    "imagenette_googlenet": 0.986,
}


@dataclass(frozen=True)
class Entry:
    """A row of sweep.csv. Accuracies are fractions of the validation images, with a 95 % interval."""

    name: str
    optimizer: str
    lr: float | None
    patience: int | None
    drop_period: int | None
    drop_factor: float | None
    augmentation: str
    size: int | None
    reported: float | None
    measured: float | None
    low: float | None
    high: float | None
    n: int | None
    leak_free: float | None
    n_leak_free: int | None
    epochs: int | None
    minutes: float | None
    img_per_s: float | None
    state: str


def write_sweep(out: Path, states: Mapping[str, str]) -> Path:
    """Write sweep.csv, sweep.png and sweep.md into `out`; returns sweep.md.

    states: run name -> "finished", or in a few words why it has no result.
    """
    entries = [_entry(out / name, state) for name, state in states.items()]
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Entry)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(entry) for entry in entries)
    atomic.write_text(out / "sweep.csv", text.getvalue())
    measured = [entry for entry in entries if entry.measured is not None]
    if measured:
        plot_sweep(
            [entry.name for entry in measured],
            [entry.reported for entry in measured],
            [(entry.measured or 0, entry.low or 0, entry.high or 0) for entry in measured],
            out / "sweep.png",
        )
    atomic.write_text(out / "sweep.md", _markdown(entries, drawn=bool(measured)))
    return out / "sweep.md"


def _entry(run: Path, state: str) -> Entry:
    config = read_yaml(run / "config.yaml") if (run / "config.yaml").exists() else {}
    metrics = read_json(run / "metrics.json") if state == "finished" else {}
    history = read_history(run / "history.csv")
    optim, schedule = config.get("optim", {}), config.get("optim", {}).get("schedule", {})
    drops = schedule.get("name") == "step"
    return Entry(
        name=run.name,
        optimizer=optim.get("name", ""),
        lr=optim.get("lr"),
        patience=config.get("train", {}).get("patience"),
        drop_period=schedule.get("drop_period") if drops else None,
        drop_factor=schedule.get("drop_factor") if drops else None,
        augmentation=config.get("augment", {}).get("recipe", ""),
        size=config.get("data", {}).get("size"),
        reported=REPORTED.get(run.name),
        measured=metrics.get("top1"),
        low=metrics.get("top1_low"),
        high=metrics.get("top1_high"),
        n=metrics.get("n"),
        leak_free=metrics.get("top1_leak_free"),
        n_leak_free=metrics.get("n_leak_free"),
        **pace(history),
        state=state,
    )


_COLUMNS: Mapping[str, str] = {
    "name": "run",
    "optimizer": "optimizer",
    "lr": "rate",
    "patience": "patience",
    "drop_period": "drop period",
    "drop_factor": "drop factor",
    "augmentation": "augmentation",
    "size": "pixels",
    "reported": "reported",
    "measured": "measured",
    "interval": "95 % interval",
    "n": "images",
    "leak_free": "leak-free",
    "n_leak_free": "images of these",
    "epochs": "epochs",
    "minutes": "minutes",
    "img_per_s": "images/s",
    "state": "state",
}


def _markdown(entries: Sequence[Entry], *, drawn: bool) -> str:
    """sweep.md: the table, and how to read it."""
    lines = ["| " + " | ".join(_COLUMNS.values()) + " |", "|" + " --- |" * len(_COLUMNS)]
    lines += ["| " + " | ".join(_cell(entry, column) for column in _COLUMNS) + " |" for entry in entries]
    parts = ["# Sweep", "\n".join(lines)]
    parts.append(
        "Reported: by the source document, on its own validation images, at full size. Measured: on the validation "
        "images of these runs; the best epoch of each was chosen on them too, so the figures are a little too good. "
        "Leak-free: of those whose picture training does not have. "
        "Networks 79_0828, 82_3185 and 84_3312 are one list of layers and differ in the drop period alone: what lies "
        "between them is about what chance does."
    )
    if drawn:
        parts.append("![reported and measured accuracy of each run](sweep.png)")
    return "\n\n".join(parts) + "\n"


def _cell(entry: Entry, column: str) -> str:
    if column == "interval":
        return "–" if entry.low is None or entry.high is None else f"{entry.low:.1%} to {entry.high:.1%}"
    value: Any = getattr(entry, column)
    if value in (None, ""):
        return "–"
    return f"{value:.1%}" if column in ("reported", "measured", "leak_free") else str(value)
