"""One process or many: the loop talks to a `Group`, which for one process does nothing."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn


@dataclass(frozen=True)
class Group:
    """The only process of a run."""

    rank: int = 0
    size: int = 1

    def wrap(self, model: nn.Layer) -> nn.Layer:
        return model

    def no_sync(self, model: nn.Layer) -> Any:
        return contextlib.nullcontext()

    def sum(self, values: np.ndarray) -> np.ndarray:
        return values

    def any(self, value: int) -> int:
        return value

    def share_buffers(self, model: nn.Layer) -> None:
        """Give every rank the batch-norm statistics of rank 0."""

    def barrier(self) -> None: ...


class ManyProcesses(Group):
    """Ranks under `paddle.distributed.launch`: gradients averaged by DataParallel, figures summed."""

    def wrap(self, model: nn.Layer) -> nn.Layer:
        return paddle.DataParallel(model)

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

    def share_buffers(self, model: nn.Layer) -> None:
        for buffer in model.buffers():
            paddle.distributed.broadcast(buffer, src=0)

    def barrier(self) -> None:
        paddle.distributed.barrier()


def join_group() -> Group:
    """The group of this process, as the launcher's variables describe it."""
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) < 2:
        return Group()
    paddle.distributed.init_parallel_env()
    return ManyProcesses(paddle.distributed.get_rank(), paddle.distributed.get_world_size())
