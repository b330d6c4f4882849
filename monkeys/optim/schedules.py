"""The learning rate as a function of the step (from 0), in plain numbers. Durations are steps, but for `drop_period`,
`boundaries` and `scale`, which are epochs and are converted here.

Curves that run over the whole training (cosine, power) begin where the warm-up ends; rates that change at given
epochs (piecewise, step) count epochs from the start. A warm-up longer than the training is cut off by its end.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import UserError
from .names import known
from .rates import Fixed, Matlab, Plateau, Schedule, cosine

__all__ = ["SCHEDULES", "Schedule", "build_schedule"]

SCHEDULES: dict[str, str] = {
    "constant": "the same rate throughout, after the warm-up (0 epochs: from the first step)",
    "cosine": "half a cosine from the rate down to min_lr",
    "power": "rate / (1 + epoch / scale) ** power",
    "piecewise": "values that change at given epochs (boundaries), after the warm-up (0 epochs: from the first step)",
    "step": "times drop_factor every drop_period epochs",
    "one_cycle": "cosine up from a 25th of the rate, then down to min_lr, or to a 250,000th (rise: warm-up, or 30 %)",
    "plateau": "times drop_factor once the validation loss has not fallen for more than `patience` epochs",
    "matlab": "5 % more after an epoch whose training loss fell, 30 % less otherwise",
}
RISE, CYCLE_START, CYCLE_END = 0.3, 1 / 25, 1 / 250_000


@dataclass(frozen=True)
class Settings:
    """Everything a schedule may need; `values` are rates, one more than `boundaries`, and stand instead of `lr`."""

    lr: float
    total_steps: int
    steps_per_epoch: int
    warmup_steps: int = 0
    min_lr: float = 0.0
    drop_period: int = 10
    drop_factor: float = 0.1
    boundaries: Sequence[float] = ()
    values: Sequence[float] = ()
    power: float = 1.0
    scale: float = 10.0
    patience: int = 3

    def __post_init__(self) -> None:
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise UserError(f"optim.lr: expected a positive number, got {self.lr}")
        _require(0 <= self.min_lr <= self.lr, f"min_lr: expected between 0 and the rate {self.lr}, got {self.min_lr}")
        _require(self.warmup_steps >= 0, f"warmup_epochs: expected 0 or more, got {self.warmup_steps} steps")
        _require(
            self.total_steps >= 1 and self.steps_per_epoch >= 1, f"name: a rate for {self.total_steps} steps is no use"
        )


def build_schedule(
    name: str,
    *,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
    warmup_steps: int = 0,
    min_lr: float = 0.0,
    drop_period: int = 10,
    drop_factor: float = 0.1,
    boundaries: Sequence[float] = (),
    values: Sequence[float] = (),
    power: float = 1.0,
    scale: float = 10.0,
    patience: int = 3,
) -> Schedule:
    """The schedule `name`, its numbers as in Settings; it looks only at those it needs.

    Raises UserError for an unknown name and for numbers that it cannot use.
    """
    known("schedule", name, SCHEDULES)
    settings = Settings(
        lr,
        total_steps,
        steps_per_epoch,
        warmup_steps,
        min_lr,
        drop_period,
        drop_factor,
        tuple(boundaries),
        tuple(values),
        power,
        scale,
        patience,
    )
    return _BUILDERS[name](settings)


def _constant(settings: Settings) -> Schedule:
    return Fixed(lambda step: settings.lr, settings.warmup_steps)


def _cosine(settings: Settings) -> Schedule:
    start = settings.warmup_steps
    length = max(1, settings.total_steps - start)
    return Fixed(lambda step: cosine(settings.lr, settings.min_lr, (step - start) / length), start)


def _power(settings: Settings) -> Schedule:
    power, scale, start = settings.power, settings.scale, settings.warmup_steps
    _require(power > 0 and scale > 0, f"power, scale: expected positive numbers, got {power} and {scale}")

    def shape(step: int) -> float:
        epochs = max(0, step - start) / settings.steps_per_epoch
        return max(settings.min_lr, settings.lr / (1 + epochs / scale) ** power)

    return Fixed(shape, start)


def _piecewise(settings: Settings) -> Schedule:
    boundaries, values = settings.boundaries, settings.values
    _require(
        len(values) == len(boundaries) + 1,
        f"values: expected one more than the {len(boundaries)} boundaries, got {len(values)}",
    )
    rising = all(low < high for low, high in zip((0, *boundaries), boundaries, strict=False))
    _require(rising, f"boundaries: expected epochs that rise from above 0, got {list(boundaries)}")
    _require(all(value > 0 for value in values), f"values: expected positive rates, got {list(values)}")

    def shape(step: int) -> float:
        return values[bisect.bisect_right(boundaries, step / settings.steps_per_epoch)]

    return Fixed(shape, settings.warmup_steps)


def _step(settings: Settings) -> Schedule:
    _check_drop(settings.drop_factor)
    _require(settings.drop_period >= 1, f"drop_period: expected at least one epoch, got {settings.drop_period}")
    period = settings.drop_period * settings.steps_per_epoch

    def shape(step: int) -> float:
        return max(settings.min_lr, settings.lr * settings.drop_factor ** (step // period))

    return Fixed(shape, settings.warmup_steps)


def _one_cycle(settings: Settings) -> Schedule:
    rise = settings.warmup_steps or max(1, round(RISE * settings.total_steps))
    fall = max(1, settings.total_steps - rise)
    start, end = settings.lr * CYCLE_START, settings.min_lr or settings.lr * CYCLE_END

    def shape(step: int) -> float:
        if step < rise:
            return cosine(start, settings.lr, step / rise)
        return cosine(settings.lr, end, (step - rise) / fall)

    return Fixed(shape, 0)


def _plateau(settings: Settings) -> Schedule:
    _check_drop(settings.drop_factor)
    _require(settings.patience >= 0, f"patience: expected 0 or more, got {settings.patience}")
    return Plateau(settings.lr, settings.min_lr, settings.warmup_steps, settings.drop_factor, settings.patience)


def _matlab(settings: Settings) -> Schedule:
    return Matlab(settings.lr, settings.min_lr, settings.warmup_steps)


_BUILDERS: dict[str, Callable[[Settings], Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "power": _power,
    "piecewise": _piecewise,
    "step": _step,
    "one_cycle": _one_cycle,
    "plateau": _plateau,
    "matlab": _matlab,
}


def _require(fine: bool, message: str) -> None:
    if not fine:
        raise UserError(f"optim.schedule.{message}")


def _check_drop(drop_factor: float) -> None:
    _require(0 < drop_factor < 1, f"drop_factor: expected between 0 and 1, got {drop_factor}")
