"""Optimizer state that exists from the start, so that a checkpoint holds all of it under names that do not change."""

from __future__ import annotations

import paddle
from paddle.base.layer_helper import LayerHelper


def create_state(optimizer: paddle.optimizer.Optimizer, parameters: list[paddle.Tensor]) -> None:
    """Make the accumulators now, each named after its parameter and nothing else (`linear_0.w_0_moment1_0`).

    Paddle would at the first step, numbered by how many of that name the process has seen; what a second model
    saved would then not load.
    """
    if optimizer.helper is None:  # Paddle 2.6 makes it at the first step only
        optimizer.helper = LayerHelper(type(optimizer).__name__)
    with paddle.utils.unique_name.guard():
        optimizer._create_accumulators(paddle.static.default_main_program().global_block(), parameters)
