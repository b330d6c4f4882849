"""Plain networks: the notation, the twelve listed networks in closed form, and what a wrong list is told."""

import re

import numpy as np
import paddle
import pytest

from monkeys.errors import UserError
from monkeys.models import MODELS, build_model, head_prefixes
from monkeys.models.plain import NETWORKS, PlainNet, tokenize
from monkeys.models.summary import count_parameters

# Parameters at the list's own size with 10 classes.
GOLDEN = {
    "network_74_1656": 160_267_338,
    "network_74_2675": 24_982_218,
    "network_75_4395": 138_175_050,
    "network_79_0828": 15_514_314,
    "network_82_242": 17_874_634,
    "network_82_3185": 15_514_314,
    "network_82_828": 24_627_914,
    "network_83_1338": 31_586_250,
    "network_83_2611": 14_923_978,
    "network_83_949": 31_512_266,
    "network_84_3312": 15_514_314,
    "network_84_8153": 24_627_914,
}


def closed_form(layers: str, classes: int = 10, size: int | None = None) -> int:
    """Parameters from the notation alone: convolutions without bias but with scale and shift, layers with bias."""
    total, channels, units, words = 0, 3, None, layers.split()
    side = size or int(words[0].removeprefix("in"))
    last = max(index for index, word in enumerate(words) if word.startswith("fc"))
    for index, word in enumerate(words):
        numbers = [int(number) for number in re.findall(r"\d+", word)] if not word.startswith("drop") else []
        if word.startswith("conv"):
            kernel, filters = numbers
            total += kernel**2 * channels * filters + 2 * filters
            channels = filters
        elif "pool" in word:
            side //= numbers[0]
        elif word.startswith("fc"):
            width = classes if index == last else numbers[0]
            total += ((units or channels * side**2) + 1) * width
            units = width
    return total


def pictures(size: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, size, size)).astype(np.float32))


def test_golden_counts_in_closed_form():
    assert {name: closed_form(layers) for name, layers in NETWORKS.items()} == GOLDEN
    assert {name: MODELS[name].parameters for name in NETWORKS} == GOLDEN
    assert {name: MODELS[name].size for name in NETWORKS} == {name: _in(layers) for name, layers in NETWORKS.items()}


def _in(layers: str) -> int:
    return int(layers.split()[0].removeprefix("in"))


@pytest.mark.parametrize("name", NETWORKS)
def test_built_networks_at_64_pixels(name):
    model = build_model(name, 5, size=64)
    assert count_parameters(model) == closed_form(NETWORKS[name], 5, 64)
    model.eval()
    assert model(pictures(64)).shape == [2, 5]


@pytest.mark.parametrize("name", ["network_83_2611", "network_79_0828"])
def test_built_network_at_its_own_size(name):
    assert count_parameters(build_model(name, 10)) == GOLDEN[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("network_83_2611", "network_79_0828")])
def test_built_networks_at_their_own_size(name):
    assert count_parameters(build_model(name, 10)) == GOLDEN[name]


def test_three_networks_are_one():
    assert NETWORKS["network_79_0828"] == NETWORKS["network_82_3185"] == NETWORKS["network_84_3312"]
    assert len(set(NETWORKS.values())) == 9


def test_every_word_becomes_its_layers():
    model = PlainNet("in16 conv3-4 conv1-6 maxpool2 drop0.3 avgpool4 fc7 drop0.5 fc10 softmax", 3)
    kinds = [type(layer).__name__ for layer in model.body]
    conv = ["Conv2D", "BatchNorm2D", "ReLU"]
    assert kinds == [*conv, *conv, "MaxPool2D", "Dropout", "AvgPool2D", "Flatten", "Linear", "ReLU", "Dropout"]
    assert [layer.p for layer in model.body if isinstance(layer, paddle.nn.Dropout)] == [0.3, 0.5]
    assert tuple(model.head.weight.shape) == (7, 3)
    assert head_prefixes(model) == ("head.",)


def test_the_last_layer_gives_way_to_the_classes_and_has_no_relu():
    paddle.seed(0)
    model = PlainNet("in8 conv3-4 fc10", 6)
    model.eval()
    logits = model(pictures(8)).numpy()
    assert logits.shape == (2, 6)
    assert (logits < 0).any()


