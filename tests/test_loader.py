from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from monkeys.data.dataset import Collate, Dataset, Key, as_they_are, class_weights, smooth
from monkeys.data.loader import TrainOrder, load, plain_order
from monkeys.errors import TrainingError, UserError

IMAGES, SIZE, CLASSES = 12, 8, 3
BYTES = 4 * 4 * (3 * SIZE**2 + CLASSES + 2) + 64


def shift(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (image + rng.integers(0, 256, image.shape)).astype(np.uint8)


def make_dataset(augment=shift, seed: int = 5) -> Dataset:
    pictures = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    return Dataset(lambda epoch: pictures, np.arange(IMAGES) % CLASSES, augment, seed)


def make_collate(mix=lambda images, targets, rng: (images, targets), until: int = 0, smoothing: float = 0.0) -> Collate:
    normalise = lambda images: images.transpose(0, 3, 1, 2).astype(np.float32) / 255  # noqa: E731
    return Collate(normalise, np.ones(CLASSES, np.float32), smoothing, mix, until, seed=5)


def batches(workers: int, seed: int = 5, last: int = 9):
    order = TrainOrder(IMAGES, batch_size=4, seed=seed)
    mix = lambda images, targets, rng: (images + rng.random(), targets)  # noqa: E731
    return list(load(make_dataset(seed=seed), order.micro_batches(0, last), make_collate(mix, until=2), workers, BYTES))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_are_the_same_whatever_the_number_of_workers(workers):
    alone, shared = batches(0), batches(workers)
    assert len(alone) == len(shared) == 9
    for one, other in zip(alone, shared, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_augmentation_differs_in_every_epoch():
    dataset = make_dataset()
    first, second = (dataset[Key(epoch, 3)].image for epoch in (0, 1))
    assert (first != second).mean() > 0.9
    np.testing.assert_array_equal(first, dataset[Key(0, 3)].image)


def test_mixing_ends_before_the_plain_epochs():
    called = []

    def mix(images, targets, rng):
        called.append(1)
        return images, targets

    order = TrainOrder(IMAGES, batch_size=4, seed=0)
    list(load(make_dataset(), order.micro_batches(0, 9), make_collate(mix, until=2)))
    assert len(called) == 6  # three steps in each of the first two epochs


def test_an_epoch_shows_each_image_once_in_a_new_order():
    order = TrainOrder(IMAGES, batch_size=4, seed=1)
    keys = [key for micro in order.micro_batches(0, 6) for key in micro]
    first, second = ([key.index for key in keys if key.epoch == epoch] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(IMAGES))
    assert first != second


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_the_order_can_be_entered_at_any_step(start):
    order = TrainOrder(IMAGES, batch_size=4, seed=1)
    assert list(order.micro_batches(start, 9)) == list(order.micro_batches(0, 9))[start:]


def test_ranks_and_accumulation_share_the_same_images():
    whole = list(TrainOrder(IMAGES, 4, seed=1, accumulate=2).micro_batches(0, 6))
    ranks = [list(TrainOrder(IMAGES, 4, seed=1, rank=rank, ranks=2).micro_batches(0, 6)) for rank in (0, 1)]
    assert [micro for pair in zip(*ranks, strict=True) for micro in pair] == whole


@pytest.mark.parametrize(("batch", "accumulate", "ranks"), [(13, 1, 1), (6, 4, 1), (6, 2, 2)])
def test_impossible_batches_are_refused(batch, accumulate, ranks):
    with pytest.raises(UserError, match=r"train\.batch_size"):
        TrainOrder(IMAGES, batch, seed=0, accumulate=accumulate, ranks=ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_evaluation_counts_every_image_once(ranks):
    indices = [key.index for rank in range(ranks) for keys in plain_order(11, 3, rank, ranks) for key in keys]
    assert sorted(indices) == list(range(11))


def refuse(image, rng):
    raise UserError("photo.jpg is gone")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_of_the_data_reaches_the_user_in_one_line(workers):
    with pytest.raises(UserError) as caught:
        list(load(make_dataset(refuse), plain_order(IMAGES, 4), make_collate(), workers, BYTES))
    assert str(caught.value) == "photo.jpg is gone"


def die(image, rng):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_ends_the_run_with_the_reason():
    with pytest.raises(TrainingError, match="worker"):
        list(islice(load(make_dataset(die), plain_order(IMAGES, 4), make_collate(), 1, BYTES), 1))


def test_smoothed_targets_sum_to_one():
    targets = smooth(np.array([0, 2]), 4, 0.1)
    np.testing.assert_allclose(targets[0], [0.925, 0.025, 0.025, 0.025], rtol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)


def test_class_weights_have_mean_one_over_the_images():
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(class_weights(labels, 2, "inverse"), [2 / 3, 2], rtol=1e-6)
    np.testing.assert_allclose(class_weights(labels, 2, "none"), [1, 1])
    given = class_weights(labels, 2, (1.0, 3.0))
    assert given[1] / given[0] == pytest.approx(3)
    assert given[labels].mean() == pytest.approx(1)


def test_untouched_pictures_stay_untouched():
    image = np.zeros((2, 2, 3), np.uint8)
    assert as_they_are(image, np.random.default_rng()) is image
