"""When to end training before its planned end. Each rule is off at 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError


@dataclass
class Stopping:
    """Asked after every epoch. What it remembers of earlier epochs belongs in the checkpoint.

    patience: epochs in a row whose validation loss is not at least min_delta below the best before.
    target_top1: validation accuracy, a fraction. min_grad_norm, min_weight_change: Euclidean norms.
    max_minutes: of the time that is handed in; no clock is read here.
    """

    patience: int = 0
    min_delta: float = 0.0
    target_top1: float = 0.0
    min_grad_norm: float = 0.0
    min_weight_change: float = 0.0
    max_minutes: float = 0.0
    best_loss: float | None = None
    bad_epochs: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "best_loss" and not (value >= 0 and math.isfinite(value)):
                raise UserError(f"train.{name}: expected 0 (off) or a positive number, got {value}")

    def update(
        self,
        *,
        val_loss: float | None = None,
        val_top1: float | None = None,
        grad_norm: float | None = None,
        weight_change: float | None = None,
        minutes: float | None = None,
    ) -> str | None:
        """Why to stop now, in words, or None. A rule whose number is not given is not asked."""
        reasons = (
            self._no_progress(val_loss),
            _reached(val_top1, self.target_top1, "validation top-1 {} reached the target of {}"),
            _below(grad_norm, self.min_grad_norm, "gradient norm {} fell below {}"),
            _below(weight_change, self.min_weight_change, "the weights moved by {}, less than {}"),
            _reached(minutes, self.max_minutes, "{} minutes used, at most {} allowed"),
        )
        return next((reason for reason in reasons if reason), None)

    def state_dict(self) -> dict[str, float | int | None]:
        return {"best_loss": self.best_loss, "bad_epochs": self.bad_epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best_loss, self.bad_epochs = state["best_loss"], state["bad_epochs"]

    def _no_progress(self, val_loss: float | None) -> str | None:
        if val_loss is None:
            return None
        if math.isfinite(val_loss) and (self.best_loss is None or val_loss < self.best_loss - self.min_delta):
            self.best_loss, self.bad_epochs = val_loss, 0
            return None
        self.bad_epochs += 1
        if not self.patience or self.bad_epochs < self.patience:
            return None
        best = "never finite" if self.best_loss is None else f"best {self.best_loss:.4g}"
        return f"validation loss has not fallen for {self.bad_epochs} epoch{'s' * (self.bad_epochs > 1)} ({best})"


def _reached(value: float | None, limit: float, words: str) -> str | None:
    """Filled-in words where a limit is set and the value is there."""
    return words.format(f"{value:.6g}", f"{limit:.6g}") if value is not None and limit and value >= limit else None


def _below(value: float | None, limit: float, words: str) -> str | None:
    """Filled-in words where a limit is set and the value is under it."""
    return words.format(f"{value:.3g}", f"{limit:.3g}") if value is not None and limit and value < limit else None
