"""The dice of one picture: everything that may differ between two pictures of one species."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backgrounds import BACKGROUNDS

MIN_ASPECT, MAX_ASPECT = 0.5, 3.0  # width : height
_PNG_PIXELS = 1_000_000  # larger pictures are always JPEG: as PNG they take long to write and to read


@dataclass(frozen=True)
class Nuisance:
    """Sizes in pixels, lengths as parts of the shorter side, angles in degrees unless a comment says otherwise."""

    width: int
    height: int
    suffix: str
    quality: int
    x: float  # of the head's middle, from the picture's middle
    y: float
    scale: float  # radius of the head
    angle: float
    yaw: float  # radians, as pitch
    pitch: float
    lean: float  # of the body, in radii of the head
    tail_side: int
    hue: float  # of the fur: standard deviations from the usual brown
    saturation: float
    value: float
    skin: float  # 0 pale to 1 dark
    pale: float  # 0 white to 1 sandy: the colour of all bright markings
    background: str
    cover: int  # things in front
    light_angle: float  # radians
    light: float
    exposure: float  # stops
    warmth: float
    blur: float


def draw_nuisance(rng: np.random.Generator, sizes: tuple[int, int]) -> Nuisance:
    """Throw the dice for one picture whose sides have between sizes[0] and sizes[1] pixels."""
    width, height = _size(rng, sizes)
    scale = rng.uniform(0.24, 0.33)
    across, down = (0.5 * edge / min(width, height) - 0.9 * scale for edge in (width, height))
    return Nuisance(
        width=width,
        height=height,
        suffix=".png" if rng.uniform() < 0.03 and width * height < _PNG_PIXELS else ".jpg",
        quality=int(rng.integers(80, 96)),
        x=_bell(rng, 0.42, 0.85) * across,
        y=_bell(rng, 0.42, 0.85) * down,
        scale=float(scale),
        angle=_bell(rng, 16, 40),
        yaw=_bell(rng, 0.22, 0.45),
        pitch=_bell(rng, 0.1, 0.25),
        lean=_bell(rng, 0.3, 0.7),
        tail_side=int(rng.choice((-1, 1))),
        hue=_bell(rng, 1, 2.5),
        saturation=float(rng.uniform(0.1, 0.55)),
        value=float(rng.uniform(0.28, 0.62)),
        skin=float(rng.uniform()),
        pale=float(rng.uniform()),
        background=str(rng.choice(tuple(BACKGROUNDS))),
        cover=int(rng.choice(4, p=(0.4, 0.35, 0.2, 0.05))),
        light_angle=float(rng.uniform(0, 2 * np.pi)),
        light=float(rng.uniform(0.05, 0.35)),
        exposure=_bell(rng, 0.13, 0.4),
        warmth=_bell(rng, 0.06, 0.15),
        blur=float(rng.uniform(0, 0.003)),
    )


def _bell(rng: np.random.Generator, spread: float, most: float) -> float:
    """Normal around 0, cut off at ±`most`."""
    return float(np.clip(rng.normal(0, spread), -most, most))


def _size(rng: np.random.Generator, sizes: tuple[int, int]) -> tuple[int, int]:
    """Width and height as photographs have them: around 4:3, some upright, a few panoramas, a few very large."""
    least, most = sizes
    if rng.uniform() < 0.08:
        aspect = np.exp(rng.uniform(np.log(MIN_ASPECT), np.log(MAX_ASPECT)))
    else:
        aspect = np.exp(rng.normal(np.log(1.4), 0.14) * rng.choice((1, -1), p=(0.72, 0.28)))
    widest = min(MAX_ASPECT, most / least)
    aspect = np.clip(aspect, max(MIN_ASPECT, 1 / widest), widest)
    stretch = np.sqrt(max(aspect, 1 / aspect))
    side = np.exp(rng.normal(np.log(560), 0.5))  # square root of the area
    side = max(min(side, most / stretch), least * stretch)
    edges = (side * np.sqrt(aspect), side / np.sqrt(aspect))
    width, height = (int(np.clip(round(edge), least, most)) for edge in edges)
    return width, height
