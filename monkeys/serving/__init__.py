"""Trained networks at work: prediction, export, a page to try it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .predictor import Guess, Prediction, Predictor

__all__ = ["Guess", "Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    """Paddle is imported, tuned for this processor, when a name is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .. import runtime

    runtime.tune_cpu()
    from . import predictor

    return getattr(predictor, name)
