"""The list of models: names, options, checks, initialisation; and that asking for it stays quick."""

import subprocess
import sys

import numpy as np
import paddle
import pytest

from monkeys.errors import UserError
from monkeys.models import MODELS, build_model, describe, find_model, head_prefixes
from monkeys.models.layers import DropPath, depth_probabilities, fan_in, initialise
from monkeys.models.plain import NETWORKS
from monkeys.models.summary import count_multiply_adds, count_parameters
from monkeys.models.zoo import ZOO

TINY = "in32 conv3-4 maxpool2 fc8 fc10 softmax"
SMALL = ("resnet18", "efficientnet_b0", "lenet", "mobilenet_v3_small", "squeezenet1_1", "network_83_2611")


def smallest_size(name: str) -> int:
    entry = MODELS[name]
    return max(entry.smallest, 64) if entry.largest is None else entry.size


def test_the_table_is_read_without_paddle():
    code = (
        "import sys; from monkeys.models import MODELS, find_model; from monkeys.errors import UserError\n"
        "try: find_model('resnet5O')\n"
        "except UserError as error: print(error)\n"
        "sys.exit(any(name.split('.')[0] in ('paddle', 'scipy', 'cv2') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "did you mean resnet50?" in done.stdout
    assert "efficientnet_b0" in done.stdout


def test_every_family_is_complete():
    assert {name for name, entry in MODELS.items() if entry.family == "zoo"} == set(ZOO)
    assert {name for name, entry in MODELS.items() if entry.family == "network"} == set(NETWORKS)
    assert all(entry.parameters and entry.gflops for name, entry in MODELS.items() if name != "plain")


@pytest.mark.parametrize("name", SMALL)
def test_described_figures_match_the_table(name):
    parameters, gflops, size = describe(name)
    entry = MODELS[name]
    assert (parameters, size) == (entry.parameters, entry.size)
    assert gflops == pytest.approx(entry.gflops, abs=6e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in (*SMALL, "plain")])
def test_described_figures_match_the_table_slowly(name):
    test_described_figures_match_the_table(name)


def test_multiply_adds_in_closed_form():
    model = build_model("plain", 10, layers=TINY)
    # 3×3×3 inputs for each of 4×32×32 outputs; then 4×16×16 inputs for 8 units, and 8 for 10.
    assert count_multiply_adds(model, 32) == 27 * 4 * 32 * 32 + 4 * 16 * 16 * 8 + 8 * 10
    assert model.training
    model.eval()
    count_multiply_adds(model, 32)
    assert not model.training


def test_statistics_are_not_counted_as_parameters():
    model = build_model("plain", 10, layers=TINY)
    assert count_parameters(model) == 27 * 4 + 2 * 4 + (1024 + 1) * 8 + (8 + 1) * 10


def test_plain_networks_are_described_only_with_their_list():
    with pytest.raises(UserError, match=r"model\.layers"):
        describe("plain")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("resnet51", {}, "did you mean resnet50"),
        ("ViT", {}, "known: resnet18"),
        ("vgg11", {"stem": "3x3x3"}, "model.stem=7x7 leaves it out; models that have it: resnet18"),
        ("googlenet", {"dropout": 0.2}, "model.dropout: googlenet"),
        ("efficientnet_b0", {"zero_init": True}, "models that have it: resnet18, resnet34"),
        ("network_84_8153", {"layers": TINY}, "models that have it: plain"),
        ("mobilenet_v2", {"drop_path": 0.1}, "efficientnet_b0"),
        ("resnet18", {"stem": "5x5"}, "known: 7x7, 3x3x3"),
        ("resnet18", {"drop_path": 1.0}, "model.drop_path"),
        ("resnet18", {"dropout": -0.1}, "model.dropout"),
        ("resnet18", {"init": "zeros"}, "known: default, he, glorot, uniform"),
        ("resnet18", {"size": 4}, "at least 8 pixels"),
        ("inception_v3", {"size": 64}, "at least 75 pixels"),
        ("alexnet", {"size": 128}, "at least 223 and at most 254 pixels"),
        ("plain", {}, "needs a list"),
    ],
)
def test_wrong_requests_say_what_to_do(name, options, text):
    with pytest.raises(UserError) as caught:
        build_model(name, 10, **options)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_number_of_classes_must_be_positive():
    with pytest.raises(UserError, match="num_classes"):
        build_model("resnet18", 0)


def test_head_prefix_names_the_layer_that_gives_the_logits():
    for name in ("resnet18", "efficientnet_b0", "googlenet", "lenet", "mobilenet_v1", "shufflenet_v2_x0_25"):
        model = build_model(name, 7)
        head = [tensor for key, tensor in model.state_dict().items() if key.startswith(head_prefixes(model)[0])]
        assert len(head) == 2, name
        assert all(tensor.shape[-1] == 7 for tensor in head), name


