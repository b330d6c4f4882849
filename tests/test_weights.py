"""Pretrained weights: files in each project's naming give equal logits; hostile and wrong files give one clear line."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle import nn
from safetensors.numpy import save_file

from monkeys.errors import UserError
from monkeys.models import build_model, weight_files
from monkeys.models.download import fetch, published
from monkeys.models.weights import load_pretrained

TINY = "in16 conv3-4 maxpool2 fc16 fc16 fc3"


def shake(model: nn.Layer, seed: int = 0) -> nn.Layer:
    """Random values in every tensor, statistics included, so that no two can be mixed up unseen."""
    rng = np.random.default_rng(seed)
    for name, tensor in model.state_dict().items():
        values = rng.uniform(0.5, 1.5, tensor.shape) if tensor.ndim == 1 else tensor.numpy() * rng.uniform(0.9, 1.1)
        tensor.set_value(values.astype(np.float32))
        del name
    model.eval()
    return model


def arrays(model: nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def tiny(classes: int = 3) -> nn.Layer:
    return build_model("plain", classes, layers=TINY)


def same_logits(one: nn.Layer, other: nn.Layer, size: int = 64) -> None:
    one.eval()
    other.eval()
    x = paddle.to_tensor(np.random.default_rng(9).normal(size=(2, 3, size, size)).astype(np.float32))
    expected = one(x).numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(other(x).numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def in_torchvision_naming(model: nn.Layer) -> dict[str, np.ndarray]:
    """Statistics under their names there, a counter beside each, linear weights [out, in]."""
    renamed = {}
    for name, value in arrays(model).items():
        head, _, last = name.rpartition(".")
        if last == "_mean":
            renamed[f"{head}.running_mean"] = value
            renamed[f"{head}.num_batches_tracked"] = np.array(7, dtype=np.int64)
        elif last == "_variance":
            renamed[f"{head}.running_var"] = value
        else:
            renamed[name] = np.ascontiguousarray(value.T) if value.ndim == 2 else value
    return renamed


class ClasUnit(nn.Layer):
    """Convolution and norm under the names that PaddleClas gives them (before version 2: with underscores)."""

    def __init__(self, channels: int, filters: int, kernel: int, stride: int, old: bool) -> None:
        super().__init__()
        conv = nn.Conv2D(channels, filters, kernel, stride=stride, padding=kernel // 2, bias_attr=False)
        self.steps = ["_conv", "_batch_norm"] if old else ["conv", "bn"]
        self.add_sublayer(self.steps[0], conv)
        self.add_sublayer(self.steps[1], nn.BatchNorm(filters))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        for step in self.steps:
            x = self._sub_layers[step](x)
        return x


class ClasBlock(nn.Layer):
    """conv0, conv1 (and conv2 in a bottleneck), short where the shape changes or the first shortcut is projected."""

    def __init__(self, channels: int, width: int, stride: int, deep: bool, short: bool, old: bool) -> None:
        super().__init__()
        out = width * 4 if deep else width
        if deep:
            self.conv0 = ClasUnit(channels, width, 1, 1, old)
            self.conv1 = ClasUnit(width, width, 3, stride, old)
            self.conv2 = ClasUnit(width, out, 1, 1, old)
        else:
            self.conv0 = ClasUnit(channels, width, 3, stride, old)
            self.conv1 = ClasUnit(width, width, 3, 1, old)
        self.deep = deep
        if short:
            self.short = ClasUnit(channels, out, 1, stride, old)
        self.projected = short

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        branch = nn.functional.relu(self.conv0(x))
        branch = self.conv1(branch)
        if self.deep:
            branch = self.conv2(nn.functional.relu(branch))
        return nn.functional.relu(branch + (self.short(x) if self.projected else x))


class ClasResNet(nn.Layer):
    """A ResNet with PaddleClas' names: stem.0, blocks.N, fc; before version 2: conv, res2a …, out."""

    def __init__(self, counts: tuple[int, ...], deep: bool, classes: int, *, project_first: bool, old: bool = False):
        super().__init__()
        self.old, self.names, channels = old, [], 64
        stem = ClasUnit(3, 64, 7, 2, old)
        if old:
            self.conv = stem
        else:
            self.stem = nn.Sequential(stem)
        blocks = []
        for stage, count in enumerate(counts):
            width = 64 * 2**stage
            for index in range(count):
                short = index == 0 and (stage > 0 or deep or project_first)
                block = ClasBlock(channels, width, 2 if stage and not index else 1, deep, short, old)
                blocks.append(block)
                many = count > 6
                letter = ("a" if index == 0 else f"b{index}") if many else chr(ord("a") + index)
                self.names.append(f"res{stage + 2}{letter}")
                channels = width * 4 if deep else width
        if old:
            for name, block in zip(self.names, blocks, strict=True):
                self.add_sublayer(name, block)
            self.out = nn.Linear(channels, classes)
        else:
            self.blocks = nn.Sequential(*blocks)
            self.fc = nn.Linear(channels, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.relu(self.conv(x) if self.old else self.stem(x))
        x = nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        for block in [self._sub_layers[name] for name in self.names] if self.old else self.blocks:
            x = block(x)
        x = x.mean(axis=[2, 3])
        return self.out(x) if self.old else self.fc(x)


def test_own_weights_come_back(tmp_path):
    source, model = shake(tiny(), 1), shake(tiny(), 2)
    save_file(arrays(source), tmp_path / "best.safetensors")
    report = load_pretrained(model, tmp_path / "best.safetensors")
    assert not report.left_out
    assert not report.missing
    assert set(report.matched) == set(arrays(model))
    same_logits(source, model, 16)


@pytest.mark.parametrize(("name", "protocol"), [("resnet18", 2), ("resnet18", 3), ("resnet18", 4), ("resnet50", 4)])
def test_paddles_files_give_equal_logits(tmp_path, name, protocol):
    source = shake(build_model(f"paddle_{name}", 5))
    path = tmp_path / "model.pdparams"
    paddle.save(source.state_dict(), str(path), protocol=protocol)
    model = build_model(name, 5)
    report = load_pretrained(model, str(path))
    assert not report.left_out
    same_logits(source, model)


def test_nested_paddle_files_are_flattened(tmp_path):
    source = tiny()
    paddle.save({"model": source.state_dict(), "epoch": 3, "note": "x"}, str(tmp_path / "a.pdparams"))
    held = weight_files.read_weights(tmp_path / "a.pdparams")
    assert held["epoch"] == 3
    for name, value in arrays(source).items():
        np.testing.assert_array_equal(held[f"model.{name}"], value)


def test_tensors_cut_by_paddle_are_joined(tmp_path):
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    flat = whole.ravel()
    record = {"OriginShape": whole.shape, "slices": ["w@@.0", "w@@.1"]}
    held = {"b": np.ones(2), "w@@.0": flat[:10], "w@@.1": flat[10:], "UnpackBigParamInfor@@": {"w": record}}
    path = tmp_path / "big.pdparams"
    path.write_bytes(pickle.dumps(held, protocol=2))
    found = weight_files.read_weights(path)
    assert list(found) == ["b", "w"]
    np.testing.assert_array_equal(found["w"], whole)


def test_every_order_and_type_of_numbers_is_read(tmp_path):
    rng = np.random.default_rng(0)
    held = {
        "fortran": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
        "big endian": rng.normal(size=5).astype(">f4"),
        "half": rng.normal(size=(2, 2)).astype(np.float16),
        "double": rng.normal(size=(2, 0, 2)),
        "scalar": np.array(4, dtype=np.int64),
        "flags": np.array([True, False]),
    }
    for protocol in (2, 3, 4):
        path = tmp_path / f"{protocol}.pdparams"
        path.write_bytes(pickle.dumps(held, protocol=protocol))
        found = weight_files.read_weights(path)
        for name, value in held.items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].shape == value.shape


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_files_give_equal_logits(tmp_path, name):
    source = shake(build_model(f"paddle_{name}", 5))
    save_file(in_torchvision_naming(source), tmp_path / "torch.safetensors")
    model = build_model(name, 5)
    report = load_pretrained(model, tmp_path / "torch.safetensors")
    assert set(report.left_out.values()) == {"counter of PyTorch's batch norm, not used here"}
    assert not report.missing
    same_logits(source, model)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v2"])
