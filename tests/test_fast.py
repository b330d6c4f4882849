"""The fast engine does what imgaug does: the same image for the same parameters, else the same distribution."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import cv2
import imgaug.augmenters as iaa
import numpy as np
import pytest
from imgaug.random import RNG
from scipy import ndimage
from scipy.spatial import Delaunay
from scipy.stats import ks_2samp
from skimage.segmentation import slic
from skimage.util import regular_grid

from monkeys.augment import operation_pairs
from monkeys.augment import operations as op
from monkeys.augment.fast import FUNCTIONS, fast_augmenter
from monkeys.augment.geometry import affine_matrix
from monkeys.augment.pairs import fixed, operations_of
from monkeys.augment.piecewise import dense_map, moved_grid
from monkeys.augment.plans import IMAGENETTE, PLANS, REPORT
from monkeys.augment.recipes import imgaug_augmenter
from monkeys.augment.superpixels import lattice, segment

DRAWS = 500
LEAST_P = 0.01
BY_PIXEL = (op.Superpixels, op.GaussianNoise, op.Dropout, op.CoarseDropout, op.Elastic, op.PiecewiseAffine)
SLOW = (op.Superpixels, op.PiecewiseAffine)
ALL = [*operations_of(REPORT), IMAGENETTE]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """[height, width, 3] uint8: discs on noise of several scales, some of the texture that photographs have."""
    rng = np.random.default_rng([seed, 99])
    image = np.full((height, width, 3), 110.0)
    for sigma, amount in ((16, 60), (6, 35), (2, 20), (0.8, 9)):
        noise = cv2.GaussianBlur(rng.normal(size=image.shape), (0, 0), sigma)
        image += amount * noise / noise.std()
    for _ in range(6):
        centre = int(rng.integers(width)), int(rng.integers(height))
        colour = rng.integers(0, 256, 3).tolist()
        image = cv2.circle(image, centre, int(rng.integers(2, max(3, width // 4))), colour, -1)
    return np.clip(image, 0, 255).astype(np.uint8)


def named(operation: op.Operation) -> str:
    return type(operation).__name__


def effect(before: np.ndarray, after: np.ndarray) -> tuple[float, ...]:
    """Mean change, and what became of the mean, the spread, the roughness, the distance between red and green."""
    change = np.abs(after.astype(np.float64) - before).mean()
    return change, *(new - old for new, old in zip(_statistics(after), _statistics(before), strict=True))


def _statistics(image: np.ndarray) -> tuple[float, ...]:
    values = image.astype(np.float64)
    rough = np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()
    return values.mean(), values.std(), rough, np.abs(values[..., 0] - values[..., 1]).mean()


def displacement(before: np.ndarray, after: np.ndarray) -> tuple[float, ...]:
    """Of an image whose red is x and whose green is y: mean shift and mean distance along each, one pixel's shift."""
    moved = after.astype(np.float64) - before
    height, width = before.shape[:2]
    x, y = moved[4:-4, 4:-4, 0], moved[4:-4, 4:-4, 1]
    return x.mean(), y.mean(), np.abs(x).mean(), np.abs(y).mean(), moved[height // 3, width // 2, 0]


def p_values(
    node: op.Node, measure: Callable[[np.ndarray, np.ndarray], tuple[float, ...]], images: list[np.ndarray], seed: int
) -> list[float]:
    """Two-sample Kolmogorov-Smirnov, imgaug against fast, for each number that `measure` gives."""
    samples = []
    for engine, build in enumerate((imgaug_augmenter, fast_augmenter)):
        run = build(node)
        values = []
        for draw in range(DRAWS):
            image = images[draw % len(images)]
            values.append(measure(image, run(image, np.random.default_rng([seed, engine, draw]))))
        samples.append(np.array(values))
    return [ks_2samp(*columns).pvalue for columns in zip(*(sample.T for sample in samples), strict=True)]


@pytest.mark.parametrize("operation", [o for o in ALL if not isinstance(o, BY_PIXEL)], ids=named)
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_same_parameters_give_the_same_image(operation: op.Operation, size: tuple[int, int]) -> None:
    image = picture(*size)
    for seed in range(12):
        one = fixed(operation, np.random.default_rng(seed))
        ours = fast_augmenter(one)(image, np.random.default_rng(1)).astype(int)
        theirs = imgaug_augmenter(one)(image, np.random.default_rng(2)).astype(int)
        # imgaug computes with pi = 3.141592, which moves a few pixels of an affine warp over a rounding edge
        assert (np.abs(ours - theirs) > 1).mean() < 0.001
        assert np.abs(ours - theirs).mean() < 0.02


@pytest.mark.parametrize(
    "operation", [pytest.param(o, marks=pytest.mark.slow) if isinstance(o, SLOW) else o for o in ALL], ids=named
)
def test_effect_has_the_same_distribution(operation: op.Operation) -> None:
    images = [picture(48, 48, seed) for seed in range(50)]
    values = p_values(operation, effect, images, seed=0)
    assert min(values) > LEAST_P, values


@pytest.mark.parametrize("kind", [op.Affine, op.Elastic, pytest.param(op.PiecewiseAffine, marks=pytest.mark.slow)])
def test_displacement_has_the_same_distribution(kind: type[op.Operation]) -> None:
    y, x = np.mgrid[:64, :64]
    ramp = np.dstack([x, y, x]).astype(np.uint8) * 3
    (operation,) = [o for o in operations_of(REPORT) if isinstance(o, kind)]
    values = p_values(operation, displacement, [ramp], seed=0)
    assert min(values) > LEAST_P, values


def _number_and_sizes(labels: np.ndarray) -> tuple[float, ...]:
    sizes = np.bincount(np.unique(labels, return_inverse=True)[1].ravel()) / labels.size
    return len(sizes), float(np.median(sizes)), sizes.max(), sizes.std()


def _segments_p_values(images: list[np.ndarray], seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    theirs, ours = [], []
    for draw in range(DRAWS):
        image = images[draw % len(images)]
        theirs.append(_number_and_sizes(slic(image, n_segments=int(rng.integers(20, 201)), compactness=10)))
        ours.append(_number_and_sizes(segment(image, int(rng.integers(20, 201)))))
    return [ks_2samp(*columns).pvalue for columns in zip(np.transpose(theirs), np.transpose(ours), strict=True)]


@pytest.mark.slow
def test_number_and_size_of_segments_have_the_same_distribution() -> None:
    values = _segments_p_values([picture(64, 64, seed) for seed in range(100)], seed=0)
    assert min(values) > LEAST_P, values


@pytest.mark.slow
def test_segments_of_real_photographs_have_the_same_distribution(real_data: Path) -> None:
    paths = sorted(path for path in (real_data / "monkeys").rglob("*") if path.suffix == ".jpg")[::10]
    images = [cv2.resize(cv2.imread(str(path)), (128, 128)) for path in paths]
    values = _segments_p_values(images, seed=0)
    assert min(values) > LEAST_P, values


@pytest.mark.slow
def test_whole_recipe_has_the_same_distribution() -> None:
    images = [picture(48, 48, seed) for seed in range(50)]
    values = p_values(REPORT, effect, images, seed=0)
    assert min(values) > LEAST_P, values


@pytest.mark.parametrize("build", [imgaug_augmenter, fast_augmenter])
def test_affine_draws_axes_and_border_colours_apart(build: Callable) -> None:
    smaller = replace(
        IMAGENETTE,
        scale=op.Between(0.4, 0.8),
        per_axis=True,
        shift=op.Between(0, 0),
        rotation=op.Between(0, 0),
        fill=op.Between(0, 200),
    )
    white = np.full((60, 60, 3), 255, np.uint8)
    after = [build(smaller)(white, np.random.default_rng(draw)) for draw in range(40)]
    inside = [(image == 255).all(axis=2) for image in after]
    spans = np.array([(mask.any(axis=0).sum(), mask.any(axis=1).sum()) for mask in inside])
    corners = np.array([image[0, 0] for image in after], int)
    for first, second in ((spans[:, 0], spans[:, 1]), (corners[:, 0], corners[:, 1]), (corners[:, 1], corners[:, 2])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.5
        assert first.std() > 0
    alike = build(replace(smaller, per_axis=False))(white, np.random.default_rng(0))
    assert (alike == 255).all(axis=2).any(axis=0).sum() == (alike == 255).all(axis=2).any(axis=1).sum()


def test_affine_matrix_is_imgaugs_with_different_axes() -> None:
    image = picture(40, 60)
    linear = affine_matrix(0.8, 1.2, np.deg2rad(30), np.deg2rad(-10))
    centre = np.array([59 / 2, 39 / 2])
    matrix = np.column_stack([linear, centre + np.array([6, -4]) - linear @ centre])
    ours = cv2.warpAffine(image, matrix, (60, 40))
    theirs = iaa.Affine(
        scale={"x": 0.8, "y": 1.2}, translate_px={"x": 6, "y": -4}, rotate=30, shear=(-10, -10), seed=1
    ).augment_image(image)
    assert np.abs(ours.astype(int) - theirs).mean() < 0.05


@pytest.mark.parametrize(("grid", "size"), [((2, 2), (64, 64)), ((3, 2), (50, 80)), ((4, 4), (65, 47))])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_piecewise_map_is_imgaugs_transformer(grid: tuple[int, int], size: tuple[int, int]) -> None:
    points = moved_grid(np.random.default_rng(3), grid, size, 0.04)
    regular = moved_grid(np.random.default_rng(3), grid, size, 0.0)
    corners = np.stack(np.meshgrid(np.linspace(0, size[1], grid[1]), np.linspace(0, size[0], grid[0])), axis=-1)
    assert np.abs(regular - corners).max() <= 1
    transformer = iaa.PiecewiseAffine(0.04, seed=1)._get_transformer(
        size, size, *grid, ((points - corners) / size[::-1])[..., ::-1].reshape(-1, 2)
    )
    y, x = np.mgrid[: size[0], : size[1]]
    theirs = transformer(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(*size, 2)
    ours = np.stack(dense_map(points, _falling(corners), size), axis=-1)
    assert np.abs(ours - theirs).max() < 1e-3


def _falling(corners: np.ndarray) -> np.ndarray:
    """Which diagonals Qhull picked: True from the upper left to the lower right."""
    rows, columns = corners.shape[:2]
    triangles = [set(triangle) for triangle in Delaunay(corners.reshape(-1, 2)).simplices.tolist()]
    answer = np.zeros((rows - 1, columns - 1), bool)
    for i, j in np.ndindex(*answer.shape):
        ends = {i * columns + j, (i + 1) * columns + j + 1}
        answer[i, j] = any(ends <= triangle for triangle in triangles)
    return answer


@pytest.mark.parametrize("size", [(128, 128), (64, 48), (7, 90), (100, 3), (12, 12)])
def test_centres_lie_on_scikit_images_grid(size: tuple[int, int]) -> None:
    for wanted in (20, 21, 50, 99, 163, 200):
        slices = regular_grid((1, *size), wanted)[1:]
        counts = tuple(len(range(side)[part]) for side, part in zip(size, slices, strict=True))
        assert lattice(size, wanted) == (counts, max(part.step or 1 for part in slices))


def test_segments_are_connected_and_numbered_from_zero() -> None:
    for wanted in (20, 77, 200):
        labels = segment(picture(96, 96, wanted), wanted)
        assert sorted(set(labels.ravel())) == list(range(labels.max() + 1))
        pieces = sum(ndimage.label(labels == label)[1] for label in range(labels.max() + 1))
        assert pieces <= 1.02 * (labels.max() + 1)


@pytest.mark.parametrize("build", [imgaug_augmenter, fast_augmenter])
def test_superpixels_paint_a_segment_in_its_own_colour(build: Callable) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = (200, 100, 50)
    image[40:] = (20, 220, 90)
    every = op.Superpixels(replace=op.Between(1, 1), segments=op.Whole(60, 60))
    after = build(every)(image, np.random.default_rng(0))
    assert np.abs(after.astype(int) - image).mean() < 3


def test_superpixels_leave_unchosen_segments_alone() -> None:
    image = picture(100, 80)
    none = op.Superpixels(replace=op.Between(0, 0), segments=op.Whole(20, 200))
    half = op.Superpixels(replace=op.Between(0.5, 0.5), segments=op.Whole(60, 60))
    assert np.array_equal(fast_augmenter(none)(image, np.random.default_rng(0)), image)
    same = (fast_augmenter(half)(image, np.random.default_rng(0)) == image).all(axis=2).mean()
    assert 0.2 < same < 0.8


def test_noise_is_normal_with_the_scale_asked_for() -> None:
    grey = np.full((300, 300, 3), 128, np.uint8)
    noise = op.GaussianNoise(scale=op.Between(9, 9), per_channel=1.0)
    ours, theirs = (run(noise)(grey, np.random.default_rng(5)).ravel() for run in (fast_augmenter, imgaug_augmenter))
    assert abs(ours.astype(float).std() - 9) < 0.1
    assert ks_2samp(ours[::7], theirs[::7]).pvalue > LEAST_P


@pytest.mark.parametrize("kind", [op.GaussianNoise, op.Dropout, op.CoarseDropout, op.Add, op.Multiply, op.Contrast])
@pytest.mark.parametrize("build", [imgaug_augmenter, fast_augmenter])
def test_channels_differ_as_often_as_asked(kind: type[op.Operation], build: Callable) -> None:
    grey = np.full((40, 40, 3), 180, np.uint8)
    (operation,) = [o for o in operations_of(REPORT) if isinstance(o, kind)]
    for share in (0.0, operation.per_channel, 1.0):
        run = build(replace(operation, per_channel=share))
        after = [run(grey, np.random.default_rng([draw])) for draw in range(200)]
        differ = np.mean([(image != image[..., :1]).any() for image in after])
        assert abs(differ - share) < 0.15


def test_some_of_takes_nought_to_five_different_children_in_any_order() -> None:
    trace: list[int] = []
    node = op.SomeOf(op.Whole(0, 5), tuple(op.Add(op.Between(k, k), 0.0) for k in range(12)))
    some = fast_augmenter(node).args[0]
    children = tuple(lambda image, rng, k=k: (trace.append(k), image)[1] for k in range(12))
    counts, firsts = [], []
    for draw in range(3000):
        trace.clear()
        replace(some, children=children)(np.zeros((1, 1, 3), np.uint8), np.random.default_rng(draw))
        assert len(set(trace)) == len(trace)
        counts.append(len(trace))
        firsts.extend(trace[:1])
    assert np.abs(np.bincount(counts, minlength=6) / 3000 - 1 / 6).max() < 0.03
    assert np.abs(np.bincount(firsts, minlength=12) / len(firsts) - 1 / 12).max() < 0.03


def test_a_shuffled_chain_takes_every_order_and_another_keeps_its_own() -> None:
    trace: list[int] = []
    children = tuple(lambda image, rng, k=k: (trace.append(k), image)[1] for k in range(3))
    orders = {}
    for shuffled in (True, False):
        chain = replace(fast_augmenter(op.Chain((), shuffled)).args[0], children=children)
        orders[shuffled] = set()
        for draw in range(100):
            trace.clear()
            chain(np.zeros((1, 1, 3), np.uint8), np.random.default_rng(draw))
            orders[shuffled].add(tuple(trace))
    assert orders[True] == set(permutations(range(3)))
    assert orders[False] == {(0, 1, 2)}


def test_sometimes_and_flip_keep_their_probability() -> None:
    image = picture(8, 8)
    for node, share in ((op.Sometimes(0.3, op.Add(op.Between(9, 9), 0.0)), 0.3), (op.Flip(vertical=True, p=0.2), 0.2)):
        run = fast_augmenter(node)
        changed = [not np.array_equal(run(image, np.random.default_rng(draw)), image) for draw in range(2000)]
        assert abs(np.mean(changed) - share) < 0.03


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (8, 8), (33, 17), (300, 411)])
@pytest.mark.parametrize("kind", list(FUNCTIONS), ids=lambda kind: kind.__name__)
def test_every_operation_takes_every_size(kind: type[op.Operation], size: tuple[int, int]) -> None:
    image = picture(*size)
    before = image.copy()
    found = [o for plan in PLANS.values() for o in operations_of(plan) if isinstance(o, kind)]
    for seed in range(5):
        after = fast_augmenter(found[0])(image, np.random.default_rng(seed))
        assert (after.shape, after.dtype, after.flags.c_contiguous) == (image.shape, np.uint8, True)
    assert np.array_equal(image, before)


def test_fast_recipes_can_be_sent_to_another_process() -> None:
    image = picture(30, 30)
    run = fast_augmenter(REPORT)
    copy = pickle.loads(pickle.dumps(run))
    assert np.array_equal(run(image, np.random.default_rng(4)), copy(image, np.random.default_rng(4)))


def test_pairs_show_every_operation_of_the_report_in_both_engines() -> None:
    image = picture(64, 64)
    pairs = operation_pairs(image, np.random.default_rng(0))
    names = [name for name, _, _ in pairs]
    assert len(set(names)) == len(names) == len(list(operations_of(REPORT)))
    assert all(slow.shape == fast.shape == image.shape for _, slow, fast in pairs)
    by_name = {name: (slow, fast) for name, slow, fast in pairs}
    for name in ("flip left and right", "median blur", "sharpen", "multiply"):
        assert np.array_equal(*by_name[name])
        assert not np.array_equal(by_name[name][0], image)


def test_imgaug_draws_from_the_generator_it_is_handed() -> None:
    run = imgaug_augmenter(op.Add(op.Between(-100, 100), 1.0))
    rng = np.random.default_rng(0)
    assert isinstance(run.pipeline.random_state, RNG)
    first, second = run(picture(8, 8), rng), run(picture(8, 8), rng)
    assert not np.array_equal(first, second)
