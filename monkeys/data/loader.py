"""The order of samples, and their way to the network: made in this process, or by loader workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .dataset import Batch, Dataset, Key, Sample
from .workers import batches_from_workers

_SHUFFLE = 3  # a stream of random numbers of its own, beside those of dataset.py


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
    batch_bytes: int = 0,
) -> Iterator[Batch]:
    """Batches in the given order; the same bits whatever the number of workers.

    batch_bytes: what the largest batch takes; only workers need it.
    """
    if workers:
        return batches_from_workers(dataset, order, collate, workers, batch_bytes)
    return (collate([dataset[key] for key in keys]) for keys in order)