def test_torchvisions_files_fit_other_networks_of_the_same_names(tmp_path, name):
    source, model = shake(build_model(name, 5), 3), build_model(name, 5)
    save_file(in_torchvision_naming(source), tmp_path / "torch.safetensors")
    assert not load_pretrained(model, tmp_path / "torch.safetensors").missing
    same_logits(source, model)


def test_square_linear_weights_are_transposed_with_the_rest(tmp_path):
    """Without norms only the other linear layers tell that a file is torchvision's."""
    model = build_model("plain", 3, layers="in8 maxpool2 fc16 fc16 fc3")
    source = shake(build_model("plain", 3, layers="in8 maxpool2 fc16 fc16 fc3"), 4)
    save_file(in_torchvision_naming(source), tmp_path / "torch.safetensors")
    load_pretrained(model, tmp_path / "torch.safetensors")
    same_logits(source, model, 8)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("name", "counts", "deep"),
    [("resnet18", (2, 2, 2, 2), False), ("resnet34", (3, 4, 6, 3), False), ("resnet50", (3, 4, 6, 3), True)],
)
def test_paddleclas_files_give_equal_logits(tmp_path, name, counts, deep, old):
    source = shake(ClasResNet(counts, deep, 5, project_first=True, old=old))
    paddle.save(source.state_dict(), str(tmp_path / "clas.pdparams"))
    model = build_model(name, 5, project_first=True)
    report = load_pretrained(model, tmp_path / "clas.pdparams")
    assert not report.left_out
    assert not report.missing
    same_logits(source, model)


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
def test_paddleclas_names_of_long_stages(tmp_path, old):
    source = shake(ClasResNet((3, 4, 23, 3), True, 2, project_first=False, old=old))
    assert "res4b22" in source.names
    paddle.save(source.state_dict(), str(tmp_path / "clas.pdparams"))
    model = build_model("resnet101", 2)
    assert not load_pretrained(model, tmp_path / "clas.pdparams").missing
    same_logits(source, model, 32)


