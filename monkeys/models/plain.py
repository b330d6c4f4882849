"""Plain convolutional networks from a list of layers such as `in224 conv3-64 maxpool2 drop0.35 fc768 fc10 softmax`.

    in224      input size in pixels, first if anywhere; the size asked for overrides it
    conv3-64   3×3 convolution of stride 1 that keeps the size, 64 filters, batch norm, ReLU; no bias before the norm
    maxpool2   2×2 pool of stride 2 (avgpool2 likewise); an odd last row and column are dropped
    drop0.35   dropout with probability 0.35
    fc768      fully connected layer; ReLU after every one but the last, whose width gives way to the number of classes
    softmax    last if anywhere; changes nothing, since the networks give logits and the loss applies it

Convolutions and layers start as Glorot uniform, which is MATLAB's default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paddle
from paddle import nn
from paddle.nn import initializer

from ..errors import UserError
from .layers import Conv2D

# The lists of the Imagenette report; 79_0828, 82_3185 and 84_3312 are one network trained with three drop periods.
_SMALL = "in224 conv3-64 conv3-64 maxpool2 conv3-64 conv3-64 maxpool2 conv3-128 conv3-128 maxpool2 "
_FOUR = _SMALL + "conv3-256 conv3-256 maxpool2 "
_NINE_CONVS = _FOUR + "conv3-512 avgpool2 fc512 drop0.35 fc512 fc10 softmax"
_TEN_CONVS = _FOUR + "conv3-512 conv3-512 avgpool2 "

NETWORKS: dict[str, str] = {
    "network_74_1656": (
        "in256 conv3-64 drop0.3 maxpool2 conv3-128 maxpool2 conv3-256 drop0.3 conv3-256 maxpool2 "
        "conv3-512 drop0.3 conv3-512 maxpool2 conv3-512 drop0.3 conv3-512 maxpool2 "
        "fc4096 drop0.3 fc4096 fc10 softmax"
    ),
    "network_74_2675": (
        "in224 conv3-64 conv3-64 conv1-64 maxpool2 conv3-64 conv3-64 conv1-64 maxpool2 "
        "conv3-128 conv3-128 conv1-128 maxpool2 conv3-256 conv3-256 conv1-256 maxpool2 "
        "conv3-512 conv3-512 conv1-512 maxpool2 fc768 drop0.35 fc768 fc10 softmax"
    ),
    "network_75_4395": (
        "in256 conv3-64 maxpool2 conv3-128 maxpool2 conv3-256 maxpool2 conv3-512 maxpool2 conv3-512 maxpool2 "
        "fc4096 fc10 softmax"
    ),
    "network_79_0828": _NINE_CONVS,
    "network_82_242": _TEN_CONVS + "fc512 drop0.35 fc512 fc10 softmax",
    "network_82_3185": _NINE_CONVS,
    "network_82_828": _TEN_CONVS + "fc768 drop0.35 fc768 fc10 softmax",
    "network_83_1338": (
        "in224 conv3-64 conv3-64 conv3-64 maxpool2 conv3-64 conv3-64 conv3-64 maxpool2 "
        "conv3-128 conv3-128 maxpool2 conv3-256 conv3-256 maxpool2 conv3-512 conv3-512 avgpool2 "
        "fc1024 drop0.4 fc1024 fc10 softmax"
    ),
    "network_83_2611": _SMALL + "conv3-256 maxpool2 conv3-512 avgpool2 fc512 drop0.35 fc512 fc10 softmax",
    "network_83_949": _TEN_CONVS + "fc1024 drop0.5 fc1024 fc10 softmax",
    "network_84_3312": _NINE_CONVS,
    "network_84_8153": _TEN_CONVS + "fc768 drop0.35 fc768 fc10 softmax",
}

WIDEST = 65_536  # filters or units of one layer
MOST_WEIGHTS = 2**29  # of one layer: 2 GB
_SHAPES: dict[str, re.Pattern[str]] = {
    "in": re.compile(r"in([0-9]{1,5})"),
    "conv": re.compile(r"conv([0-9]{1,3})-([0-9]{1,6})"),
    "maxpool": re.compile(r"maxpool([0-9]{1,4})"),
    "avgpool": re.compile(r"avgpool([0-9]{1,4})"),
    "drop": re.compile(r"drop([0-9]{0,3}\.?[0-9]{1,9})"),
    "fc": re.compile(r"fc([0-9]{1,6})"),
    "softmax": re.compile("softmax"),
}


@dataclass(frozen=True)
class Token:
    """One word of a layer list, split into its kind and its numbers."""

    position: int  # counted from 1
    text: str
    kind: str
    numbers: tuple[float, ...]

    def fault(self, reason: str) -> UserError:
        return UserError(f'layer list, position {self.position}, "{self.text}": {reason}')


class PlainNet(nn.Layer):
    """[N,3,S,S] → logits [N,C] through the list; S is fixed, because the first fully connected layer depends on it.

    size: None takes the list's own `inN`.
    """

    head_prefixes = ("head.",)

    def __init__(self, layers: str | Sequence[str], num_classes: int, size: int | None = None) -> None:
        super().__init__()
        read = tokenize(layers)
        *tokens, last = _hidden_and_last(read)
        draft = _Draft(_own_size(read[0]) if size is None else size)
        for token in tokens:
            _STEPS[token.kind](draft, token)
        head = draft.linear(last, num_classes)
        self.body = nn.Sequential(*draft.layers)
        self.head = head

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.body(x))


def tokenize(layers: str | Sequence[str]) -> list[Token]:
    """Split a list into tokens; an unknown word is a UserError with its position."""
    words = layers.split() if isinstance(layers, str) else list(layers)
    if not words:
        raise UserError(f"layer list: it is empty; expected something like {NETWORKS['network_83_2611']!r}")
    return [_token(position, word) for position, word in enumerate(words, start=1)]


def _token(position: int, word: str) -> Token:
    for kind, shape in _SHAPES.items():
        if match := shape.fullmatch(word):
            return Token(position, word, kind, tuple(float(number) for number in match.groups()))
    known = "in224 conv3-64 maxpool2 avgpool2 drop0.35 fc768 softmax"
    raise Token(position, word, "", ()).fault(f"unknown layer; expected one such as {known}")


def _own_size(first: Token) -> int:
    if first.kind != "in":
        raise first.fault("the input size is unknown; start the list with one, such as in224")
    return int(first.numbers[0])


def _hidden_and_last(tokens: list[Token]) -> list[Token]:
    """The tokens between `in` and `softmax`, checked to end with the fully connected layer that gives the logits."""
    inner = tokens[1:] if tokens[0].kind == "in" else tokens
    if inner and inner[-1].kind == "softmax":
        inner = inner[:-1]
    for token in inner:
        if token.kind in ("in", "softmax"):
            raise token.fault("in… must stand first" if token.kind == "in" else "softmax must stand last")
    if not inner or inner[-1].kind != "fc":
        raise (inner or tokens)[-1].fault("the list must end with a fully connected layer such as fc10 (and softmax)")
    return inner


class _Draft:
    """A network while it is read: the layers so far and the shape that leaves them."""

    def __init__(self, size: int) -> None:
        self.layers: list[nn.Layer] = []
        self.channels, self.side = 3, size
        self.units: int | None = None  # None as long as there are rows and columns

    def convolution(self, token: Token) -> None:
        kernel, filters = (int(number) for number in token.numbers)
        self._need_picture(token)
        if kernel % 2 == 0:
            raise token.fault("the kernel must be odd, so that the size is kept")
        _check_width(token, filters)
        _check_weights(token, self.channels * kernel**2, filters)
        self.layers += [
            Conv2D(
                self.channels,
                filters,
                kernel,
                padding=kernel // 2,
                weight_attr=initializer.XavierUniform(),
                bias_attr=False,
            ),
            nn.BatchNorm2D(filters),
            nn.ReLU(),
        ]
        self.channels = filters

    def pool(self, token: Token) -> None:
        window = int(token.numbers[0])
        self._need_picture(token)
        if window < 2:
            raise token.fault("a pool needs a window of at least 2")
        if window > self.side:
            raise token.fault(f"the picture is only {self.side} px wide here; enlarge the input or drop a pool")
        self.layers.append(nn.MaxPool2D(window, window) if token.kind == "maxpool" else nn.AvgPool2D(window, window))
        self.side //= window

    def dropout(self, token: Token) -> None:
        if not token.numbers[0] < 1:
            raise token.fault("the probability must be below 1")
        self.layers.append(nn.Dropout(token.numbers[0]))

    def hidden(self, token: Token) -> None:
        layer = self.linear(token, int(token.numbers[0]))
        self.layers += [layer, nn.ReLU()]

    def linear(self, token: Token, units: int) -> nn.Linear:
        """A fully connected layer on what there is, flattened where it still has rows and columns."""
        _check_width(token, int(token.numbers[0]))
        if self.units is None:
            self.units = self.channels * self.side**2
            self.layers.append(nn.Flatten())
        _check_weights(token, self.units, units)
        layer = nn.Linear(self.units, units, weight_attr=initializer.XavierUniform())
        self.units = units
        return layer

    def _need_picture(self, token: Token) -> None:
        if self.units is not None:
            raise token.fault("it needs rows and columns, which are gone after a fully connected layer")


def _check_width(token: Token, width: int) -> None:
    if not 1 <= width <= WIDEST:
        raise token.fault(f"the width must be between 1 and {WIDEST:,}")


def _check_weights(token: Token, inputs: int, outputs: int) -> None:
    if inputs * outputs > MOST_WEIGHTS:
        raise token.fault(f"{inputs:,} inputs for each of {outputs:,} outputs are too many weights; pool more")


_STEPS: dict[str, Callable[[_Draft, Token], None]] = {
    "conv": _Draft.convolution,
    "maxpool": _Draft.pool,
    "avgpool": _Draft.pool,
    "drop": _Draft.dropout,
    "fc": _Draft.hidden,
}
