"""Arithmetic of mixup, cutmix and random erasing."""

from __future__ import annotations

import numpy as np
import pytest

from monkeys.augment.boxes import random_box
from monkeys.augment.mix import blend, cut_box, erase, mix, mix_box
from monkeys.augment.operations import Between

CLASSES = 10


def batch(count: int = 8, height: int = 12, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Image i is all i, so that every pixel of a mixture tells its parents; targets one-hot by i modulo ten."""
    images = np.tile(np.arange(count, dtype=np.float32)[:, None, None, None], (1, 3, height, width))
    return images, np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def area(box: tuple[slice, slice]) -> int:
    return (box[0].stop - box[0].start) * (box[1].stop - box[1].start)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_are_shares(mixup: float, cutmix: float) -> None:
    images, targets = batch()
    for seed in range(30):
        mixed, soft = mix(images, targets, rng(seed), mixup=mixup, cutmix=cutmix)
        assert (mixed.shape, soft.shape) == (images.shape, targets.shape)
        assert (mixed.dtype, soft.dtype) == (np.float32, np.float32)
        assert mixed.flags.c_contiguous
        assert soft.min() >= 0
        np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
        # Every image is mixed once as the first and once as the other one, so the batch holds as much of each class.
        np.testing.assert_allclose(soft.mean(axis=0), targets.mean(axis=0), atol=1e-6)


def test_mixup_mixes_images_as_it_mixes_targets() -> None:
    images, targets = batch()
    for seed in range(20):
        mixed, soft = mix(images, targets, rng(seed), mixup=1.0, cutmix=0.0)
        np.testing.assert_allclose(mixed, np.broadcast_to(mixed[:, :1, :1, :1], mixed.shape))
        np.testing.assert_allclose(mixed[:, 0, 0, 0], soft[:, :8] @ np.arange(8), atol=1e-5)


def test_cutmix_targets_are_the_areas_of_pixels_exactly() -> None:
    images, targets = batch()
    clipped = 0
    for seed in range(100):
        mixed, soft = mix(images, targets, rng(seed), mixup=0.0, cutmix=1.0)
        counted = np.stack([(mixed[:, 0] == parent).mean(axis=(1, 2)) for parent in range(8)], axis=1)
        np.testing.assert_allclose(soft[:, :8], counted, atol=1e-6)
        assert (mixed == mixed[:, :1]).all()  # the three channels are cut alike
        clipped += not np.array_equal(mixed[:, 0, 6, 8], images[:, 0, 6, 8])
    assert 5 < clipped < 95


def test_kept_share_is_one_minus_the_box_after_clipping() -> None:
    images, _ = batch(2, 20, 30)
    for seed in range(200):
        share = rng(seed).random()
        box = cut_box((20, 30), share, rng(seed))
        _, kept = mix_box(images, images[::-1], share, rng(seed))
        assert kept == 1 - area(box) / 600
        assert 0 <= box[0].start <= box[0].stop <= 20
        assert 0 <= box[1].start <= box[1].stop <= 30
        assert kept > share - 0.06  # a pixel of rounding on each side


def test_box_in_the_middle_has_the_area_asked_for() -> None:
    class Middle:
        def random(self) -> float:
            return 0.5

    box = cut_box((40, 60), 0.75, Middle())
    assert box == (slice(10, 30), slice(15, 45))
    assert area(cut_box((40, 60), 1.0, Middle())) == 0
    assert area(cut_box((40, 60), 0.0, Middle())) == 2400


def test_blend_is_linear() -> None:
    first, second = np.full((2, 3), 8, np.float32), np.full((2, 3), -4, np.float32)
    assert blend(first, second, 0.25).tolist() == [[-1.0] * 3] * 2
    assert blend(first, second, 0.25).dtype == np.float32


def test_shares_come_from_the_beta_distribution() -> None:
    images, targets = batch(2, 2, 2)
    for alpha, spread in ((0.2, 1 / (4 * 1.4)), (1.0, 1 / 12), (8.0, 1 / (4 * 17))):
        shares = []
        for seed in range(3000):
            soft = mix(images, targets, rng(seed), mixup=alpha, cutmix=0.0)[1]
            shares.append(soft[0, 0])
        mixed = np.array(shares)[np.array(shares) < 1]  # half of the permutations leave both where they are
        assert abs(mixed.mean() - 0.5) < 0.03
        assert abs(mixed.var() - spread) < 0.15 * spread


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (8, {"mixup": 0.0, "cutmix": 0.0}),
        (8, {"mixup": 1.0, "cutmix": 1.0, "prob": 0.0}),
        (1, {"mixup": 1.0, "cutmix": 0.0}),
    ],
)
def test_off_means_untouched(count: int, options: dict[str, float]) -> None:
    images, targets = batch(count)
    for seed in range(20):
        assert mix(images, targets, rng(seed), **options) == (images, targets)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_each_way_has_its_share_of_the_mixed_batches(share: float) -> None:
    images, targets = batch()
    ways = []
    for seed in range(1500):
        mixed, soft = mix(images, targets, rng(seed), mixup=1.0, cutmix=1.0, prob=0.6, cutmix_share=share)
        if mixed is not images:
            ways.append(bool((mixed == np.round(mixed)).all()))  # cutmix leaves whole numbers
        else:
            assert soft is targets
    assert abs(len(ways) / 1500 - 0.6) < 0.05
    assert abs(np.mean(ways) - share) < 0.06


def test_inputs_stay_and_the_generator_decides() -> None:
    images, targets = batch()
    before = images.copy(), targets.copy()
    for seed in range(10):
        first = mix(erase(images, rng(seed), prob=0.7), targets, rng(seed), mixup=0.3, cutmix=1.0)
        again = mix(erase(images, rng(seed), prob=0.7), targets, rng(seed), mixup=0.3, cutmix=1.0)
        other = mix(erase(images, rng(seed + 99), prob=0.7), targets, rng(seed + 99), mixup=0.3, cutmix=1.0)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not np.array_equal(first[0], other[0])
    assert np.array_equal(images, before[0])
    assert np.array_equal(targets, before[1])


def test_erase_fills_one_rectangle_with_values_of_the_images_range() -> None:
    images = rng(1).normal(size=(40, 3, 50, 60)).astype(np.float32)
    erased = erase(images, rng(2), prob=1.0)
    assert (erased.shape, erased.dtype) == (images.shape, np.float32)
    shares = []
    for before, after in zip(images, erased, strict=True):
        rows, columns = (np.flatnonzero((before != after).any(axis=axes)) for axes in ((0, 2), (0, 1)))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height
        assert len(columns) == width
        assert (before != after).sum() > 0.99 * 3 * height * width
        assert after.min() >= before.min()
        assert after.max() <= before.max()
        shares.append(height * width / 3000)
    assert 0.015 < min(shares) < 0.08
    assert 0.25 < max(shares) < 0.35


def test_erase_hits_the_share_of_images_asked_for() -> None:
    images, _ = batch(2000, 6, 6)
    images += rng(0).random(images.shape, dtype=np.float32)
    hit = (erase(images, rng(0), prob=0.25) != images).any(axis=(1, 2, 3))
    assert abs(hit.mean() - 0.25) < 0.03
    assert erase(images, rng(0), prob=0.0) is images


def test_a_box_that_does_not_fit_is_not_forced() -> None:
    assert random_box((2, 200), rng(0), area=Between(0.9, 1.0), aspect=Between(0.1, 0.2)) is None
    for seed in range(300):
        box = random_box((30, 40), rng(seed), area=Between(0.2, 0.5), aspect=Between(0.5, 2.0))
        assert box is not None
        assert 0 <= box[0].start < box[0].stop <= 30
        assert 0 <= box[1].start < box[1].stop <= 40
        assert 0.17 < area(box) / 1200 < 0.53
