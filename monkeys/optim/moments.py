"""What Adam's relatives that Paddle 2.6 lacks have in common: two running means, and all state in `state_dict`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import paddle
from paddle.optimizer import Optimizer

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class MomentOptimizer(Optimizer, ABC):
    """Keeps running means of gradient and squared gradient; a subclass makes the step of them.

    State per parameter: `moment1`, `moment2`, and the numbers named in SCALARS. Those are float64 on the CPU, so
    that reading them neither waits for a GPU nor rounds 1 - 0.999 ** t.
    """

    SCALARS: tuple[tuple[str, float], ...] = (("step", 0.0),)

    def __init__(
        self,
        learning_rate: float,
        parameters: Sequence[paddle.Tensor],
        grad_clip: paddle.nn.ClipGradByGlobalNorm | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters=parameters, weight_decay=None, grad_clip=grad_clip)

    @abstractmethod
    def move(self, parameter: paddle.Tensor, gradient: paddle.Tensor, lr: float, step: int) -> None:
        """Change the parameter in place; its moments hold this gradient already; step counts from 1."""

    def scalar(self, name: str, parameter: paddle.Tensor) -> float:
        return self._get_accumulator(name, parameter).item()

    def set_scalar(self, name: str, parameter: paddle.Tensor, value: float) -> None:
        self._get_accumulator(name, parameter).fill_(value)

    def root(self, parameter: paddle.Tensor, step: int) -> paddle.Tensor:
        """Denominator of Adam's step: sqrt(moment2 / (1 - beta2 ** step)) + epsilon."""
        second = self._get_accumulator("moment2", parameter)
        return second.sqrt() / math.sqrt(1 - BETA2**step) + EPSILON

    def _create_accumulators(self, block: Any, parameters: Sequence[paddle.Tensor]) -> None:
        for parameter in parameters:
            self._add_accumulator("moment1", parameter)
            self._add_accumulator("moment2", parameter)
            for name, start in self.SCALARS:
                self._add_accumulator(name, parameter, dtype=paddle.float64, fill_value=start, shape=[1], device="cpu")

    def _append_optimize_op(self, block: Any, param_and_grad: tuple[paddle.Tensor, paddle.Tensor]) -> None:
        parameter, gradient = param_and_grad
        self._get_accumulator("moment1", parameter).scale_(BETA1).add_(gradient * (1 - BETA1))
        self._get_accumulator("moment2", parameter).scale_(BETA2).add_(gradient.square() * (1 - BETA2))
        step = int(self.scalar("step", parameter)) + 1
        self.set_scalar("step", parameter, step)
        lr = self.get_lr() * parameter.optimize_attr["learning_rate"]
        self.move(parameter, gradient, lr, step)
