"""Size and cost of a network, counted on the network itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import paddle
from paddle import nn

from .layers import fan_in


def count_parameters(model: nn.Layer) -> int:
    """Values that training moves; the running statistics of batch norm are not among them."""
    return sum(math.prod(parameter.shape) for parameter in model.parameters() if not parameter.stop_gradient)


def count_multiply_adds(model: nn.Layer, size: int) -> int:
    """Multiply-adds of all convolutions and linear layers for one [3, size, size] picture in eval mode.

    A multiplication with its addition counts once; norms, activations, pools, biases and auxiliary heads that
    evaluation skips count nothing. The model's mode is put back afterwards.
    """
    counts: list[int] = []
    counted = [layer for layer in model.sublayers() if isinstance(layer, (nn.Conv2D, nn.Linear))]
    hooks = [layer.register_forward_post_hook(_counter(counts)) for layer in counted]
    training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            model(paddle.zeros([1, 3, size, size]))
    finally:
        model.train() if training else model.eval()
        for hook in hooks:
            hook.remove()
    return sum(counts)


def _counter(counts: list[int]) -> Callable[[nn.Layer, object, paddle.Tensor], None]:
    def count(layer: nn.Layer, inputs: object, output: paddle.Tensor) -> None:
        counts.append(math.prod(output.shape) * fan_in(layer))

    return count