@pytest.mark.parametrize("old", [False, True])
def test_paddleclas_projection_of_the_first_shortcut_is_not_dropped(tmp_path, old):
    source, model = ClasResNet((2, 2, 2, 2), False, 5, project_first=True, old=old), build_model("resnet18", 5)
    paddle.save(source.state_dict(), str(tmp_path / "clas.pdparams"))
    before = arrays(model)
    with pytest.raises(UserError, match=r"clas\.pdparams projects the first shortcut.*-o model\.project_first=true"):
        load_pretrained(model, tmp_path / "clas.pdparams")
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_vd_weights_are_refused(tmp_path):
    held = {
        "stem.0.conv.weight": np.zeros(3),
        "stem.1.conv.weight": np.zeros(3),
        "blocks.0.conv0.conv.weight": np.zeros(3),
    }
    save_file(held, tmp_path / "vd.safetensors")
    with pytest.raises(UserError, match=r"vd\.safetensors holds PaddleClas ResNet_vd weights"):
        load_pretrained(build_model("resnet18", 5), tmp_path / "vd.safetensors")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "googlenet"])
def test_a_head_for_other_classes_is_left_new(tmp_path, name):
    source, model = shake(build_model(name, 7)), build_model(name, 5)
    save_file(arrays(source), tmp_path / "w.safetensors")
    report = load_pretrained(model, tmp_path / "w.safetensors")
    assert set(report.left_out.values()) == {"head for 7 classes, this network has 5"}
    assert set(report.left_out) == set(report.missing)
    assert all(key.startswith(model.head_prefixes) for key in report.missing)
    assert "head for 7 classes" in str(report)
    assert "\n" not in str(report)
    assert f"{len(report.matched)} tensors matched" in str(report)


