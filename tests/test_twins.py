"""Twins: found through re-encoding, scaling, watermarks and mirrors; mere resemblance is not enough."""

from __future__ import annotations

import io
import tracemalloc

import cv2
import numpy as np
import pytest
from invented import picture, watermarked
from PIL import Image

from monkeys.data import twins
from monkeys.data.signatures import SIDE, detail_of, is_plain, signature
from monkeys.data.twins import UnionFind, compare, matches


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def _crop(image: np.ndarray, share: float) -> np.ndarray:
    top, left = (round(side * share / 2) for side in image.shape[:2])
    return image[top : image.shape[0] - top, left : image.shape[1] - left]


def measured(both: np.ndarray) -> list[twins.Pair]:
    """The first and the second of these signatures, examined."""
    return twins.examine(both, detail_of(both), np.array([0]), np.array([1]), mirrored=False)


COPIES = {
    "re-encoded": lambda image: _jpeg(image, 20),
    "smaller": lambda image: cv2.resize(image, (48, 36), interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, (500, 400), interpolation=cv2.INTER_CUBIC),
    "squashed": lambda image: cv2.resize(image, (80, 160), interpolation=cv2.INTER_AREA),
    "darker": lambda image: (image * 0.6).astype(np.uint8),
    "without colour": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    "faint watermark": lambda image: watermarked(image, 0.4),
    "opaque watermark": watermarked,
    "watermark, scaled, re-encoded": lambda image: _jpeg(cv2.resize(watermarked(image), (96, 72)), 50),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "one per cent cropped": lambda image: _crop(image, 0.01),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_a_changed_copy_is_found(change) -> None:
    for seed in range(8):
        image, other = picture(seed), picture(seed + 100)
        groups = compare(np.stack([signature(image), signature(change(image)), signature(other)])).groups.tolist()
        assert groups == [0, 0, 2], seed


def test_a_stamp_lowers_the_correlation_but_not_that_of_the_rest() -> None:
    for seed in range(8):
        image = picture(seed)
        both = np.stack([signature(image), signature(_jpeg(watermarked(image), 60))])
        [pair] = measured(both)
        assert pair.correlation < 0.97 < 0.998 < pair.uncovered
        assert compare(both).groups.tolist() == [0, 0]


def test_a_scene_that_has_changed_is_not_a_stamped_copy() -> None:
    for seed in range(8):
        image, later = picture(seed), picture(seed).astype(float)
        later[:, 55:] = 0.6 * later[:, 55:] + 0.4 * picture(seed + 50)[:, 55:]
        both = np.stack([signature(image), signature(later.astype(np.uint8))])
        [pair] = measured(both)
        assert 0.9 < pair.uncovered < 0.998  # the left third is the same
        assert compare(both).groups.tolist() == [0, 1]


def test_different_pictures_are_not_joined() -> None:
    for smooth in (0.8, 1.2, 1.8):
        signatures = np.stack([signature(picture(seed, 60, 80, smooth)) for seed in range(60)])
        assert len(set(compare(signatures).groups.tolist())) == 60


def test_sky_above_grass_is_no_photograph_of_its_own() -> None:
    """Correlation alone would join these: all are bright above and dark below."""
    halves = np.repeat(np.linspace(230, 40, 120)[:, None], 160, axis=1)
    scenes = [
        np.clip(halves[..., None] * 0.9 + 0.12 * (picture(seed, smooth=0.9) - 128.0), 0, 255) for seed in range(9)
    ]
    signatures = np.stack([signature(scene.astype(np.uint8)) for scene in scenes])
    rows = signatures.reshape(9, -1).astype(np.float64)
    assert np.corrcoef(rows).min() > 0.97
    assert len(set(compare(signatures).groups.tolist())) == 9


def test_plain_pictures_resemble_nothing() -> None:
    blanks = [np.full((40, 60, 3), level, np.uint8) for level in (0, 1, 128, 255)]
    noisy = np.clip(np.random.default_rng(0).normal(200, 3, (200, 200, 3)), 0, 255).astype(np.uint8)
    signatures = np.stack([signature(image) for image in [*blanks, blanks[0], noisy]])
    assert is_plain(signatures).all()
    assert compare(signatures).groups.tolist() == [0, 1, 2, 3, 4, 5]
    assert not is_plain(signature(picture(0))[None]).any()


def test_tiny_pictures_have_signatures() -> None:
    for shape in ((1, 1), (1, 900), (3, 2), (24, 24), (95, 97)):
        cells = signature(
            picture(1, 97, 97)[: shape[0], : shape[1]] if max(shape) < 98 else np.ones((*shape, 3), np.uint8)
        )
        assert cells.shape == (SIDE, SIDE)
        assert np.isfinite(cells).all()


def test_a_crop_is_listed_for_people_and_not_joined() -> None:
    image = picture(5, smooth=1.5)
    comparison = compare(np.stack([signature(image), signature(_crop(image, 0.06)), signature(picture(6))]))
    assert comparison.groups.tolist() == [0, 1, 2]
    assert [(pair.first, pair.second, pair.mirrored) for pair in comparison.look_alikes] == [(0, 1, False)]
    assert 0.90 < comparison.look_alikes[0].correlation < 0.97


def test_chains_hold_together_and_report_only_their_links() -> None:
    start, end = signature(picture(1)).astype(float), signature(picture(2)).astype(float)
    steps = [start * (1 - t) + end * t for t in np.linspace(0, 1, 9)]
    comparison = compare(np.stack(steps).astype(np.float16))
    assert set(comparison.groups.tolist()) == {0}
    assert len(comparison.twins) == 8
    assert comparison.look_alikes == []  # pairs of one group need no judging
    assert not any(pair.same for pair in measured(np.stack([steps[0], steps[8]])))


def test_block_borders_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base = [picture(seed, 48, 64) for seed in range(20)]
    pictures = base + [_jpeg(image, 40) for image in base] + [image[:, ::-1] for image in base[:5]]
    order = np.random.default_rng(0).permutation(len(pictures))
    signatures = np.stack([signature(np.ascontiguousarray(pictures[index])) for index in order])
    whole = compare(signatures)
    monkeypatch.setattr(twins, "_BLOCK", 7)
    monkeypatch.setattr(twins, "_CHUNK", 3)
    parts = compare(signatures)
    assert parts.groups.tolist() == whole.groups.tolist()
    assert len(set(whole.groups.tolist())) == 20
    assert matches(signatures[:9], signatures[9:]).all()


def test_matches_between_two_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "_BLOCK", 2)
    ours = np.stack([signature(picture(seed)) for seed in (0, 1, 0, 3, 0)])  # twins among themselves do not count
    theirs = np.stack([signature(_jpeg(picture(seed), 30)) for seed in (3, 1, 17)])
    assert matches(ours, theirs).tolist() == [False, True, False, True, False]
    assert matches(ours, np.empty((0, SIDE, SIDE), np.float16)).tolist() == [False] * 5


