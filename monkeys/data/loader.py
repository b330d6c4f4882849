"""Order of samples and their way to the network: in this process, or through Paddle's loader workers."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TrainingError, UserError
from .dataset import Batch, Dataset, Key, Sample

log = logging.getLogger("monkeys")

_SHUFFLE = 3  # a stream of random numbers of its own, beside those of dataset.py
_SHARED_MEMORY_NEEDED = 512 * 2**20


@dataclass(frozen=True)
class TrainOrder:
    """Which samples each micro-batch of a run holds; a pure function of (seed, epoch, step, rank).

    A step is `batch_size` images, cut into `ranks` x `accumulate` equal micro-batches. Each epoch is shuffled anew, and
    images beyond the last whole batch wait for another epoch.
    """

    images: int
    batch_size: int
    seed: int
    accumulate: int = 1
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.batch_size > self.images:
            raise UserError(
                f"train.batch_size {self.batch_size} is larger than the training set ({self.images} images)"
            )
        if self.batch_size % (self.accumulate * self.ranks):
            raise UserError(
                f"train.batch_size {self.batch_size} cannot be shared by {self.ranks} process(es) "
                f"with train.accumulate={self.accumulate}"
            )

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.batch_size

    def micro_batches(self, step: int, last_step: int) -> Iterator[list[Key]]:
        """Keys of this rank's micro-batches from global step `step` up to, not including, `last_step`."""
        micro = self.batch_size // (self.accumulate * self.ranks)
        epoch, order = -1, np.empty(0, np.int64)
        for current in range(step, last_step):
            if current // self.steps_per_epoch != epoch:
                epoch = current // self.steps_per_epoch
                order = np.random.default_rng([self.seed, _SHUFFLE, epoch]).permutation(self.images)
            first = (current % self.steps_per_epoch) * self.batch_size
            for part in range(self.rank, self.accumulate * self.ranks, self.ranks):
                chosen = order[first + part * micro : first + (part + 1) * micro]
                yield [Key(epoch, int(index)) for index in chosen]


def plain_order(images: int, batch_size: int, rank: int = 0, ranks: int = 1) -> Iterator[list[Key]]:
    """Every index once over all ranks, in order; the last batch may be short."""
    for first in range(rank * batch_size, images, ranks * batch_size):
        yield [Key(0, index) for index in range(first, min(first + batch_size, images))]


def load(
    dataset: Dataset,
    order: Iterator[list[Key]],
    collate: Callable[[Sequence[Sample]], Batch],
    workers: int = 0,
    shared_memory: Path = Path("/dev/shm"),
) -> Iterator[Batch]:
    """Batches in the given order; the same bits whatever the number of workers."""
    if workers == 0:
        return (collate([dataset[key] for key in keys]) for keys in order)
    return _through_workers(dataset, order, collate, workers, shared_memory)


def _through_workers(
    dataset: Dataset, order: Iterator[list[Key]], collate: Callable[..., Batch], workers: int, shared_memory: Path
) -> Iterator[Batch]:
    import paddle

    loader = paddle.io.DataLoader(
        dataset,
        batch_sampler=_Listed(order),
        collate_fn=collate,
        num_workers=workers,
        use_shared_memory=_shared_memory_suffices(shared_memory),
        use_buffer_reader=False,
        places=[paddle.CPUPlace()],
        worker_init_fn=_start_worker,
    )
    try:
        for images, targets, labels in loader:
            yield Batch(images.numpy(), targets.numpy(), labels.numpy())
    except UserError as error:  # Paddle wraps a worker's error in its traceback; the last line is ours
        raise UserError(str(error).strip().splitlines()[-1].rpartition("UserError: ")[2]) from None
    except (RuntimeError, SystemError, OSError) as error:
        if "worker" in str(error).lower() or "exit" in str(error).lower():
            raise TrainingError(
                f"a loader worker ended unexpectedly ({_first_line(error)}); try fewer data.workers"
            ) from error
        raise


class _Listed:
    """What Paddle's loader wants of a batch sampler."""

    def __init__(self, order: Iterator[list[Key]]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[list[Key]]:
        return self._order

    def __len__(self) -> int:
        return 2**31  # never asked for by the map-style loader; the order ends by itself


def _start_worker(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork
    os.environ["OMP_NUM_THREADS"] = "1"


def _shared_memory_suffices(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    free = shutil.disk_usage(folder).free
    if free < _SHARED_MEMORY_NEEDED:
        log.warning("%s has only %d MB free: loader workers send their batches through pipes", folder, free // 2**20)
    return free >= _SHARED_MEMORY_NEEDED


def _first_line(error: Any) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
