"""A pickle reader that runs no code: the few instructions that `paddle.save` writes, on a stack of our own.

There is no import, no attribute and no class of the file's choosing; the only callables are the stand-ins of `_CALLS`,
which take apart what numpy wrote. An array exists only if the file holds as many bytes as its shape needs.
"""

from __future__ import annotations

import math
import mmap
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

MOST_INSTRUCTIONS = 5_000_000  # a network of a thousand tensors takes some forty thousand
_KINDS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


class Refused(Exception):
    """The pickle asks for something that weights never need."""


class Dtype:
    """numpy.dtype as a pickle describes it: the kind first, the byte order later."""

    def __init__(self, kind: str, *_: Any) -> None:
        # Types first, here and below: hashing or printing a million nested tuples would end the interpreter.
        if type(kind) is not str or kind not in _KINDS:
            raise Refused("it holds arrays of something else than numbers")
        self.numpy = np.dtype(kind)

    def build(self, state: tuple[Any, ...]) -> int:
        """Take over the state; the number of bytes that this makes."""
        order = state[1]
        if type(order) is not str or order not in ("<", ">", "|", "="):
            raise Refused("it holds an array of unknown byte order")
        self.numpy = self.numpy.newbyteorder(order)  # type: ignore[arg-type]
        return 0


class Array:
    """numpy.ndarray as a pickle describes it: empty first, then version, shape, dtype, order and bytes."""

    def __init__(self, *_: Any) -> None:
        self.numpy: np.ndarray | None = None

    def build(self, state: tuple[Any, ...]) -> int:
        """Take over the state; the number of bytes that this makes."""
        _, shape, dtype, fortran, data = state
        if type(dtype) is not Dtype or any(type(side) is not int or side < 0 for side in shape):
            raise Refused("it holds an array without a proper type and shape")
        raw = data.encode("latin-1") if type(data) is str else data
        if math.prod(shape) * dtype.numpy.itemsize != len(raw):
            raise Refused(f"it holds an array whose shape does not fit its {len(raw)} bytes")
        self.numpy = np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran else "C")
        return len(raw)


def _encode(text: str, encoding: str) -> bytes:
    # Protocol 2 has no bytes: it writes them as Latin-1 text to be encoded again.
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("it encodes text in an unknown way")
    return text.encode("latin-1")


def _tuple(items: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    # Paddle writes a nested tensor as the pair of its name and its array.
    if type(items) is not tuple:
        raise Refused("it makes a tuple of something else")
    return items


_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray _reconstruct": Array,
    "numpy._core.multiarray _reconstruct": Array,
    "numpy ndarray": Array,
    "numpy dtype": Dtype,
    "_codecs encode": _encode,
    "collections OrderedDict": lambda: {},
    "builtins tuple": _tuple,
    "__builtin__ tuple": _tuple,
    "builtins bytes": lambda: b"",
    "__builtin__ bytes": lambda: b"",
}


class Machine:
    """The stack machine of a pickle, reduced to what tensors in containers need."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = 0  # bytes, of texts encoded and arrays: twice what the file holds

    def run(self, data: bytes | mmap.mmap) -> Any:
        """The object that the pickle describes; Refused, or ValueError, IndexError, TypeError … where it is damaged."""
        self.budget = 2 * len(data)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # type: ignore[arg-type]
            if count > MOST_INSTRUCTIONS:
                raise Refused("it has far more parts than a network")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _INSTRUCTIONS:
                _INSTRUCTIONS[opcode.name](self, argument)
            else:
                raise Refused(f"it uses the pickle instruction {opcode.name}, which weights never need")
        raise Refused("it ends early")

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Refused("it takes more from the stack than is there")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def look_up(self, name: str) -> None:
        if name not in _CALLS:
            raise Refused(f"it asks for {name.replace(' ', '.')[:60]!r}, which is not part of any weights")
        self.stack.append(_CALLS[name])

    def call(self) -> None:
        function, arguments = self.last(2)
        if not any(function is known for known in _CALLS.values()) or type(arguments) is not tuple:
            raise Refused("it calls something that is not part of any weights")
        made = function(*arguments)
        self._spend(len(made) if type(made) is bytes else 0)
        self.stack.append(made)

    def build(self) -> None:
        (state,) = self.last(1)
        if type(self.stack[-1]) not in (Dtype, Array) or type(state) is not tuple:
            raise Refused("it sets the state of something that is no array")
        self._spend(self.stack[-1].build(state))

    def _spend(self, made: int) -> None:
        self.budget -= made
        if self.budget < 0:
            raise Refused("it makes far more numbers than it holds")

    def set_items(self, items: list[Any]) -> None:
        target, keys = self.stack[-1], items[::2]
        if type(target) is not dict or any(type(key) not in (str, int) for key in keys):
            raise Refused("it fills a dictionary with keys that are no names")
        target.update(zip(keys, items[1::2], strict=True))

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Refused("it appends to something that is no list")
        self.stack[-1].extend(items)


def _stack_global(machine: Machine, _: Any) -> None:
    module, name = machine.last(2)
    if type(module) is not str or type(name) is not str:
        raise Refused("it asks for something without a name")
    machine.look_up(f"{module} {name}")


_NUMBERS = frozenset({"NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"})
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
_LITERALS = _NUMBERS | _TEXTS | _BYTES

_INSTRUCTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "FRAME": lambda machine, length: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.last(3))),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": lambda machine, index: machine.remember(index),
    "LONG_BINPUT": lambda machine, index: machine.remember(index),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "GLOBAL": lambda machine, name: machine.look_up(name),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
