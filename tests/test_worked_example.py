"""The worked numbers of two lectures on back-propagation, through our layers, loss and optimizer, in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from monkeys.optim import build_optimizer
from monkeys.optim.small import SmallNetwork, half_squared_error
from monkeys.training.engine import soft_cross_entropy

NINE_DIGITS = 5e-10


@pytest.fixture
def network() -> SmallNetwork:
    """2-2-2 with sigmoids; Paddle's linear weights are [in, out]."""
    with paddle.utils.unique_name.guard():
        built = SmallNetwork((2, 2, 2))
    hidden = [[0.15, 0.25], [0.20, 0.30]]
    output = [[0.40, 0.50], [0.45, 0.55]]
    built.load_flat(np.concatenate([np.ravel(hidden), [0.35, 0.35], np.ravel(output), [0.60, 0.60]]))
    return built


INPUTS = np.array([[0.05, 0.10]])
TARGETS = np.array([[0.01, 0.99]])


def test_forward(network: SmallNetwork) -> None:
    (_, hidden), (_, output) = network.trace(paddle.to_tensor(INPUTS))
    np.testing.assert_allclose(hidden.numpy(), [[0.593269992, 0.596884378]], rtol=0, atol=NINE_DIGITS)
    np.testing.assert_allclose(output.numpy(), [[0.751365070, 0.772928465]], rtol=0, atol=NINE_DIGITS)


def test_error(network: SmallNetwork) -> None:
    output, targets = network(paddle.to_tensor(INPUTS)), paddle.to_tensor(TARGETS)
    first = half_squared_error(output[:, :1], targets[:, :1])
    second = half_squared_error(output[:, 1:], targets[:, 1:])
    assert float(first) == pytest.approx(0.274811083, rel=0, abs=NINE_DIGITS)
    assert float(second) == pytest.approx(0.023560026, rel=0, abs=NINE_DIGITS)
    assert float(half_squared_error(output, targets)) == pytest.approx(0.298371109, rel=0, abs=NINE_DIGITS)


def test_gradient_and_step(network: SmallNetwork) -> None:
    optimizer = build_optimizer("sgd", network, lr=0.5)
    half_squared_error(network(paddle.to_tensor(INPUTS)), paddle.to_tensor(TARGETS)).backward()
    weight = network.layers[1].weight
    assert float(weight.grad[0, 0]) == pytest.approx(0.082167041, rel=0, abs=NINE_DIGITS)
    optimizer.step()
    assert float(weight[0, 0]) == pytest.approx(0.358916480, rel=0, abs=NINE_DIGITS)


def test_softmax_cross_entropy_gradient() -> None:
    """d loss / d w = h (o - t), also for targets that are no one-hot; the mean over the rows is taken."""
    rng = np.random.default_rng(0)
    hidden, weights = rng.normal(size=(5, 3)), rng.normal(size=(3, 4))
    targets = rng.dirichlet(np.ones(4), size=5)
    layer = paddle.nn.Linear(3, 4)
    layer.to(dtype="float64")
    layer.weight.set_value(weights)
    logits = layer(paddle.to_tensor(hidden))
    soft_cross_entropy(logits, paddle.to_tensor(targets.astype(np.float32))).backward()
    scores = np.exp(hidden @ weights)
    output = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer.weight.grad.numpy(), hidden.T @ (output - targets) / 5, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.bias.grad.numpy(), (output - targets).mean(axis=0), rtol=1e-4, atol=1e-6)


def test_auxiliary_heads_count_three_tenths_each() -> None:
    rng = np.random.default_rng(1)
    heads = [paddle.to_tensor(rng.normal(size=(5, 4)).astype(np.float32)) for _ in range(3)]
    targets = paddle.to_tensor(rng.dirichlet(np.ones(4), size=5).astype(np.float32))
    main, first, second = (float(soft_cross_entropy(head, targets)) for head in heads)
    assert float(soft_cross_entropy(tuple(heads), targets)) == pytest.approx(main + 0.3 * (first + second), rel=1e-5)