def test_empty_and_single_sets() -> None:
    assert compare(np.empty((0, SIDE, SIDE), np.float16)).groups.tolist() == []
    assert compare(signature(picture(0))[None]).groups.tolist() == [0]


def test_union_find_names_sets_after_their_smallest_member() -> None:
    sets = UnionFind(6)
    assert sets.join(4, 2)
    assert sets.join(5, 4)
    assert not sets.join(2, 5)
    assert sets.join(0, 3)
    assert sets.find(np.arange(6)).tolist() == [0, 1, 2, 0, 2, 2]


@pytest.mark.slow
def test_memory_grows_with_the_pictures_not_with_their_pairs() -> None:
    rng = np.random.default_rng(0)
    signatures = rng.uniform(0, 255, (10_000, SIDE, SIDE)).astype(np.float16)
    signatures[5000:5100] = signatures[:100]
    tracemalloc.start()
    comparison = compare(signatures)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(comparison.groups.tolist())) == 9_900
    assert peak < 150 * 2**20  # all pairs at once would take 400 MB


def test_a_pair_whose_detail_is_not_clear_is_asked_for_its_uncovered_part(monkeypatch: pytest.MonkeyPatch) -> None:
    one = signature(picture(3, 240, 240))
    both = np.stack([one, one])
    both[1, 12, 12] += 3  # a small stamp
    monkeypatch.setattr(twins, "_agreement", lambda left, right: (np.array([0.6]), np.array([0.99])))
    (pair,) = twins.examine(both, detail_of(both), np.array([0]), np.array([1]), False)
    assert pair.correlation > twins.SAME
    assert pair.uncovered > twins.COVERED
    assert pair.same


@pytest.mark.parametrize("size", [(95, 1200), (1600, 64), (800, 80)])
def test_a_narrow_picture_is_found_beside_its_double(size: tuple[int, int]) -> None:
    small = cv2.GaussianBlur(picture(5, *size), (5, 5), 0)
    double = cv2.resize(small, (2 * small.shape[1], 2 * small.shape[0]), interpolation=cv2.INTER_CUBIC)
    (pair,) = compare(np.stack([signature(small), signature(double)])).twins
    assert pair.correlation > 0.99
