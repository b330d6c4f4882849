"""Minimisers of a function of one flat float64 vector, for networks of some hundred weights.

They need the loss of all data at once, and all but steepest descent a matrix of weights x weights or a picture of
one. SciPy is imported only when one of them runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from . import SECOND_ORDER
from .hessian import refuse_second_order
from .names import known

Array = np.ndarray
Record = Callable[[Array], None]

_ARMIJO, _HALVINGS = 1e-4, 40
_WOLFE = 0.1  # the slope must fall to a tenth: DFP wants searches that are nearly exact


class Function(Protocol):
    """What is minimised; loss == half the sum of squared residuals."""

    def loss(self, vector: Array) -> float: ...

    def gradient(self, vector: Array) -> Array: ...

    def residuals(self, vector: Array) -> Array: ...

    def jacobian(self, vector: Array) -> Array: ...


def minimise(method: str, function: Function, start: Array, iterations: int, record: Record) -> Array:
    """The best vector found in at most `iterations` steps; `record` is given the vector after each step.

    Raises UserError for an unknown method and where the Hessian of so many weights would not fit.
    """
    known("second-order method", method, SECOND_ORDER)
    refuse_second_order(len(start))
    if method == "steepest":
        return _descend(function, start, iterations, record, _no_update)
    if method == "dfp":
        return _descend(function, start, iterations, record, dfp_update)
    if method == "levenberg_marquardt":
        return _levenberg_marquardt(function, start, iterations, record)
    return _scipy(method, function, start, iterations, record)


def _scipy(method: str, function: Function, start: Array, iterations: int, record: Record) -> Array:
    """Run until the iterations are used up or no step lowers the loss: the tolerances are next to nothing."""
    from scipy.optimize import minimize

    names = {"newton_cg": "Newton-CG", "bfgs": "BFGS", "lbfgs": "L-BFGS-B"}
    tolerances = {
        "newton_cg": {"xtol": 1e-12},
        "bfgs": {"gtol": 1e-10},
        "lbfgs": {"gtol": 1e-10, "ftol": 0.0, "maxfun": 100 * iterations},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line search that finds no lower point ends the run, and that is all
        found = minimize(
            function.loss,
            start,
            jac=function.gradient,
            method=names[method],
            callback=record,
            options={"maxiter": iterations, **tolerances[method]},
        )
    return found.x


def _levenberg_marquardt(function: Function, start: Array, iterations: int, record: Record) -> Array:
    """MINPACK's; it has no callback, but asks for the Jacobian at each point that it accepts (some twice)."""
    from scipy.optimize import least_squares

    reached = start

    def arrive(vector: Array) -> None:
        nonlocal reached
        if not np.array_equal(vector, reached):
            reached = vector.copy()
            record(reached)

    def jacobian(vector: Array) -> Array:
        arrive(vector)
        return function.jacobian(vector)

    # x_scale "jac" is Marquardt's D, the columns' lengths, so that a unit of one parameter counts as much as of another
    # each accepted point costs an evaluation or more, the start one: so many evaluations are no more steps
    found = least_squares(
        function.residuals, start, jac=jacobian, method="lm", x_scale="jac",
        xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=iterations + 1,
    )  # fmt: skip
    arrive(found.x)
    return found.x


@dataclass
class _Place:
    """A point on the way down."""

    vector: Array
    loss: float
    gradient: Array


# an inverse Hessian (None: the identity), the step and the change of gradient -> the next inverse Hessian
Update = Callable[[Array | None, Array, Array], Array | None]


def dfp_update(inverse: Array | None, step: Array, change: Array) -> Array | None:
    """Davidon-Fletcher-Powell: the inverse Hessian, changed so that it maps the change of gradient to the step.

    H + s s' / (s' y) - H y y' H / (y' H y), the first H being (s' y / y' y) times the identity (None stands for no H
    yet); left as it is where s' y is not positive.
    """
    curvature = step @ change
    if curvature <= 1e-14 * np.linalg.norm(step) * np.linalg.norm(change):
        return inverse
    if inverse is None:
        inverse = np.eye(len(step)) * curvature / (change @ change)
    mapped = inverse @ change
    return inverse + np.outer(step, step) / curvature - np.outer(mapped, mapped) / (change @ mapped)


def _no_update(inverse: Array | None, step: Array, change: Array) -> None:
    return None


def _descend(function: Function, start: Array, iterations: int, record: Record, update: Update) -> Array:
    """Line searches along -H gradient, H (the inverse Hessian, at first the identity) changed by `update`."""
    here = _Place(start, function.loss(start), function.gradient(start))
    inverse: Array | None = None
    earlier: float | None = None
    for _ in range(iterations):
        direction = -here.gradient if inverse is None else -inverse @ here.gradient
        if direction @ here.gradient >= 0:  # rounding made H indefinite
            inverse, direction = None, -here.gradient
        there = _search(function, here, direction, earlier)
        if there is None:
            break
        inverse = update(inverse, there.vector - here.vector, there.gradient - here.gradient)
        earlier, here = here.loss, there
        record(here.vector)
    return here.vector


def _search(function: Function, here: _Place, direction: Array, earlier: float | None) -> _Place | None:
    """The point of a line search by the strong Wolfe conditions, else of halving; None where nothing is lower."""
    from scipy.optimize import line_search

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its failure is handled here
        length, _, _, loss, _, _ = line_search(
            function.loss, function.gradient, here.vector, direction, here.gradient, here.loss, earlier,
            c2=_WOLFE,
        )  # fmt: skip
    if length is None:
        length = _halve(function, here, direction)
    if length is None:
        return None
    vector = here.vector + length * direction
    return _Place(vector, function.loss(vector) if loss is None else loss, function.gradient(vector))


def _halve(function: Function, here: _Place, direction: Array) -> float | None:
    """The first of 1, 1/2, 1/4, … that lowers the loss enough (Armijo's condition)."""
    slope, length = direction @ here.gradient, 1.0
    for _ in range(_HALVINGS):
        if function.loss(here.vector + length * direction) <= here.loss + _ARMIJO * length * slope:
            return length
        length /= 2
    return None
