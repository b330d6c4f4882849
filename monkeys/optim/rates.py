"""What a schedule is, and the three kinds: by step alone, by validation loss, by training loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

NOTICEABLE = 1e-4  # plateau: a fall of the loss counts from this relative size
GROW, SHRINK = 1.05, 0.7

State = dict[str, float | int | None]


class Schedule(Protocol):
    """The learning rate of every step."""

    def lr(self, step: int) -> float:
        """Of this step, from 0."""

    def observe(self, train_loss: float, val_loss: float) -> None:
        """Told after each epoch."""

    def state_dict(self) -> State:
        """What the checkpoint keeps."""

    def load_state_dict(self, state: Mapping[str, float | int | None]) -> None:
        """Go on from what `state_dict` gave."""


@dataclass(frozen=True)
class Fixed:
    """A schedule that depends on the step alone: `shape(step)` times the linear warm-up."""

    shape: Callable[[int], float]
    warmup_steps: int

    def lr(self, step: int) -> float:
        return self.shape(max(0, step)) * warmup(step, self.warmup_steps)

    def observe(self, train_loss: float, val_loss: float) -> None:
        """Losses change nothing here."""

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: Mapping[str, float | int | None]) -> None:
        """There is nothing to restore."""


@dataclass
class Plateau:
    """The rate falls when the validation loss does not."""

    base: float
    min_lr: float
    warmup_steps: int
    drop_factor: float
    patience: int
    factor: float = 1.0
    best: float | None = None
    bad_epochs: int = 0

    def lr(self, step: int) -> float:
        return max(self.min_lr, self.base * self.factor) * warmup(step, self.warmup_steps)

    def observe(self, train_loss: float, val_loss: float) -> None:
        if math.isfinite(val_loss) and (self.best is None or val_loss < self.best - NOTICEABLE * abs(self.best)):
            self.best, self.bad_epochs = val_loss, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.factor *= self.drop_factor
            self.bad_epochs = 0

    def state_dict(self) -> State:
        return {"factor": self.factor, "best": self.best, "bad_epochs": self.bad_epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.factor, self.best, self.bad_epochs = state["factor"], state["best"], state["bad_epochs"]


@dataclass
class Matlab:
    """The rate grows while the training loss falls."""

    base: float
    min_lr: float
    warmup_steps: int
    factor: float = 1.0
    last: float | None = None

    def lr(self, step: int) -> float:
        return max(self.min_lr, self.base * self.factor) * warmup(step, self.warmup_steps)

    def observe(self, train_loss: float, val_loss: float) -> None:
        if self.last is not None:
            self.factor *= GROW if train_loss < self.last else SHRINK
        self.last = train_loss

    def state_dict(self) -> State:
        return {"factor": self.factor, "last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.factor, self.last = state["factor"], state["last"]


def warmup(step: int, warmup_steps: int) -> float:
    """1/n, 2/n, …, 1 over the first n steps; no step is wasted on a rate of zero."""
    return min(1.0, (max(0, step) + 1) / warmup_steps) if warmup_steps else 1.0


def cosine(high: float, low: float, progress: float) -> float:
    """From high (progress 0) to low (progress 1), clamped at both ends."""
    progress = min(1.0, max(0.0, progress))
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * progress))
