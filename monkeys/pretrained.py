"""Where training starts from other weights: what is kept of them, and whether they fit what the run will see."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from paddle import nn

from .data.image import Preprocess
from .data.manifest import ClassInfo
from .models.weights import load_pretrained
from .paths import expand_home
from .photographs import IMAGENET_MEAN, IMAGENET_STD
from .serving.network import RECORD, WEIGHTS, Description, describe, read_record

log = logging.getLogger("monkeys")

_ON_IMAGENET = ("imagenet", "torchvision", "PaddleClas")  # weights that these publish expect its mean and deviation


def start_from(weights: str, model: nn.Layer, preprocess: Preprocess, classes: Sequence[ClassInfo]) -> None:
    """Fill the network from `model.pretrained` and say what became of the file.

    The head is kept only where a run's own record proves that it is for these classes. Warns where the weights were
    trained with another normalisation.
    """
    record = _record(weights)
    keep_head = record is not None and record.class_ids == [info.id for info in classes]
    report = load_pretrained(model, weights, keep_head=keep_head)
    log.info("%s", report)
    expected = _normalisation(record, weights if weights == "imagenet" else report.project)
    if expected and expected != (preprocess.mean, preprocess.std):
        log.warning(
            "%s: trained with mean %s and deviation %s, but this run gives mean %s and deviation %s: "
            "data.normalise=%s fits",
            *(report.source, *expected, preprocess.mean, preprocess.std),
            "imagenet" if expected == (IMAGENET_MEAN, IMAGENET_STD) else "symmetric",
        )


def _record(weights: str) -> Description | None:
    """What a run has written down of its own weights."""
    path = expand_home(weights)
    if path.name != WEIGHTS or not (path.parent / RECORD).exists():
        return None
    return describe(read_record(path.parent))


def _normalisation(record: Description | None, origin: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation that the weights were trained with; None where nothing tells."""
    if record is not None:
        return record.preprocess.mean, record.preprocess.std
    return (IMAGENET_MEAN, IMAGENET_STD) if origin in _ON_IMAGENET else None
