"""Pixels of every Pillow mode as 8-bit RGB: alpha on white, deep greys scaled, CMYK and LAB converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from PIL import Image

_PART_PIXELS = 2**19  # worked on at a time: what is needed beside the picture and the result stays small
_DEEP = ("I", "F")  # first letters of the modes with more than 8 bits a pixel
_CEILINGS = (1.0, 255.0, 65535.0)

Convert = Callable[[Image.Image], np.ndarray]


def to_rgb(image: Image.Image, bits: int) -> np.ndarray:
    """[H, W, 3] uint8 of a loaded picture. bits: per channel, as the file has them.

    16-bit values are scaled by 255/65535. Floats and 32-bit integers have no agreed white: it is the smallest of 1, 255
    and 65535 that no value exceeds, and where values are negative or larger, lowest to highest is black to white.
    """
    out = np.empty((image.height, image.width, 3), np.uint8)
    convert = _converter(image, bits)
    for top, left, part in _parts(image):
        out[top : top + part.height, left : left + part.width] = convert(part)
    return out


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo a camera's rotation: EXIF orientation 1 to 8, first the mirror, then quarter turns."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    quarters = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _parts(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    """Top, left and picture of parts, strips as a rule, that hold about `_PART_PIXELS`."""
    if image.width * image.height <= _PART_PIXELS:
        yield 0, 0, image
        return
    columns = min(image.width, _PART_PIXELS)
    rows = _PART_PIXELS // columns
    for top in range(0, image.height, rows):
        for left in range(0, image.width, columns):
            right, bottom = min(left + columns, image.width), min(top + rows, image.height)
            yield top, left, image.crop((left, top, right, bottom))


def _converter(image: Image.Image, bits: int) -> Convert:
    clear = _transparent_value(image, bits)
    if image.mode.startswith(_DEEP):
        fixed = image.mode.startswith("I;16") or (image.format in ("PNG", "PPM"))
        low, high = (0.0, 2.0**bits - 1) if fixed else _range(image)
        return partial(_grey, low=low, high=high, clear=clear)
    if image.has_transparency_data:
        return partial(_on_white, clear=clear)
    return lambda part: np.asarray(part if part.mode == "RGB" else part.convert("RGB"))


def _grey(part: Image.Image, low: float, high: float, clear: object) -> np.ndarray:
    values = np.asarray(part).astype(np.float64)
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255 / (high - low))
    if isinstance(clear, int):
        scaled[values == clear] = 255
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)[..., None]


def _range(image: Image.Image) -> tuple[float, float]:
    """Which values are black and white."""
    low, high = np.inf, -np.inf
    for _, _, part in _parts(image):
        values = np.asarray(part)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low >= 0:
        return 0.0, next((ceiling for ceiling in _CEILINGS if high <= ceiling), high)
    return low, high if high > low else low + 1


def _on_white(part: Image.Image, clear: object) -> np.ndarray:
    if clear is not None:
        part.info["transparency"] = clear
    if part.mode == "La":
        part = part.convert("LA")
    coloured = part.convert("RGBA")
    paper = Image.new("RGB", part.size, "white")
    paper.paste(coloured, mask=coloured.getchannel("A"))
    return np.asarray(paper)


def _transparent_value(image: Image.Image, bits: int) -> object:
    """PNG's colour that stands for nothing, in the scale of Pillow's pixels, which is not always the file's."""
    value = image.info.get("transparency")
    if image.mode == "RGB" and bits == 16 and isinstance(value, tuple):
        return tuple(channel >> 8 for channel in value)
    if image.mode in ("1", "L") and bits < 8 and isinstance(value, int):
        return value * 255 // (2**bits - 1)
    return value
