"""A run folder becomes a network with all that belongs to it: preprocessing, class names, temperature."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle import nn

from ..data.image import Preprocess
from ..data.manifest import ClassInfo
from ..errors import UserError
from ..models import build_model
from ..training import checkpoint

WEIGHTS, RECORD = "best.safetensors", "best.json"


@dataclass(frozen=True)
class Network:
    """A trained network. model_options: what `build_model` was given. temperature: logits are divided by it."""

    model: nn.Layer
    preprocess: Preprocess
    classes: tuple[ClassInfo, ...]
    model_options: dict[str, Any]
    temperature: float
    epoch: int

    @property
    def class_ids(self) -> list[str]:
        return [info.id for info in self.classes]


def save_record(
    run: Path,
    *,
    model_options: dict[str, Any],
    preprocess: Preprocess,
    classes: Sequence[ClassInfo],
    temperature: float,
    **figures: float | int,
) -> None:
    """Write best.json: all that the weights need to be used, and the figures they were chosen by."""
    from .. import atomic

    record = {
        "model": model_options,
        "preprocess": preprocess.to_dict(),
        "classes": [{"id": info.id, "name": info.name} for info in classes],
        "temperature": temperature,
        **figures,
    }
    atomic.write_json(run / RECORD, record)


def read_record(run: Path) -> dict[str, Any]:
    """best.json of a run; UserError where it is missing or damaged."""
    try:
        record = json.loads((run / RECORD).read_text(encoding="utf-8"))
        return {key: record[key] for key in ("model", "preprocess", "classes", "temperature", "epoch")} | record
    except OSError as error:
        raise UserError(f"{run / RECORD} cannot be read: {error.strerror}; is {run} a finished run?") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run / RECORD} is damaged: {error}") from None


def load_network(run: Path) -> Network:
    """The best network of a run, in evaluation mode."""
    record = read_record(run)
    classes = tuple(ClassInfo(item["id"], item["name"]) for item in record["classes"])
    model = build_model(num_classes=len(classes), **record["model"])
    checkpoint.restore_model(model, checkpoint.load_tensors(run / WEIGHTS), str(run / WEIGHTS))
    model.eval()
    preprocess = Preprocess.from_dict(record["preprocess"])
    return Network(model, preprocess, classes, record["model"], float(record["temperature"]), int(record["epoch"]))
