"""Loader workers: processes that make batches in order and hand them over through memory shared since the fork.

Paddle's own loader was tried first: it loses the message of a worker's exception, and waits for ever when a worker is
killed. The executor of the standard library raises in both cases. Anonymous shared memory is not limited by /dev/shm.
"""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

import numpy as np

from ..errors import TrainingError
from .dataset import Batch, Dataset, Key, Sample
from .pool import kill_workers

PREFETCH = 2  # batches in the making per worker
_PR_SET_PDEATHSIG = 1

Shapes = tuple[tuple[tuple[int, ...], str], ...]


class _Worker:
    """What a worker process knows; set once, right after the fork."""

    dataset: Dataset
    collate: Callable[[Sequence[Sample]], Batch]
    slots: Sequence[mmap.mmap]


def batches_from_workers(
    dataset: Dataset,
    order: Iterator[list[Key]],
    collate: Callable[[Sequence[Sample]], Batch],
    workers: int,
    batch_bytes: int,
) -> Iterator[Batch]:
    """Batches in the given order. batch_bytes: what the largest of them takes.

    Raises what a worker raised, and TrainingError when one was killed.
    """
    slots = [mmap.mmap(-1, batch_bytes) for _ in range(workers * PREFETCH)]
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), initializer=_start, initargs=(dataset, collate, slots)
    )
    free, pending = deque(range(len(slots))), deque[tuple[int, Future[Shapes]]]()
    try:
        for keys in islice(order, len(slots)):
            slot = free.popleft()
            pending.append((slot, pool.submit(_make, keys, slot)))
        while pending:
            slot, future = pending.popleft()
            batch = Batch(*(part.copy() for part in _views(slots[slot], future.result())))
            for keys in islice(order, 1):
                pending.append((slot, pool.submit(_make, keys, slot)))
            yield batch
    except BrokenProcessPool:
        kill_workers()
        raise TrainingError(
            "a loader worker was killed, perhaps because memory ran out; try fewer data.workers"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(dataset: Dataset, collate: Callable[[Sequence[Sample]], Batch], slots: Sequence[mmap.mmap]) -> None:
    import cv2

    cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent finishes its step and then ends its workers
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # no orphans, whatever kills the parent
    _Worker.dataset, _Worker.collate, _Worker.slots = dataset, staticmethod(collate), slots


def _make(keys: list[Key], slot: int) -> Shapes:
    """In a worker: one batch, written into its slot."""
    batch = _Worker.collate([_Worker.dataset[key] for key in keys])
    shapes = tuple((part.shape, part.dtype.str) for part in batch)
    for view, part in zip(_views(_Worker.slots[slot], shapes), batch, strict=True):
        view[...] = part
    return shapes


def _views(slot: mmap.mmap, shapes: Shapes) -> Iterator[np.ndarray]:
    """The arrays of a batch, one behind the other in the slot."""
    offset = 0
    for shape, dtype in shapes:
        view = np.frombuffer(slot, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)
        offset += -(-view.nbytes // 8) * 8
        yield view
