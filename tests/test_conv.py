"""The product over the batch gives what Paddle's convolution gives, forwards and backwards."""

import numpy as np
import paddle
import pytest
from paddle import nn

from monkeys.models.layers import SMALL_MAP, Conv2D


def both(kernel: int, stride: int, side: int, bias: bool) -> list[list[np.ndarray]]:
    """Output, gradient of input and of weights: ours, and those of the class it stands for."""
    paddle.seed(0)
    attrs = {} if bias else {"bias_attr": False}
    ours = Conv2D(6, 5, kernel, stride=stride, padding=kernel // 2, **attrs)
    theirs = nn.Conv2D(6, 5, kernel, stride=stride, padding=kernel // 2, **attrs)
    theirs.set_state_dict(ours.state_dict())
    found = []
    for layer in (ours, theirs):
        x = paddle.to_tensor(np.random.default_rng(1).normal(size=(3, 6, side, side)).astype(np.float32))
        x.stop_gradient = False
        made = layer(x)
        (made * made).sum().backward()
        found.append([made.numpy(), x.grad.numpy(), layer.weight.grad.numpy()])
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "side"), [(1, 1, 7), (1, 2, 5), (3, 1, 4), (3, 2, 7), (3, 1, 1), (1, 1, 1)]
)
def test_equal_to_paddles(kernel, stride, side, bias, monkeypatch):
    called = []
    monkeypatch.setattr(Conv2D, "_product", lambda self, *a, real=Conv2D._product: called.append(1) or real(self, *a))
    ours, theirs = both(kernel, stride, side, bias)
    assert called
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def test_large_maps_groups_and_other_kernels_are_left_to_paddle(monkeypatch):
    monkeypatch.setattr(Conv2D, "_product", lambda *a: pytest.fail("the product was used"))
    side = int(max(SMALL_MAP.values()) ** 0.5) + 1
    x = paddle.zeros([1, 6, side, side])
    assert Conv2D(6, 4, 3, padding=1)(x).shape == [1, 4, side, side]
    assert Conv2D(6, 4, 1)(x).shape == [1, 4, side, side]
    small = paddle.zeros([1, 6, 2, 2])
    assert Conv2D(6, 6, 3, padding=1, groups=3)(small).shape == [1, 6, 2, 2]
    assert Conv2D(6, 4, 5, padding=2)(small).shape == [1, 4, 2, 2]
