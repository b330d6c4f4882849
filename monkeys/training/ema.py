"""An exponential moving average of the weights, kept in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import paddle
from paddle import nn


class Averaged:
    """average = d * average + (1 - d) * weights after each step, with d = min(decay, (1 + t) / (10 + t)).

    Batch-norm statistics are averaged alike; whole-number buffers are copied. decay 0 keeps nothing.
    """

    def __init__(self, model: nn.Layer, decay: float) -> None:
        self._model, self._decay, self._updates = model, decay, 0
        self._average = {name: value.astype("float32").clone() for name, value in self._tensors()} if decay else {}

    def _tensors(self) -> list[tuple[str, paddle.Tensor]]:
        return [(name, value) for name, value in self._model.state_dict().items() if value.is_floating_point()]

    @paddle.no_grad()
    def update(self) -> None:
        """Follow the weights after a step."""
        if not self._decay:
            return
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, value in self._tensors():
            average = self._average[name]
            average.set_value(average * decay + value.astype("float32") * (1 - decay))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model carries the averaged weights inside this context."""
        if not self._decay:
            yield
            return
        kept = {name: value.clone() for name, value in self._tensors()}
        self._assign(self._average)
        try:
            yield
        finally:
            self._assign(kept)

    @paddle.no_grad()
    def _assign(self, source: dict[str, paddle.Tensor]) -> None:
        for name, value in self._tensors():
            value.set_value(source[name].astype(value.dtype))

    def state_dict(self) -> dict[str, np.ndarray]:
        """The averages by the names of the network's tensors."""
        return {name: value.numpy() for name, value in self._average.items()}

    @property
    def updates(self) -> int:
        """Steps that went into the averages."""
        return self._updates

    def load_state_dict(self, tensors: dict[str, np.ndarray], updates: int) -> None:
        self._updates = updates
        for name, value in self._average.items():
            value.set_value(tensors[name])
