"""Adam with Nesterov's look-ahead (Dozat 2016), its momentum growing towards 0.9 as in the paper."""

from __future__ import annotations

import paddle

from .moments import BETA1, MomentOptimizer

MOMENTUM_DECAY = 0.004


def momentum_at(step: int) -> float:
    """Momentum of the step (from 1): 0.9 * (1 - 0.96 ** (0.004 * step) / 2)."""
    return BETA1 * (1 - 0.5 * 0.96 ** (step * MOMENTUM_DECAY))


class NAdam(MomentOptimizer):
    """w -= lr * (next momentum * corrected mean + (1 - momentum) * corrected gradient) / (root + epsilon).

    `momentum_product` is the product of all momenta so far, by which mean and gradient are corrected.
    """

    SCALARS = (("step", 0.0), ("momentum_product", 1.0))

    def move(self, parameter: paddle.Tensor, gradient: paddle.Tensor, lr: float, step: int) -> None:
        now, ahead = momentum_at(step), momentum_at(step + 1)
        product = self.scalar("momentum_product", parameter) * now
        self.set_scalar("momentum_product", parameter, product)
        mean = self._get_accumulator("moment1", parameter)
        direction = mean * (ahead / (1 - product * ahead)) + gradient * ((1 - now) / (1 - product))
        parameter.subtract_(direction / self.root(parameter, step) * lr)
