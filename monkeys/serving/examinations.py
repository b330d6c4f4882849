"""The examinations in a run folder, and whether they are of the weights that it has now."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from .. import atomic
from ..errors import UserError
from ..paths import as_text
from .engine import digest
from .network import RECORD, WEIGHTS

MARK = "examined.json"

log = logging.getLogger("monkeys")


def note_network(
    folder: Path, *, weights: str, best_sha256: str, temperature: float, source: Path | None = None, tta: bool = False
) -> None:
    """Write down beside an examination what it is of: "best" or "last" weights, what the best were, the temperature."""
    place = as_text(source.resolve()) if source else None
    noted = {"weights": weights, "best_sha256": best_sha256, "temperature": temperature, "source": place, "tta": tta}
    atomic.write_json(folder / MARK, noted)


def refuse_other_source(folder: Path, source: Path) -> None:
    """UserError where a folder holds the examination of another source of the same name."""
    earlier = _noted(folder).get("source")
    if earlier not in (None, as_text(source.resolve())):
        raise UserError(
            f"{folder} holds the examination of {earlier}: choose an --out, or remove it if these are the same images"
        )


def examinations(run: Path) -> list[Path]:
    """Folders of finished examinations of the best weights, as they are now: test first, validation last.

    A run that goes on may find better ones, and has its temperature when it ends; what was said before is left out.
    """
    if not (run / WEIGHTS).exists():
        return []
    now, temperature, found = digest(run / WEIGHTS), atomic.read_json(run / RECORD)["temperature"], []
    for folder in [path.parent for path in sorted(run.glob("eval-*/metrics.json"))]:
        noted = _noted(folder)
        if noted.get("weights") == "last":
            continue
        tta = noted.get("tta", folder.name.endswith("-tta"))  # not noted by earlier versions
        calibrated = tta or noted.get("temperature") == temperature  # the mean of views has one of its own
        if noted.get("best_sha256") == now and calibrated:
            found.append(folder)
        else:
            log.warning("%s is left out: made before the weights were those of now; examine anew", folder)
    return sorted(found, key=lambda folder: {"eval-test": 0, "eval-val": 2}.get(folder.name, 1))


def _noted(folder: Path) -> dict[str, Any]:
    return atomic.read_json(folder / MARK) if (folder / MARK).exists() else {}