def test_a_head_that_is_not_to_be_kept_is_left_new(tmp_path):
    file = tmp_path / "own.safetensors"
    save_file(arrays(shake(build_model("resnet18", 3))), str(file))
    model = build_model("resnet18", 3)
    before = model.fc.weight.numpy()
    report = load_pretrained(model, file, keep_head=False)
    assert report.left_out == dict.fromkeys(("fc.weight", "fc.bias"), "head, perhaps for other classes")
    np.testing.assert_array_equal(model.fc.weight.numpy(), before)


def test_torchvisions_head_for_other_classes_is_named_rightly(tmp_path):
    """[7, 512] there is a head for seven classes, not for 512."""
    save_file(in_torchvision_naming(build_model("resnet18", 7)), tmp_path / "w.safetensors")
    report = load_pretrained(build_model("resnet18", 5), tmp_path / "w.safetensors")
    assert report.left_out["fc.weight"] == report.left_out["fc.bias"] == "head for 7 classes, this network has 5"


def test_another_stem_is_the_only_thing_left_out(tmp_path):
    source = build_model("resnet18", 5)
    save_file(arrays(source), tmp_path / "w.safetensors")
    report = load_pretrained(build_model("resnet18", 5, stem="3x3x3"), tmp_path / "w.safetensors")
    assert list(report.left_out) == ["conv1.weight"]
    assert all(name.startswith("conv1.") for name in report.missing)


@pytest.mark.parametrize(
    ("held", "wanted"), [("resnet18", "resnet34"), ("resnet50", "resnet18"), ("resnet34", "resnet18")]
)
def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path, held, wanted):
    save_file(arrays(build_model(held, 5)), tmp_path / "w.safetensors")
    model = build_model(wanted, 5)
    before = arrays(model)
    with pytest.raises(UserError, match="another network") as caught:
        load_pretrained(model, tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
    assert all(np.array_equal(value, before[name]) for name, value in arrays(model).items())


def test_a_network_whose_large_layers_alone_fit_is_another(tmp_path):
    """As one VGG's linear layers, which have nine tenths of its values, fit another VGG's."""
    network = build_model("plain", 3, layers="conv3-4 maxpool2 conv3-8 maxpool2 fc512 fc512 fc3 softmax", size=32)
    held = {name: value[..., :1, :1] if value.ndim == 4 else value for name, value in arrays(network).items()}
    save_file({name: np.ascontiguousarray(value) for name, value in held.items()}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"2 layers fit, of 4 that this network has and 4 in the file"):
        load_pretrained(network, tmp_path / "w.safetensors")


def test_nothing_in_common(tmp_path):
    save_file({"a": np.zeros(2), "b": np.zeros((2, 2))}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="nothing in it fits"):
        load_pretrained(tiny(), tmp_path / "w.safetensors")


def test_values_that_are_not_finite_are_refused(tmp_path):
    held = arrays(tiny())
    held["head.bias"][1] = np.nan
    save_file(held, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"head\.bias holds values that are not finite"):
        load_pretrained(tiny(), tmp_path / "w.safetensors")


def test_half_precision_and_stray_entries(tmp_path):
    source, model = shake(tiny(), 5), tiny()
    held = {name: value.astype(np.float16) for name, value in arrays(source).items()}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({**held, "epoch": 3, "step": np.arange(2)}, protocol=4))
    report = load_pretrained(model, tmp_path / "w.pdparams")
    assert report.left_out == {"epoch": "no array", "step": "not in this network"}
    same = arrays(model)
    assert all(np.array_equal(same[name], value.astype(np.float32)) for name, value in held.items())
    assert all(value.dtype == np.float32 for value in same.values())


