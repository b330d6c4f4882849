"""The only decoder, and `Preprocess`: what happens to every picture in training, evaluation and prediction alike.

Rules: content decides on the format, not the suffix; EXIF rotation is applied, other metadata and colour profiles are
not; alpha lies on white; of an animation the first frame counts; a file that is cut off, damaged or larger than
`MAX_PIXELS` is refused. Pillow decodes; OpenCV would turn a cut-off JPEG into a half grey picture without a word.
"""

from __future__ import annotations

import logging
import math
import stat
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ..errors import UserError
from .container import Container, Refused, examine, webp_size
from .pixels import to_rgb, upright

MAX_PIXELS = 64_000_000
MAX_BYTES = 200_000_000  # of a file: 64 megapixels of plain RGB
MAX_SIZE = 8192  # of a preprocessed picture's side
_MAX_PASSES = 12 * MAX_PIXELS  # pixels times scans of a progressive JPEG: a file of empty scans takes minutes
_MAX_WEBP_PIXELS = 48_000_000  # its decoder keeps four copies
_MAX_PYTHON_PIXELS = 1_000_000  # Pillow decodes run-length BMP in Python

_SUFFIXES = {
    BmpImagePlugin.BmpImageFile.format: (".bmp", ".dib"),
    GifImagePlugin.GifImageFile.format: (".gif",),
    JpegImagePlugin.JpegImageFile.format: (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    PngImagePlugin.PngImageFile.format: (".png", ".apng"),
    PpmImagePlugin.PpmImageFile.format: (".ppm", ".pgm", ".pbm", ".pnm"),
    TiffImagePlugin.TiffImageFile.format: (".tif", ".tiff"),
    WebPImagePlugin.WebPImageFile.format: (".webp",),
}
# what Pillow's Python and C parts were seen to raise, or may raise by their source, on damaged files
_FAILURES = (
    *(OSError, EOFError, MemoryError, ArithmeticError, LookupError, AttributeError, ImportError, AssertionError),
    *(SyntaxError, TypeError, ValueError, RuntimeError, Warning, struct.error, zlib.error, ImageCms.PyCMSError),
)

log = logging.getLogger("monkeys")

Fit = Literal["squash", "crop"]


class ImageError(UserError):
    """A file cannot be used as a picture. path: which; reason: why, in words."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it comes through a pickle from a worker process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path if self.path.isprintable() else repr(self.path)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is worth knowing of a file beside its pixels. width, height: as decoded, after rotation.

    mode: Pillow's name. bits: per channel. animated: more frames (or pages) than the first, which is the one decoded.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    alpha: bool
    exif_rotated: bool
    animated: bool
    has_suffix: bool
    suffix_matches: bool


def decode(source: Path | bytes, name: str = "") -> np.ndarray:
    """[H, W, 3] uint8 RGB of a file or its bytes; raises ImageError. name: what messages call it."""
    pixels, info = decode_with_info(source, name)
    if info.animated:
        _warn_animated(name or _name(source))
    return pixels


def decode_with_info(source: Path | bytes, name: str = "") -> tuple[np.ndarray, ImageInfo]:
    """As `decode`, with the facts that an audit reports, and without a warning."""
    name = name or _name(source)
    data = read_file(source) if isinstance(source, Path) else source
    try:
        return _decode(examine(data), PurePath(name).suffix.lower())
    except Refused as refused:
        raise ImageError(name, str(refused)) from None
    except Image.DecompressionBombError:
        raise ImageError(name, f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError as error:
        raise ImageError(name, "damaged: its header cannot be read") from error
    except MemoryError as error:
        raise ImageError(name, "not enough memory to decode it") from error
    except _FAILURES as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(name, f"damaged or of a kind that is not supported ({said})") from error


def read_file(path: Path) -> bytes:
    """A file's bytes; raises ImageError where it is missing, too large, or no regular file (a pipe would block)."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(str(path), "not a regular file")
        if status.st_size > MAX_BYTES:
            raise ImageError(str(path), f"larger than {MAX_BYTES // 10**6} MB")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ImageError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _decode(container: Container, suffix: str) -> tuple[np.ndarray, ImageInfo]:
    if container.format == "WEBP":
        _check_pixels(*webp_size(container.data), most=_MAX_WEBP_PIXELS)
    with Image.open(BytesIO(container.data), formats=[container.format]) as image:
        _check_pixels(image.width, image.height, passes=container.passes)
        if any(tile[0] in Image.DECODERS for tile in image.tile) and math.prod(image.size) > _MAX_PYTHON_PIXELS:
            raise Refused("too large for its rare way of compression; convert it to JPEG or PNG")
        mode, bits = image.mode, _bits(image, container.data)
        animated = container.animated or bool(getattr(image, "is_animated", False))
        image.load()
        pixels, alpha = to_rgb(image, bits), image.has_transparency_data
    if container.format != "TIFF":  # Pillow has turned it already
        pixels = upright(pixels, container.orientation)
    height, width = pixels.shape[:2]
    matches, turned = suffix in _SUFFIXES[container.format], container.orientation != 1
    return pixels, ImageInfo(
        container.format, mode, bits, width, height, alpha, turned, animated, bool(suffix), matches
    )


def _check_pixels(width: int, height: int, passes: int = 1, most: int = MAX_PIXELS) -> None:
    if width < 1 or height < 1:
        raise Refused("it has no pixels")
    if width * height > most:
        raise Refused(f"{width}×{height} is more than {most // 10**6} megapixels")
    if width * height * passes > _MAX_PASSES:
        raise Refused(f"{passes} scans of {width}×{height} pixels take too long")


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel as the file has them, where Pillow's mode does not tell."""
    if image.format == "PNG":
        return data[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(258, (1,)))
    return 1 if image.mode == "1" else 16 if image.mode.startswith("I") else 8


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "<bytes>"


@lru_cache(maxsize=4096)
def _warn_animated(name: str) -> None:
    """Once per file and process."""
    log.warning("%s has several frames: the first is used", name)


@dataclass(frozen=True)
class Preprocess:
    """From pixels to what a network takes; saved with the weights.

    size: side in pixels. mean, std: of x/255, per channel. fit: squash the whole picture, or crop its largest centred
    square. Shrinking averages areas, enlarging interpolates linearly (nothing overshoots), each axis by itself.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    fit: Fit = "squash"

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= MAX_SIZE:
            raise UserError(f"preprocess: size must be a whole number from 1 to {MAX_SIZE}, not {self.size!r}")
        if self.fit not in get_args(Fit):
            raise UserError(f"preprocess: fit must be one of {', '.join(get_args(Fit))}, not {self.fit!r}")
        if not _three_numbers(self.mean) or not _three_numbers(self.std) or min(self.std) <= 0:
            raise UserError(f"preprocess: mean and std must be three numbers, std above 0: {self.mean!r}, {self.std!r}")

    def resize(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] to [S, S, 3], both uint8."""
        height, width = image.shape[:2]
        if self.fit == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            image = image[top : top + side, left : left + side]
        shrunk = (min(image.shape[1], self.size), min(image.shape[0], self.size))
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
        return cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LINEAR)

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """[N, S, S, 3] uint8 to [N, 3, S, S] float32, (x/255 - mean) / std."""
        out = np.empty((images.shape[0], 3, *images.shape[1:3]), np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            np.multiply(images[..., channel], np.float32(1 / (255 * std)), out=out[:, channel])
            out[:, channel] -= np.float32(mean / std)
        return out

    def __call__(self, source: Path | bytes) -> np.ndarray:
        """[3, S, S] float32 of a file or its bytes; raises ImageError."""
        return self.normalise(self.resize(decode(source))[None])[0]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Preprocess:
        """The reverse of `to_dict`; UserError where a value is missing, unknown or wrong."""
        names = {field.name for field in fields(Preprocess)}
        if not isinstance(values, Mapping) or set(values) != names:
            raise UserError(f"preprocess: expected {sorted(names)}, found {values!r:.200}")
        given: dict[str, Any] = {n: tuple(item) if isinstance(item, list) else item for n, item in values.items()}
        return Preprocess(**given)


def _three_numbers(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(type(value) in (int, float) and math.isfinite(value) for value in values)
    )