def test_architecture_is_remembered():
    assert build_model("resnet18", 2).architecture == "resnet18"


def spread(init: str) -> dict[str, float]:
    paddle.seed(1)
    model = build_model("resnet18", 100, init=init)
    return {
        "conv": float(model.layer4[1].conv2.weight.std()),
        "fc": float(model.fc.weight.std()),
        "fc_max": float(model.fc.weight.abs().max()),
        "bias": float(model.fc.bias.abs().max()),
    }


def test_initialisations_have_their_spread():
    inputs = 512 * 9
    expected = {
        "he": ((2 / inputs) ** 0.5, (2 / 512) ** 0.5),
        "glorot": ((2 / (inputs + inputs)) ** 0.5, (2 / (512 + 100)) ** 0.5),
        "uniform": ((1 / inputs / 3) ** 0.5, (1 / 512 / 3) ** 0.5),
        "default": ((2 / inputs) ** 0.5, (1 / 512 / 3) ** 0.5),
    }
    for init, (conv, fc) in expected.items():
        found = spread(init)
        assert found["conv"] == pytest.approx(conv, rel=0.01), init
        assert found["fc"] == pytest.approx(fc, rel=0.03), init
        assert found["bias"] == 0
    assert spread("uniform")["fc_max"] <= 512**-0.5


def test_initialisation_leaves_norms_alone():
    model = build_model("resnet18", 3, init="glorot", zero_init=True)
    assert float(model.layer1[0].bn2.weight.abs().max()) == 0
    assert float(model.layer1[0].bn1.weight.min()) == 1


def test_fan_in_of_grouped_convolutions_counts_their_own_channels():
    assert fan_in(paddle.nn.Conv2D(32, 32, 3, groups=32)) == 9
    assert fan_in(paddle.nn.Linear(20, 5)) == 20


def test_same_seed_same_weights():
    def weights(seed: int) -> list[np.ndarray]:
        paddle.seed(seed)
        return [tensor.numpy() for tensor in build_model("resnet18", 3, init="he").state_dict().values()]

    assert all(np.array_equal(a, b) for a, b in zip(weights(3), weights(3), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(3), weights(4), strict=True))


def test_depth_probabilities_rise_linearly():
    assert depth_probabilities(0.2, 5) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert depth_probabilities(0.2, 1) == [0]


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    layer = DropPath(0.25)
    x = paddle.ones([2000, 2, 2, 2])
    paddle.seed(5)
    dropped = layer(x).numpy().reshape(2000, 8)
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(4 / 3)}
    assert (dropped == dropped[:, :1]).all()
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    paddle.seed(5)
    assert np.array_equal(layer(x).numpy().reshape(2000, 8), dropped)
    layer.eval()
    assert np.array_equal(layer(x).numpy(), x.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name != "plain"])
def test_every_model_trains_two_steps(name):
    """Two steps on random pictures move the weights; networks of more than 50 million parameters go forward only."""
    paddle.seed(0)
    size = smallest_size(name)
    model = build_model(name, 3, size=size)
    heads = [tensor.shape for key, tensor in model.state_dict().items() if key.startswith(model.head_prefixes)]
    assert len(heads) == 2 * len(model.head_prefixes)
    assert all(3 in (shape[0], shape[-1]) for shape in heads)
    pictures = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32))
    if MODELS[name].parameters > 50_000_000:
        model.eval()
        with paddle.no_grad():
            assert model(pictures).shape == [2, 3]
        return
    optimizer = paddle.optimizer.SGD(0.01, parameters=model.parameters())
    before = {key: tensor.numpy().copy() for key, tensor in model.state_dict().items()}
    for _ in range(2):
        outputs = model(pictures)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = sum(paddle.nn.functional.cross_entropy(logits, paddle.to_tensor([0, 2])) for logits in outputs)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        assert np.isfinite(float(loss))
    still = [key for key, tensor in model.state_dict().items() if np.array_equal(tensor.numpy(), before[key])]
    assert len(still) < len(before) / 4, still
    model.eval()
    assert model(pictures).shape == [2, 3]


def test_initialisation_zeroes_biases():
    layers = paddle.nn.Sequential(paddle.nn.Conv2D(1, 2, 1, bias_attr=ones()), paddle.nn.Linear(2, 2, bias_attr=ones()))
    initialise(layers, "default")
    assert all(float(layer.bias.min()) == 1 for layer in layers)
    initialise(layers, "he")
    assert all(float(layer.bias.abs().max()) == 0 for layer in layers)


def ones() -> paddle.ParamAttr:
    return paddle.ParamAttr(initializer=paddle.nn.initializer.Constant(1.0))


def test_find_model_gives_the_entry():
    assert find_model("inception_v3").size == 299
