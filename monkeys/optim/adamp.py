"""AdamP (Heo et al. 2020, arXiv 2006.08217): Adam that does not let scale-invariant weights grow.

Weights before a normalisation keep their effect when scaled, so their gradient is orthogonal to them. Where it is
(|cosine| below DELTA / sqrt(size)), the part of Adam's step along the weights is taken out and decay is weakened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import paddle

from .moments import BETA1, MomentOptimizer

DELTA = 0.1
INVARIANT_DECAY = 0.1


class AdamP(MomentOptimizer):
    """w *= 1 - lr * decay (a tenth of it where projected), then w -= lr * projected Adam step.

    decay: of the parameters whose name `decays` accepts.
    """

    def __init__(
        self,
        learning_rate: float,
        parameters: Sequence[paddle.Tensor],
        decay: float,
        decays: Callable[[str], bool],
        grad_clip: paddle.nn.ClipGradByGlobalNorm | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, grad_clip)
        self._decay = decay
        self._decays = decays

    def move(self, parameter: paddle.Tensor, gradient: paddle.Tensor, lr: float, step: int) -> None:
        mean = self._get_accumulator("moment1", parameter)
        direction = mean / (1 - BETA1**step) / self.root(parameter, step)
        strength = self._decay if self._decays(parameter.name) else 0.0
        if len(parameter.shape) > 1:
            direction, invariant = project(parameter, gradient, direction)
            strength *= INVARIANT_DECAY if invariant else 1.0
        if strength:
            parameter.scale_(1 - lr * strength)
        parameter.subtract_(direction * lr)


def project(weight: paddle.Tensor, gradient: paddle.Tensor, direction: paddle.Tensor) -> tuple[paddle.Tensor, bool]:
    """The direction without its part along the weight, if the weight looks scale-invariant, and whether it did.

    Asked of the output channels one by one, then of the layer as a whole.
    """
    every = list(range(len(weight.shape)))
    # Paddle's linear weights are [in, out], its convolutions [out, in, height, width]
    channel = 1 if len(every) == 2 else 0
    for axes in ([axis for axis in every if axis != channel], every):
        unit = _unit(weight, axes)
        cosine = (unit * _unit(gradient, axes)).sum(axes, keepdim=True).abs().max()
        size = math.prod(weight.shape[axis] for axis in axes)
        if float(cosine) < DELTA / math.sqrt(size):
            return direction - unit * (unit * direction).sum(axes, keepdim=True), True
    return direction, False


def _unit(tensor: paddle.Tensor, axes: list[int]) -> paddle.Tensor:
    """Scaled to length 1 along the axes; what is zero stays zero."""
    return tensor / tensor.square().sum(axes, keepdim=True).sqrt().clip(min=1e-12)
