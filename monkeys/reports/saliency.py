"""Where a network looks: a sheet of heat maps for each class, and how much of the heat lies on the border."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from paddle import nn

from .. import atomic
from ..data.image import Preprocess
from ..evaluation.metrics import Answer
from ..evaluation.saliency import NoPictureError, border_share, grad_cam
from . import plots_sheets

log = logging.getLogger("monkeys")

PER_CLASS, CLASSES_SHOWN = 3, 12
BORDER = 0.1  # of the side
HEAT = 0.45  # how strongly the map covers the image
SHOWN = 192  # pixels of a side, at least: small inputs are enlarged for people

Photographs = Callable[[int], np.ndarray]


def write_saliency(
    out: Path, model: nn.Layer, preprocess: Preprocess, photographs: Photographs,
    rows: Sequence[Answer], names: Mapping[str, str], *, seed: int = 0
) -> None:  # fmt: skip
    """Write cam.png and cam.json. photographs: index of a row -> [H, W, 3] uint8; asked is the predicted class.

    cam.json: mean share of heat on the outer tenth, over all images shown and by class; null where no map is warm.
    A network with nothing but vectors inside gets neither, and a word in the log.
    """
    for name in ("cam.png", "cam.json"):
        (out / name).unlink(missing_ok=True)
    ids = list(names)
    chosen = _choose(rows, ids, np.random.default_rng(seed))
    images, shown = _sizes(preprocess, (photographs(index) for index in chosen))
    asked = np.array([ids.index(rows[index].predicted) for index in chosen])
    try:
        maps = grad_cam(model, preprocess.normalise(images), asked)
    except NoPictureError as error:
        log.warning("no heat maps: %s", error)
        return
    captions = [_caption(rows[index], names) for index in chosen]
    covered = [cover(image, heat) for image, heat in zip(shown, maps, strict=True)]
    shares = border_share(maps, BORDER)
    by_class = {
        label: _mean(shares[[rows[index].label == label for index in chosen]])
        for label in ids
        if any(rows[index].label == label for index in chosen)
    }
    title = f"Where the network looks (Grad-CAM); {_mean(shares) or 0:.0%} of the heat on the outer tenth"
    marks = [rows[index].correct for index in chosen]
    plots_sheets.sheet(covered, captions, out / "cam.png", columns=2 * PER_CLASS, title=title, marks=marks)
    atomic.write_json(out / "cam.json", {"border_share": _mean(shares), "border": BORDER, "by_class": by_class})


def _sizes(preprocess: Preprocess, photographs: Iterable[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Each photograph as the network sees it, [N, S, S, 3], and large enough for people; one in memory at a time."""
    larger, seen, shown = replace(preprocess, size=max(SHOWN, preprocess.size)), [], []
    for photograph in photographs:
        seen.append(preprocess.resize(photograph))
        shown.append(larger.resize(photograph))
    return np.stack(seen), shown


def cover(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image [T, T, 3] uint8 under its heat map [S, S], in a scale that colour-blind people can read."""
    heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    coloured = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return cv2.addWeighted(image, 1 - HEAT, coloured, HEAT, 0)


def _choose(rows: Sequence[Answer], ids: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Some random images of each class, of at most a random dozen of classes."""
    present = [label for label in ids if any(row.label == label for row in rows)]
    shown = {present[index] for index in rng.permutation(len(present))[:CLASSES_SHOWN]}
    order = rng.permutation(len(rows))
    return [
        int(index)
        for label in present
        if label in shown
        for index in [index for index in order if rows[index].label == label][:PER_CLASS]
    ]


def _caption(row: Answer, names: Mapping[str, str]) -> str:
    said = names[row.predicted].replace("_", " ")
    return said if row.correct else f"{said}\nis {names[row.label].replace('_', ' ')}"


def _mean(shares: np.ndarray) -> float | None:
    warm = shares[~np.isnan(shares)]
    return float(warm.mean()) if len(warm) else None
