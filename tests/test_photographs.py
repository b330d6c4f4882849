"""What training sees of a photograph: its size by epoch, and the larger one it may be augmented at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monkeys.config import load_config
from monkeys.data.dataset import Key
from monkeys.data.image import Preprocess, decode
from monkeys.data.manifest import build_manifest
from monkeys.photographs import Photographs

BATCHES = {
    "plain": (),
    "mixup": ("augment.mixup=1.0",),
    "cutmix": ("augment.cutmix=1.0",),
    "never mixed": ("augment.cutmix=1.0", "augment.mixup=1.0", "augment.mix_prob=0"),
    "plain at the end": ("augment.cutmix=1.0", "augment.erase=1.0", "augment.plain_epochs=2"),
    "unaugmented at the end": ("augment.cutmix=1.0", "augment.erase=1.0", "augment.unaugmented_epochs=2"),
    "erased": ("augment.erase=1.0",),
    "smoothed": ("train.label_smoothing=0.1",),
    "weighted": ("train.class_weights=[1, 2, 3]",),
    "imagenet": ("data.normalise=imagenet",),
}
RECIPE = Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml"


@pytest.fixture
def seen(photos, shrunk, tmp_path):
    """Photographs of a configuration with the given overrides."""

    def make(*overrides: str) -> Photographs:
        config = load_config(RECIPE, [*shrunk, f"data.root={photos}", *overrides])
        return Photographs(config, build_manifest(photos, cache_dir=tmp_path / "cache"))

    return make


def sides(data: Photographs) -> list[int]:
    return [data.training()[Key(epoch, 0)].image.shape[0] for epoch in range(2)]


def test_what_is_evaluated_has_the_size_of_the_last_epoch(seen):
    """Of two epochs the second is the last: a size from the third on is never trained at."""
    assert seen("data.sizes={0: 16, 1: 24}").preprocess.size == 24
    late = seen("data.sizes={0: 16, 2: 24}")
    assert late.preprocess.size == 16
    assert late.training()[Key(7, 0)].image.shape == (16, 16, 3)  # a range test may see more epochs than planned


def test_every_way_to_change_a_batch_is_connected(seen):
    """Images, targets, or both of a batch differ from the plain ones."""
    samples = {name: seen(*overrides) for name, overrides in BATCHES.items()}
    batches = {
        name: data.collate()([data.training()[Key(0, index)] for index in range(0, 30, 4)])
        for name, data in samples.items()
    }
    contents = {name: (batch.images.tobytes(), batch.targets.tobytes()) for name, batch in batches.items()}
    changed = {
        name: tuple(a != b for a, b in zip(content, contents["plain"], strict=True))
        for name, content in contents.items()
    }
    assert changed == {
        "plain": (False, False),
        "mixup": (True, True),
        "cutmix": (True, True),
        "never mixed": (False, False),
        "plain at the end": (False, False),
        "unaugmented at the end": (True, False),
        "erased": (True, False),
        "smoothed": (False, True),
        "weighted": (False, True),
        "imagenet": (True, False),
    }


@pytest.mark.parametrize("source", ["data.source_size=0", "data.source_size=40"])
def test_each_epoch_has_its_size(seen, source):
    assert sides(seen(source)) == [32, 32]
    assert sides(seen(source, "data.sizes={0: 16, 1: 24}")) == [16, 24]


def test_augmented_at_its_own_size_a_photograph_is_resized_once(seen, photos):
    data = seen("augment.recipe=none", "data.source_size=40")  # the pictures have 40 pixels a side
    path = data.manifest.of("train")[0].path
    np.testing.assert_array_equal(data.training()[Key(0, 0)].image, Preprocess(32).resize(decode(photos / path)))


@pytest.mark.parametrize("source", ["data.source_size=0", "data.source_size=40"])
def test_unaugmented_epochs_show_a_photograph_as_it_is(seen, photos, source):
    data = seen("augment.recipe=report", "augment.unaugmented_epochs=1", source)  # of two epochs
    path = data.manifest.of("train")[0].path
    first, last = (data.training()[Key(epoch, 0)].image for epoch in range(2))
    np.testing.assert_array_equal(last, Preprocess(32).resize(decode(photos / path)))
    assert (first != last).mean() > 0.5


def test_a_crop_from_a_larger_source_keeps_more_detail(seen, photos):
    """Enlarged from 16 pixels, a part is blurred; cut from 40 and shrunk it is as sharp as the whole."""
    rng = np.random.default_rng(0)
    for path in photos.rglob("*.jpg"):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path, quality=95)

    def detail(source: int) -> float:
        data = seen("augment.recipe=crop", "data.size=16", f"data.source_size={source}").training()
        images = [data[Key(0, index)].image.astype(float) for index in range(len(data))]
        return float(np.mean([np.abs(np.diff(image, axis=1)).mean() / image.std() for image in images]))

    assert detail(40) > 1.2 * detail(0)
