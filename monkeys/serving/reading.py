"""Photographs of strangers: read in a process of its own, which has little memory and little time, and may die."""

from __future__ import annotations

import multiprocessing
import resource
import threading
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import cv2
import numpy as np

from ..data.image import ImageError, Preprocess, decode_with_info, read_file

MAX_BYTES = 20_000_000
SECONDS, MEGABYTES = 10.0, 1000
SHOWN = 640  # longest side of the picture that is shown, in pixels


@dataclass(frozen=True)
class Photo:
    """input: [S, S, 3] uint8, as the network takes it. shown: the same part of the picture in its own shape, small."""

    input: np.ndarray
    shown: np.ndarray


class Reader:
    """Reads one file at a time; more than `seconds` or `megabytes` for it are refused."""

    def __init__(self, preprocess: Preprocess, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> None:
        self._preprocess, self._seconds, self._megabytes = preprocess, seconds, megabytes
        self._lock = threading.Lock()
        self._pool: Pool | None = None

    def read(self, path: Path) -> Photo:
        """Raises ImageError with the reason where the file is no photograph, or too much of one."""
        with self._lock:
            self._pool = self._pool or self._start()
            try:
                return self._pool.apply_async(read_photo, (path, self._preprocess)).get(self._seconds)
            except multiprocessing.TimeoutError:
                self._stop()
                raise ImageError(path.name, f"takes more than {self._seconds:g} seconds to read") from None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _start(self) -> Pool:
        pool = multiprocessing.get_context("spawn").Pool(1, _limit_memory, (self._megabytes,))
        pool.apply(_ready)  # the time to start is not the photograph's
        return pool

    def _stop(self) -> None:
        if self._pool:
            self._pool.terminate()
            self._pool.join()
            self._pool = None


def read_photo(path: Path, preprocess: Preprocess) -> Photo:
    """Decode and shrink a file; raises ImageError."""
    if path.exists() and path.stat().st_size > MAX_BYTES:
        raise ImageError(path.name, f"larger than {MAX_BYTES // 10**6} MB")
    pixels, _ = decode_with_info(read_file(path), path.name)
    height, width = pixels.shape[:2]
    if preprocess.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
        height = width = side
    scale = SHOWN / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Photo(preprocess.resize(pixels), cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _limit_memory(megabytes: int) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():
        taken = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + megabytes * 2**20,) * 2)


def _ready() -> None:
    """Nothing; answered once the process has imported what it needs."""
