"""Minimisers of a flat vector: on functions with known minima, on a small network, and the guard against large ones."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import paddle
import pytest
from scipy.optimize import check_grad

from monkeys.errors import UserError
from monkeys.optim import SECOND_ORDER
from monkeys.optim.hessian import refuse_second_order
from monkeys.optim.second_order import dfp_update, minimise
from monkeys.optim.small import Objective, SmallNetwork, iris, start


class Ellipse:
    """Half the sum of curvature * (w - target)^2; counts nothing."""

    def __init__(self, curvature: list[float]) -> None:
        self.roots = np.sqrt(np.array(curvature, float))
        self.target = np.arange(1.0, len(curvature) + 1)

    def residuals(self, vector: np.ndarray) -> np.ndarray:
        return self.roots * (vector - self.target)

    def jacobian(self, vector: np.ndarray) -> np.ndarray:
        return np.diag(self.roots)

    def loss(self, vector: np.ndarray) -> float:
        return float((self.residuals(vector) ** 2).sum() / 2)

    def gradient(self, vector: np.ndarray) -> np.ndarray:
        return self.jacobian(vector).T @ self.residuals(vector)


class Rosenbrock(Ellipse):
    """Residuals 10 (y - x^2) and 1 - x: a bent valley with its minimum at (1, 1)."""

    def __init__(self) -> None:
        super().__init__([1.0, 1.0])

    def residuals(self, vector: np.ndarray) -> np.ndarray:
        return np.array([10 * (vector[1] - vector[0] ** 2), 1 - vector[0]])

    def jacobian(self, vector: np.ndarray) -> np.ndarray:
        return np.array([[-20 * vector[0], 10.0], [-1.0, 0.0]])


@pytest.fixture
def objective() -> Objective:
    with paddle.utils.unique_name.guard():
        return Objective(SmallNetwork((4, 5, 3)), *iris())


def points(method: str, function: Ellipse, first: list[float], iterations: int) -> list[np.ndarray]:
    seen: list[np.ndarray] = [np.array(first)]
    last = minimise(method, function, np.array(first), iterations, lambda vector: seen.append(np.array(vector)))
    np.testing.assert_array_equal(seen[-1], last)
    return seen


@pytest.mark.parametrize("method", list(SECOND_ORDER))
def test_finds_the_middle_of_an_ellipse(method: str) -> None:
    ellipse = Ellipse([1.0, 4.0, 9.0])
    seen = points(method, ellipse, [8.0, -7.0, 5.0], 200)
    np.testing.assert_allclose(seen[-1], ellipse.target, atol=1e-6)


@pytest.mark.parametrize("method", [method for method in SECOND_ORDER if method != "steepest"])
def test_finds_the_end_of_a_bent_valley(method: str) -> None:
    seen = points(method, Rosenbrock(), [-1.2, 1.0], 100)
    np.testing.assert_allclose(seen[-1], [1, 1], atol=1e-4)


def test_steepest_descent_crawls_where_the_valley_bends() -> None:
    valley = Rosenbrock()
    seen = points("steepest", valley, [-1.2, 1.0], 100)
    assert valley.loss(seen[-1]) > 1e-4


@pytest.mark.parametrize("method", list(SECOND_ORDER))
@pytest.mark.parametrize("iterations", [1, 7])
def test_takes_no_more_steps_than_allowed_and_never_goes_up(method: str, iterations: int) -> None:
    valley = Rosenbrock()
    losses = [valley.loss(point) for point in points(method, valley, [-1.2, 1.0], iterations)]
    assert len(losses) <= iterations + 1
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert len(losses) > 3 or iterations == 1


@pytest.mark.parametrize("method", list(SECOND_ORDER))
def test_stays_at_a_minimum(method: str) -> None:
    ellipse = Ellipse([1.0, 4.0])
    assert all(np.allclose(point, ellipse.target) for point in points(method, ellipse, list(ellipse.target), 5))


def test_dfp_maps_the_change_of_gradient_to_the_step() -> None:
    rng = np.random.default_rng(1)
    hessian = np.diag([1.0, 2.0, 5.0])
    inverse = None
    for _ in range(3):
        step = rng.normal(size=3)
        inverse = dfp_update(inverse, step, hessian @ step)
        np.testing.assert_allclose(inverse @ (hessian @ step), step, rtol=1e-9)
        np.testing.assert_allclose(inverse, inverse.T, atol=1e-9)
        assert (np.linalg.eigvalsh(inverse) > 0).all()


def test_dfp_starts_from_an_identity_as_long_as_the_curvature_says() -> None:
    step, change = np.array([1.0, 0.0]), np.array([2.0, 2.0])
    first = 2 / 8 * np.eye(2)  # s'y / y'y
    mapped = first @ change
    expected = first + np.outer(step, step) / 2 - np.outer(mapped, mapped) / (change @ mapped)
    np.testing.assert_allclose(dfp_update(None, step, change), expected)


def test_dfp_ignores_a_step_without_positive_curvature() -> None:
    inverse = np.eye(2) * 3
    assert dfp_update(inverse, np.array([1.0, 0.0]), np.array([-1.0, 0.0])) is inverse
    assert dfp_update(None, np.zeros(2), np.zeros(2)) is None


def test_dfp_solves_a_quadratic_in_as_many_steps_as_it_has_axes() -> None:
    """With nearly exact searches the method ends (almost) after n steps; steepest descent is far from it."""
    ellipse = Ellipse([1.0, 20.0, 300.0])
    dfp = [ellipse.loss(point) for point in points("dfp", ellipse, [9.0, 8.0, -6.0], 8)]
    steepest = [ellipse.loss(point) for point in points("steepest", ellipse, [9.0, 8.0, -6.0], 8)]
    assert dfp[-1] < 1e-6 * steepest[-1]


def test_the_flat_vector_is_the_networks_weights(objective: Objective) -> None:
    vector = start((4, 5, 3), 2)
    objective.network.load_flat(vector)
    np.testing.assert_array_equal(objective.network.flat(), vector)
    np.testing.assert_array_equal(objective.network.layers[1].weight.numpy(), vector[25:40].reshape(5, 3))
    with pytest.raises(ValueError, match="43 weights"):
        objective.network.load_flat(np.append(vector, 1.0))


def test_gradient_and_jacobian_agree_with_differences(objective: Objective) -> None:
    vector = start((4, 5, 3), 3)
    assert check_grad(objective.loss, objective.gradient, vector) < 1e-6
    jacobian, residuals = objective.jacobian(vector), objective.residuals(vector)
    for place in (0, 21, 27, 42):
        shifted = vector.copy()
        shifted[place] += 1e-6
        slope = (objective.residuals(shifted) - residuals) / 1e-6
        np.testing.assert_allclose(jacobian[:, place], slope, atol=1e-6)


def test_loss_residuals_and_gradient_tell_the_same_story(objective: Objective) -> None:
    vector = start((4, 5, 3), 4)
    residuals, jacobian = objective.residuals(vector), objective.jacobian(vector)
    assert residuals.shape == (450,)
    assert residuals @ residuals / 2 == pytest.approx(objective.loss(vector), rel=1e-12)
    np.testing.assert_allclose(jacobian.T @ residuals, objective.gradient(vector), rtol=1e-10, atol=1e-14)
    assert objective.gradients == 2


@pytest.mark.parametrize("method", list(SECOND_ORDER))
def test_learns_iris(method: str, objective: Objective) -> None:
    first = start((4, 5, 3), 0)
    last = minimise(method, objective, first, 30, lambda vector: None)
    assert objective.loss(last) < 0.5 * objective.loss(first)
    assert objective.accuracy(last) > objective.accuracy(first)


def test_start_is_glorots_and_depends_on_the_seed_alone() -> None:
    first = start((4, 5, 3), 0)
    np.testing.assert_array_equal(first, start((4, 5, 3), 0))
    assert not np.array_equal(first, start((4, 5, 3), 1))
    assert 0.9 * math.sqrt(6 / 9) < abs(first[:20]).max() <= math.sqrt(6 / 9)
    assert not first[20:25].any()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (138_357_544, r"138,357,544 weights.* 1\.91·10\^16 entries \(153 PB"),  # 19·10^15
        (25_557_032, r"6\.53·10\^14 entries \(5\.23 PB"),
        (11_586, r"1\.34·10\^8 entries \(1\.07 GB"),
    ],
)
def test_large_networks_are_refused_with_the_size_of_their_hessian(weights: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        refuse_second_order(weights, "this one")


def test_small_networks_are_not_refused() -> None:
    refuse_second_order(11_585)


def test_no_step_is_made_for_a_large_vector_or_an_unknown_method() -> None:
    with pytest.raises(UserError, match="Hessian"):
        minimise("bfgs", Ellipse([1.0]), np.zeros(20_000), 5, lambda vector: None)
    with pytest.raises(UserError, match="nearest: bfgs"):
        minimise("bfg", Ellipse([1.0]), np.zeros(1), 5, lambda vector: None)
