"""Optimizers and schedules by name. Importing this module imports neither Paddle nor SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..errors import UserError
from .names import known
from .schedules import SCHEDULES

if TYPE_CHECKING:
    import paddle

__all__ = ["DECOUPLED", "OPTIMIZERS", "SCHEDULES", "SECOND_ORDER", "build_optimizer"]

# g: gradient; "L2": the decay is added to the gradient, g + weight_decay * w, after clipping
OPTIMIZERS: dict[str, str] = {
    "sgd": "gradient descent: w -= lr * g; L2",
    "momentum": "heavy ball, momentum 0.9: v = momentum * v + g, w -= lr * v; L2",
    "nesterov": "momentum that looks ahead: w -= lr * (g + momentum * v); L2",
    "adagrad": "rate falls with the sum of squared gradients; eps 1e-6 outside the root; L2",
    "rmsprop": "running mean of squared gradients, rho 0.9; eps 1e-6 inside the root; L2",
    "adadelta": "step from running means of squared gradients and steps, rho 0.95; eps 1e-6 inside the roots; L2",
    "adam": "running means of gradient and square, 0.9 and 0.999; eps 1e-8 outside the root; L2",
    "adamw": "Adam with decoupled weight decay: w *= 1 - lr * weight_decay; eps 1e-8 outside the root",
    "nadam": "Adam with Nesterov's look-ahead and growing momentum; eps 1e-8 outside the root; L2",
    "adamp": "AdamW that leaves out steps along scale-invariant weights (arXiv 2006.08217); eps 1e-8 outside the root",
}
# For small networks only, see second_order.py; these are not for a configuration
SECOND_ORDER: dict[str, str] = {
    "steepest": "gradient descent, step length by a line search (Wolfe conditions)",
    "newton_cg": "Newton's method, its system solved by conjugate gradients (SciPy)",
    "bfgs": "quasi-Newton, Broyden-Fletcher-Goldfarb-Shanno (SciPy)",
    "lbfgs": "BFGS from the last ten steps only (SciPy)",
    "dfp": "quasi-Newton, Davidon-Fletcher-Powell, with the line search of `steepest`",
    "levenberg_marquardt": "least squares, (J'J + nu D) step = -J'r with nu falling (MINPACK through SciPy)",
}
DECOUPLED = frozenset({"adamw", "adamp"})


def build_optimizer(
    name: str,
    model: paddle.nn.Layer,
    *,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    clip_norm: float = 0.0,
    decay_norms: bool = True,
    body_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
    heads: tuple[str, ...] = (),
) -> paddle.optimizer.Optimizer:
    """The optimizer `name` over the model's parameters; the caller sets its rate with `set_lr`.

    weight_decay: added to the gradient, or shrinking the weight where the optimizer is in DECOUPLED.
    momentum: of `momentum` and `nesterov`. clip_norm: largest norm of all gradients together; 0 is off.
    decay_norms: False leaves biases and norms (every parameter with fewer than two axes) without decay.
    body_lr_factor, layer_decay: rate of what is outside `heads`, and its further fall per block of depth.
    A second call on the same model replaces the settings of the first. Raises UserError.
    """
    known("optimizer", name, OPTIMIZERS)
    _check(lr=lr, weight_decay=weight_decay, momentum=momentum, clip_norm=clip_norm)
    import paddle

    from .groups import decayed, lr_factors
    from .state import create_state

    named = dict(model.named_parameters())
    axes = {key: len(parameter.shape) for key, parameter in named.items()}
    factors = lr_factors(axes, heads, body_lr_factor, layer_decay)
    decays = {named[key].name for key, count in axes.items() if decay_norms or decayed(count)}
    # One flat list, the settings on the parameters: given groups, Paddle clips each of them by its own norm.
    l2 = paddle.regularizer.L2Decay(weight_decay) if weight_decay and name not in DECOUPLED else None
    for key, parameter in named.items():
        parameter.optimize_attr["learning_rate"] = factors[key]
        parameter.regularizer = l2 if parameter.name in decays else None
    clip = paddle.nn.ClipGradByGlobalNorm(clip_norm) if clip_norm else None
    make = _makers(momentum, weight_decay, decays)[name]
    optimizer = make(learning_rate=float(lr), parameters=list(named.values()), grad_clip=clip)
    create_state(optimizer, list(named.values()))
    return optimizer


def _makers(
    momentum: float, weight_decay: float, decays: set[str]
) -> dict[str, Callable[..., paddle.optimizer.Optimizer]]:
    """Constructor of each optimizer, its constants filled in."""
    from paddle import optimizer as paddles

    from .adamp import AdamP
    from .nadam import NAdam

    return {
        "sgd": paddles.SGD,
        "momentum": partial(paddles.Momentum, momentum=momentum),
        "nesterov": partial(paddles.Momentum, momentum=momentum, use_nesterov=True),
        "adagrad": partial(paddles.Adagrad, epsilon=1e-6),
        "rmsprop": partial(paddles.RMSProp, rho=0.9, epsilon=1e-6),
        "adadelta": partial(paddles.Adadelta, rho=0.95, epsilon=1e-6),
        "adam": paddles.Adam,
        "adamw": partial(paddles.AdamW, weight_decay=float(weight_decay), apply_decay_param_fun=decays.__contains__),
        "nadam": NAdam,
        "adamp": partial(AdamP, decay=weight_decay, decays=decays.__contains__),
    }


def _check(*, lr: float, weight_decay: float, momentum: float, clip_norm: float) -> None:
    if not (lr > 0 and math.isfinite(lr)):
        raise UserError(f"optim.lr: expected a positive number, got {lr}")
    if not (weight_decay >= 0 and math.isfinite(weight_decay)):
        raise UserError(f"optim.weight_decay: expected 0 or more, got {weight_decay}")
    if not 0 <= momentum < 1:
        raise UserError(f"optim.momentum: expected at least 0 and below 1, got {momentum}")
    if not (clip_norm >= 0 and math.isfinite(clip_norm)):
        raise UserError(f"optim.clip_norm: expected 0 (off) or a positive norm, got {clip_norm}")
