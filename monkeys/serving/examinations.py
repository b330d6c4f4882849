"""The examinations in a run folder, and whether they are of the weights that it has now."""

from __future__ import annotations

import logging
from pathlib import Path

from .. import atomic
from .engine import digest
from .network import WEIGHTS

MARK = "examined.json"

log = logging.getLogger("monkeys")


def note_network(folder: Path, weights: str, best_sha256: str, temperature: float) -> None:
    """Write down beside an examination what it is of: "best" or "last" weights, what the best were, the temperature."""
    atomic.write_json(folder / MARK, {"weights": weights, "best_sha256": best_sha256, "temperature": temperature})


def examinations(run: Path) -> list[Path]:
    """Folders of finished examinations of the best weights, as they are now: test first, validation last.

    A run that goes on may find better ones; what was said of those before is not said of them.
    """
    if not (run / WEIGHTS).exists():
        return []
    now, found = digest(run / WEIGHTS), []
    for folder in [path.parent for path in sorted(run.glob("eval-*/metrics.json"))]:
        noted = atomic.read_json(folder / MARK) if (folder / MARK).exists() else {}
        if noted.get("weights") == "last":
            continue
        if noted.get("best_sha256") == now:
            found.append(folder)
        else:
            log.warning("%s is left out: made of other weights, or by an earlier version; examine anew", folder)
    return sorted(found, key=lambda folder: {"eval-test": 0, "eval-val": 2}.get(folder.name, 1))
