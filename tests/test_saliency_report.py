from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from paddle import nn

from monkeys.data.image import Preprocess
from monkeys.evaluation.metrics import Answer
from monkeys.models import build_model
from monkeys.reports import saliency
from monkeys.reports.saliency import CLASSES_SHOWN, PER_CLASS, cover, write_saliency

SIZE = 32


def answered(classes: int, each: int) -> list[Answer]:
    return [
        Answer(f"{label}/{index}.jpg", f"n{label}", f"n{(label + index % 2) % classes}", 0.9, 0.1, True, ())
        for label in range(classes)
        for index in range(each)
    ]


def named(classes: int) -> dict[str, str]:
    return {f"n{label}": f"long_tailed_{label}" for label in range(classes)}


def picture(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def test_a_sheet_and_the_share_of_the_border_are_written(tmp_path):
    asked: list[int] = []
    model = build_model("plain", 3, layers="conv3-8 maxpool2 conv3-8 maxpool2 fc3 softmax", size=SIZE)

    def noted(index: int) -> np.ndarray:
        asked.append(index)
        return picture(index)

    write_saliency(tmp_path, model, Preprocess(SIZE), noted, answered(3, 5), named(3))
    assert (tmp_path / "cam.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "cam.json").read_text())
    assert set(found["by_class"]) <= set(named(3))
    assert 0 < found["border_share"] < 1
    assert [index // 5 for index in asked] == [0] * PER_CLASS + [1] * PER_CLASS + [2] * PER_CLASS


def test_of_many_classes_a_dozen_is_shown(tmp_path):
    asked: list[int] = []
    model = build_model("plain", 30, layers="conv3-8 maxpool2 fc30 softmax", size=SIZE)

    def noted(index: int) -> np.ndarray:
        asked.append(index)
        return picture(index)

    write_saliency(tmp_path, model, Preprocess(SIZE), noted, answered(30, 4), named(30))
    assert len({index // 4 for index in asked}) == CLASSES_SHOWN


def test_a_network_of_vectors_gets_no_sheet_and_an_old_one_goes(tmp_path, caplog):
    (tmp_path / "cam.png").write_bytes(b"old")
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 3))
    with caplog.at_level(logging.WARNING, "monkeys"):
        write_saliency(tmp_path, model, Preprocess(SIZE), picture, answered(3, 2), named(3))
    assert "no heat maps" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_larger_picture_than_the_network(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(saliency, "cover", lambda image, heat: seen.append((image.shape, heat.shape)) or image)
    model = build_model("plain", 3, layers="conv3-8 maxpool2 fc3 softmax", size=SIZE)
    write_saliency(tmp_path, model, Preprocess(SIZE), picture, answered(3, 1), named(3))
    assert set(seen) == {((saliency.SHOWN, saliency.SHOWN, 3), (SIZE, SIZE))}


@pytest.mark.parametrize(("heat", "warmer"), [(0.0, False), (1.0, True)])
def test_heat_shows_as_warm_colour_over_the_image(heat, warmer):
    covered = cover(np.full((4, 4, 3), 128, np.uint8), np.full((4, 4), heat, np.float32)).astype(int)
    assert covered.shape == (4, 4, 3)
    assert (covered[..., 0] > 128).all() == warmer
