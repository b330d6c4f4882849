from __future__ import annotations

import csv
import json
import re
import shutil
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import paint

from monkeys.cli import explore as command
from monkeys.data.audit import AuditReport
from monkeys.data.records import Record
from monkeys.errors import UserError
from monkeys.reports.conclusions import conclude, usual_size
from monkeys.reports.dataset import _named, explore

PICTURES = ("labels", "sizes", "file_sizes", "colours", "samples", "augmented")


@pytest.fixture(scope="module")
def explored(tmp_path_factory) -> tuple[Path, Path]:
    """(source, results) of a small set with a copy, a twin that leaks, a broken file and a class named like HTML."""
    place = tmp_path_factory.mktemp("explored")
    source = place / "set"
    paint(source / "training", {"n0": 6, "n1<i>": 6}, size=48)
    paint(source / "validation", {"n0": 2, "n1<i>": 2}, seed=1, size=48)
    shutil.copy(source / "training/n0/0.jpg", source / "training/n0/copy.jpg")
    image = cv2.imread(str(source / "training/n0/1.jpg"))
    cv2.imwrite(str(source / "validation/n0/twin.jpg"), cv2.resize(image, (64, 64)))
    (source / "training/n0/broken.jpg").write_bytes(b"no image")
    explore(source, place / "out", cache_dir=place / "cache", workers=1)
    return source, place / "out"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_is_written(explored):
    _, out = explored
    for name in (*PICTURES, "twins"):
        assert cv2.imread(str(out / f"{name}.png")) is not None, name
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.png" for name in (*PICTURES, "twins")),
        *("audit.json", "explore.html", "labels.csv", "images.csv", "twins.csv"),
    }


def test_audit_json_keeps_its_contract(explored):
    found = json.loads((explored[1] / "audit.json").read_text())
    assert (found["n_files"], found["n_readable"], found["exact_duplicates"], found["n_groups"]) == (19, 18, 1, 16)
    assert [item["path"] for item in found["unreadable"]] == ["training/n0/broken.jpg"]
    assert found["leaks"] == [{"train": "training/n0/1.jpg", "val": "validation/n0/twin.jpg"}]
    assert {name: row["train"] for name, row in found["classes"].items()} == {"n0": 7, "n1<i>": 6}


def test_tables_hold_what_is_drawn(explored):
    source, out = explored
    counts = {(row["label"], row["split"]): int(row["images"]) for row in rows(out / "labels.csv")}
    assert counts[("n0", "train")] == 7
    assert counts[("n0", "val")] == 3
    images = {row["path"]: row for row in rows(out / "images.csv")}
    assert len(images) == 18
    twin = images["validation/n0/twin.jpg"]
    assert (twin["width"], twin["height"]) == ("64", "64")
    assert int(twin["bytes"]) == (source / "validation/n0/twin.jpg").stat().st_size
    colour = cv2.imread(str(source / "validation/n0/twin.jpg")).mean(axis=(0, 1))[::-1] / 255
    assert [float(twin[name]) for name in ("red", "green", "blue")] == pytest.approx(colour, abs=0.02)
    assert len(rows(out / "twins.csv")) == 1


def test_the_page_tells_it_to_people_and_needs_no_network(explored):
    page = (explored[1] / "explore.html").read_text(encoding="utf-8")
    text = unescape(page)
    for said in (
        "1.25 times",
        "byte-identical copies beyond the first: 1,",
        "1 of 5 validation images (20%)",
        "broken.jpg",
    ):
        assert said in text, said
    assert "<i>" not in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    for link in re.findall(r'href="([^"]+)"', page):
        assert (explored[1] / link).is_file(), link


def test_without_twins_there_is_no_sheet_of_them(tmp_path):
    source = paint(tmp_path / "set", {"a": 3, "b": 3})
    (tmp_path / "out").mkdir()
    for name in ("twins.png", "audit.json"):
        (tmp_path / "out" / name).write_bytes(b"of an earlier exploration")
    page = explore(source, tmp_path / "out", cache_dir=tmp_path / "cache", workers=1).read_text(encoding="utf-8")
    assert not (tmp_path / "out/twins.png").exists()
    assert "two file names" not in page
    assert "no validation images of its own" in page


def test_test_images_that_leak_are_listed_and_classes_of_one_name_told_apart(tmp_path):
    source = paint(tmp_path / "set/training", {"n0": 4, "n1": 4}, size=48).parent
    (source / "test/n0").mkdir(parents=True)
    shutil.copy(source / "training/n0/2.jpg", source / "test/n0/seen.jpg")
    (source / "test/n1").mkdir()
    shutil.copy(source / "training/n1/2.jpg", source / "test/n1/seen.jpg")
    (source / "labels.csv").write_text("Label,Name\nn0,howler\nn1,howler\n")
    page = explore(source, tmp_path / "out", cache_dir=tmp_path / "cache", workers=1).read_text(encoding="utf-8")
    listed = page.split("Test images that training has too")[1].split("</ul>")[0]
    assert "test/n0/seen.jpg" in listed
    assert "as training/n1/2.jpg" in listed
    found = AuditReport(**json.loads((tmp_path / "out" / "audit.json").read_text()))
    assert _named(found).keys() == {"howler (n0)", "howler (n1)"}


