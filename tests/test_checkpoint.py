from __future__ import annotations

import numpy as np
import paddle
import pytest
from toy import CLASSES, LAYERS, SIZE

from monkeys.errors import NotFiniteError, UserError
from monkeys.models import build_model
from monkeys.optim import build_optimizer
from monkeys.training.checkpoint import (
    KEPT,
    Checkpoints,
    load_tensors,
    optimizer_tensors,
    restore_model,
    restore_optimizer,
    save_tensors,
)


def tensors(value: float = 1.0) -> dict[str, np.ndarray]:
    return {"b": np.full((2, 2), value, np.float32), "a": np.arange(3)}


def test_equal_tensors_give_equal_bytes_in_any_order(tmp_path):
    given = tensors()
    one = save_tensors(tmp_path / "one", given)
    two = save_tensors(tmp_path / "two", dict(reversed(given.items())))
    assert one == two
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    for name, value in load_tensors(tmp_path / "one", one).items():
        np.testing.assert_array_equal(value, given[name])


@pytest.mark.parametrize(
    "content", [b"", b"words", b"\xff" * 64, (2**60).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"]
)
def test_what_is_not_safetensors_is_named(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors is not a safetensors file"):
        load_tensors(tmp_path / "x.safetensors")


def test_a_changed_byte_is_noticed(tmp_path):
    digest = save_tensors(tmp_path / "x", tensors())
    data = bytearray((tmp_path / "x").read_bytes())
    data[-1] ^= 1
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        load_tensors(tmp_path / "x", digest)


def test_the_last_checkpoints_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "last")
    for step in (1, 2, 10):
        checkpoints.save(step, tensors(step), {"step": step})
    found, state = checkpoints.latest()
    assert state == {"step": 10}
    assert found["b"][0, 0] == 10
    assert len(list((tmp_path / "last").glob("*.safetensors"))) == KEPT


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, suffix, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tensors(1), {"step": 1})
    checkpoints.save(2, tensors(2), {"step": 2})
    path = tmp_path / f"step-000000002{suffix}"
    path.unlink() if damage is None else path.write_bytes(damage)
    found, state = checkpoints.latest()
    assert state == {"step": 1}
    assert found["b"][0, 0] == 1
    assert (damage is None and suffix == ".json") or "falling back" in caplog.text


def test_a_run_whose_checkpoints_are_all_damaged_is_not_started_over(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, tensors(step), {"step": step})
        (tmp_path / f"step-{step:09d}.json").write_text("{}")
    with pytest.raises(UserError, match=r"(?s)step-000000002.*step-000000001.*start anew with --overwrite"):
        checkpoints.latest()


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nothing").latest() is None


def make(layers: str = LAYERS):
    with paddle.utils.unique_name.guard():
        model = build_model("plain", CLASSES, layers=layers, size=SIZE)
        return model, build_optimizer("adam", model, lr=0.1)


def test_optimizer_state_has_structured_names_whatever_was_built_before():
    keys = []
    for before in (0, 3):
        for _ in range(before):
            paddle.nn.Linear(2, 2)
        model, optimizer = make()
        keys.append(sorted(optimizer_tensors(optimizer, model)))
    assert keys[0] == keys[1]
    names = {key.partition("|")[0] for key in keys[0]}
    assert names == {name for name, _ in model.named_parameters()}
    restore_optimizer(optimizer, model, optimizer_tensors(optimizer, model))


def test_state_of_another_architecture_is_refused():
    model, optimizer = make()
    other, other_optimizer = make("conv3-8 maxpool2 conv3-8 conv3-8 avgpool2 fc16 fc3")
    with pytest.raises(UserError, match="which this network has not"):
        restore_optimizer(optimizer, model, optimizer_tensors(other_optimizer, other))
    with pytest.raises(UserError, match=r"x\.safetensors does not fit this network"):
        restore_model(model, {name: value.numpy() for name, value in other.state_dict().items()}, "x.safetensors")


def test_a_tensor_that_is_no_number_is_not_kept(tmp_path):
    save_tensors(tmp_path / "x", tensors())
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(NotFiniteError, match="broken is not finite"):
        save_tensors(tmp_path / "x", tensors() | {"broken": np.array([1, np.inf], np.float32)})
    assert (tmp_path / "x").read_bytes() == before
