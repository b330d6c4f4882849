"""Augmentation recipes by name. Importing this module imports neither imgaug nor OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from ..errors import UserError

__all__ = ["RECIPES", "Augmenter", "Engine", "build_recipe", "operation_pairs"]

# [H, W, 3] uint8 and the generator to draw from -> same shape and dtype, C-contiguous; may be the input itself
Augmenter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Engine = Literal["fast", "imgaug"]

RECIPES: dict[str, str] = {
    "none": "the image as it is",
    "light": "crop of 70-100 % of the area, mirror image, brightness and contrast ±10 %: for short trainings",
    "crop": "crop of 35-100 % of the area, mirror image, brightness, contrast and saturation ±30 %",
    "report": "the course report's pipeline: flips, crop, affine, and up to five of twelve blurs, noises and warps",
    "imagenette": "for the plain networks: scale 0.9-1.1, shift ±30/224 of the side, rotation ±20° (our choice)",
}


def build_recipe(name: str, engine: Engine = "fast") -> Augmenter:
    """The recipe `name`: its output depends on the image and on the generator's state alone.

    engine: `fast` runs on OpenCV and numpy, `imgaug` on imgaug; both draw from the same distributions.
    Build it before workers are forked; each worker may then use its copy. Raises UserError.
    """
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}; there are: {', '.join(RECIPES)}")
    if engine not in ("fast", "imgaug"):
        raise UserError(f"unknown augmentation engine {engine!r}; there are: fast, imgaug")
    from .plans import PLANS

    if engine == "fast":
        from .fast import fast_augmenter as build
    else:
        from .recipes import imgaug_augmenter as build
    return build(PLANS[name])


def operation_pairs(image: np.ndarray, rng: np.random.Generator) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """For each operation of the recipe `report`: its name, what imgaug and what the fast engine make of `image`.

    image: [H, W, 3] uint8. Both engines get the same parameters, drawn once; what they draw per pixel differs.
    """
    from .pairs import pairs_of
    from .plans import REPORT

    return pairs_of(REPORT, image, rng)
