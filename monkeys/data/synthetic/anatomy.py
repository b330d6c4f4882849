"""The parts of a monkey from back to front, each in the variants that tell the species apart."""

from __future__ import annotations

import numpy as np

from .brush import Array, blend, ellipse, knots, smooth
from .figure import Figure
from .nuisance import Nuisance
from .species import Traits

_BOTH = (-1, 1)
_EYE_X, _EYE_Y = 0.37, -0.12
_BLACK, _WHITE = (0.05, 0.04, 0.04), (1.0, 1.0, 1.0)


def draw_monkey(canvas: Array, nuisance: Nuisance, traits: Traits, rng: np.random.Generator) -> None:
    """Draw one animal onto a canvas, in place."""
    figure = Figure(canvas, nuisance, traits, rng)
    for part in (_tail, _body, _ears, _mane, _head, _face, _crown, _eyes, _muzzle, _moustache):
        part(figure)


def _mirrored(half: Array) -> Array:
    """Close an outline that is given from its top to its bottom on one side."""
    return np.concatenate((half, half[-2:0:-1] * (-1, 1), half[:1])).astype(np.float32)


def _tail(figure: Figure) -> None:
    bones: np.ndarray = knots((0.9, 2.6), (1.75, 1.9), (1.6, 1.0), (1.75, 0.25), (1.5, -0.35))
    bones = (bones + figure.rng.normal(0, 0.06, bones.shape)) * (figure.nuisance.tail_side, 1)
    curve = smooth(bones, 48)
    for start in range(0, 45, 3):
        pale = figure.traits.tail == "ringed" and start // 6 % 2
        colour = figure.colours.pale if pale else figure.colours.dark
        figure.line(curve[start : start + 4], 0.26, colour, furry=True)
    if figure.traits.tail == "tufted":
        figure.hair(ellipse(curve[-1, 0], curve[-1, 1], 0.3, 0.36), figure.colours.pale, 0.12, 50)


def _body(figure: Figure) -> None:
    half = knots((0.0, 0.4), (0.55, 0.5), (1.25, 1.2), (1.6, 2.4), (1.8, 4.5), (0.0, 4.6))
    outline = smooth(_mirrored(half), 70)
    outline[:, 0] += figure.nuisance.lean * np.clip(outline[:, 1] - 0.6, 0, 2)
    figure.coat(outline, blend(figure.colours.fur, _BLACK, 0.15), 0.14, 160)


def _ears(figure: Figure) -> None:
    draw = {"small": _small_ear, "round": _round_ear, "pointed": _pointed_ear}[figure.traits.ears]
    for side in _BOTH:
        draw(figure, side)


def _small_ear(figure: Figure, side: int) -> None:
    figure.hair(ellipse(side * 0.93, 0.0, 0.2, 0.26), figure.colours.fur, 0.05, 40)
    figure.skin(ellipse(side * 0.96, 0.02, 0.11, 0.15), figure.colours.skin)


def _round_ear(figure: Figure, side: int) -> None:
    figure.hair(ellipse(side * 1.12, -0.3, 0.48, 0.5), figure.colours.fur, 0.05, 60)
    figure.skin(ellipse(side * 1.14, -0.28, 0.33, 0.36), figure.colours.skin)


def _pointed_ear(figure: Figure, side: int) -> None:
    outer = knots((0.35, -0.7), (0.7, -1.15), (1.12, -1.62), (1.12, -1.0), (0.95, -0.3))
    inner = knots((0.6, -0.8), (0.8, -1.05), (1.02, -1.32), (1.0, -0.95), (0.88, -0.5))
    figure.hair(smooth(outer, 40) * (side, 1), figure.colours.fur, 0.07, 60)
    figure.hair(smooth(inner, 30) * (side, 1), figure.colours.pale, 0.04, 40)


