"""Photographs of strangers: read in a process of its own, which has little memory and little time, and may die."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

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
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def read(self, path: Path) -> Photo:
        """Raises ImageError with the reason where the file is no photograph, or too much of one."""
        with self._lock:
            pipe = self._pipe or self._start()
            try:
                pipe.send(path)
                answered = pipe.poll(self._seconds)
                answer = pipe.recv() if answered else ImageError(path.name, f"takes over {self._seconds:g} s to read")
            except (OSError, EOFError):
                answered, answer = False, ImageError(path.name, "the program that read it died of it")
            if not answered:
                self._stop()
        if isinstance(answer, ImageError):
            raise answer
        return cast(Photo, answer)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._preprocess, self._megabytes), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is ready: the time to start is not the photograph's
        return self._pipe

    def _stop(self) -> None:
        if self._process and self._pipe:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
        self._process = self._pipe = None


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


def _work(pipe: Connection, preprocess: Preprocess, megabytes: int) -> None:
    """The process: paths come, photographs or reasons go, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    cv2.setNumThreads(0)
    _limit_memory(megabytes)
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            path = pipe.recv()
            try:
                pipe.send(read_photo(path, preprocess))
            except ImageError as error:
                pipe.send(error)


def _limit_memory(megabytes: int) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():
        taken = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + megabytes * 2**20,) * 2)
