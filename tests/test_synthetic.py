"""The drawn sample set: repeatable, varied, laid out as documented, and fine-grained in earnest."""

from __future__ import annotations

import dataclasses
import hashlib
from itertools import combinations, product
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monkeys.data.labels import read_names
from monkeys.data.synthetic import Draft, draw_set
from monkeys.data.synthetic.anatomy import draw_monkey
from monkeys.data.synthetic.species import SPECIES, Traits, difference
from monkeys.errors import UserError

SMALL = (96, 200)
SPLITS = ("train", "val", "test")


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "set"
    draw_set(root, per_class={"train": 3, "test": 2}, seed=4, sizes=SMALL, workers=1)
    return root


def test_folders_counts_and_formats(small_set: Path) -> None:
    assert sorted(path.name for path in small_set.iterdir()) == ["monkey_labels.txt", "test", "training"]
    for split, count in (("training", 3), ("test", 2)):
        folders = sorted((small_set / split).iterdir())
        assert [folder.name for folder in folders] == [f"n{number}" for number in range(10)]
        assert all(len(list(folder.iterdir())) == count for folder in folders)
    for path in small_set.rglob("n?/*"):
        image = cv2.imread(str(path))
        assert image is not None
        assert all(SMALL[0] <= edge <= SMALL[1] for edge in image.shape[:2])


def test_label_table_is_read_by_the_project(small_set: Path) -> None:
    names = read_names([small_set], [species.id for species in SPECIES])
    assert names == {species.id: species.common for species in SPECIES}
    head, first, *_ = (small_set / "monkey_labels.txt").read_text().splitlines()
    assert [cell.strip() for cell in head.split(",")] == [
        "Label", "Latin Name", "Common Name", "Train Images", "Validation Images",
    ]  # fmt: skip
    assert [cell.strip() for cell in first.split(",")][3:] == ["3", "0"]


def test_same_seed_gives_same_bytes_with_any_number_of_workers(small_set: Path, tmp_path: Path) -> None:
    draw_set(tmp_path / "again", per_class={"train": 3, "test": 2}, seed=4, sizes=SMALL, workers=2)
    assert digests(tmp_path / "again") == digests(small_set)


def test_a_larger_set_of_the_same_seed_holds_the_smaller(small_set: Path, tmp_path: Path) -> None:
    draw_set(tmp_path / "fewer", per_class={"train": 1}, seed=4, sizes=SMALL, workers=1)
    fewer, more = digests(tmp_path / "fewer"), digests(small_set)
    assert all(more[path] == digest for path, digest in fewer.items() if path != "monkey_labels.txt")


def test_another_seed_gives_other_pictures(small_set: Path, tmp_path: Path) -> None:
    draw_set(tmp_path / "other", per_class={"train": 3, "test": 2}, seed=5, sizes=SMALL, workers=1)
    same = set(digests(tmp_path / "other").values()) & set(digests(small_set).values())
    assert len(same) == 1  # the label table


def test_no_two_pictures_share_their_chance_parameters() -> None:
    drafts = [Draft(0, *key) for key in product(SPLITS, range(10), range(60))]
    dice = [draft.nuisance() for draft in drafts]
    assert len(set(dice)) == len(dice)
    for name in ("scale", "saturation", "value", "skin", "pale", "light_angle", "light", "blur"):
        assert len({getattr(die, name) for die in dice}) == len(dice), name
    after = {draft.generator().bytes(16) for draft in drafts}  # what the textures are made of
    assert len(after) == len(drafts)


def test_no_two_pictures_look_alike() -> None:
    keys = product(SPLITS, (0, 6), range(15))
    small = [cv2.resize(Draft(0, *key, SMALL).paint(), (12, 12), interpolation=cv2.INTER_AREA) for key in keys]
    pixels = np.stack(small).reshape(len(small), -1).astype(np.float64)
    distance = np.sqrt(((pixels[:, None] - pixels[None]) ** 2).mean(axis=-1))
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 12  # of 255; the same picture saved twice is below 1


def test_sizes_are_those_of_photographs() -> None:
    dice = [Draft(1, "train", 0, index).nuisance() for index in range(3000)]
    sizes = np.array([(die.width, die.height) for die in dice])
    aspects = sizes[:, 0] / sizes[:, 1]
    assert sizes.min() >= 200
    assert sizes.max() <= 3000
    assert aspects.min() >= 0.495
    assert aspects.max() <= 3.03
    assert 0.75 < (sizes < 1000).all(axis=1).mean() < 0.95
    assert sizes.max() > 2000
    assert (aspects > 2).any()
    assert (aspects < 0.6).any()
    logs = np.log(sizes.prod(axis=1)) / 2
    assert abs(np.mean(logs) - np.median(logs)) < 0.05  # log-normal: symmetrical in the logarithm
    assert len({(die.width, die.height) for die in dice}) > 2900


