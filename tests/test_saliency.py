from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from monkeys.evaluation.saliency import NoPictureError, _last_picture, border_share, grad_cam
from monkeys.models import build_model


class BrightSpot(nn.Layer):
    """Class 1 is evidence of brightness, wherever it is; class 0 of darkness."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2D(3, 1, 1, bias_attr=False)
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.decide = nn.Linear(1, 2, bias_attr=False)
        self.look.weight.set_value(np.full((1, 3, 1, 1), 1 / 3, np.float32))
        self.decide.weight.set_value(np.array([[-1.0, 1.0]], np.float32))

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        return self.decide(self.pool(self.look(images)).flatten(1))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (12, 4)])
def test_the_heat_lies_where_the_evidence_is(row, column):
    images = np.zeros((1, 3, 16, 16), np.float32)
    images[:, :, row : row + 4, column : column + 4] = 1
    heat = grad_cam(BrightSpot(), images, np.array([1]))[0]
    assert heat.shape == (16, 16)
    assert heat[row : row + 4, column : column + 4].mean() > 0.7
    assert heat[(row + 8) % 16, (column + 8) % 16] == 0


def test_each_image_is_asked_about_its_own_class():
    images = np.zeros((2, 3, 16, 16), np.float32)
    images[:, :, :4, :4] = 1
    heat = grad_cam(BrightSpot(), images, np.array([1, 0]))
    assert heat[0].max() == 1
    assert heat[1].max() == 0  # brightness is no evidence of darkness


class Branches(nn.Layer):
    """Brightness is seen by the first of two branches, which are joined between layers; the second sees nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.sees, self.blind = nn.Conv2D(3, 1, 1, bias_attr=False), nn.Conv2D(3, 1, 1, bias_attr=False)
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.decide = nn.Linear(2, 2, bias_attr=False)
        self.sees.weight.set_value(np.full((1, 3, 1, 1), 1 / 3, np.float32))
        self.blind.weight.set_value(np.zeros((1, 3, 1, 1), np.float32))
        self.decide.weight.set_value(np.array([[-1.0, 1.0], [1.0, 1.0]], np.float32))

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        return self.decide(self.pool(paddle.concat([self.sees(images), self.blind(images)], axis=1)).flatten(1))


def test_branches_that_are_joined_between_layers_all_count():
    images = np.zeros((1, 3, 16, 16), np.float32)
    images[:, :, :4, :4] = 1
    heat = grad_cam(Branches(), images, np.array([1]))[0]
    assert heat[:4, :4].mean() > 0.7
    assert heat[8:, 8:].max() == 0


@pytest.mark.parametrize("network", [BrightSpot, Branches])
def test_no_hook_stays_behind(network):
    model = network()
    grad_cam(model, np.zeros((1, 3, 16, 16), np.float32), np.array([1]))
    assert not any(
        layer._forward_pre_hooks or layer._forward_post_hooks for layer in model.sublayers(include_self=True)
    )


def test_a_network_of_vectors_has_no_picture():
    with pytest.raises(NoPictureError):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), np.zeros((1, 3, 4, 4), np.float32), np.array([0]))


def test_what_is_trained_stays_so_also_after_a_fault():
    model = BrightSpot()
    model.look.weight.stop_gradient = True
    grad_cam(model, np.zeros((1, 3, 16, 16), np.float32), np.array([1]))
    with pytest.raises((ValueError, IndexError, OSError, RuntimeError)):
        grad_cam(model, np.zeros((2, 3, 16, 16), np.float32), np.array([[[1]]]).repeat(5))
    assert [parameter.stop_gradient for parameter in model.parameters()] == [True, False]


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v2"])
def test_networks_of_the_table_can_be_asked(name):
    model = build_model(name, 3, size=64)
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    heat = grad_cam(model, images, np.array([0, 2]))
    assert heat.shape == (2, 64, 64)
    assert 0 <= heat.min() <= heat.max() <= 1
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert all(parameter.grad is None or not parameter.grad.numpy().any() for parameter in model.parameters())


@pytest.mark.parametrize(("size", "side"), [(64, 4), (128, 4), (224, 7), (32, 4)])
def test_a_small_input_is_looked_at_where_the_map_still_has_four_places(size, side):
    """The output of a whole block, so that no branch of the next one is left out."""
    model = build_model("resnet18", 3)
    model.eval()
    layer, entering = _last_picture(model, np.zeros((1, 3, size, size), np.float32))
    shapes = []
    layer.register_forward_post_hook(lambda layer, inputs, output: shapes.append(output.shape))
    model(paddle.zeros([1, 3, size, size]))
    assert not entering
    assert layer.sublayers()
    assert shapes[-1][2:] == [side, side]


def test_an_even_map_has_the_share_of_its_area():
    even = np.ones((1, 20, 20), np.float32)
    assert border_share(even)[0] == pytest.approx(0.36)
    centre = np.zeros((2, 20, 20), np.float32)
    centre[0, 8:12, 8:12] = 1
    assert border_share(centre)[0] == 0
    assert np.isnan(border_share(centre)[1])