def test_a_table_of_the_users_is_not_replaced(tmp_path):
    source = paint(tmp_path / "set", {"a": 2, "b": 2})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/labels.csv").write_text("Label,Name\na,my howler\n")
    with pytest.raises(UserError, match=r"holds labels\.csv, which no exploration has written"):
        explore(source, tmp_path / "out", cache_dir=tmp_path / "cache", workers=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.csv"]
    (tmp_path / "out/labels.csv").rename(tmp_path / "out/mine.csv")
    explore(source, tmp_path / "out", cache_dir=tmp_path / "cache", workers=1)
    assert (tmp_path / "out/mine.csv").exists()


def test_nothing_to_explore(tmp_path):
    (tmp_path / "set/a").mkdir(parents=True)
    (tmp_path / "set/a/x.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="no readable image"):
        explore(tmp_path / "set", tmp_path / "out", cache_dir=tmp_path / "cache", workers=1)
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path, capsys):
    source = paint(tmp_path / "set", {"a": 2, "b": 2})
    arguments = ["--out", str(tmp_path / "out"), "--cache-dir", str(tmp_path / "cache")]
    assert command.main([str(source), *arguments]) == 0
    assert "explore.html" in capsys.readouterr().out
    assert command.main([str(tmp_path / "none"), *arguments]) == 2


def report(**changes: object) -> AuditReport:
    """Of ten clean images in two classes."""
    plain = {
        **{"n_files": 10, "n_readable": 10, "unreadable": [], "odd": [], "exact_duplicates": 0, "n_groups": 10},
        **{"leaks": [], "leaks_test": [], "copies": [], "near_duplicates": [], "look_alikes": []},
        **{"classes": {"a": {"train": 4, "val": 1}, "b": {"train": 4, "val": 1}}, "class_names": {"a": "a", "b": "b"}},
        **{"label_conflicts": [], "largest_group": 1, "one_size": None},
    }
    return AuditReport(**(plain | changes))


def sized(*sizes: tuple[int, int]) -> list[Record]:
    return [Record(f"{i}.jpg", 1, str(i), width=width, height=height) for i, (width, height) in enumerate(sizes)]


MIXED = sized((800, 600), (1200, 800), (500, 500), (600, 800))


def test_the_size_that_nearly_all_have_is_named():
    assert usual_size(sized(*[(250, 200)] * 19, (300, 200))) == "19 of 20 images have 250 × 200 pixels"
    assert usual_size(MIXED) == ""


@pytest.mark.parametrize(
    ("changes", "records", "sentence"),
    [
        ({}, MIXED, "75% of the images are below 1000 × 1000 pixels. 75% are from square to twice as wide as high"),
        ({}, MIXED, "the narrowest is 0.75 times as wide as high, the widest 1.50 times"),
        ({}, sized(*[(250, 250)] * 19, (300, 200)), "19 of 20 images have 250 × 250 pixels"),
        ({"one_size": [250, 250]}, MIXED, "Every image has 250 × 250 pixels"),
        ({}, MIXED, "All classes have "),
        ({"classes": {"a": {"train": 9}, "b": {"train": 8}}}, MIXED, "the classes are balanced"),
        ({"classes": {"a": {"train": 9}, "b": {"train": 3}}}, MIXED, "3.00 times"),
        ({"classes": {"a": {"train": 9}, "b": {"train": 3}}}, MIXED, "class_weights"),
        ({"classes": {"a": {"train": 9}, "b": {"train": 0}}}, MIXED, "b has no readable image"),
        ({"classes": {"a": {"train": 9}, "b": {"train": 3}}}, MIXED, "no validation images of its own"),
        ({}, MIXED, "No picture is there twice"),
        (
            {"n_groups": 7, "exact_duplicates": 2},
            MIXED,
            "byte-identical copies beyond the first: 2, re-encoded, rescaled, marked or mirrored ones: 1.",
        ),
        ({"leaks": [{"train": "x", "val": "y"}]}, MIXED, "1 of 2 validation images (50%) show a picture"),
        ({"unreadable": [{"path": "x", "reason": "cut off"}]}, MIXED, "Files that cannot be read: 1."),
        ({"odd": [{"path": "x", "kind": "grey", "reason": ""}] * 2}, MIXED, "Odd, but usable: 2 grey"),
        ({"label_conflicts": [[]]}, MIXED, "Pictures that carry more than one label: 1."),
        ({}, MIXED, "Every file can be read, and none is odd"),
    ],
)
def test_conclusions(changes, records, sentence):
    assert sentence in " ".join(conclude(report(**changes), records))


def test_nothing_is_concluded_from_trouble_that_is_not_there():
    said = " ".join(conclude(report(), MIXED))
    for word in ("cannot be read", "Odd", "label", "leak-free", "byte-identical", "own"):
        assert word not in said


@pytest.mark.slow
def test_the_real_set(real_data, tmp_path):
    page = explore(real_data / "monkeys", tmp_path / "out", cache_dir=tmp_path / "cache", workers=2)
    found = json.loads((tmp_path / "out/audit.json").read_text())
    assert found["exact_duplicates"] == 64
    assert abs(found["n_groups"] - 997) <= 2
    assert "the classes are balanced" in page.read_text(encoding="utf-8")
    assert np.ptp([sum(row.values()) for row in found["classes"].values()]) == 18
