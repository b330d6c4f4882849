"""Does an exported network say what the trained one says?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import load_config
from ..errors import UserError
from ..progress import progress
from .engine import Engine, Inference, has_bf16
from .held_out import batches, read_manifest
from .network import Description

COMPARED = 32  # images whose logits are compared one by one
TOLERANCE = 1e-3  # of logits, relative to the largest; float32 sums in another order stay far below
AGREEMENT = 0.995  # share of images whose first answer bf16 must not change


@dataclass(frozen=True)
class Examples:
    """What networks are compared on. some: [N, 3, S, S] float32, spread over the classes. all: batch by batch."""

    of: str
    real: bool
    some: np.ndarray
    all: Callable[[], Iterable[np.ndarray]]


def from_run(run: Path, about: Description) -> Examples:
    """The run's validation photographs; UserError where they are gone or have changed."""
    config = load_config(run / "config.yaml")
    try:
        manifest = read_manifest(run, config)
        rows = manifest.of("val")
        if not rows:
            raise UserError(f"{run} has none")
        spread = np.unique(np.linspace(0, len(rows) - 1, COMPARED).round().astype(int))
        chosen = [rows[index] for index in spread]
        some = np.concatenate([batch.images for batch in batches(about, chosen, manifest.root, config)])
    except UserError as error:
        raise UserError(
            f"an export is checked on the run's validation photographs, which cannot be had: {error}; "
            "tools/export.py RUN --without-photographs does without them"
        ) from None

    def everything() -> Iterable[np.ndarray]:
        found = (batch.images for batch in batches(about, rows, manifest.root, config))
        return progress(found, desc="comparing", unit="batch")

    return Examples("validation photographs", True, some, everything)


def noise(about: Description) -> Examples:
    """Generated pictures, always the same."""
    size = about.preprocess.size
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    some = about.preprocess.normalise(images)
    return Examples("generated pictures of noise (no photographs)", False, some, lambda: [some])


def compare(trained: Engine, exported: Engine, examples: Examples) -> dict[str, Any]:
    """The largest difference of logits; RuntimeError, a defect, where it is too large."""
    expected, found = trained(examples.some), exported(examples.some)
    if expected.shape != found.shape:
        raise RuntimeError(f"the exported network gives logits {found.shape}, the trained one {expected.shape}")
    difference, largest = float(np.abs(expected - found).max()), float(np.abs(expected).max())
    if not np.isfinite(largest):
        raise UserError("the network's answers are not finite; its weights are broken: train again")
    if not difference <= TOLERANCE * max(1.0, largest):
        raise RuntimeError(f"the exported network differs from the trained one by {difference} (of {largest})")
    return {
        "images": len(expected),
        "of": examples.of,
        "largest_difference": difference,
        "largest_logit": largest,
        "same_top1": int((expected.argmax(axis=1) == found.argmax(axis=1)).sum()),
    }


def bf16(folder: Path, examples: Examples) -> dict[str, Any]:
    """Whether an export may be used in bf16 here, and why: its first answers are compared with fp32 on all examples."""
    if not has_bf16():
        return no_bf16("not used: the processor of the export has no bfloat16 to check it with")
    if not examples.real:
        return no_bf16("not used: there were no photographs to check it on")
    try:
        fast = Inference(folder, bf16=True)
    except RuntimeError as error:
        return no_bf16(f"not used: {str(error)[:200]}")
    return judge(Inference(folder), fast, examples)


def judge(exact: Engine, fast: Engine, examples: Examples) -> dict[str, Any]:
    """Record of a comparison on all examples."""
    images = same = 0
    for some in examples.all():
        same += int((exact(some).argmax(axis=1) == fast(some).argmax(axis=1)).sum())
        images += len(some)
    share = same / images
    verdict = f"used where the processor has it: at least {AGREEMENT:.1%} were asked for"
    if share < AGREEMENT:
        verdict = f"not used: fewer than {AGREEMENT:.1%}"
    why = f"{verdict}; its first answer is that of fp32 on {same} of {images} {examples.of} ({share:.2%})"
    return {"use": share >= AGREEMENT, "images": images, "agreement": share, "why": why}


def no_bf16(why: str) -> dict[str, Any]:
    """Record where nothing was compared."""
    return {"use": False, "images": 0, "agreement": None, "why": why}
