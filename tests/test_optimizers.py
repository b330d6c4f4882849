"""Every optimizer against a float64 reference, exact resume, groups, clipping."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from monkeys.errors import UserError
from monkeys.models import build_model, head_prefixes
from monkeys.optim import DECOUPLED, OPTIMIZERS, build_optimizer
from monkeys.optim.adamp import project
from monkeys.optim.groups import block_depths, lr_factors

SHAPES = {"conv.weight": (3, 2, 2, 2), "conv.bias": (3,), "head.weight": (5, 4), "head.bias": (4,)}
LR = 0.1


class Quadratic(paddle.nn.Layer):
    """loss = sum of curvature / 2 * (w - target)^2 over four parameters shaped like a convolution and a head."""

    def __init__(self, dtype: str = "float64") -> None:
        super().__init__()
        rng = np.random.default_rng(7)
        self.curvature = {name: rng.uniform(0.2, 2.0, shape) for name, shape in SHAPES.items()}
        self.target = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
        start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
        for part in ("conv", "head"):
            layer = paddle.nn.Layer()
            for kind in ("weight", "bias"):
                shape = list(SHAPES[f"{part}.{kind}"])
                layer.add_parameter(kind, layer.create_parameter(shape, dtype=dtype))
            self.add_sublayer(part, layer)
        self.place(start)

    def place(self, values: dict[str, np.ndarray]) -> None:
        for name, parameter in self.named_parameters():
            parameter.set_value(values[name].astype(str(parameter.numpy().dtype)))

    def values(self) -> dict[str, np.ndarray]:
        return {name: parameter.numpy().copy() for name, parameter in self.named_parameters()}

    def gradient(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: self.curvature[name] * (value - self.target[name]) for name, value in values.items()}

    def forward(self) -> paddle.Tensor:
        total = paddle.zeros([], dtype=self.parameters()[0].dtype)
        for name, parameter in self.named_parameters():
            curvature = paddle.to_tensor(self.curvature[name], dtype=parameter.dtype)
            target = paddle.to_tensor(self.target[name], dtype=parameter.dtype)
            total = total + (curvature * (parameter - target).square()).sum() / 2
        return total


def advance(model: Quadratic, optimizer: paddle.optimizer.Optimizer, steps: int, lr: float = LR) -> None:
    for step in range(steps):
        optimizer.set_lr(lr / (1 + step))
        model().backward()
        optimizer.step()
        optimizer.clear_grad()


def adam_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    m = state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0.0) + 0.001 * g * g
    return lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def momentum_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    state["v"] = 0.9 * state.get("v", 0.0) + g
    return lr * state["v"]


def nesterov_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    state["v"] = 0.9 * state.get("v", 0.0) + g
    return lr * (g + 0.9 * state["v"])


def adagrad_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    state["s"] = state.get("s", 0.0) + g * g
    return lr * g / (np.sqrt(state["s"]) + 1e-6)


def rmsprop_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    state["s"] = 0.9 * state.get("s", 0.0) + 0.1 * g * g
    return lr * g / np.sqrt(state["s"] + 1e-6)


def adadelta_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    state["s"] = 0.95 * state.get("s", 0.0) + 0.05 * g * g
    step = np.sqrt((state.get("d", 0.0) + 1e-6) / (state["s"] + 1e-6)) * g
    state["d"] = 0.95 * state.get("d", 0.0) + 0.05 * step * step
    return lr * step


def nadam_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    mu = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * i)) for i in range(1, t + 2)]
    m = state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
    v = state["v"] = 0.999 * state.get("v", 0.0) + 0.001 * g * g
    ahead = mu[t] * m / (1 - math.prod(mu)) + (1 - mu[t - 1]) * g / (1 - math.prod(mu[:t]))
    return lr * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def invariant_part(w: np.ndarray, g: np.ndarray) -> np.ndarray | None:
    """Unit weights of AdamP's projection, per output channel or per layer; None where it does not apply."""
    rows = w.T if w.ndim == 2 else w.reshape(len(w), -1)
    grads = g.T if g.ndim == 2 else g.reshape(len(g), -1)
    for a, b in ((rows, grads), (rows.reshape(1, -1), grads.reshape(1, -1))):
        cosines = [abs(x @ y) / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
        if max(cosines) < 0.1 / math.sqrt(a.shape[1]):
            return a / np.linalg.norm(a, axis=1, keepdims=True)
    return None


def adamp_step(w: np.ndarray, g: np.ndarray, state: dict, lr: float, t: int) -> np.ndarray:
    step = adam_step(w, g, state, lr, t)
    unit = invariant_part(w, g) if w.ndim > 1 else None
    decay = state["weight_decay"]
    if unit is None:
        return step + lr * decay * w
    rows = (step.T if w.ndim == 2 else step).reshape(len(unit), -1)
    flat = rows - unit * (unit * rows).sum(1, keepdims=True)
    back = flat.reshape(w.T.shape).T if w.ndim == 2 else flat.reshape(w.shape)
    return back + lr * decay * 0.1 * w


RULES: dict[str, Callable[..., np.ndarray]] = {
    "sgd": lambda w, g, state, lr, t: lr * g,
    "momentum": momentum_step,
    "nesterov": nesterov_step,
    "adagrad": adagrad_step,
    "rmsprop": rmsprop_step,
    "adadelta": adadelta_step,
    "adam": adam_step,
    "adamw": lambda w, g, state, lr, t: adam_step(w, g, state, lr, t) + lr * state["weight_decay"] * w,
    "nadam": nadam_step,
    "adamp": adamp_step,
}


def reference(name: str, model: Quadratic, steps: int, weight_decay: float, skip_norms: bool) -> dict[str, np.ndarray]:
    values = model.values()
    states: dict[str, dict] = {key: {} for key in values}
    for t in range(1, steps + 1):
        gradients = model.gradient(values)
        for key, w in values.items():
            decay = 0.0 if skip_norms and w.ndim < 2 else weight_decay
            states[key]["weight_decay"] = decay
            g = gradients[key] + (0.0 if name in DECOUPLED else decay) * w
            values[key] = w - RULES[name](w, g, states[key], LR / t, t)
    return values


def test_every_name_has_a_reference() -> None:
    assert set(RULES) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize(("weight_decay", "decay_norms"), [(0.0, True), (0.3, True), (0.3, False)])
def test_matches_the_reference(name: str, weight_decay: float, decay_norms: bool) -> None:
    with paddle.utils.unique_name.guard():
        model = Quadratic()
        expected = reference(name, model, 6, weight_decay, not decay_norms)
        optimizer = build_optimizer(name, model, lr=LR, weight_decay=weight_decay, decay_norms=decay_norms)
        advance(model, optimizer, 6)
    # Paddle's own keep their constants (0.9, 0.999, eps) in float32; ours are exact
    close = 1e-10 if name in ("nadam", "adamp", "sgd") else 2e-5
    for key, value in model.values().items():
        np.testing.assert_allclose(value, expected[key], rtol=close, atol=close)


@pytest.mark.skipif(not hasattr(paddle.optimizer, "NAdam"), reason="this Paddle has no NAdam")
def test_nadam_is_paddles() -> None:
    with paddle.utils.unique_name.guard():
        ours, theirs = Quadratic(), Quadratic()
        advance(ours, build_optimizer("nadam", ours, lr=LR), 5)
        advance(theirs, paddle.optimizer.NAdam(LR, parameters=theirs.parameters()), 5)
    for key, value in ours.values().items():
        np.testing.assert_allclose(value, theirs.values()[key], rtol=1e-5, atol=1e-6)


class ScaleInvariant(paddle.nn.Layer):
    """loss = sum(slope * w / |w|): its gradient is orthogonal to w, per output channel or for the whole layer."""

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        super().__init__()
        rng = np.random.default_rng(3)
        self.axes, self.slope = axes, rng.normal(size=shape)
        self.weight = self.create_parameter(list(shape), dtype="float64")
        self.weight.set_value(rng.normal(size=shape))

    def gradient(self, w: np.ndarray) -> np.ndarray:
        length = np.sqrt((w * w).sum(self.axes, keepdims=True))
        unit = w / length
        return (self.slope - unit * (unit * self.slope).sum(self.axes, keepdims=True)) / length

    def forward(self) -> paddle.Tensor:
        length = self.weight.square().sum(list(self.axes), keepdim=True).sqrt()
        return (paddle.to_tensor(self.slope) * self.weight / length).sum()


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((4, 3, 2, 2), (1, 2, 3)), ((6, 5), (0,)), ((4, 3, 2, 2), (0, 1, 2, 3)), ((6, 5), (0, 1))],
    ids=["convolution", "linear", "convolution as a whole", "linear as a whole"],
)
def test_adamp_takes_out_what_points_along_the_weights(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    with paddle.utils.unique_name.guard():
        model = ScaleInvariant(shape, axes)
        optimizer = build_optimizer("adamp", model, lr=LR, weight_decay=0.5)
        expected, state = model.weight.numpy(), {"weight_decay": 0.5}
        for t in range(1, 6):
            gradient = model.gradient(expected)
            assert invariant_part(expected, gradient) is not None
            expected = expected - adamp_step(expected, gradient, state, LR / t, t)
        advance(model, optimizer, 5)
    np.testing.assert_allclose(model.weight.numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("tilt", "projected"), [(0.9, True), (1.1, False), (-0.9, True), (-1.1, False)])
def test_adamp_projects_below_a_tenth_of_one_over_the_root_of_the_size(tilt: float, projected: bool) -> None:
    cosine = tilt * 0.1 / math.sqrt(6)
    weight = paddle.to_tensor([[[3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    gradient = paddle.to_tensor([[[cosine, math.sqrt(1 - cosine**2), 0.0], [0.0, 0.0, 0.0]]])
    direction, found = project(weight, gradient, paddle.ones([1, 2, 3]))
    assert found == projected
    assert direction.flatten().tolist() == [0.0 if projected else 1.0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_going_on_from_saved_state_changes_no_bit(name: str, tmp_path) -> None:
    def fresh() -> tuple[Quadratic, paddle.optimizer.Optimizer]:
        model = Quadratic("float32")
        return model, build_optimizer(name, model, lr=LR, weight_decay=0.1, clip_norm=1.0)

    with paddle.utils.unique_name.guard():
        whole, optimizer = fresh()
        advance(whole, optimizer, 3)
        paddle.save(optimizer.state_dict(), str(tmp_path / "state"))
        weights = whole.values()
        advance(whole, optimizer, 3, lr=0.02)
    with paddle.utils.unique_name.guard():
        resumed, optimizer = fresh()
        resumed.place(weights)
        optimizer.set_state_dict(paddle.load(str(tmp_path / "state")))
        advance(resumed, optimizer, 3, lr=0.02)
    for key, value in whole.values().items():
        assert value.tobytes() == resumed.values()[key].tobytes()


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_state_is_there_before_the_first_step_and_named_alike_every_time(name: str) -> None:
    """Not numbered by what else this process built: the state of a second run loads in a fresh process."""
    states = []
    for _ in range(2):
        with paddle.utils.unique_name.guard():
            model = Quadratic()
        for _ in range(2):
            optimizer = build_optimizer(name, model, lr=LR)
            before = set(optimizer.state_dict())
            advance(model, optimizer, 1)
            assert set(optimizer.state_dict()) == before
            states.append(before)
    assert states[0] == states[1] == states[2] == states[3]
    assert bool(states[0]) == (name != "sgd")


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sgd"])
def test_going_on_without_the_state_differs(name: str) -> None:
    with paddle.utils.unique_name.guard():
        whole = Quadratic()
        optimizer = build_optimizer(name, whole, lr=LR)
        advance(whole, optimizer, 3)
        weights = whole.values()
        advance(whole, optimizer, 3)
    with paddle.utils.unique_name.guard():
        resumed = Quadratic()
        resumed.place(weights)
        advance(resumed, build_optimizer(name, resumed, lr=LR), 3)
    assert any(not np.array_equal(value, resumed.values()[key]) for key, value in whole.values().items())


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_body_moves_at_its_own_rate(name: str) -> None:
    """A body factor of 0.25 is the same as training the body at a quarter of the rate; set_lr moves both."""
    with paddle.utils.unique_name.guard():
        grouped, slow, fast = Quadratic(), Quadratic(), Quadratic()
        optimizer = build_optimizer(name, grouped, lr=9.0, weight_decay=0.1, body_lr_factor=0.25, heads=("head.",))
        advance(grouped, optimizer, 4, lr=0.4)
        advance(slow, build_optimizer(name, slow, lr=9.0, weight_decay=0.1), 4, lr=0.1)
        advance(fast, build_optimizer(name, fast, lr=9.0, weight_decay=0.1), 4, lr=0.4)
    for key, value in grouped.values().items():
        alone = (fast if key.startswith("head.") else slow).values()[key]
        np.testing.assert_allclose(value, alone, rtol=1e-9)


def test_gradients_are_clipped_by_their_common_norm_also_in_groups() -> None:
    with paddle.utils.unique_name.guard():
        model = Quadratic()
        before = model.values()
        gradients = model.gradient(before)
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
        assert norm > 1
        optimizer = build_optimizer(
            "sgd", model, lr=LR, weight_decay=0.3, clip_norm=1.0, body_lr_factor=0.5, heads=("head.",)
        )
        advance(model, optimizer, 1)
    for key, value in model.values().items():
        rate = LR * (1.0 if key.startswith("head.") else 0.5)
        np.testing.assert_allclose(value, before[key] - rate * (gradients[key] / norm + 0.3 * before[key]), rtol=1e-6)


def test_frozen_parameters_stay_and_join_later() -> None:
    with paddle.utils.unique_name.guard():
        model = Quadratic()
        optimizer = build_optimizer("adam", model, lr=LR, weight_decay=0.1)
        start = model.values()
        for parameter in model.conv.parameters():
            parameter.stop_gradient = True
        advance(model, optimizer, 2)
        assert np.array_equal(model.values()["conv.weight"], start["conv.weight"])
        assert not np.array_equal(model.values()["head.weight"], start["head.weight"])
        for parameter in model.conv.parameters():
            parameter.stop_gradient = False
        advance(model, optimizer, 1)
    assert not np.array_equal(model.values()["conv.weight"], start["conv.weight"])


def test_a_second_optimizer_forgets_the_first_ones_settings() -> None:
    with paddle.utils.unique_name.guard():
        model, plain = Quadratic(), Quadratic()
        build_optimizer("sgd", model, lr=LR, weight_decay=0.5, body_lr_factor=0.1, heads=("head.",))
        advance(model, build_optimizer("sgd", model, lr=LR), 2)
        advance(plain, build_optimizer("sgd", plain, lr=LR), 2)
    for key, value in model.values().items():
        assert np.array_equal(value, plain.values()[key])


NAMES = {
    "conv1.weight": 4, "bn1.weight": 1, "bn1.bias": 1,
    "layer1.0.conv1.weight": 4, "layer1.0.bn1.weight": 1, "layer1.1.conv1.weight": 4, "layer2.0.conv1.weight": 4,
    "fc.weight": 2, "fc.bias": 1,
}  # fmt: skip


def test_depth_is_counted_in_blocks_and_norms_belong_to_the_one_before() -> None:
    depths = block_depths(NAMES)
    assert depths["conv1.weight"] == depths["bn1.weight"] == depths["bn1.bias"] == 0
    assert depths["layer1.0.conv1.weight"] == depths["layer1.0.bn1.weight"] == 1
    assert depths["layer1.1.conv1.weight"] == 2
    assert depths["layer2.0.conv1.weight"] == 3


def test_the_rate_falls_with_the_distance_from_the_head() -> None:
    factors = lr_factors(NAMES, ("fc.",), 0.5, 0.8)
    assert factors["fc.weight"] == factors["fc.bias"] == 1.0
    assert factors["layer2.0.conv1.weight"] == 0.5
    assert factors["layer1.1.conv1.weight"] == pytest.approx(0.5 * 0.8)
    assert factors["bn1.bias"] == pytest.approx(0.5 * 0.8**3)
    assert set(lr_factors(NAMES, (), 1.0, 1.0).values()) == {1.0}


def test_auxiliary_heads_are_heads() -> None:
    factors = lr_factors({"body.0.weight": 4, "aux1.fc.weight": 2, "fc.weight": 2}, ("fc.", "aux1.fc."), 0.5, 0.8)
    assert factors == {"body.0.weight": 0.5, "aux1.fc.weight": 1.0, "fc.weight": 1.0}


@pytest.mark.parametrize(
    ("name", "new"),
    [("googlenet", ("fc.", "aux1.fc.", "aux2.fc.")), ("paddle_googlenet", ("_fc_out.", "_out1.", "_out2."))],
)
def test_new_heads_of_both_googlenets_learn_at_the_full_rate(name: str, new: tuple[str, ...]) -> None:
    model = build_model(name, 3)
    axes = {key: len(parameter.shape) for key, parameter in model.named_parameters()}
    factors = lr_factors(axes, head_prefixes(model), 0.1, 1.0)
    full = {key for key, factor in factors.items() if factor == 1}
    assert full == {key for key in axes if key.startswith(new)}
    assert len(full) == 2 * len(new)


@pytest.mark.parametrize(
    ("name", "body_ends", "blocks"),
    [
        ("resnet18", "layer4.1.", 9),
        ("googlenet", "to_5b.3.", 12),
        ("paddle_googlenet", "_ince5b.", 12),
        ("mobilenet_v1", "conv6._pointwise_conv.1", 15),
        ("shufflenet_v2_x0_25", "_last_conv.1", 18),
        ("inception_v3", "inception_block_list.10.", 16),
    ],
)
def test_the_end_of_the_body_has_the_bodys_rate_and_each_block_before_it_less(
    name: str, body_ends: str, blocks: int
) -> None:
    model = build_model(name, 3)
    axes = {key: len(parameter.shape) for key, parameter in model.named_parameters()}
    factors = lr_factors(axes, head_prefixes(model), 0.5, 0.9)
    assert {factors[key] for key in axes if key.startswith(body_ends)} == {0.5}
    least = min(factors.values())
    assert factors[next(iter(axes))] == least
    assert round(1 + math.log(least / 0.5, 0.9)) == blocks


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"name": "adamm"}, "nearest: adam"),
        ({"lr": 0.0}, "optim.lr"),
        ({"lr": math.nan}, "optim.lr"),
        ({"weight_decay": -1.0}, "optim.weight_decay"),
        ({"momentum": 1.0}, "optim.momentum"),
        ({"clip_norm": -1.0}, "optim.clip_norm"),
        ({"body_lr_factor": 0.0, "heads": ("head.",)}, "optim.body_lr_factor"),
        ({"layer_decay": 1.5, "heads": ("head.",)}, "optim.layer_decay"),
        ({"body_lr_factor": 0.1, "heads": ("tail.",)}, "no head named 'tail.'"),
        ({"layer_decay": 0.5}, "no head named ''"),
    ],
)
def test_wrong_numbers_and_names_are_refused(options: dict, part: str) -> None:
    settings = {"name": "sgd", "lr": LR, **options}
    with pytest.raises(UserError, match=part):
        build_optimizer(settings.pop("name"), Quadratic(), **settings)


def test_the_tables_need_neither_paddle_nor_scipy() -> None:
    code = "import sys, monkeys.optim as o; assert o.OPTIMIZERS and o.SCHEDULES; print(*sorted(sys.modules))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert not {"paddle", "scipy", "numpy", "sklearn"} & set(done.stdout.split())