def test_integers_are_no_weights(tmp_path):
    held = {name: value.astype(np.int32) for name, value in arrays(tiny()).items()}
    save_file(held, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="int32 values"):
        load_pretrained(tiny(), tmp_path / "w.safetensors")


def torch_zip() -> bytes:
    return b"PK\x03\x04" + bytes(60)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "neither a safetensors nor"),
        (b"hello, this is a text file", "neither a safetensors nor"),
        (torch_zip(), "PyTorch"),
        (struct.pack("<Q", 10**9) + b"{", "safetensors"),
        (struct.pack("<Q", 0x80) + b"{", "safetensors"),
        (struct.pack("<Q", 10**15) + b"{", "neither"),
        (struct.pack("<Q", 40) + b'{"a":{"dtype":"F32","shape":[9],', "safetensors"),
        (pickle.dumps({"a": np.zeros(9)}, protocol=4)[:-20], "damaged"),
        (pickle.dumps([1, 2], protocol=4), "no dictionary"),
        (b"\x80\x04", "damaged"),
        (b"\x80", "damaged"),
    ],
)
def test_wrong_files_are_named(tmp_path, content, text):
    path = tmp_path / "w.pdparams"
    path.write_bytes(content)
    with pytest.raises(UserError, match=text) as caught:
        load_pretrained(tiny(), path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("dtype", "values", "name"), [("BF16", 2, "bfloat16"), ("F8_E4M3", 4, "float8")])
def test_types_that_numpy_lacks_are_refused_in_one_line(tmp_path, dtype, values, name):
    header = f'{{"a":{{"dtype":"{dtype}","shape":[{values}],"data_offsets":[0,4]}}}}'.encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(UserError, match=name):
        load_pretrained(tiny(), path)


@pytest.mark.parametrize("name", ["missing.pdparams", "."])
def test_missing_files_and_folders(tmp_path, name):
    with pytest.raises(UserError, match="cannot read weights"):
        load_pretrained(tiny(), tmp_path / name)


class Runs:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def claims(shape: tuple[int, ...], data: bytes = b"1234") -> object:
    """An array that claims a shape its bytes do not have."""
    array = np.zeros(1, np.float32)
    _, arguments, state = array.__reduce__()
    version, _, dtype, fortran, _ = state

    class Liar:
        def __reduce__(self):
            return (np.core.multiarray._reconstruct, arguments, (version, shape, dtype, fortran, data))

    return Liar()


def empty_reconstruct() -> bytes:
    """numpy's own constructor asked for 10¹² values at once."""
    call = Runs(np.core.multiarray._reconstruct, np.ndarray, (10**12,), b"f")
    return pickle.dumps({"a": call}, protocol=4)


def nested(depth: int, key: bytes) -> bytes:
    """{(((…))): 1} or {"a": (((…)))}: hashing or comparing it would exhaust the C stack."""
    deep = b")" + b"\x85" * depth
    body = deep + b"K\x01" if key == b"key" else b"X\x01\x00\x00\x00a" + deep
    return b"\x80\x04}" + body + b"s."


def nested_dtype(depth: int) -> bytes:
    return b"\x80\x04}X\x01\x00\x00\x00a" + b"cnumpy\ndtype\n" + b")" + b"\x85" * depth + b"\x85R" + b"s."


def nested_dicts(depth: int) -> bytes:
    return b"\x80\x04" + b"}X\x01\x00\x00\x00a" * depth + b"}" + b"s" * depth + b"."


def doubling(levels: int) -> bytes:
    """Each dictionary holds the one before twice: 2^levels names in a hundred bytes."""
    text = b"\x80\x04}q\x00"
    for level in range(levels):
        held = b"h" + bytes([level])
        text += b"}(X\x01\x00\x00\x00a" + held + b"X\x01\x00\x00\x00b" + held + b"uq" + bytes([level + 1])
    return text + b"."