def test_species_differ_in_few_traits_and_own_none() -> None:
    distances = [difference(one.traits, other.traits) for one, other in combinations(SPECIES, 2)]
    assert min(distances) >= 3
    for field in dataclasses.fields(SPECIES[0].traits):
        values = [getattr(species.traits, field.name) for species in SPECIES]
        assert all(values.count(value) >= 2 for value in values), field.name
    assert len({species.traits for species in SPECIES}) == len({species.common for species in SPECIES}) == 10


@pytest.mark.parametrize(
    ("trait", "value"),
    [("ears", "small"), ("ears", "pointed"), ("crown", "crest"), ("crown", "brow"), ("mane", "ruff"), ("mane", "beard"),
     ("mane", "moustache"), ("eyes", "mask"), ("eyes", "ring"), ("muzzle", "pale"), ("coat", "striped"),
     ("coat", "spotted"), ("tail", "ringed"), ("tail", "tufted")],
)  # fmt: skip
def test_every_trait_can_be_seen(trait: str, value: str) -> None:
    plain = Traits("round", "smooth", "none", "plain", "plain", "plain", "plain", "warm")
    draft = Draft(0, "train", 0, 1)
    images = []
    for traits in (plain, dataclasses.replace(plain, **{trait: value})):
        canvas = np.full((300, 300, 3), 0.5, np.float32)
        die = dataclasses.replace(draft.nuisance(), x=0.0, y=0.0, scale=0.25)
        draw_monkey(canvas, die, traits, draft.generator())
        images.append(canvas)
    assert (np.abs(images[0] - images[1]).max(axis=-1) > 0.15).mean() > 0.003


@pytest.mark.parametrize(
    ("per_class", "sizes", "words"),
    [({"train": 1, "dev": 1}, (200, 300), "unknown split 'dev'"), ({"train": -1}, (200, 300), "counts"),
     ({"train": 0}, (200, 300), "counts"), ({}, (200, 300), "counts"), ({"train": 1}, (300, 200), "sizes"),
     ({"train": 1}, (4, 200), "sizes")],
)  # fmt: skip
def test_wrong_wishes_are_named(tmp_path: Path, per_class: dict[str, int], sizes: tuple[int, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        draw_set(tmp_path / "set", per_class=per_class, sizes=sizes)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="not empty"):
        draw_set(tmp_path, per_class={"train": 1}, sizes=SMALL)
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_nothing_is_left_half_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Draft, root: Path) -> None:
        if self.species == 3:
            raise OSError(28, "No space left on device")
        (root / self.path()).write_bytes(b"picture")

    monkeypatch.setattr(Draft, "save", full)
    with pytest.raises(UserError, match="No space left"):
        draw_set(tmp_path / "set", per_class={"train": 1}, sizes=SMALL, workers=1)
    assert not list(tmp_path.iterdir())


def _features(split: str, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Three views of each picture that know nothing of shapes; labels."""
    views: dict[str, list[np.ndarray]] = {"pixels": [], "rgb": [], "hsv": []}
    for species, index in product(range(10), range(count)):
        image = Draft(0, split, species, index, (200, 400)).paint()
        bins, tops = [8, 8, 8], [0, 256, 0, 256, 0, 256]
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        views["pixels"].append(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).ravel())
        views["rgb"].append(cv2.calcHist([image], [0, 1, 2], None, bins, tops).ravel() / image[..., 0].size)
        views["hsv"].append(cv2.calcHist([hsv], [0, 1, 2], None, bins, [0, 180, *tops[2:]]).ravel() / hsv[..., 0].size)
    return {name: np.stack(rows).astype(np.float64) for name, rows in views.items()}, np.repeat(np.arange(10), count)


@pytest.mark.slow
def test_neither_pixels_nor_colours_give_the_species_away() -> None:
    (train, labels), (test, truth) = _features("train", 80), _features("test", 40)
    for name, penalties in (("pixels", (1e-4, 1e-3, 1e-2)), ("rgb", (0.01, 1.0)), ("hsv", (0.01, 1.0))):
        for penalty in penalties:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=300))
            top1 = model.fit(train[name], labels).score(test[name], truth)
            assert top1 < 0.6, f"{name}, C={penalty}: {top1:.3f}"
