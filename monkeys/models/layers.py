"""Parts that several networks share: convolutions, stochastic depth, initialisation by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import paddle
from paddle import nn
from paddle.nn import initializer

from ..errors import UserError


def conv(channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2D:
    """Convolution that keeps the size at stride 1; no bias, since batch norm follows; weights He normal."""
    return nn.Conv2D(
        channels,
        filters,
        kernel,
        stride=stride,
        padding=(kernel - 1) // 2,
        groups=groups,
        weight_attr=initializer.KaimingNormal(),
        bias_attr=False,
    )


def conv_norm_relu(channels: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(conv(channels, filters, kernel, stride), nn.BatchNorm2D(filters), nn.ReLU())


def linear_head(features: int, num_classes: int) -> nn.Linear:
    """Last layer: weights uniform in ±1/sqrt(features), bias zero."""
    bound = 1 / math.sqrt(features)
    return nn.Linear(features, num_classes, weight_attr=initializer.Uniform(-bound, bound))


class DropPath(nn.Layer):
    """Stochastic depth: zeroes whole samples with the given probability and scales the rest up (arXiv 1603.09382).

    Draws from Paddle's generator, so `paddle.seed` fixes it; the identity in eval mode.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        # Drawn in float32 and cast: half-precision random numbers do not exist on every device.
        kept = paddle.rand([x.shape[0]] + [1] * (x.ndim - 1)) < keep
        return x * kept.astype(x.dtype) / keep


def depth_probabilities(highest: float, blocks: int) -> list[float]:
    """Drop probabilities that rise linearly from 0 at the first block to `highest` at the last."""
    return [highest * index / max(blocks - 1, 1) for index in range(blocks)]


def initialise(model: nn.Layer, name: str) -> None:
    """Redraw every convolution and linear weight and zero their biases; "default" leaves the network's own scheme.

    "he": normal, variance 2/fan_in (arXiv 1502.01852); "glorot": uniform, variance 2/(fan_in + fan_out);
    "uniform": uniform in ±1/sqrt(fan_in). Norm layers are left alone, zero-initialised ones too.
    """
    if name == "default":
        return
    if name not in _INITIALISERS:
        raise UserError(f'model.init: unknown initialisation "{name}"; known: default, {", ".join(_INITIALISERS)}')
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, (nn.Conv2D, nn.Linear)):
            _INITIALISERS[name](layer)(layer.weight)
            if layer.bias is not None:
                initializer.Constant(0.0)(layer.bias)


def fan_in(layer: nn.Conv2D | nn.Linear) -> int:
    """Number of inputs that one output value sums over."""
    shape = layer.weight.shape
    return math.prod(shape[1:]) if isinstance(layer, nn.Conv2D) else shape[0]


def _uniform(layer: nn.Conv2D | nn.Linear) -> initializer.Initializer:
    bound = 1 / math.sqrt(fan_in(layer))
    return initializer.Uniform(-bound, bound)


_INITIALISERS: dict[str, Callable[[nn.Conv2D | nn.Linear], initializer.Initializer]] = {
    "he": lambda layer: initializer.KaimingNormal(),
    "glorot": lambda layer: initializer.XavierUniform(),
    "uniform": _uniform,
}
