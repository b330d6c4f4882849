"""A small sigmoid network in float64 under a squared error, as Paddle layers and as a function of one flat vector."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import paddle

from ..errors import UserError

Array = np.ndarray


class SmallNetwork(paddle.nn.Layer):
    """Fully connected layers of the given widths, a sigmoid after each."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = pairwise(widths)
        self.layers = paddle.nn.LayerList([paddle.nn.Linear(into, out) for into, out in pairs])
        self.to(dtype="float64")

    def forward(self, inputs: paddle.Tensor) -> paddle.Tensor:
        """[N, widths[0]] -> [N, widths[-1]], between 0 and 1."""
        return self.trace(inputs)[-1][1]

    def trace(self, inputs: paddle.Tensor) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
        """Every layer's sum and its sigmoid, in order."""
        steps, signal = [], inputs
        for layer in self.layers:
            total = layer(signal)
            signal = paddle.nn.functional.sigmoid(total)
            steps.append((total, signal))
        return steps

    def flat(self) -> Array:
        """All weights and biases in one vector, in the order of `parameters()`."""
        return np.concatenate([parameter.numpy().ravel() for parameter in self.parameters()])

    def load_flat(self, vector: Array) -> None:
        """The reverse of `flat`."""
        start = 0
        for parameter in self.parameters():
            end = start + parameter.size
            parameter.set_value(vector[start:end].reshape(parameter.shape))
            start = end
        if start != len(vector):
            raise ValueError(f"a network of {start} weights cannot hold {len(vector)}")


def half_squared_error(outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
    """Mean over the rows of half the sum of squared differences."""
    return (outputs - targets).square().sum(axis=1).mean() / 2


class Objective:
    """The error of a network on fixed data, as what a minimiser of a flat vector asks for.

    loss == half the sum of squared residuals. `gradients` counts the gradients and Jacobians asked for.
    """

    def __init__(self, network: SmallNetwork, inputs: Array, targets: Array) -> None:
        self.network = network
        self.inputs, self.targets = paddle.to_tensor(inputs), paddle.to_tensor(targets)
        self.gradients = 0

    def error(self) -> paddle.Tensor:
        """Of the weights that the network has now; can be derived."""
        return half_squared_error(self.network(self.inputs), self.targets)

    def loss(self, vector: Array) -> float:
        self.network.load_flat(vector)
        with paddle.no_grad():
            return float(self.error())

    def gradient(self, vector: Array) -> Array:
        self.gradients += 1
        self.network.load_flat(vector)
        parts = paddle.grad(self.error(), self.network.parameters())
        return np.concatenate([part.numpy().ravel() for part in parts])

    def residuals(self, vector: Array) -> Array:
        """[N * outputs]: the differences divided by sqrt(N)."""
        self.network.load_flat(vector)
        with paddle.no_grad():
            difference = self.network(self.inputs) - self.targets
        return difference.numpy().ravel() / np.sqrt(len(self.targets))

    def jacobian(self, vector: Array) -> Array:
        """[N * outputs, weights]: derivatives of the residuals, one backward pass per output for all rows at once.

        A layer's weights act on row n through its sum alone: d residual / d W = signal * d residual / d sum.
        """
        self.gradients += 1
        self.network.load_flat(vector)
        trace = self.network.trace(self.inputs)
        signals = [self.inputs.numpy()] + [signal.numpy() for _, signal in trace[:-1]]
        sums, outputs = [total for total, _ in trace], trace[-1][1]
        rows = []
        for column in range(outputs.shape[1]):
            slopes = paddle.grad(outputs[:, column].sum(), sums, retain_graph=True)
            rows.append(_weight_slopes(signals, [slope.numpy() for slope in slopes]))
        return np.stack(rows, axis=1).reshape(-1, len(vector)) / np.sqrt(len(self.targets))

    def accuracy(self, vector: Array) -> float:
        """Share of rows whose largest output is the target's."""
        self.network.load_flat(vector)
        with paddle.no_grad():
            right = self.network(self.inputs).argmax(axis=1) == self.targets.argmax(axis=1)
        return float(right.numpy().mean())


def _weight_slopes(signals: list[Array], slopes: list[Array]) -> Array:
    """[N, weights] from what goes into each layer and the slope at its sum, in the order of `parameters()`."""
    parts = []
    for signal, slope in zip(signals, slopes, strict=True):
        parts += [np.einsum("ni,no->nio", signal, slope).reshape(len(slope), -1), slope]
    return np.concatenate(parts, axis=1)


def iris() -> tuple[Array, Array]:
    """Fisher's Iris data from scikit-learn: standardised features [150, 4] and one-hot species [150, 3]."""
    try:
        from sklearn.datasets import load_iris
    except ImportError:
        raise UserError("the Iris data come with scikit-learn: pip install scikit-learn") from None
    data = load_iris()
    return (data.data - data.data.mean(0)) / data.data.std(0), np.eye(3)[data.target]


def start(widths: Sequence[int], seed: int) -> Array:
    """Flat starting point: Glorot's uniform weights, biases zero."""
    rng = np.random.default_rng(seed)
    parts = []
    for into, out in pairwise(widths):
        bound = np.sqrt(6 / (into + out))
        parts += [rng.uniform(-bound, bound, into * out), np.zeros(out)]
    return np.concatenate(parts)