def test_lists_and_texts_are_the_same():
    words = ["in8", "conv3-2", "fc4", "fc2"]
    assert tokenize(words) == tokenize(" ".join(words))
    assert count_parameters(PlainNet(words, 2)) == count_parameters(PlainNet(" ".join(words), 2))


def test_asked_size_wins_over_the_list():
    assert count_parameters(PlainNet("in32 maxpool2 fc2", 2, 16)) == (3 * 8 * 8 + 1) * 2
    assert count_parameters(PlainNet("in32 maxpool2 fc2", 2)) == (3 * 16 * 16 + 1) * 2
    assert count_parameters(build_model("plain", 2, layers="in32 maxpool2 fc2")) == (3 * 16 * 16 + 1) * 2
    assert count_parameters(build_model("plain", 2, layers="maxpool2 fc2", size=16)) == (3 * 8 * 8 + 1) * 2


def test_odd_rows_are_dropped():
    assert count_parameters(PlainNet("in7 maxpool2 fc2", 2)) == (3 * 3 * 3 + 1) * 2


def test_weights_start_glorot_uniform():
    paddle.seed(1)
    model = PlainNet("in16 conv3-64 conv3-64 maxpool2 fc256 fc10", 10)
    conv, hidden = model.body[3].weight.numpy(), model.body[8].weight.numpy()
    bound = (6 / (64 * 9 + 64 * 9)) ** 0.5
    assert 0.99 * bound < np.abs(conv).max() <= bound
    bound = (6 / (64 * 64 + 256)) ** 0.5
    assert 0.99 * bound < np.abs(hidden).max() <= bound


@pytest.mark.parametrize(
    ("layers", "position", "word", "reason"),
    [
        ("in32 conv3-4 convx-4 fc10", 3, "convx-4", "unknown layer"),
        ("in32 conv3 fc10", 2, "conv3", "unknown layer"),
        ("in32 Conv3-4 fc10", 2, "Conv3-4", "unknown layer"),
        ("in32 conv4-4 fc10", 2, "conv4-4", "odd"),
        ("in32 conv0-4 fc10", 2, "conv0-4", "odd"),
        ("in32 conv3-0 fc10", 2, "conv3-0", "between 1 and"),
        ("in32 conv3-999999 fc10", 2, "conv3-999999", "between 1 and"),
        ("in32 conv101-65536 conv101-65536 fc10", 2, "conv101-65536", "too many weights"),
        ("in32 fc8 conv3-4 fc10", 3, "conv3-4", "rows and columns"),
        ("in32 fc8 maxpool2 fc10", 3, "maxpool2", "rows and columns"),
        ("in32 maxpool2 avgpool32 fc10", 3, "avgpool32", "only 16 px wide"),
        ("in32 maxpool1 fc10", 2, "maxpool1", "at least 2"),
        ("in32 drop1 fc10", 2, "drop1", "below 1"),
        ("in32 drop1.5 fc10", 2, "drop1.5", "below 1"),
        ("in32 drop-0.1 fc10", 2, "drop-0.1", "unknown layer"),
        ("in32 drop. fc10", 2, "drop.", "unknown layer"),
        ("in32 conv3-4 in32 fc10", 3, "in32", "first"),
        ("in32 softmax fc10", 2, "softmax", "last"),
        ("in32 conv3-4", 2, "conv3-4", "end with"),
        ("in32 fc10 drop0.5", 3, "drop0.5", "end with"),
        ("in32 fc10 softmax softmax", 3, "softmax", "last"),
        ("in32 fc0", 2, "fc0", "between 1 and"),
        ("in2000 conv3-512 fc4096 fc10", 3, "fc4096", "too many weights"),
        ("in32", 1, "in32", "end with"),
        ("softmax", 1, "softmax", "end with"),
        ("conv3-4 fc10", 1, "conv3-4", "input size is unknown"),
        ("in32 fc１0", 2, "fc１0", "unknown layer"),
    ],
)
def test_wrong_lists_name_the_place(layers, position, word, reason):
    with pytest.raises(UserError) as caught:
        PlainNet(layers, 10)
    assert f'position {position}, "{word}"' in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("layers", ["", "   ", []])
def test_empty_lists(layers):
    with pytest.raises(UserError, match="empty"):
        PlainNet(layers, 10)
