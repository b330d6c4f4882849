"""Networks by name. Importing this module does not import Paddle.

Plain names are networks written out in this package; where paddle.vision has one of the same name, that one is
`paddle_…`: ours takes the options below and the same weights, theirs is there to compare with.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import UserError
from .table import MODELS, ModelEntry

if TYPE_CHECKING:
    from paddle import nn

__all__ = ["MODELS", "ModelEntry", "build_model", "check_sizes", "describe", "find_model", "head_prefixes"]


# Which families take which options of `build_model`; "network" are the named lists of plain.py.
_TAKERS: dict[str, tuple[str, ...]] = {
    "stem": ("resnet",),
    "zero_init": ("resnet",),
    "project_first": ("resnet",),
    "drop_path": ("resnet", "efficientnet"),
    "dropout": ("resnet", "efficientnet"),
    "layers": ("plain",),
}
_DEFAULTS = {
    "stem": "7x7",
    "zero_init": "false",
    "project_first": "false",
    "drop_path": "0",
    "dropout": "0",
    "layers": "null",
}


def build_model(
    name: str,
    num_classes: int,
    *,
    stem: str = "7x7",
    zero_init: bool = False,
    project_first: bool = False,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    layers: str | Sequence[str] | None = None,
    init: str = "default",
    size: int | None = None,
) -> nn.Layer:
    """The network `name` with a new head: [N,3,size,size] float32 → logits [N,num_classes].

    In train mode the GoogLeNets give (logits, auxiliary logits, auxiliary logits). size: None is the model's usual one;
    it matters to networks with fixed_size only. layers: the list of a "plain" network. init: see `layers.initialise`.
    Weights are drawn from Paddle's generator. UserError for an unknown name, value, or an option the model lacks.
    """
    entry = find_model(name)
    _check_values(name, num_classes, entry.size if size is None else size, drop_path=drop_path, dropout=dropout)
    given = {
        "stem": stem != "7x7",
        "zero_init": zero_init,
        "project_first": project_first,
        "drop_path": drop_path != 0,
        "dropout": dropout != 0,
        "layers": layers is not None,
    }
    _check_options(name, [option for option, is_given in given.items() if is_given])
    if entry.family == "resnet":
        from .resnet import ResNet

        model: nn.Layer = ResNet(
            int(name.removeprefix("resnet")),
            num_classes,
            stem=stem,
            zero_init=zero_init,
            project_first=project_first,
            drop_path=drop_path,
            dropout=dropout,
        )
    elif entry.family == "efficientnet":
        from .efficientnet import EfficientNetB0

        model = EfficientNetB0(num_classes, drop_path=drop_path, dropout=dropout)
    else:
        model = _without_options(name, num_classes, layers, size)
    from .layers import initialise

    initialise(model, init)
    model.architecture = name
    return model


def _without_options(name: str, num_classes: int, layers: str | Sequence[str] | None, size: int | None) -> nn.Layer:
    family = MODELS[name].family
    if family == "googlenet":
        from .googlenet import GoogLeNet

        return GoogLeNet(num_classes)
    if family == "zoo":
        from .zoo import build_zoo

        return build_zoo(name, num_classes)
    from .plain import NETWORKS, PlainNet

    if family == "plain" and layers is None:
        raise UserError(f'model.layers: "plain" needs a list of layers, for example "{NETWORKS["network_83_2611"]}"')
    return PlainNet(layers or NETWORKS[name], num_classes, size)


def find_model(name: str) -> ModelEntry:
    """The entry of a name; UserError with the nearest name and the list if there is none."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.6)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(f'model.name: unknown model "{name}"{hint}; known: {", ".join(MODELS)}')


def head_prefixes(model: nn.Layer) -> tuple[str, ...]:
    """What the parameter names of the classification head begin with, such as "fc.", and then those of auxiliary heads.

    For networks from `build_model`.
    """
    return tuple(model.head_prefixes)


def describe(name: str) -> tuple[int, float, int]:
    """Trainable parameters, billions of multiply-adds per picture, and input size, measured on the built network.

    With the number of classes and the size of its entry, where the same figures stand for a quick listing.
    """
    from .summary import count_multiply_adds, count_parameters

    entry = find_model(name)
    model = build_model(name, entry.classes)
    return count_parameters(model), count_multiply_adds(model, entry.size) / 1e9, entry.size


def _check_values(name: str, num_classes: int, size: int, *, drop_path: float, dropout: float) -> None:
    if num_classes < 1:
        raise UserError(f"num_classes: expected at least 1, got {num_classes}")
    _check_size(name, size, "data.size")
    for option, value in (("drop_path", drop_path), ("dropout", dropout)):
        if not 0 <= value < 1:
            raise UserError(f"model.{option}: expected a probability from 0 up to but not including 1, got {value}")


def check_sizes(name: str, size: int, others: Mapping[str, Collection[int]]) -> None:
    """UserError where the network, built for `size`, cannot take one of the other sizes. others: setting -> sizes."""
    for setting, values in others.items():
        for value in values:
            _check_size(name, value, setting)
            if MODELS[name].fixed_size and value != size:
                raise UserError(f"{setting}: {name} takes only the size that it is built for ({size}), got {value}")


def _check_size(name: str, size: int, setting: str) -> None:
    entry = MODELS[name]
    if size < entry.smallest or (entry.largest is not None and size > entry.largest):
        upper = "" if entry.largest is None else f" and at most {entry.largest}"
        raise UserError(f"{setting}: {name} needs pictures of at least {entry.smallest}{upper} pixels, got {size}")


def _check_options(name: str, given: list[str]) -> None:
    family = MODELS[name].family
    for option in given:
        if family not in _TAKERS[option]:
            takers = [other for other, entry in MODELS.items() if entry.family in _TAKERS[option]]
            raise UserError(
                f"model.{option}: {name} has no such option: -o model.{option}={_DEFAULTS[option]} leaves it out; "
                f"models that have it: {', '.join(takers)}"
            )
