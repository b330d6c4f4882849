"""Weights on disk: safetensors and `.pdparams` files, told apart by their content, as name → array."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import UserError
from .pickled import Array, Machine, Refused

_BIG, _TABLE = "UnpackBigParamInfor@@", "StructuredToParameterName@@"
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)
_CONVERT = "convert it first: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def read_weights(path: Path) -> dict[str, Any]:
    """Tensors of a file by name, and whatever else it holds by name; UserError names the file and the reason."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise UserError(f"{path}: cannot read weights ({error.strerror})") from None
    if start[:4] == _ZIP:
        raise UserError(f"{path} is a PyTorch file or another archive; {_CONVERT}")
    # safetensors start with the length of their header, whose lowest byte may well be a pickle's first.
    if start[4:9] == b"\0\0\0\0{":
        return read_safetensors(path)
    if start[:1] == _PICKLE:
        return read_pdparams(path)
    raise UserError(f"{path} is neither a safetensors nor a .pdparams file")


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file."""
    try:
        with safe_open(path, framework="np") as file:
            # numpy has no bfloat16 and no float8: a TypeError and an AttributeError say so.
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {_line(error)}") from None


def read_pdparams(path: Path) -> dict[str, Any]:
    """Contents of a file that `paddle.save` wrote with protocol 2, 3 or 4, without running code from it.

    Nested dictionaries are flattened with dots; tensors that were cut for protocols 2 and 3 are joined.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            top, size = Machine().run(data), len(data)
        if type(top) is not dict:
            raise Refused(f"it holds no dictionary of tensors; if it is an old PyTorch file, {_CONVERT}")
        return dict(_flatten(_joined(top, size), "", set()))
    except Refused as error:
        raise UserError(f"{path} cannot be read as weights: {error}") from None
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged or no .pdparams file: {_line(error) or type(error).__name__}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _joined(items: dict[Any, Any], size: int) -> dict[Any, Any]:
    """Put together the tensors of more than 1 GB that protocols 2 and 3 hold as `name@@.0`, `name@@.1` …"""
    for name, record in items.pop(_BIG, {}).items():
        parts = [_plain(items.pop(part)) for part in record["slices"]]
        size -= sum(part.nbytes for part in parts)
        if size < 0:  # parts may share their bytes
            raise Refused("the parts of its tensors are larger than the file")
        items[name] = np.concatenate(parts).reshape(record["OriginShape"])
    return items


def _flatten(items: dict[Any, Any], prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(items) in seen or len(seen) > 100:
        raise Refused("its dictionaries hold each other")
    seen.add(id(items))
    for key, value in items.items():
        if type(value) is not dict:
            yield f"{prefix}{key}", _plain(value)
        elif key != _TABLE:
            yield from _flatten(value, f"{prefix}{key}.", seen)


def _plain(value: Any) -> Any:
    """A tensor as an array, also where it was saved as a pair of name and array; anything else as it is."""
    if type(value) is tuple and len(value) == 2 and type(value[1]) is Array:
        value = value[1]
    if type(value) is not Array:
        return value
    if value.numpy is None:
        raise Refused("it holds an array without contents")
    return value.numpy
