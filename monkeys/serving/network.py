"""A run folder becomes a network with all that belongs to it: preprocessing, class names, temperature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle import nn

from .. import atomic
from ..data.image import Preprocess
from ..data.manifest import ClassInfo
from ..errors import UserError
from ..models import build_model
from ..training import checkpoint

WEIGHTS, RECORD = "best.safetensors", "best.json"


@dataclass(frozen=True)
class Description:
    """All that a network needs beside its weights. temperature: logits are divided by it.

    model_options: what `build_model` is given.
    """

    preprocess: Preprocess
    classes: tuple[ClassInfo, ...]
    model_options: dict[str, Any]
    temperature: float
    epoch: int

    @property
    def class_ids(self) -> list[str]:
        return [info.id for info in self.classes]


@dataclass(frozen=True)
class Network(Description):
    """A trained network in evaluation mode."""

    model: nn.Layer


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
    record = {
        "model": model_options,
        "preprocess": preprocess.to_dict(),
        "classes": [{"id": info.id, "name": info.name} for info in classes],
        "temperature": temperature,
        **figures,
    }
    atomic.write_json(run / RECORD, record)


def read_record(folder: Path, name: str = RECORD) -> dict[str, Any]:
    """The record of a run or an export; UserError where it is missing or damaged."""
    path = folder / name
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {key: record[key] for key in ("model", "preprocess", "classes", "temperature", "epoch")} | record
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; is {folder} a finished run?") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def describe(record: Mapping[str, Any]) -> Description:
    """A run's or an export's record as values; UserError where they are none of the right kind."""
    try:
        return Description(
            preprocess=Preprocess.from_dict(record["preprocess"]),
            classes=tuple(ClassInfo(item["id"], item["name"]) for item in record["classes"]),
            model_options=record["model"],
            temperature=float(record["temperature"]),
            epoch=int(record["epoch"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the record of the network (best.json, network.json of an export) is damaged: {error!r}"
        ) from None


def load_network(folder: Path, record: Mapping[str, Any] | None = None, *, weights: str = "best") -> Network:
    """A run's network, in evaluation mode. record: in the place of the folder's own best.json.

    weights: "best", of the epoch that validated best, or "last", those that training has come to.
    """
    about = describe(record or read_record(folder))
    try:
        model = build_model(num_classes=len(about.classes), **about.model_options)
    except TypeError as error:
        raise UserError(f"the record of {folder} is damaged, or of another version: {error}") from error
    if weights == "last":
        checkpoint.restore_model(model, _last_tensors(folder), str(folder / "last"))
    else:
        checkpoint.restore_model(model, checkpoint.load_tensors(folder / WEIGHTS), str(folder / WEIGHTS))
    model.eval()
    return Network(**vars(about), model=model)


def _last_tensors(folder: Path) -> checkpoint.Tensors:
    """The weights of the last checkpoint, averaged ones where the run averages, which leaves out whole numbers."""
    found = checkpoint.Checkpoints(folder / "last").latest()
    if found is None:
        raise UserError(f"{folder / 'last'} holds no checkpoint that can be used: leave out --weights last")
    return checkpoint.part(found[0], "model") | checkpoint.part(found[0], "average")
