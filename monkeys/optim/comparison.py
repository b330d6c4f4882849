"""All methods on the same error: a 4-8-3 sigmoid network on the Iris data, every step on all 150 flowers.

An epoch is one step of the method; a line search or an inner solver may ask for several gradients in it, which are
counted. No weight decay is used, so that all minimise the same function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import paddle

from . import OPTIMIZERS, SECOND_ORDER, build_optimizer
from .names import known
from .second_order import minimise
from .small import Array, Objective, SmallNetwork, iris, start

METHODS: dict[str, str] = {**OPTIMIZERS, **SECOND_ORDER}
WIDTHS = (4, 8, 3)
# Of GRID, the rate whose worst run on TUNING_SEEDS ended lowest after 200 epochs (`compare_optimizers.py --tune`)
RATES: dict[str, float] = {
    "sgd": 30.0,
    "momentum": 10.0,
    "nesterov": 3.0,
    "adagrad": 1.0,
    "rmsprop": 0.1,
    "adadelta": 30.0,
    "adam": 0.3,
    "adamw": 0.3,
    "nadam": 0.1,
    "adamp": 0.3,
}
GRID = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
TUNING_SEEDS = tuple(range(1000, 1010))


@dataclass(frozen=True)
class Run:
    """One method from one starting point. losses[i], seconds[i]: after i epochs; shorter where a method ended early."""

    method: str
    seed: int
    losses: tuple[float, ...]
    seconds: tuple[float, ...]
    gradients: int
    top1: float


def compare(methods: Sequence[str], seeds: Iterable[int], epochs: int, rates: dict[str, float]) -> Iterable[Run]:
    """One run per method and seed, as they end; equal seeds start from equal weights."""
    data = iris()
    for method in methods:  # what is paid once (imports, first use of an operation) belongs to no run
        run(method, 0, 1, data, rates)
    for seed, method in product(seeds, methods):
        yield run(method, seed, epochs, data, rates)


def run(method: str, seed: int, epochs: int, data: tuple[Array, Array], rates: dict[str, float]) -> Run:
    """Minimise the error for `epochs` steps. Raises UserError for an unknown method."""
    known("method", method, METHODS)
    with paddle.utils.unique_name.guard():
        objective = Objective(SmallNetwork(WIDTHS), *data)
        first = start(WIDTHS, seed)
        if method in OPTIMIZERS:
            losses, seconds, last = _first_order(method, objective, first, epochs, rates[method])
        else:
            losses, seconds, last = _second_order(method, objective, first, epochs)
    return Run(method, seed, losses, seconds, objective.gradients, objective.accuracy(last))


Course = tuple[tuple[float, ...], tuple[float, ...], Array]


def _first_order(method: str, objective: Objective, first: Array, epochs: int, rate: float) -> Course:
    network = objective.network
    network.load_flat(first)
    optimizer = build_optimizer(method, network, lr=rate)
    losses, seconds = [], []
    begin = time.perf_counter()
    for _ in range(epochs):
        error = objective.error()
        losses.append(float(error))
        seconds.append(time.perf_counter() - begin)
        error.backward()
        objective.gradients += 1
        optimizer.step()
        optimizer.clear_grad()
    seconds.append(time.perf_counter() - begin)
    last = network.flat()
    return (*losses, objective.loss(last)), tuple(seconds), last


def _second_order(method: str, objective: Objective, first: Array, epochs: int) -> Course:
    points, seconds = [first], [0.0]
    begin = time.perf_counter()

    def record(vector: Array) -> None:
        points.append(np.array(vector))
        seconds.append(time.perf_counter() - begin)

    minimise(method, objective, first, epochs, record)
    return tuple(objective.loss(point) for point in points), tuple(seconds), points[-1]


def tune(method: str, epochs: int) -> float:
    """The rate of GRID whose worst run on TUNING_SEEDS ends lowest: a rate that does not fail now and then."""
    data = iris()

    def worst(rate: float) -> float:
        finals = [run(method, seed, epochs, data, {method: rate}).losses[-1] for seed in TUNING_SEEDS]
        return max(final if math.isfinite(final) else math.inf for final in finals)

    return min(GRID, key=worst)
