"""One look at every file: readable or why not, what is odd, size, digest and signature.

A file is decoded once. Later looks trust its size and times; where these have changed it is read again, and decoded
again only if its bytes have changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from ..progress import progress
from .image import MAX_BYTES, ImageError, ImageInfo, decode_with_info, read_file
from .pool import in_processes
from .records import Record, Stamp, Store
from .signatures import SIDE, cells, grey, is_plain

ODD = {
    "wrong-suffix": "the name says another format",
    "no-suffix": "the name has no suffix",
    "greyscale": "no colour",
    "cmyk": "colours of print",
    "alpha": "partly transparent; laid on white",
    "16-bit": "more than 8 bits per channel; scaled down",
    "rotated": "EXIF rotation; applied",
    "animated": "several frames; the first one counts",
    "aspect": "longer side more than 4 times the shorter",
    "tiny": "shorter side under 32 pixels",
    "huge": "more than 25 megapixels",
    "plain": "almost no detail: cannot be told from other plain pictures",
}
_CHUNK = 32  # files that are worth a message to another process
_GREY_SPREAD = 8  # levels between channels that compression of a grey picture may leave

Job = tuple[str, str, str]
Found = tuple[Record, np.ndarray]


def signatures_of(
    root: Path, paths: Sequence[str], cache_dir: Path, workers: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """[N, 24, 24] float16 of files below a folder, and their SHA-256, from the cache where it holds them.

    Zero and empty where a file is not there or cannot be read.
    """
    place = Store.path(root, cache_dir)
    store = Store.load(place)
    if examine(root, paths, store, workers):
        store.save(place)
    signatures = np.stack([store.signatures[path] for path in paths])
    return signatures, tuple(store.records[path].digest for path in paths)


def examine(root: Path, paths: Sequence[str], store: Store, workers: int) -> bool:
    """Bring the store's records of these files up to date; True where anything had changed.

    Each new or changed file is read and decoded once, in `workers` processes.
    """
    stamps = {path: _stamp(root / path) for path in paths}
    jobs = []
    for path, stamp in stamps.items():
        known = store.records.get(path)
        if known is None or stamp is None or known.stamp != stamp:
            jobs.append((str(root), path, known.digest if known else ""))
    for path, found in zip((job[1] for job in jobs), _look_at_all(jobs, workers), strict=True):
        if found is None:
            store.records[path] = replace(store.records[path], stamp=stamps[path])
        else:
            record, store.signatures[path] = found
            # without a digest nothing was read, which may be another matter the next time
            store.records[path] = replace(record, stamp=stamps[path] if record.digest else None)
    return bool(jobs)


def _look_at_all(jobs: Sequence[Job], workers: int) -> Iterator[Found | None]:
    step = max(_CHUNK, -(-len(jobs) // (64 * workers)))
    chunks = [(jobs[first : first + step],) for first in range(0, len(jobs), step)]
    found = chain.from_iterable(in_processes(_look_at_each, chunks, min(workers, len(chunks))))
    return iter(progress(found, total=len(jobs), desc="reading pictures", unit="file"))


def _look_at_each(jobs: Sequence[Job]) -> list[Found | None]:
    return [look_at(job) for job in jobs]


def look_at(job: Job) -> Found | None:
    """Read and decode one file (root, path, digest when last seen); None where its bytes are still the same."""
    root, path, known = job
    nothing = np.zeros((SIDE, SIDE), np.float16)
    try:
        data = read_file(Path(root, path))
    except ImageError as error:
        return Record(path, _size(Path(root, path)), "", error.reason), nothing
    digest = hashlib.sha256(data).hexdigest()
    if digest == known:
        return None
    try:
        pixels, info = decode_with_info(data, path)
    except ImageError as error:
        short_of_memory = isinstance(error.__cause__, MemoryError)  # says nothing of the file
        return Record(path, len(data), "" if short_of_memory else digest, error.reason), nothing
    means = cells(pixels)
    signature = grey(means)
    red, green, blue = (round(float(value) / 255, 6) for value in means.mean(axis=(0, 1)))
    odd = tuple(_odd(path, info, pixels, signature))
    record = Record(
        *(path, len(data), digest, "", odd, info.width, info.height, info.format, info.mode), colour=(red, green, blue)
    )
    return record, signature


def _odd(path: str, info: ImageInfo, pixels: np.ndarray, signature: np.ndarray) -> Iterator[tuple[str, str]]:
    """Kinds of `ODD` with a few words on each."""
    short, long = sorted((info.width, info.height))
    size = f"{info.width}×{info.height}"
    suffix = Path(path).suffix
    checks = (
        ("no-suffix", not info.has_suffix, f"no suffix; the content is {info.format}"),
        (
            "wrong-suffix",
            info.has_suffix and not info.suffix_matches,
            f"suffix {suffix}, but the content is {info.format}",
        ),
        ("greyscale", _is_grey(info, pixels), f"greyscale (mode {info.mode})"),
        ("cmyk", info.mode == "CMYK", "CMYK colours"),
        ("alpha", info.alpha, "has an alpha channel; laid on white"),
        ("16-bit", info.bits > 8, f"{info.bits} bits per channel; scaled to 8"),
        ("rotated", info.exif_rotated, "EXIF rotation; applied"),
        ("animated", info.animated, "several frames; the first one is used"),
        ("aspect", long > 4 * short, f"extreme aspect, {size}"),
        ("tiny", short < 32, f"tiny, {size}"),
        ("huge", info.width * info.height > 25_000_000, f"huge, {size}"),
        ("plain", bool(is_plain(signature[None])[0]), "almost no detail; compared by its bytes alone"),
    )
    return ((kind, text) for kind, applies, text in checks if applies)


def _is_grey(info: ImageInfo, pixels: np.ndarray) -> bool:
    """By mode, or by channels that are equal but for traces of compression, on a grid of about 256 points a side."""
    if info.mode in ("1", "L", "LA", "La", "F") or info.mode.startswith("I"):
        return True
    step = max(1, max(pixels.shape[:2]) // 256)
    red, green, blue = (pixels[::step, ::step, channel].astype(np.int16) for channel in range(3))
    return max(int(np.abs(red - green).max()), int(np.abs(green - blue).max())) <= _GREY_SPREAD


def _stamp(path: Path) -> Stamp | None:
    """By what a change shows without reading; None where there is no file that could be read."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status.st_size <= MAX_BYTES else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
