"""Parts that several networks share: convolutions, stochastic depth, initialisation by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import paddle
from paddle import nn
from paddle.nn import initializer

from ..errors import UserError

SMALL_MAP = {1: 49, 3: 16}  # kernel -> pixels of output up to which one product is faster (measured with 2 cores)


class Conv2D(nn.Conv2D):
    """Paddle's convolution; on a CPU, where the map it makes is small, one matrix product over the whole batch.

    Paddle multiplies image by image there: with 4 or 16 pixels per image the weights are read far more often than
    used. Square kernels, no dilation. The sums are the same up to their order.
    """

    def __init__(
        self, channels: int, filters: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1, **attrs: Any
    ) -> None:
        super().__init__(channels, filters, kernel, stride=stride, padding=padding, groups=groups, **attrs)
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.small = SMALL_MAP.get(kernel, 0) if groups == 1 else 0

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.small and paddle.in_dynamic_mode() and x.place.is_cpu_place():
            height, width = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in x.shape[2:])
            if height * width <= self.small:
                return self._product(x, height, width)
        return super().forward(x)

    def _product(self, x: paddle.Tensor, height: int, width: int) -> paddle.Tensor:
        """[filters, taps] times [taps, images and pixels]."""
        columns = nn.functional.unfold(x, self.kernel, self.stride, self.padding)
        columns = columns.transpose([1, 0, 2]).reshape([columns.shape[1], -1])
        made = paddle.matmul(self.weight.reshape([self.weight.shape[0], -1]), columns)
        made = made.reshape([-1, x.shape[0], height, width]).transpose([1, 0, 2, 3])
        return made if self.bias is None else made + self.bias.reshape([1, -1, 1, 1])


def relu(x: paddle.Tensor) -> paddle.Tensor:
    """In place while training, which saves memory: what it replaces is needed by nobody. Exports know no such thing."""
    return nn.functional.relu_(x) if paddle.in_dynamic_mode() else nn.functional.relu(x)


def conv(channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> Conv2D:
    """Convolution that keeps the size at stride 1; no bias, since batch norm follows; weights He normal."""
    return Conv2D(
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