def repeated_parts() -> bytes:
    """A thousand names for the same megabyte, to be joined into one."""
    part = np.zeros(250_000, np.float32)
    names = [f"p{index}" for index in range(1000)]
    held: dict[str, object] = dict.fromkeys(names, part)
    held["UnpackBigParamInfor@@"] = {"w": {"OriginShape": (250_000_000,), "slices": names}}
    return pickle.dumps(held, protocol=4)


def encoded_again(times: int) -> bytes:
    """One text of a megabyte that is encoded so many times."""
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x00"
    call = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    return b"\x80\x02(" + text + call * times + b"t."


HOSTILE = {
    "a text encoded a thousand times": lambda flag: encoded_again(1000),
    "os.system": lambda flag: pickle.dumps({"a": Runs(__import__("os").system, f"touch {flag}")}, protocol=4),
    "os.system, protocol 2": lambda flag: pickle.dumps(
        {"a": Runs(__import__("os").system, f"touch {flag}")}, protocol=2
    ),
    "eval": lambda flag: pickle.dumps({"a": Runs(eval, f"open({str(flag)!r}, 'w')")}, protocol=4),
    "Paddle's own eval": lambda flag: pickle.dumps({"a": Runs(eval, "data", {"data": 1})}, protocol=4),
    "subprocess": lambda flag: pickle.dumps(Runs(__import__("subprocess").Popen, ["touch", str(flag)]), protocol=4),
    "getattr": lambda flag: pickle.dumps({"a": Runs(getattr, Path, "home")}, protocol=4),
    "numpy.load": lambda flag: pickle.dumps({"a": Runs(np.load, "x.npy")}, protocol=4),
    "INST": lambda flag: b"(S'touch " + str(flag).encode() + b"'\nios\nsystem\n.",
    "INST after PROTO": lambda flag: b"\x80\x02(S'touch " + str(flag).encode() + b"'\nios\nsystem\n.",
    "call of a dictionary": lambda flag: b"\x80\x04})R.",
    "call of an array": lambda flag: b"\x80\x04cnumpy\nndarray\n)R)R.",
    "state of a dictionary": lambda flag: b"\x80\x04})b.",
    "state of a callable": lambda flag: b"\x80\x04cnumpy\ndtype\n}b.",
    "huge array": lambda flag: pickle.dumps({"a": claims((10**12,))}, protocol=4),
    "huge array of one byte each": lambda flag: pickle.dumps({"a": claims((10**6, 10**6))}, protocol=2),
    "negative shape": lambda flag: pickle.dumps({"a": claims((-1, -1))}, protocol=4),
    "overflowing shape": lambda flag: pickle.dumps({"a": claims((2**32, 2**32))}, protocol=4),
    "1000 axes": lambda flag: pickle.dumps({"a": claims((1,) * 1000)}, protocol=4),
    "huge reconstruct": lambda flag: empty_reconstruct(),
    "array of objects": lambda flag: pickle.dumps({"a": np.array([print, "x"], dtype=object)}, protocol=4),
    "structured array": lambda flag: pickle.dumps({"a": np.zeros(2, dtype=[("a", "f4")])}, protocol=4),
    "bytes of a terabyte": lambda flag: b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"x.",
    "more bytes than there are": lambda flag: b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"x.",
    "huge memo index": lambda flag: b"\x80\x04}r\xff\xff\xff\xff" + b"h\x01.",
    "nested key": lambda flag: nested(1_000_000, b"key"),
    "nested type": lambda flag: nested_dtype(1_000_000),
    "nested dictionaries": lambda flag: nested_dicts(100_000),
    "doubling dictionaries": lambda flag: doubling(60),
    "itself": lambda flag: b"\x80\x04}q\x00X\x01\x00\x00\x00ah\x00s.",
    "one part a thousand times": lambda flag: repeated_parts(),
    "persistent id": lambda flag: b"\x80\x04K\x01Q.",
    "empty stack": lambda flag: b"\x80\x040.",
    "tuple of nothing": lambda flag: b"\x80\x04\x86.",
    "appending to a dictionary": lambda flag: b"\x80\x04}K\x01a.",
    "odd items": lambda flag: b"\x80\x04}(K\x01u.",
    "number of a million digits": lambda flag: b"\x80\x04L" + b"9" * 1_000_000 + b"L\n.",
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_files_run_nothing_and_allocate_nothing(tmp_path, attack):
    flag, path = tmp_path / "flag", tmp_path / "w.pdparams"
    path.write_bytes(HOSTILE[attack](flag))
    with pytest.raises(UserError) as caught:
        load_pretrained(tiny(), path)
    assert not flag.exists()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("shape", [(10**12,), (3,), (0,), (2**32, 2**32)])
def test_arrays_are_as_large_as_their_bytes(tmp_path, shape):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps({"a": claims(shape)}, protocol=4))
    with pytest.raises(UserError, match="shape does not fit its 4 bytes"):
        weight_files.read_weights(path)


