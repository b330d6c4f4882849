"""Learning-rate range test (arXiv 1506.01186): a short run whose rate grows, after which all is as it was before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..data.dataset import Batch
from ..errors import NotFiniteError, UserError
from ..progress import progress
from . import checkpoint
from .engine import Step, Tally

SMOOTHING = 0.9
DIVERGED = 4.0  # times the lowest smoothed loss
BEGUN = 0.25  # share of its fall after which the loss is taken to fall for good, and not by chance


@dataclass(frozen=True)
class LrCurve:
    """Rates tried, the smoothed loss at each, and the rate to start from."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_lr(
    step_fn: Step, batches: Iterator[Batch], *, accumulate: int, steps: int = 100, low: float = 1e-7, high: float = 1.0
) -> LrCurve:
    """Raise the rate from `low` to `high` by equal factors until the loss explodes; weights and state are put back."""
    model, optimizer = step_fn.model, step_fn.optimizer
    weights, state = checkpoint.model_tensors(model), checkpoint.optimizer_tensors(optimizer, model)
    lr = optimizer.get_lr()
    rates, losses, mean = [], [], 0.0
    model.train()
    try:
        for step in progress(range(steps), desc="learning rates", unit="step"):
            rates.append(low * (high / low) ** (step / max(1, steps - 1)))
            loss = _loss(step_fn, step, list(islice(batches, accumulate)), rates[-1])
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            losses.append(mean / (1 - SMOOTHING ** (step + 1)))
            if not losses[-1] < DIVERGED * min(losses):
                break
    finally:
        checkpoint.restore_model(model, weights, "the copy")
        checkpoint.restore_optimizer(optimizer, model, state)
        optimizer.set_lr(lr)
    return LrCurve(rates, losses, suggest(rates, losses))


def suggest(rates: list[float], losses: list[float]) -> float:
    """Where the loss falls fastest per decade, between where it has begun to fall and its lowest point."""
    finite = [math.isfinite(loss) for loss in losses]
    count = finite.index(False) if False in finite else len(finite)
    first = min(round(1 / (1 - SMOOTHING)), count // 2)  # before that the smoothed loss is mostly noise
    lowest = first + int(np.argmin(losses[first:count])) if count else 0
    flat = float(np.median(losses[first : first + max(1, (lowest - first) // 3)]))
    if lowest - first < 2 or not losses[lowest] < flat:
        raise UserError("no learning rate lowers the loss: start lower, or check the data")
    still_high = flat - BEGUN * (flat - losses[lowest])
    begun = max((index for index in range(first, lowest) if losses[index] > still_high), default=first)
    slopes = np.gradient(np.array(losses[: lowest + 1]), np.log10(rates[: lowest + 1]))
    return float(rates[begun + int(np.argmin(slopes[begun:lowest]))])


def _loss(step_fn: Step, step: int, batches: list[Batch], rate: float) -> float:
    tally = Tally()
    try:
        step_fn(step, batches, rate, tally)
    except NotFiniteError:
        return math.inf
    return tally.last_loss
