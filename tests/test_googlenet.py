"""GoogLeNet: the table's arithmetic, three outputs while training, one afterwards, and small pictures."""

import numpy as np
import paddle
import pytest

from monkeys.models import build_model, head_prefixes
from monkeys.models.googlenet import INCEPTION, GoogLeNet, outputs
from monkeys.models.summary import count_parameters

# #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool projection, as published.
TABLE = """
3a 64 96 128 16 32 32 · 3b 128 128 192 32 96 64 · 4a 192 96 208 16 48 64 · 4b 160 112 224 24 64 64 ·
4c 128 128 256 24 64 64 · 4d 112 144 288 32 64 64 · 4e 256 160 320 32 128 128 · 5a 256 160 320 32 128 128 ·
5b 384 192 384 48 128 128
"""
ROWS = {row.split()[0]: tuple(map(int, row.split()[1:])) for row in TABLE.split("·")}


def conv_norm(channels: int, filters: int, kernel: int) -> int:
    return channels * filters * kernel**2 + 2 * filters


def closed_form(classes: int) -> int:
    """Parameters of the main branch, from the table alone."""
    total = conv_norm(3, 64, 7) + conv_norm(64, 64, 1) + conv_norm(64, 192, 3)
    channels = 192
    for ones, reduce3, threes, reduce5, fives, pooled in ROWS.values():
        total += conv_norm(channels, ones, 1) + conv_norm(channels, pooled, 1)
        total += conv_norm(channels, reduce3, 1) + conv_norm(reduce3, threes, 3)
        total += conv_norm(channels, reduce5, 1) + conv_norm(reduce5, fives, 5)
        channels = ones + threes + fives + pooled
    return total + (channels + 1) * classes


def auxiliary(channels: int, classes: int) -> int:
    return conv_norm(channels, 128, 1) + (128 * 16 + 1) * 1024 + (1024 + 1) * classes


def pictures(size: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(3).normal(size=(2, 3, size, size)).astype(np.float32))


def test_the_table_is_the_published_one():
    assert ROWS == INCEPTION
    assert [outputs(module) for module in INCEPTION] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]


@pytest.mark.parametrize("classes", [10, 1000])
def test_main_branch_in_closed_form(classes):
    model = GoogLeNet(classes)
    branches = count_parameters(model.aux1), count_parameters(model.aux2)
    assert branches == (auxiliary(512, classes), auxiliary(528, classes))
    assert count_parameters(model) - sum(branches) == closed_form(classes)


def test_22_layers_have_their_norm_and_relu():
    model = GoogLeNet(10)
    main = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.Conv2D)]
    norms = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    relus = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.ReLU)]
    assert len(main) == len(norms) == len(relus) == 3 + 6 * 9 + 2
    # Deepest path: three convolutions, two in each of nine modules, one linear layer.
    assert 3 + 2 * len(INCEPTION) + 1 == 22


@pytest.mark.parametrize("size", [32, 64, 97])
def test_three_outputs_in_train_mode_one_in_eval(size):
    model = build_model("googlenet", 6, size=size)
    assert [logits.shape for logits in model(pictures(size))] == [[2, 6]] * 3
    model.eval()
    assert model(pictures(size)).shape == [2, 6]


def test_sizes_inside_at_224():
    model = GoogLeNet(4)
    model.eval()
    with paddle.no_grad():
        after_4a = model.to_4a(model.stem(pictures(224)))
        after_4d = model.to_4d(after_4a)
        after_5b = model.to_5b(after_4d)
    assert (after_4a.shape[1:], after_4d.shape[1:], after_5b.shape[1:]) == ([512, 14, 14], [528, 14, 14], [1024, 7, 7])


def test_auxiliary_losses_reach_only_what_lies_before_them():
    model = GoogLeNet(4)
    _, aux1, _ = model(pictures(64))
    aux1.sum().backward()
    assert float(model.stem[0][0].weight.grad.abs().sum()) > 0
    assert model.to_4d[0].ones[0].weight.grad is None
    assert model.fc.weight.grad is None
    _, _, aux2 = model(pictures(64))
    aux2.sum().backward()
    assert float(model.to_4d[2].ones[0].weight.grad.abs().sum()) > 0
    assert model.to_5b[0].ones[0].weight.grad is None


def test_dropout_is_0_4():
    model = GoogLeNet(4)
    seen = []
    model.dropout.register_forward_post_hook(lambda layer, inputs, output: seen.extend([inputs[0], output]))
    paddle.seed(0)
    model(paddle.concat([pictures(64)] * 8))
    before, after = (features.numpy() for features in seen)
    assert (after[before != 0] == 0).mean() == pytest.approx(0.4, abs=0.03)
    assert head_prefixes(model)[0] == "fc."
