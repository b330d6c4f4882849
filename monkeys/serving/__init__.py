"""Trained networks at work: prediction, export, a page to try it."""

from .predictor import Guess, Prediction, Predictor

__all__ = ["Guess", "Prediction", "Predictor"]
