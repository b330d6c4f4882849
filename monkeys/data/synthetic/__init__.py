"""A sample set of ten look-alike monkeys that never were, so that everything runs with no download."""

from .collection import Draft, draw_set

__all__ = ["Draft", "draw_set"]
