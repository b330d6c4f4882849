from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from monkeys.reports import plots, plots_dataset, plots_sheets
from monkeys.reports.plots_base import DPI, LONGEST, RIGHT, WRONG
from monkeys.reports.plots_dataset import SPLIT_COLOURS

HISTORY = {
    "epoch": [1, 2, 3],
    "train_loss": [2.0, 1.0, 0.5],
    "val_loss": [2.1, 1.4, 1.2],
    "train_top1": [0.2, 0.6, 0.9],
    "val_top1": [0.2, 0.5, 0.6],
    "lr": [0.001, 0.0005, 0.0],
}
STRANGE = ("a $x_$ b", "$\\frac$", "金丝猴", "<b>&amp;", "a_very_long_name_" * 6, "")


def bars(count: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    recalls = rng.random(count).tolist()
    return [
        {"name": f"species_{i}", "support": 9, "recall": r, "recall_low": r / 2, "recall_high": (1 + r) / 2}
        for i, r in enumerate(recalls)
    ]


BINS = [
    {"confidence": 0.35, "accuracy": 0.5, "accuracy_low": 0.2, "accuracy_high": 0.8, "count": 4},
    {"confidence": 0.95, "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "count": 40},
]
COUNTS = {"howler": {"train": 9, "val": 2}, "langur": {"train": 7, "val": 3}}
GREY = np.full((10, 20, 3), 128, np.uint8)
DRAWINGS = {
    "curves": lambda path: plots.curves(HISTORY, path),
    "compare_curves": lambda path: plots.compare_curves({"a": HISTORY, "b": HISTORY}, path),
    "confusion_matrix": lambda path: plots.confusion_matrix(np.eye(3, dtype=int) * 4, ["a", "b", "c"], path),
    "per_class_bars": lambda path: plots.per_class_bars(bars(3), path),
    "reliability": lambda path: plots.reliability(BINS, 0.06, path),
    "lr_finder": lambda path: plots.lr_finder([1e-4, 1e-3, 1e-2], [2.0, 1.0, 5.0], 1e-3, path),
    "labels_per_class": lambda path: plots_dataset.labels_per_class(COUNTS, path),
    "sizes": lambda path: plots_dataset.sizes({"train": [(640, 480), (2000, 900)]}, "sizes", path),
    "file_sizes": lambda path: plots_dataset.file_sizes([12.0, 80.0, 500.0], path),
    "colours": lambda path: plots_dataset.colours({"a": np.full((4, 3), 0.4)}, path),
    "sheet": lambda path: plots_sheets.sheet([GREY], ["a"], path, columns=4, title="t"),
}


def pixels(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1].astype(int)


def share(image: np.ndarray, colour: str) -> float:
    """Of the pixels that have a colour like #0072B2."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return float((np.abs(image - wanted).max(axis=2) < 12).mean())


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_picture_is_drawn_and_the_same_twice(name, tmp_path):
    assert DRAWINGS[name](tmp_path / "a.png") == tmp_path / "a.png"
    DRAWINGS[name](tmp_path / "b.png")
    image = pixels(tmp_path / "a.png")
    assert image.std() > 5
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert list(tmp_path.glob(".*")) == []  # no temporary file stays


def test_matplotlib_is_left_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    for draw in DRAWINGS.values():
        draw(tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_no_window_and_no_pyplot():
    program = (
        "import sys, monkeys.reports.plots, monkeys.reports.plots_sheets, monkeys.reports.plots_dataset;"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


def test_any_class_name_can_be_drawn(tmp_path):
    path, count = tmp_path / "a.png", len(STRANGE)
    plots.confusion_matrix(np.eye(count, dtype=int), STRANGE, path)
    plots.per_class_bars([row | {"name": name} for row, name in zip(bars(count), STRANGE, strict=True)], path)
    plots.compare_curves(dict.fromkeys(STRANGE, HISTORY), path)
    plots_dataset.labels_per_class({name: {"train": 1} for name in STRANGE}, path)
    plots_dataset.colours({name: np.full((2, 3), 0.5) for name in STRANGE}, path)
    plots_sheets.sheet([GREY] * count, STRANGE, path, columns=6, title=STRANGE[1])


@pytest.mark.parametrize("count", [1, 2, 10, 100, 300])
def test_a_confusion_matrix_stays_of_a_size_that_can_be_read(count, tmp_path):
    plots.confusion_matrix(np.eye(count, dtype=int) * 3, [f"species_{i}" for i in range(count)], tmp_path / "a.png")
    height, width = pixels(tmp_path / "a.png").shape[:2]
    assert 300 <= width <= 16 * DPI
    assert 300 <= height <= 16 * DPI
    if count == 100:
        assert width / count > 12  # pixels for every class


def test_the_diagonal_is_dark_and_confusions_show(tmp_path):
    names = ["a", "b"]
    plots.confusion_matrix(np.array([[9, 0], [0, 9]]), names, tmp_path / "right.png")
    plots.confusion_matrix(np.array([[0, 9], [9, 0]]), names, tmp_path / "wrong.png")
    right, wrong = pixels(tmp_path / "right.png"), pixels(tmp_path / "wrong.png")
    assert right.shape == wrong.shape
    assert np.abs(right - wrong).mean() > 30


def test_calibration_before_scaling_is_told_apart(tmp_path):
    plots.reliability(BINS, 0.06, tmp_path / "a.png")
    plots.reliability(BINS, 0.06, tmp_path / "b.png", before=[BINS[0] | {"accuracy": 0.1}], note="\n(more)")
    assert share(pixels(tmp_path / "b.png"), "#D55E00") > 0 == share(pixels(tmp_path / "a.png"), "#D55E00")


def test_classes_without_images_have_no_bar_and_a_thousand_are_cut(tmp_path):
    rows = bars(3)
    plots.per_class_bars(rows, tmp_path / "three.png")
    plots.per_class_bars([*rows, rows[0] | {"name": "absent", "support": 0}], tmp_path / "absent.png")
    assert (tmp_path / "three.png").read_bytes() == (tmp_path / "absent.png").read_bytes()
    plots.per_class_bars(bars(1000), tmp_path / "thousand.png")
    assert pixels(tmp_path / "thousand.png").shape[0] <= LONGEST * DPI


def test_curves_of_one_epoch_and_of_figures_that_are_missing(tmp_path):
    one = {name: values[:1] for name, values in HISTORY.items()}
    plots.curves(one, tmp_path / "one.png")
    hole = HISTORY | {"val_top1": [float("nan"), 0.5, 0.4], "val_loss": [float("nan"), 1.0, 1.1]}
    plots.curves(hole, tmp_path / "hole.png")
    plots.curves(HISTORY | {"val_top1": [float("nan")] * 3}, tmp_path / "none.png")
    assert share(pixels(tmp_path / "hole.png"), "#D55E00") > 0  # the best epoch is marked
    assert share(pixels(tmp_path / "none.png"), "#D55E00") == 0


def test_the_best_epoch_that_is_marked_is_the_one_that_training_keeps(tmp_path, monkeypatch):
    marked = []
    monkeypatch.setattr(plots, "save", lambda made, path: marked.append(made.axes[1].lines[-1].get_xydata().tolist()))
    tied = HISTORY | {"val_top1": [0.5, 0.6, 0.6], "val_loss": [1.4, 1.2, 1.0]}
    plots.curves(tied, tmp_path / "tied.png")
    plots.curves(tied | {"val_loss": [1.4, 1.0, 1.0]}, tmp_path / "first.png")
    plots.curves(tied | {"val_loss": [1.4, 1.0, float("nan")]}, tmp_path / "hole.png")
    assert [epoch for ((epoch, _),) in marked] == [HISTORY["epoch"][2], HISTORY["epoch"][1], HISTORY["epoch"][1]]


def test_nothing_to_draw_is_drawn_as_nothing(tmp_path):
    plots.reliability([], 0.0, tmp_path / "a.png")
    plots.per_class_bars([], tmp_path / "b.png")
    plots_sheets.sheet([], [], tmp_path / "c.png", columns=6, title="none")
    plots_dataset.file_sizes([0.0, 0.0], tmp_path / "d.png")
    plots_dataset.labels_per_class({"a": {}}, tmp_path / "e.png")
    assert len(list(tmp_path.glob("*.png"))) == 5


def test_points_of_each_split_are_on_the_scatter(tmp_path):
    points = {"train": [(200, 200)] * 20, "val": [(900, 700)] * 20, "test": [(3000, 1500)] * 20}
    plots_dataset.sizes(points, "sizes", tmp_path / "all.png")
    plots_dataset.sizes({"train": points["train"]}, "sizes", tmp_path / "train.png")
    every, train = pixels(tmp_path / "all.png"), pixels(tmp_path / "train.png")
    for split in ("val", "test"):  # twenty points on top of each other let nothing through
        assert share(every, SPLIT_COLOURS[split]) > 0 == share(train, SPLIT_COLOURS[split])
    assert share(train, SPLIT_COLOURS["train"]) > 0


def test_right_and_wrong_differ_by_sign_and_by_colour(tmp_path):
    for name, mark in (("right", True), ("wrong", False)):
        plots_sheets.sheet([GREY], ["a"], tmp_path / f"{name}.png", columns=4, title="t", marks=[mark])
    right, wrong = pixels(tmp_path / "right.png"), pixels(tmp_path / "wrong.png")
    assert share(right, RIGHT) > 0.002 > share(right, WRONG)
    assert share(wrong, WRONG) > 0.002 > share(wrong, RIGHT)
    dark = [image.min(axis=2) < 140 for image in (right, wrong)]
    assert (dark[0] != dark[1]).any()  # the signs differ in shape


def test_pictures_of_a_sheet_keep_place_and_shape(tmp_path):
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]
    images = [np.full((10, 20, 3), colour, np.uint8) for colour in colours]
    plots_sheets.sheet(images, ["x"] * 5, tmp_path / "a.png", columns=4, title="t")
    sheet = pixels(tmp_path / "a.png")
    centres, cell = [], sheet.shape[1] / 4
    for colour in colours:
        rows, columns = np.nonzero(np.abs(sheet - colour).max(axis=2) < 12)
        centres.append((round(columns.mean() / cell - 0.5), rows.mean()))
        assert np.ptp(columns) == pytest.approx(2 * np.ptp(rows), rel=0.05)
    assert [column for column, _ in centres] == [0, 1, 2, 3, 0]
    assert centres[4][1] > centres[0][1] + 0.8 * cell


def test_a_long_caption_is_wrapped_and_cut(tmp_path):
    plots_sheets.sheet([GREY], ["one"], tmp_path / "short.png", columns=4, title="t")
    plots_sheets.sheet([GREY], ["many words " * 40], tmp_path / "long.png", columns=4, title="t")
    short, long = pixels(tmp_path / "short.png"), pixels(tmp_path / "long.png")
    assert short.shape[0] < long.shape[0] < 2 * short.shape[0]
    ink = (long.min(axis=2) < 100).any(axis=0)
    title = long.shape[1] / 2 - 12
    assert not ink[int(long.shape[1] / 4) + 2 : int(title)].any()  # nothing runs into the neighbour's place
