"""Residual networks: sizes in closed form, the same logits as Paddle's, and every option."""

import numpy as np
import paddle
import pytest

from monkeys.errors import UserError
from monkeys.models import build_model
from monkeys.models.layers import DropPath
from monkeys.models.resnet import DEPTHS, ResNet
from monkeys.models.summary import count_parameters

EXPANSION = {18: 1, 34: 1, 50: 4, 101: 4, 152: 4}
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WITH_1000 = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
KERAS = {50: 25_636_712, 101: 44_707_176, 152: 60_419_944}


def norm_channels(depth: int) -> int:
    """Channels of all batch norms together: as many as there are filters."""
    total, channels = 64, 64
    for width, count in zip((64, 128, 256, 512), BLOCKS[depth], strict=True):
        wide = width * EXPANSION[depth]
        total += count * (2 * width if EXPANSION[depth] == 1 else 2 * width + wide)
        total += wide if (width > 64 or wide != channels) else 0
        channels = wide
    return total


def closed_form(depth: int, classes: int) -> int:
    """Weights of every convolution, scale and shift of every norm, and the head."""
    weights, channels = 3 * 64 * 49, 64
    for width, count in zip((64, 128, 256, 512), BLOCKS[depth], strict=True):
        wide = width * EXPANSION[depth]
        for index in range(count):
            if EXPANSION[depth] == 1:
                weights += 9 * channels * width + 9 * width * width
            else:
                weights += channels * width + 9 * width * width + width * wide
            if index == 0 and (width > 64 or wide != channels):
                weights += channels * wide
            channels = wide
    return weights + 2 * norm_channels(depth) + (channels + 1) * classes


def shake(model: paddle.nn.Layer, seed: int = 0) -> paddle.nn.Layer:
    """Random norms too, statistics included, so that no parameter can be mixed up unseen."""
    rng = np.random.default_rng(seed)
    for key, tensor in model.state_dict().items():
        if key.rsplit(".", 1)[-1] in ("_variance",) or len(tensor.shape) == 1:
            tensor.set_value(rng.uniform(0.5, 1.5, tensor.shape).astype(np.float32))
    model.eval()
    return model


def pictures(size: int, count: int = 2) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(7).normal(size=(count, 3, size, size)).astype(np.float32))


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_parameter_counts(depth):
    assert count_parameters(ResNet(depth, 1000)) == WITH_1000[depth] == closed_form(depth, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [101, 152])
def test_parameter_counts_of_the_deep_ones(depth):
    assert count_parameters(ResNet(depth, 1000)) == WITH_1000[depth]


def test_parameter_counts_in_closed_form():
    assert {depth: closed_form(depth, 1000) for depth in WITH_1000} == WITH_1000
    assert closed_form(50, 10) == 23_528_522 == count_parameters(build_model("resnet50", 10))


def test_keras_sizes_follow_from_ours():
    """Keras counts the statistics (two values a channel) and its convolutions have biases (one)."""
    for depth, size in KERAS.items():
        assert WITH_1000[depth] + 3 * norm_channels(depth) == size


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_same_logits_as_paddle_with_its_weights(name):
    theirs = shake(build_model(f"paddle_{name}", 10))
    ours = build_model(name, 10)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    missing, unexpected = ours.set_state_dict(theirs.state_dict())
    assert not missing
    assert not unexpected
    ours.eval()
    x = pictures(64)
    logits = theirs(x).numpy()
    largest = np.abs(logits).max()
    assert largest > 1e-3
    np.testing.assert_allclose(ours(x).numpy(), logits, rtol=0, atol=1e-5 * largest)  # weights differ from run to run


@pytest.mark.parametrize("size", [32, 33, 64, 224])
def test_sizes(size):
    model = build_model("resnet18", 5, size=size)
    assert model(pictures(size)).shape == [2, 5]


def test_head_starts_uniform_within_its_bound():
    weight = build_model("resnet50", 1000).fc.weight.numpy()
    bound = 2048**-0.5
    assert np.abs(weight).max() <= bound
    assert np.abs(weight).max() > 0.999 * bound
    assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_stride_of_a_bottleneck_is_on_its_3x3():
    block = build_model("resnet50", 2).layer2[0]
    # Paddle 2.6 keeps the stride as a list, 3.x too; the shape of the output is what counts.
    x = paddle.zeros([1, 256, 8, 8])
    assert block.conv1(x).shape[2:] == [8, 8]
    assert block.conv2(block.conv1(x)).shape[2:] == [4, 4]


def test_stem_of_three_convolutions():
    model = build_model("resnet18", 5, stem="3x3x3")
    x = pictures(64)
    steps = [layer for layer in model.conv1 if isinstance(layer, paddle.nn.Conv2D)]
    assert [tuple(layer.weight.shape) for layer in steps] == [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3)]
    assert steps[0](x).shape[2:] == [32, 32]
    assert model.conv1(x).shape == [2, 64, 32, 32]
    extra = 9 * (3 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32) - 49 * 3 * 64
    assert count_parameters(model) == closed_form(18, 5) + extra


def test_unknown_stem():
    with pytest.raises(UserError, match="7x7, 3x3x3"):
        ResNet(18, 2, stem="s2d")


@pytest.mark.parametrize("depth", [18, 50])
def test_zero_init_makes_every_block_its_shortcut(depth):
    model = ResNet(depth, 3, zero_init=True)
    x = paddle.abs(pictures(8))
    block = model.layer1[1]
    channels = 64 * EXPANSION[depth]
    x = paddle.concat([x] * (channels // 3 + 1), axis=1)[:, :channels]
    assert np.array_equal(block(x).numpy(), x.numpy())
    zeroed = [key for key, value in model.state_dict().items() if value.ndim == 1 and float(value.abs().max()) == 0]
    scales = [key for key in zeroed if key.endswith(".weight")]
    assert len(scales) == sum(DEPTHS[depth][1])


def test_drop_path_rises_with_depth_and_sleeps_in_eval():
    model = ResNet(18, 3, drop_path=0.7)
    found = [layer.probability for layer in model.sublayers() if isinstance(layer, DropPath)]
    assert found == pytest.approx([0.1 * index for index in range(8)])
    x = pictures(32, 8)
    paddle.seed(4)
    first = model(x).numpy()
    paddle.seed(4)
    again = model(x).numpy()
    other = model(x).numpy()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    model.eval()
    assert np.array_equal(model(x).numpy(), model(x).numpy())


def test_dropout_before_the_head():
    model = ResNet(18, 3, dropout=0.5)
    seen = []
    model.dropout.register_forward_post_hook(
        lambda layer, inputs, output: seen.append((inputs[0].numpy(), output.numpy()))
    )
    model(pictures(32))
    model.eval()
    model(pictures(32))
    (before, trained), (same, evaluated) = seen
    assert (trained[before != 0] == 0).mean() == pytest.approx(0.5, abs=0.1)
    assert np.array_equal(same, evaluated)
    assert before.shape == (2, 512)


def test_options_add_no_parameters():
    plain = list(ResNet(18, 3).state_dict())
    assert list(ResNet(18, 3, zero_init=True, drop_path=0.1, dropout=0.2).state_dict()) == plain


def test_a_step_lowers_the_loss():
    paddle.seed(2)
    model = ResNet(18, 2)
    x, labels = pictures(32, 4), paddle.to_tensor([0, 1, 0, 1])
    optimizer = paddle.optimizer.SGD(0.05, parameters=model.parameters())
    losses = []
    for _ in range(5):
        loss = paddle.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