def test_nesting_without_a_name_does_no_harm(tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(nested(1_000_000, b"value"))
    with pytest.raises(UserError, match="nothing in it fits"):
        load_pretrained(tiny(), path)


def test_a_refused_file_takes_no_memory(tmp_path):
    """No hostile file makes Python take more than 200 MB at once; a terabyte array would end the process."""
    path = tmp_path / "w.pdparams"
    tracemalloc.start()
    try:
        for make in HOSTILE.values():
            path.write_bytes(make(tmp_path / "flag"))
            with pytest.raises(UserError):
                weight_files.read_weights(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    st.sampled_from([2, 4]),
    st.integers(0, 200),
)
def test_damaged_files_are_read_or_refused(tmp_path_factory, changes, protocol, cut):
    data = bytearray(pickle.dumps({"a": np.arange(6.0), "b": {"c": np.ones((2, 2), np.float32)}}, protocol=protocol))
    for place, value in changes:
        data[place % len(data)] = value
    data[0] = 0x80
    path = tmp_path_factory.getbasetemp() / "damaged.pdparams"
    path.write_bytes(bytes(data[: len(data) - cut] if cut < len(data) else data))
    try:
        held = weight_files.read_weights(path)
    except UserError:
        return
    assert isinstance(held, dict)


@contextmanager
def server(answer) -> Iterator[str]:
    """A server on this machine that lets `answer(handler)` reply; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *arguments) -> None:
            del arguments

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        httpd.block_on_close = False
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


def sends(content: bytes, claimed: int | None = None):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.mark.usefixtures("no_proxy")
def test_imagenet_weights_are_fetched_once_and_loaded(tmp_path, monkeypatch, caplog):
    from paddle.vision.models.resnet import model_urls

    source = shake(build_model("paddle_resnet18", 1000))
    buffer = io.BytesIO()
    paddle.save(source.state_dict(), buffer)
    content, asked = buffer.getvalue(), []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        sends(content)(handler)

    with server(answer) as address, caplog.at_level(logging.INFO, logger="monkeys"):
        monkeypatch.setitem(model_urls, "resnet18", (f"{address}/models/resnet18.pdparams", md5(content)))
        model = build_model("resnet18", 1000)
        assert not load_pretrained(model, "imagenet", cache_dir=tmp_path / "cache").missing
        same_logits(source, model)
        fine_tuned = build_model("resnet18", 10)
        report = load_pretrained(fine_tuned, "imagenet", cache_dir=tmp_path / "cache")
    assert asked == ["/models/resnet18.pdparams"]
    assert report.left_out == dict.fromkeys(["fc.weight", "fc.bias"], "head for 1000 classes, this network has 10")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["resnet18.pdparams"]
    assert str(tmp_path / "cache" / "resnet18.pdparams") in caplog.text
    assert md5(content) in caplog.text


@pytest.mark.usefixtures("no_proxy")
def test_the_default_cache_is_paddles(tmp_path, monkeypatch):
    from paddle.vision.models.vgg import model_urls

    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache/paddle/hapi/weights"
    folder.mkdir(parents=True)
    (folder / "vgg16.pdparams").write_bytes(b"\x80\x04}.")
    monkeypatch.setitem(model_urls, "vgg16", ("http://127.0.0.1:9/vgg16.pdparams", md5(b"\x80\x04}.")))
    model = tiny()
    model.architecture = "vgg16"
    with pytest.raises(UserError, match="nothing in it fits"):
        load_pretrained(model, "imagenet")


def refusal(address: str, folder: Path, checksum: str = "0" * 32, **limits: float) -> str:
    """What a download that must fail says; nothing stays behind."""
    with pytest.raises(UserError) as caught:
        fetch(f"{address}/w.pdparams", checksum, folder, **limits)
    assert not list(folder.iterdir())
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder / "w.pdparams") in text
    return text


@pytest.mark.usefixtures("no_proxy")
class TestDownloadsThatFail:
    def test_wrong_checksum(self, tmp_path):
        with server(sends(b"something else")) as address:
            text = refusal(address, tmp_path)
        assert f"its MD5 is {md5(b'something else')}, expected {'0' * 32}" in text

    def test_missing_file(self, tmp_path):
        with server(lambda handler: handler.send_error(404)) as address:
            assert "404" in refusal(address, tmp_path)

    def test_server_that_closes_in_the_middle(self, tmp_path):
        with server(sends(b"half", claimed=8)) as address:
            assert "ended after 4 of 8 bytes" in refusal(address, tmp_path)

    def test_server_that_closes_at_once(self, tmp_path):
        with server(lambda handler: handler.connection.close()) as address:
            assert "cannot download" in refusal(address, tmp_path)

    def test_server_that_never_answers(self, tmp_path):
        release = threading.Event()
        with server(lambda handler: release.wait(20)) as address:
            assert "timed out" in refusal(address, tmp_path, timeout=0.2)
            release.set()

    def test_server_that_trickles(self, tmp_path):
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(250):
                handler.wfile.write(b"x")
                if release.wait(0.02):
                    break

        release = threading.Event()
        with server(answer) as address:
            assert "longer than allowed" in refusal(address, tmp_path, deadline=0.2)
            release.set()

    def test_no_network(self, tmp_path):
        text = refusal("http://127.0.0.1:9", tmp_path, timeout=2)
        assert "refused" in text
        assert "model.pretrained" in text

    def test_cache_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="cannot download"):
            fetch("http://127.0.0.1:9/w.pdparams", "0" * 32, tmp_path / "file" / "cache")


@pytest.mark.usefixtures("no_proxy")
def test_a_spoilt_copy_is_replaced(tmp_path):
    (tmp_path / "w.pdparams").write_bytes(b"spoilt")
    with server(sends(b"good")) as address:
        path = fetch(f"{address}/w.pdparams", md5(b"good"), tmp_path)
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_published_weights_by_our_names():
    url, checksum = published("resnet50")
    assert url.startswith("https://")
    assert url.endswith("/resnet50.pdparams")
    assert len(checksum) == 32
    assert published("paddle_resnet50") == (url, checksum)
    assert published("mobilenet_v2")[0].endswith("mobilenet_v2_x1.0.pdparams")
    assert "GoogLeNet" in published("paddle_googlenet")[0]


@pytest.mark.parametrize("name", ["googlenet", "network_84_8153", "efficientnet_b0", "vgg11", "lenet", "PlainNet"])
def test_models_without_published_weights_list_those_with(name):
    with pytest.raises(UserError, match="resnet50") as caught:
        published(name)
    assert "mobilenetv2_1.0" not in str(caught.value)


def test_imagenet_without_published_weights_never_asks_the_network(monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *arguments, **options: pytest.fail("asked the network"))
    with pytest.raises(UserError, match="no ImageNet weights are published for plain"):
        load_pretrained(tiny(), "imagenet")
