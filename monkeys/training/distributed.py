"""One process or many: the loop talks to a `Group`, which for one process does nothing."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ..errors import TrainingError

_POLL_SECONDS = 0.003


@dataclass(frozen=True)
class Group:
    """The only process of a run."""

    rank: int = 0
    size: int = 1

    def wrap(self, model: nn.Layer) -> nn.Layer:
        """The network whose backward pass averages gradients over the ranks."""
        return model

    def no_sync(self, model: nn.Layer) -> Any:
        """Within this context a backward pass of the wrapped network averages nothing."""
        return contextlib.nullcontext()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sums over the ranks, of the shape given."""
        return values

    def any(self, value: int) -> int:
        """The largest value of any rank."""
        return value

    def share_statistics(self, model: nn.Layer) -> None:
        """Give every rank the batch-norm statistics of rank 0."""

    def barrier(self) -> None:
        """Wait for all ranks."""


@dataclass(frozen=True)
class ManyProcesses(Group):
    """Ranks under `paddle.distributed.launch`: gradients averaged by DataParallel, figures summed.

    store: what the ranks found each other by; rank 0 holds it. wrapped: all wrappers ever made, because the hooks that
    one leaves on the parameters use it after another has taken its place.
    """

    store: Any = None
    wrapped: list[nn.Layer] = field(default_factory=list)

    def wrap(self, model: nn.Layer) -> nn.Layer:
        self.wrapped.append(paddle.DataParallel(model))
        return self.wrapped[-1]

    def no_sync(self, model: nn.Layer) -> Any:
        return model.no_sync()

    def sum(self, values: np.ndarray) -> np.ndarray:
        tensor = paddle.to_tensor(values)
        paddle.distributed.all_reduce(tensor)
        return tensor.numpy()

    def any(self, value: int) -> int:
        """The largest value of any rank: who was told to stop tells all."""
        tensor = paddle.to_tensor([value], dtype="int64")
        paddle.distributed.all_reduce(tensor, op=paddle.distributed.ReduceOp.MAX)
        return int(tensor)

    def share_statistics(self, model: nn.Layer) -> None:
        for value in model.state_dict().values():
            if value.stop_gradient:  # batch-norm statistics are parameters without a gradient, not buffers
                paddle.distributed.broadcast(value, src=0)

    def barrier(self) -> None:
        """Wait for all ranks, however long they take: Paddle's own barrier gives up after half a minute on gloo."""
        with _signals_blocked():
            self._meet()

    def _meet(self) -> None:
        try:
            everyone = -(-self.store.add("monkeys/arrived", 1) // self.size) * self.size
            self._until("monkeys/arrived", everyone)
            self.store.add("monkeys/left", 1)
            if self.rank == 0:  # it takes the store along, so it leaves last
                self._until("monkeys/left", everyone)
        except (RuntimeError, ValueError) as error:  # Paddle says either of a lost connection
            raise TrainingError(f"rank 0 has ended, so rank {self.rank} ends too") from error

    def _until(self, counter: str, count: int) -> None:
        while self.store.add(counter, 0) < count:
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """The store's system calls fail when a signal cuts them, so SIGINT and SIGTERM wait or go to another thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def join_group() -> Group:
    """The group of this process, as the launcher's variables describe it."""
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) < 2:
        return Group()
    with contextlib.redirect_stderr(io.StringIO()):  # Paddle lists the flags that it has set itself
        paddle.distributed.init_parallel_env()
    store = paddle.base.core.create_or_get_global_tcp_store()
    return ManyProcesses(paddle.distributed.get_rank(), paddle.distributed.get_world_size(), store)
