"""Saving and going on: weights and state as safetensors and JSON, written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn
from paddle.optimizer import Optimizer
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as dump_safetensors

from .. import atomic
from ..errors import NotFiniteError, UserError

log = logging.getLogger("monkeys")

Tensors = dict[str, np.ndarray]
KEPT = 2  # checkpoints: the last, and the one before it in case the last is damaged


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """Write tensors sorted by name and nothing else, so that equal weights give equal bytes; returns their SHA-256.

    NotFiniteError, before anything is written, where one of them holds a value that is no finite number: not every such
    value shows in the loss.
    """
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise NotFiniteError(f"{name} is not finite")
    data = dump_safetensors({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
    atomic.write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def load_tensors(path: Path, sha256: str | None = None) -> Tensors:
    """Read a safetensors file; UserError names the file where it is missing, damaged, or not the one that was saved."""
    try:
        data = path.read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(f"{path} is damaged: its checksum is not the recorded one")
        return load_safetensors(data)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a safetensors file: {str(error)[:200]}") from None


class Checkpoints:
    """The folder `last/`: one safetensors and one JSON file per checkpoint, the JSON written last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Write a checkpoint, then forget all but the last `KEPT`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = f"step-{step:09d}"
        digest = save_tensors(self.folder / f"{stem}.safetensors", tensors)
        record = {"sha256": digest, "state": state, "state_sha256": _digest(state)}
        atomic.write_json(self.folder / f"{stem}.json", record)
        for old in self._states()[:-KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(".safetensors").unlink(missing_ok=True)

    def latest(self) -> tuple[Tensors, dict[str, Any]] | None:
        """The newest checkpoint that is whole, or None where nothing was saved; UserError where all are damaged."""
        faults = []
        for path in reversed(self._states()):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                if _digest(record["state"]) != record["state_sha256"]:
                    raise ValueError("its checksum is not the recorded one")
                tensors = load_tensors(path.with_suffix(".safetensors"), record["sha256"])
            except (UserError, ValueError, KeyError, TypeError, OSError, RecursionError) as error:
                faults.append(f"{path} cannot be used ({error})")
                continue
            if faults:
                log.warning("%s; falling back to %s", "; ".join(faults), path.name)
            return tensors, record["state"]
        if faults:
            advice = "put a whole copy of one there, or start anew with --overwrite instead of --resume"
            raise UserError(f"{'; '.join(faults)}: {advice}")
        return None

    @property
    def exist(self) -> bool:
        """Whether anything was saved, whole or not."""
        return bool(self._states())

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.json"))


def _digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of the state as JSON, which makes texts of all keys before they are sorted."""
    as_read = json.loads(json.dumps(state))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def refuse_missing_state(setting: str, own: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """UserError where a part of the run has a state that the checkpoint does not: not even --resume force knows it."""
    if missing := sorted(own.keys() - saved.keys()):
        raise UserError(
            f"the checkpoint was made with another {setting}, and has no state for this one ({missing[0]}): "
            "set it as it was, or choose another run.name"
        )


def restore_scaler(scaler: Any, state: Mapping[str, Any]) -> None:
    """Take over what `as_json` gave; nothing on a CPU, whose scaler neither has a state nor takes one."""
    if state and scaler.is_enable():
        scaler.load_state_dict({**state, "scale": np.asarray(state["scale"], np.float32)})


def as_json(state: Mapping[str, Any]) -> dict[str, Any]:
    """A scaler's state as JSON values."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in state.items()}


def optimizer_tensors(optimizer: Optimizer, model: nn.Layer) -> Tensors:
    """Optimizer state keyed by the parameters' structured names, which do not depend on what else was built before."""
    structured = {parameter.name: name for name, parameter in model.named_parameters()}
    tensors = {}
    for key, value in optimizer.state_dict().items():
        owner = max((name for name in structured if key.startswith(name + "_")), key=len, default=None)
        if owner is not None:
            tensors[f"{structured[owner]}|{key[len(owner) + 1 :]}"] = value.numpy()
    return tensors


def restore_optimizer(optimizer: Optimizer, model: nn.Layer, tensors: Mapping[str, np.ndarray]) -> None:
    """The reverse of `optimizer_tensors`; UserError where the state belongs to another architecture."""
    import paddle

    names = {name: parameter.name for name, parameter in model.named_parameters()}
    state = {}
    for key, value in tensors.items():
        structured, _, suffix = key.partition("|")
        if structured not in names:
            raise UserError(f"the checkpoint's optimizer state has {structured}, which this network has not")
        state[f"{names[structured]}_{suffix}"] = paddle.to_tensor(value)
    optimizer.set_state_dict(state)


def restore_model(model: nn.Layer, tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Load weights by structured name; UserError where names or shapes differ in any way."""
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    if own != given:
        differing = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        example = differing[0]
        raise UserError(
            f"{source} does not fit this network: {len(differing)} tensors differ, e.g. {example} "
            f"is {given.get(example, 'missing')} there and {own.get(example, 'missing')} here"
        )
    model.set_state_dict(dict(tensors))


def part(tensors: Tensors, name: str) -> Tensors:
    """What a checkpoint holds of one of its parts: model, optimizer, average."""
    return {key.partition("/")[2]: value for key, value in tensors.items() if key.startswith(name + "/")}


def model_tensors(model: nn.Layer) -> Tensors:
    """Weights and batch-norm statistics by structured name."""
    return {name: value.numpy() for name, value in model.state_dict().items()}