def _mane(figure: Figure) -> None:
    colour = blend(figure.colours.pale, figure.colours.fur, 0.2)
    if figure.traits.mane == "ruff":
        cheek = smooth(knots((0.45, 0.1), (0.9, -0.3), (1.6, -0.15), (1.75, 0.4), (1.4, 0.95), (0.7, 1.0)), 50)
        for side in _BOTH:
            figure.hair(cheek * (side, 1), colour, 0.2, 80)
    elif figure.traits.mane == "beard":
        half = knots((0.0, 0.4), (0.75, 0.5), (0.6, 1.1), (0.3, 1.75), (0.0, 2.1))
        figure.hair(smooth(_mirrored(half), 60), colour, 0.16, 90)


def _head(figure: Figure) -> None:
    outline = ellipse(0, 0, 1, 1, count=72)
    outline[:, 0] *= 1 - 0.14 * np.clip(outline[:, 1], 0, 1)
    figure.hair(outline, figure.colours.fur, 0.09, 150)


def _face(figure: Figure) -> None:
    half = knots((0, -0.3), (0.3, -0.5), (0.62, -0.38), (0.7, -0.05), (0.5, 0.3), (0.5, 0.65), (0.28, 0.9), (0, 0.95))
    figure.hair(smooth(_mirrored(half), 80), figure.colours.skin, 0.04, 110)


def _crown(figure: Figure) -> None:
    if figure.traits.crown == "crest":
        half = knots((0.0, -1.8), (0.25, -1.6), (0.5, -1.1), (0.42, -0.6), (0.0, -0.55))
        figure.hair(smooth(_mirrored(half), 50), figure.colours.dark, 0.22, 60)
    elif figure.traits.crown == "brow":
        upper = smooth(knots((-0.9, -0.42), (-0.5, -0.9), (0.0, -0.98), (0.5, -0.9), (0.9, -0.42)), 24)
        lower = smooth(knots((0.78, -0.34), (0.4, -0.56), (0.0, -0.6), (-0.4, -0.56), (-0.78, -0.34)), 24)
        figure.hair(np.concatenate((upper, lower)), figure.colours.pale, 0.05, 90)


def _eyes(figure: Figure) -> None:
    if figure.traits.eyes == "mask":
        half = knots((0.0, -0.22), (0.5, -0.42), (0.98, -0.2), (0.9, 0.1), (0.4, 0.22), (0.0, 0.05))
        figure.hair(smooth(_mirrored(half), 70), figure.colours.dark, 0.04, 90)
    for side in _BOTH:
        x = side * _EYE_X
        if figure.traits.eyes == "ring":
            figure.skin(ellipse(x, _EYE_Y, 0.33, 0.33), figure.colours.pale)
        figure.skin(ellipse(x, _EYE_Y, 0.19, 0.18), _BLACK)
        figure.skin(ellipse(x, _EYE_Y, 0.14, 0.14), figure.colours.iris)
        figure.skin(ellipse(x, _EYE_Y, 0.075, 0.085), _BLACK)
        figure.skin(ellipse(x - 0.05, _EYE_Y - 0.06, 0.04, 0.04), _WHITE)


def _muzzle(figure: Figure) -> None:
    plain = blend(figure.colours.skin, (1, 0.9, 0.85), 0.12)
    figure.skin(ellipse(0, 0.52, 0.47, 0.38), figure.colours.pale if figure.traits.muzzle == "pale" else plain)
    for side in _BOTH:
        figure.skin(ellipse(side * 0.1, 0.37, 0.06, 0.045), _BLACK)
    figure.line(smooth(knots((-0.26, 0.68), (0.0, 0.75), (0.26, 0.68)), 16), 0.04, _BLACK)


def _moustache(figure: Figure) -> None:
    if figure.traits.mane != "moustache":
        return
    half = smooth(
        knots((0.03, 0.46), (0.4, 0.44), (0.8, 0.6), (1.2, 0.35), (1.4, -0.05), (1.42, 0.5), (1.1, 0.9), (0.6, 0.95),
              (0.2, 0.75), (0.03, 0.62)),
        50,
    )  # fmt: skip
    for side in _BOTH:
        figure.hair(half * (side, 1), figure.colours.pale, 0.05, 60)
