"""Paddle's own networks by name, EfficientNet-B0, and the published sizes of both."""

import numpy as np
import paddle
import pytest
from paddle.vision import models as vision

from monkeys.models import MODELS, build_model
from monkeys.models.efficientnet import EfficientNetB0
from monkeys.models.layers import DropPath
from monkeys.models.summary import count_parameters
from monkeys.models.zoo import ZOO

RENAMED = {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "googlenet"}


def pictures(size: int, count: int = 2) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(5).normal(size=(count, 3, size, size)).astype(np.float32))


def norm_channels(model: paddle.nn.Layer) -> int:
    return sum(tensor.shape[0] for key, tensor in model.state_dict().items() if key.endswith("._mean"))


def test_all_of_paddle_vision_is_there():
    functions = {name for name in vision.__all__ if name[0].islower()} | {"lenet"}
    assert {name.removeprefix("paddle_") for name in ZOO} == functions
    assert {name.removeprefix("paddle_") for name in ZOO if name.startswith("paddle_")} == RENAMED
    assert set(MODELS) >= RENAMED


def test_mobilenet_v2_has_the_size_of_keras():
    model = build_model("mobilenet_v2", 1000)
    # Keras counts the running mean and variance of every channel as well.
    assert count_parameters(model) + 2 * norm_channels(model) == 3_538_984


def test_inception_v3_has_the_size_of_keras():
    model = build_model("inception_v3", 1000)
    # Keras' norms there have no scale: per channel it counts the shift and two statistics, Paddle trains two values.
    assert count_parameters(model) + norm_channels(model) == 23_851_784


@pytest.mark.slow
def test_vgg16_has_the_size_of_keras():
    assert count_parameters(build_model("vgg16", 1000)) == 138_357_544 == MODELS["vgg16"].parameters


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "size"), [(50, 25_636_712), (101, 44_707_176), (152, 60_419_944)])
def test_resnets_have_the_size_of_keras(depth, size):
    model = build_model(f"resnet{depth}", 1000)
    # Keras counts the statistics, and its convolutions have biases: three more values a channel.
    assert count_parameters(model) + 3 * norm_channels(model) == size


@pytest.mark.parametrize(
    "name", ["densenet121", "mobilenet_v1", "mobilenet_v3_large", "shufflenet_v2_x0_25", "squeezenet1_0", "lenet"]
)
def test_zoo_networks_give_one_output_of_the_asked_width(name):
    size = 28 if name == "lenet" else 32
    model = build_model(name, 5, size=size)
    assert model(pictures(size)).shape == [2, 5]
    model.eval()
    assert model(pictures(size)).shape == [2, 5]


def test_inception_v3_at_its_smallest_size():
    model = build_model("inception_v3", 5, size=75)
    model.eval()
    assert model(pictures(75)).shape == [2, 5]


def test_paddles_googlenet_gives_its_auxiliary_logits_while_training_only():
    model = build_model("paddle_googlenet", 5, size=192)
    logits = model(pictures(192))
    assert isinstance(logits, tuple)
    assert [one.shape for one in logits] == [[2, 5]] * 3
    model.eval()
    assert model(pictures(192)).shape == [2, 5]


def test_lenet_sees_the_mean_of_the_colours():
    model = build_model("lenet", 5, size=28)
    x = pictures(28)
    grey = x.mean(axis=1, keepdim=True).expand([2, 3, 28, 28])
    np.testing.assert_allclose(model(x).numpy(), model(grey).numpy(), rtol=1e-4, atol=1e-5)


def test_efficientnet_has_the_published_size():
    assert count_parameters(build_model("efficientnet_b0", 1000)) == 5_288_548


def test_efficientnet_halves_five_times():
    model = build_model("efficientnet_b0", 5)
    model.eval()
    with paddle.no_grad():
        assert model.features(pictures(64, 1)).shape == [1, 1280, 2, 2]
        assert model(pictures(33)).shape == [2, 5]


def test_efficientnet_names_are_torchvisions():
    names = list(build_model("efficientnet_b0", 5).state_dict())
    assert "features.0.0.weight" in names
    assert "features.1.0.block.0.0.weight" in names
    assert "features.1.0.block.1.fc1.bias" in names
    assert "features.2.0.block.3.1._mean" in names
    assert "features.8.1._variance" in names
    assert names[-1] == "classifier.1.bias"


def test_efficientnet_drops_paths_and_units():
    model = EfficientNetB0(3, drop_path=0.15, dropout=0.2)
    found = [layer.probability for layer in model.sublayers() if isinstance(layer, DropPath)]
    assert found == pytest.approx([0.01 * index for index in range(16)])
    assert model.classifier[0].p == 0.2
    x = pictures(32)
    paddle.seed(1)
    first = model(x).numpy()
    paddle.seed(1)
    assert np.array_equal(first, model(x).numpy())
    assert not np.array_equal(first, model(x).numpy())


def test_shortcuts_only_where_shapes_agree():
    model = EfficientNetB0(3)
    shortcuts = [block.shortcut for stage in list(model.features)[1:-1] for block in stage]
    assert sum(shortcuts) == 9
    assert len(shortcuts) == 16
