"""A frame of the animal's own (head's middle at (0, 0), its radius 1, y downwards), and how to paint in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .brush import Array, Colour, blend, clouds, fill, ragged, rgb, stroke
from .nuisance import Nuisance
from .species import Traits


@dataclass(frozen=True)
class Palette:
    """The colours of one animal. Chance makes them; the species only leans the hue of the fur a little."""

    fur: Colour
    dark: Colour
    pale: Colour
    skin: Colour
    iris: Colour

    @classmethod
    def of(cls, nuisance: Nuisance, traits: Traits) -> Palette:
        """Mix the colours of one animal."""
        leaning = 0.012 if traits.tint == "warm" else -0.012
        fur = rgb((0.075 + leaning + 0.025 * nuisance.hue) % 1, nuisance.saturation, nuisance.value)
        return cls(
            fur=fur,
            dark=blend(fur, (0.07, 0.05, 0.05), 0.78),
            pale=blend((0.98, 0.95, 0.88), (0.9, 0.78, 0.6), nuisance.pale),
            skin=blend((0.62, 0.44, 0.36), (0.26, 0.2, 0.19), nuisance.skin),
            iris=rgb(0.04 + 0.1 * nuisance.pale, 0.7, 0.55),
        )


class Figure:
    """One animal on one canvas: its pose, its colours and the fur that its parts share."""

    def __init__(self, canvas: Array, nuisance: Nuisance, traits: Traits, rng: np.random.Generator) -> None:
        self.canvas, self.nuisance, self.traits, self.rng = canvas, nuisance, traits, rng
        height, width = canvas.shape[:2]
        side, angle = min(height, width), np.radians(nuisance.angle)
        self.unit = nuisance.scale * side
        self.middle = np.array((width / 2 + nuisance.x * side, height / 2 + nuisance.y * side), np.float32)
        self.turn = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))), np.float32)
        self.colours = Palette.of(nuisance, traits)
        self.fur = self._fur()

    def hair(self, outline: Array, colour: Colour, length: float = 0.09, locks: int = 120) -> None:
        """Fill an outline with fur whose locks stick out of it."""
        fill(self.canvas, self._place(ragged(self.rng, outline, length, locks)), colour, texture=self.fur)

    def coat(self, outline: Array, colour: Colour, length: float, locks: int) -> None:
        """Fill an outline with fur in the pattern of the species."""
        texture = self.fur * self._pattern()
        fill(self.canvas, self._place(ragged(self.rng, outline, length, locks)), colour, texture=texture)

    def skin(self, outline: Array, colour: Colour) -> None:
        """Fill an outline evenly."""
        fill(self.canvas, self._place(outline), colour)

    def line(self, points: Array, width: float, colour: Colour, *, furry: bool = False) -> None:
        """Draw an open line."""
        stroke(self.canvas, self._place(points), width * self.unit, colour, texture=self.fur if furry else None)

    def _place(self, points: Array) -> Array:
        """Own frame → pixels. Points near the head's middle move with yaw and pitch like those on a ball."""
        depth = np.sqrt(np.clip(1 - (points**2).sum(axis=1) / 1.5, 0, 1))[:, None]
        seen = points * (np.cos(self.nuisance.yaw), 1) + depth * (self.nuisance.yaw, self.nuisance.pitch)
        return (self.middle + seen @ self.turn * self.unit).astype(np.float32)

    def _frame(self) -> tuple[Array, Array]:
        """Coordinates x, y [H, W] of all pixels from the head's middle, in its radii, not turned."""
        height, width = self.canvas.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        return (x - self.middle[0]) / np.float32(self.unit), (y - self.middle[1]) / np.float32(self.unit)

    def _fur(self) -> Array:
        """Streaks that run away from the head's middle, times the shading of a ball; a factor around 1 [H, W]."""
        x, y = self._frame()
        radius, angle = cv2.cartToPolar(x, y)
        noise = self.rng.standard_normal((24, 256), dtype=np.float32)
        noise = np.concatenate((noise, noise[:, :1]), axis=1)  # the last streak goes over into the first
        turns = angle * np.float32(256 / (2 * np.pi))
        streaks = cv2.remap(noise, turns, radius * 5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        sun = self.nuisance.light_angle
        away = (x - np.float32(0.5 * np.cos(sun))) ** 2 + (y - np.float32(0.5 * np.sin(sun))) ** 2
        return 1.12 - 0.42 * np.sqrt(away) / (1 + 0.35 * away) + 0.11 * streaks

    def _pattern(self) -> Array:
        """Pattern of the coat as a factor [H, W]; bands and spots that waver as on a living animal."""
        height, width = self.canvas.shape[:2]
        if self.traits.coat == "plain":
            return np.ones((height, width), np.float32)
        x, y = self._frame()
        across, down = (np.float32(a) * x + np.float32(b) * y for a, b in self.turn)
        waver = clouds(self.rng, height, width, 14, 2)
        pace = np.float32(2 * np.pi / self.rng.uniform(0.42, 0.55))
        if self.traits.coat == "striped":
            return 1 - 0.6 * np.clip(3 * np.sin(down * pace + 0.9 * waver + 0.4 * np.abs(across)) + 0.5, 0, 1)
        one, other = (across + down) * pace * 0.8 + waver, (across - down) * pace * 0.8 - waver
        return 1 + np.clip(6 * np.sin(one) * np.sin(other) - 1.3, 0, 1)
