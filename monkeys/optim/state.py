"""Optimizer state that exists from the start, so that a checkpoint holds all of it under names that do not change."""

from __future__ import annotations

import paddle


def create_state(optimizer: paddle.optimizer.Optimizer, parameters: list[paddle.Tensor]) -> None:
    """Make the accumulators now; Paddle would at the first step, under names that depend on what was built before."""
    block = paddle.static.default_main_program().global_block()
    optimizer._create_accumulators(block, parameters)
