"""The manifest: the same bytes wherever the folder lies, splits as given or drawn, refusals that say what to do."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from invented import folder, picture, save
from sklearn.model_selection import StratifiedGroupKFold

from monkeys.data.layout import ClassInfo
from monkeys.data.leaks import leak_free, unseen
from monkeys.data.manifest import Manifest, Row, build_manifest
from monkeys.errors import UserError


def build(root: Path, tmp_path: Path, **options: object) -> Manifest:
    return build_manifest(root, cache_dir=tmp_path / "cache", workers=1, **options)


def splits(manifest: Manifest) -> dict[str, int]:
    return dict(Counter(row.split for row in manifest.rows))


@pytest.fixture
def twenty(tmp_path: Path) -> Path:
    """Two classes of ten pictures and a label table."""
    root = folder(tmp_path / "set", {"n2": 10, "n10": 10})
    (root / "monkey_labels.txt").write_text("Label, Name\nn2, patas\nn10, howler\n")
    return root


def test_columns_begin_as_promised(twenty: Path, tmp_path: Path) -> None:
    manifest = build(twenty, tmp_path)
    manifest.write(tmp_path / "manifest.csv")
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    assert lines[0] == "path,label,split,group,digest,width,height"
    assert lines[1].startswith("n2/000.jpg,n2,")
    assert lines[1].endswith(",64,48")
    assert len(lines) == 21
    assert manifest.classes == (ClassInfo("n2", "patas"), ClassInfo("n10", "howler"))
    assert manifest.label_index == {"n2": 0, "n10": 1}


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(twenty: Path, tmp_path: Path) -> None:
    shutil.copytree(twenty, tmp_path / "else where/copy")
    for name, root in (("a", twenty), ("b", tmp_path / "else where/copy")):
        manifest = build(root, tmp_path / name)
        manifest.write(tmp_path / name / "manifest.csv")
    assert (tmp_path / "a/manifest.csv").read_bytes() == (tmp_path / "b/manifest.csv").read_bytes()
    assert build(twenty, tmp_path).digest == manifest.digest


def test_written_and_read_again(twenty: Path, tmp_path: Path) -> None:
    save(picture(70, 48, 64), twenty / 'n2/a "quoted", name.jpg')
    manifest = build(twenty, tmp_path)
    manifest.write(tmp_path / "manifest.csv")
    again = Manifest.read(tmp_path / "manifest.csv", twenty, manifest.classes)
    assert again == manifest
    assert again.digest == manifest.digest


def test_the_digest_knows_splits_and_classes(twenty: Path, tmp_path: Path) -> None:
    manifest = build(twenty, tmp_path)
    assert build(twenty, tmp_path, split_seed=1).digest != manifest.digest
    assert Manifest(twenty, manifest.classes[::-1], manifest.rows).digest != manifest.digest
    assert Manifest(tmp_path, manifest.classes, manifest.rows).digest == manifest.digest


HEAD = "path,label,split,group,digest"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path,label\nx,n2\n",
        f"{HEAD}\nx,n2\n",
        f"{HEAD}\nx,n9,train,g,d\n",
        f"{HEAD}\nx,n2,dev,g,d\n",
        f"{HEAD},width\nx,n2,train,g,d,wide\n",
    ],
)
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    for name in ("manifest.csv", "missing.csv"):
        with pytest.raises(UserError, match="is not a manifest"):
            Manifest.read(tmp_path / name, tmp_path, (ClassInfo("n2", "n2"),))


def test_a_manifest_without_sizes_is_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(f"{HEAD}\nx.jpg,n2,val,g,d\n")
    rows = Manifest.read(tmp_path / "manifest.csv", tmp_path, (ClassInfo("n2", "n2"),)).rows
    assert rows == (Row("x.jpg", "n2", "val", "g", "d", 0, 0),)


def test_drawn_splits_meet_their_fractions(twenty: Path, tmp_path: Path) -> None:
    assert splits(build(twenty, tmp_path)) == {"train": 16, "val": 4}
    assert splits(build(twenty, tmp_path, val_fraction=0.3, test_fraction=0.2)) == {"train": 10, "val": 6, "test": 4}
    chosen = [{row.path for row in build(twenty, tmp_path, split_seed=seed).of("val")} for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_folds_cover_everything_once(twenty: Path, tmp_path: Path) -> None:
    held_out = [row.path for fold in range(5) for row in build(twenty, tmp_path, folds=5, fold=fold).of("val")]
    assert sorted(held_out) == sorted(row.path for row in build(twenty, tmp_path).rows)


def test_copies_stay_on_one_side_unless_told_otherwise(
    twenty: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("n2", "n10"):
        for path in sorted((twenty / name).iterdir()):
            shutil.copy(path, path.with_name(f"again{path.name}"))
    for options in ({}, {"folds": 4, "fold": 2}, {"val_fraction": 0.4, "test_fraction": 0.2}):
        manifest = build(twenty, tmp_path, **options)
        assert leak_free(manifest, "val").all()
        assert leak_free(manifest, "test").all()
    assert "data.grouped" not in caplog.text
    loose = build(twenty, tmp_path, grouped=False, val_fraction=0.4)
    assert not leak_free(loose, "val").all()
    assert "data.grouped=false" in caplog.text
    assert [row.group for row in loose.rows] == [row.group for row in build(twenty, tmp_path).rows]


def test_a_group_is_called_after_its_smallest_digest(twenty: Path, tmp_path: Path) -> None:
    for index in range(10):
        save(picture(index, 48, 64), twenty / f"n2/again{index}.jpg", quality=60)
    digests: dict[str, list[str]] = {}
    for row in build(twenty, tmp_path).rows:
        digests.setdefault(row.group, []).append(row.digest)
    assert sorted(map(len, digests.values())) == [1] * 10 + [2] * 10
    assert all(group == min(members)[:16] for group, members in digests.items())


def test_given_splits_are_kept_and_their_leaks_known(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"training/a": 6, "training/b": 6, "validation/a": 2, "validation/b": 2})
    shutil.copy(root / "training/a/000.jpg", root / "validation/a/leak.jpg")
    manifest = build(root, tmp_path)
    assert {row.split for row in manifest.rows if row.path.startswith("validation")} == {"val"}
    assert splits(manifest) == {"train": 12, "val": 5}
    assert leak_free(manifest, "val").tolist() == [row.path != "validation/a/leak.jpg" for row in manifest.of("val")]
    assert splits(build(root, tmp_path, test_fraction=0.2)) == {"train": 10, "val": 5, "test": 2}
    with pytest.raises(UserError, match=r"data\.folds=null takes them"):
        build(root, tmp_path, folds=5)


def test_a_test_folder_alone_leaves_validation_to_be_drawn(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"train/a": 10, "train/b": 10, "test/b": 3})
    assert splits(build(root, tmp_path)) == {"train": 16, "val": 4, "test": 3}


def test_without_division(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"a": 3})
    assert splits(build(root, tmp_path, split=False)) == {"train": 3}
    root = folder(tmp_path / "held out", {"validation/a": 2, "test/b": 1})
    assert splits(build(root, tmp_path, split=False)) == {"val": 2, "test": 1}


def test_a_class_of_one_picture_stays_in_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = folder(tmp_path / "set", {"a": 8, "b": 1})
    shutil.copy(root / "b/000.jpg", root / "b/copy.jpg")
    manifest = build(root, tmp_path)
    assert {row.label for row in manifest.of("val")} == {"a"}
    assert "no validation images of b" in caplog.text


def test_a_crowd_of_copies_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = folder(tmp_path / "set", {"a": 8, "b": 8})
    for index in range(49):
        shutil.copy(root / "a/000.jpg", root / f"a/copy{index}.jpg")
    build(root, tmp_path)
    assert "count as one picture" not in caplog.text
    shutil.copy(root / "a/000.jpg", root / "a/copy.jpg")
    manifest = build(root, tmp_path)
    assert "51 of 66 images count as one picture (such as a/000.jpg)" in caplog.text
    assert {row.label for row in manifest.of("val")} == {"a", "b"}


def test_two_labels_of_one_picture_never_reach_validation(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"a": 8, "b": 8})
    for index in range(6):
        shutil.copy(root / f"a/{index:03d}.jpg", root / f"b/copy{index}.jpg")
    manifest = build(root, tmp_path, val_fraction=0.4)
    groups = Counter(row.group for row in manifest.rows)
    assert {groups[row.group] for row in manifest.of("val")} == {1}


def test_unreadable_files_are_refused_by_name_or_left_out(twenty: Path, tmp_path: Path) -> None:
    for index in range(5):
        (twenty / f"n2/bad{index}.jpg").write_bytes(b"no image")
    with pytest.raises(UserError) as caught:
        build(twenty, tmp_path)
    assert str(caught.value).startswith("5 of 25 files cannot be read: n2/bad0.jpg: ")
    assert "n2/bad2.jpg" in str(caught.value)
    assert "n2/bad3.jpg" not in str(caught.value)
    assert "data.skip_unreadable=true" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(build(twenty, tmp_path, skip_unreadable=True).rows) == 20
    assert len(build(twenty, tmp_path, exclude=("n2/bad*",)).rows) == 20


def test_odd_files_can_be_left_out(twenty: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(picture(80, 20, 24), twenty / "n2/tiny.jpg")
    save(picture(81, 48, 64), twenty / "n2/suffixless")
    assert len(build(twenty, tmp_path).rows) == 22
    kept = build(twenty, tmp_path, odd=("tiny", "no-suffix"))
    assert len(kept.rows) == 20
    assert "1 tiny" in caplog.text
    with pytest.raises(UserError, match=r"unknown kinds small; known: wrong-suffix"):
        build(twenty, tmp_path, odd=("small",))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"a": 3}, "only one class"),
        ({"training/a": 3, "validation/a": 2}, "only one class"),
        ({"validation/a": 3, "validation/b": 3}, "no training images"),
        (
            {"training/a": 3, "training/b": 3, "validation/c": 1},
            "held-out images of c, which training has no images of",
        ),
        ({"a": 1, "b": 1}, "each class has only one picture"),
    ],
)
def test_sets_that_cannot_be_trained_on(tmp_path: Path, counts: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(folder(tmp_path / "set", counts), tmp_path)


def test_a_class_without_readable_images(twenty: Path, tmp_path: Path) -> None:
    (twenty / "docs").mkdir()
    with pytest.raises(UserError, match="no readable image in docs"):
        build(twenty, tmp_path)
    (twenty / "docs/readme.txt").write_text("hello")
    with pytest.raises(UserError, match="no readable image in docs"):
        build(twenty, tmp_path, skip_unreadable=True)
    assert [info.id for info in build(twenty, tmp_path, exclude=("docs",)).classes] == ["n2", "n10"]


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "set/a").mkdir(parents=True)
    (tmp_path / "set/a/x.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="none of its 1 files is an image"):
        build(tmp_path / "set", tmp_path, skip_unreadable=True)


def test_list_files(twenty: Path, tmp_path: Path) -> None:
    lines = [f"{path.relative_to(twenty)} {path.parent.name}\n" for path in sorted(twenty.glob("*/*.jpg"))]
    (twenty / "all.txt").write_text("".join(lines))
    listed, folders = build(twenty / "all.txt", tmp_path), build(twenty, tmp_path)
    assert listed.rows == folders.rows
    (twenty / "all.txt").write_text("".join([*lines, "n2/gone.jpg n2\n"]))
    with pytest.raises(UserError, match=r"1 of 21 files cannot be read: n2/gone\.jpg"):
        build(twenty / "all.txt", tmp_path)


def test_pictures_of_another_folder_that_training_has_seen(twenty: Path, tmp_path: Path) -> None:
    trained = build(twenty, tmp_path)
    seen = trained.of("train")[0].path
    other = folder(tmp_path / "other", {"n2": 2}, first=60)
    save(picture(int(seen.split("/")[1][:3]) + (10 if seen.startswith("n10") else 0), 48, 64), other / "n2/re.jpg", 50)
    shutil.copy(twenty / seen, other / "n2/copy.jpg")
    foreign = build(other, tmp_path, split=False)
    cache = tmp_path / "cache"
    assert {
        row.path: free
        for row, free in zip(foreign.rows, unseen(foreign.rows, other, trained, cache_dir=cache), strict=True)
    } == {"n2/000.jpg": True, "n2/001.jpg": True, "n2/copy.jpg": False, "n2/re.jpg": False}
    for path in twenty.rglob("*.jpg"):
        shutil.copy(other / "n2/000.jpg", path)  # another photograph of the same name, which training has not seen
    assert unseen(foreign.rows, other, trained, cache_dir=cache).tolist() == [True, True, False, True]
    shutil.rmtree(twenty)
    assert unseen(foreign.rows, other, trained, cache_dir=cache).tolist() == [True, True, False, True]


def test_the_real_monkeys(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "monkeys"
    manifest = build_manifest(real_data / "monkeys", cache_dir=cache)
    assert splits(manifest) == {"train": 932, "val": 165}
    assert Counter(row.label for row in manifest.of("val")).most_common()[-1][1] == 16
    assert leak_free(manifest, "val").all()
    fold = build_manifest(real_data / "monkeys", cache_dir=cache, folds=5)
    rows = fold.rows
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(row.group for row in rows))}
    labels, groups = [fold.label_index[row.label] for row in rows], [numbers[row.group] for row in rows]
    expected = next(splitter.split(labels, labels, groups))[1]
    assert [index for index, row in enumerate(rows) if row.split == "val"] == expected.tolist()
