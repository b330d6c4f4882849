"""Layouts: every form of folder, archive and list; natural order; label tables; clear refusals."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from monkeys.data.labels import parse_table
from monkeys.data.layout import ClassInfo, Source, natural, read_source
from monkeys.errors import UserError

LABELS = (
    b"Label,  Latin Name           , Common Name         , Train Images , Validation Images\r\n"
    b"n0   , alouatta_palliata\t , mantled_howler          , 131          , 26\r\n"
    b"n10  , erythrocebus_patas\t , patas_monkey           , 139          , 28\r\n" + b"\r\n" * 12
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not looked at")
    return root


def read(root: Path, tmp_path: Path, exclude: tuple[str, ...] = ()) -> Source:
    return read_source(root, tmp_path / "cache", exclude)


def found(root: Path, tmp_path: Path, exclude: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    return [(entry.path, entry.label, entry.split) for entry in read(root, tmp_path, exclude).entries]


def test_class_folders(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "b/1.jpg", "a/2.png", "a/deeper/3", "README.md", "monkey_labels.txt")
    assert found(root, tmp_path) == [("a/2.png", "a", ""), ("a/deeper/3", "a", ""), ("b/1.jpg", "b", "")]


@pytest.mark.parametrize(
    ("train", "val"), [("training", "validation"), ("train", "val"), ("Train", "Val"), ("train", "valid")]
)
def test_split_folders(tmp_path: Path, train: str, val: str) -> None:
    root = touch(
        tmp_path / "set", f"{train}/a/1.jpg", f"{train}/b/1.jpg", f"{val}/a/2.jpg", "test/b/3.jpg", "labels.txt"
    )
    assert found(root, tmp_path) == [
        *sorted([(f"{train}/a/1.jpg", "a", "train"), (f"{val}/a/2.jpg", "a", "val")]),
        *sorted([("test/b/3.jpg", "b", "test"), (f"{train}/b/1.jpg", "b", "train")]),
    ]


def test_kaggle_doubles_its_folders(tmp_path: Path) -> None:
    names = ("training/training/n0/a.jpg", "validation/validation/n0/c.jpg", "training/training/n1/b.jpg")
    root = touch(tmp_path / "set", *names)
    assert found(root, tmp_path) == list(zip(names, ("n0", "n0", "n1"), ("train", "val", "train"), strict=True))


def test_a_single_class_is_no_doubled_folder(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "training/only/deep/a.jpg", "validation/only/b.jpg")
    assert [label for _, label, _ in found(root, tmp_path)] == ["only", "only"]


def test_a_top_folder_of_its_own_is_entered(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "10-monkeys/v1/training/n0/a.jpg", "10-monkeys/v1/training/n1/a.jpg", "note.txt")
    (tmp_path / "set/10-monkeys/v1/monkey_labels.txt").write_bytes(LABELS)
    source = read(root, tmp_path)
    assert source.root == root
    assert [entry.path for entry in source.entries] == [f"10-monkeys/v1/training/{name}/a.jpg" for name in ("n0", "n1")]
    assert source.classes == (ClassInfo("n0", "mantled_howler"), ClassInfo("n1", "n1"))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "bus/1.jpg", "car/1.jpg", "train/1.jpg")
    assert [label for _, label, _ in found(root, tmp_path)] == ["bus", "car", "train"]


def test_an_archive_is_unpacked_into_the_cache(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("set/training/a/1.jpg", "set/training/b/2.jpg", "__MACOSX/set/training/a/._1.jpg"):
            archive.writestr(name, b"x")
    source = read(tmp_path / "set.zip", tmp_path)
    assert [(entry.path, entry.split) for entry in source.entries] == [
        ("set/training/a/1.jpg", "train"),
        ("set/training/b/2.jpg", "train"),
    ]
    assert source.root.is_relative_to(tmp_path / "cache")
    (tmp_path / "set.zip").rename(tmp_path / "elsewhere")
    assert read(tmp_path / "elsewhere", tmp_path).root == source.root


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    names = ["n10", "n2", "n1", "n02", "m", "N3"]
    root = touch(tmp_path / "set", *(f"{name}/1.jpg" for name in names))
    assert [info.id for info in read(root, tmp_path).classes] == ["N3", "m", "n1", "n02", "n2", "n10"]
    assert sorted(["a10b2", "a10b10", "a9", "", "7", "a"], key=natural) == ["", "7", "a", "a9", "a10b2", "a10b10"]


def test_digits_of_other_scripts_are_letters() -> None:
    assert sorted(["١", "abc", "n10", "n2", "１"], key=natural) == ["abc", "n2", "n10", "١", "１"]


def test_what_file_managers_leave_is_ignored(tmp_path: Path) -> None:
    names = (
        "a/1.jpg",
        "a/.DS_Store",
        "a/._1.jpg",
        "a/Thumbs.db",
        "a/desktop.ini",
        "b/x",
        ".git/a/1.jpg",
        "__MACOSX/a/1.jpg",
    )
    root = touch(tmp_path / "set", *names)
    assert [path for path, _, _ in found(root, tmp_path)] == ["a/1.jpg", "b/x"]


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "a/1.jpg", "b/1.jpg")
    touch(tmp_path / "elsewhere", "2.jpg")
    (root / "a/more").symlink_to(tmp_path / "elsewhere")
    (root / "a/up").symlink_to(root)
    (root / "b/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    paths = [path for path, _, _ in found(root, tmp_path)]
    assert paths[:2] == ["a/1.jpg", "a/more/2.jpg"]
    assert "b/gone.jpg" in paths  # a finding of the audit, not something to lose silently
    assert len(paths) < 12


def test_exclude_takes_paths_patterns_and_folders(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/notes.txt", "docs/x.md", "c/1.jpg")
    (root / "hollow").mkdir()
    kept = found(root, tmp_path, ("a/2.jpg", "*.txt", "docs", "hollow/"))
    assert [path for path, _, _ in kept] == ["a/1.jpg", "b/1.jpg", "c/1.jpg"]
    assert [info.id for info in read(root, tmp_path, ("docs", "hollow")).classes] == ["a", "b", "c"]
    assert [info.id for info in read(root, tmp_path).classes] == ["a", "b", "c", "docs", "hollow"]


def test_a_path_with_brackets_excludes_itself(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "a/bad [1].jpg", "a/2.jpg", "b/1.jpg")
    assert [path for path, _, _ in found(root, tmp_path, ("a/bad [1].jpg",))] == ["a/2.jpg", "b/1.jpg"]


def test_an_exclusion_without_effect_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(touch(tmp_path / "set", "a/1.jpg", "b/1.jpg"), tmp_path, ("a/7.jpg", "b/*"))
    assert "a/7.jpg" in caplog.text
    assert "b/*" not in caplog.text


def test_list_file(tmp_path: Path) -> None:
    touch(tmp_path, "jpg/two words.jpg", "jpg/2.jpg")
    (tmp_path / "all.txt").write_bytes(b"\xef\xbb\xbfjpg/two words.jpg 10\r\n\r\njpg/2.jpg\t2\r\n jpg/2.jpg 2 \n")
    (tmp_path / "label_list.txt").write_text("2 tench\n10 English springer\n")
    source = read(tmp_path / "all.txt", tmp_path)
    assert source.root == tmp_path
    assert [(entry.path, entry.label, entry.split) for entry in source.entries] == [
        ("jpg/2.jpg", "2", ""),
        ("jpg/two words.jpg", "10", ""),
    ]
    assert source.classes == (ClassInfo("2", "tench"), ClassInfo("10", "English springer"))


def test_train_list_brings_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "train_list.txt").write_text("a.jpg 0\nb.jpg 1\n")
    assert [entry.split for entry in read(tmp_path / "train_list.txt", tmp_path).entries] == ["train", "train"]
    (tmp_path / "val_list.txt").write_text("c.jpg 0\na.jpg 0\n")
    (tmp_path / "test_list.txt").write_text("d.jpg 1\n")
    assert found(tmp_path / "train_list.txt", tmp_path) == [
        ("a.jpg", "0", "train"),
        ("a.jpg", "0", "val"),
        ("c.jpg", "0", "val"),
        ("b.jpg", "1", "train"),
        ("d.jpg", "1", "test"),
    ]
    assert [entry.split for entry in read(tmp_path / "val_list.txt", tmp_path).entries] == ["", ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no images"),
        ("\n  \n", "lists no images"),
        ("a.jpg 0\nb.jpg\n", "line 2: expected `path label`, found 'b.jpg'"),
        ("a.jpg 0\na.jpg 1\n", "line 2: a.jpg has two labels, 0 and 1"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "list.txt", tmp_path)


def test_neither_folder_nor_list(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match="neither a folder, nor an archive, nor a list file"):
        read(tmp_path / "photo.jpg", tmp_path)
    with pytest.raises(UserError, match="no such data folder"):
        read(tmp_path / "nowhere", tmp_path)


def test_folders_without_classes(tmp_path: Path) -> None:
    touch(tmp_path / "flat", "1.jpg", "2.jpg")
    with pytest.raises(UserError, match="one folder per class"):
        read(tmp_path / "flat", tmp_path)
    (tmp_path / "flat/train_list.txt").write_text("1.jpg 0\n")
    with pytest.raises(UserError, match=r"name the list file instead: .*train_list\.txt"):
        read(tmp_path / "flat", tmp_path)
    (tmp_path / "empty/a").mkdir(parents=True)
    with pytest.raises(UserError, match="no images found"):
        read(tmp_path / "empty", tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "train/a/1.jpg", "training/a/1.jpg")
    with pytest.raises(UserError, match="both train and training"):
        read(root, tmp_path)


def test_folders_beside_the_splits_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "set", "train/a/1.jpg", "train/b/1.jpg", "extra/a/1.jpg")
    assert len(found(root, tmp_path)) == 2
    assert "extra" in caplog.text


def test_a_closed_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path / "set", "a/1.jpg", "b/1.jpg")
    scandir = os.scandir

    def closed(folder: str | Path) -> object:
        if Path(folder) == root / "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UserError, match=r"/b cannot be read: Permission denied"):
        read(root, tmp_path)


def test_names_that_are_not_text(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "a/1.jpg", "b/1.jpg")
    name = os.fsdecode(b"caf\xe9.jpg")
    (root / "a" / name).write_bytes(b"x")
    assert f"a/{name}" in [path for path, _, _ in found(root, tmp_path)]


@pytest.mark.parametrize(("name", "why"), [(b"caf\xe9/1.jpg", "not valid UTF-8"), (b"cat\r/1.jpg", "carriage return")])
def test_names_that_no_table_keeps_are_refused(tmp_path: Path, name: bytes, why: str) -> None:
    root = touch(tmp_path / "set", "a/1.jpg", "b/1.jpg", os.fsdecode(name))
    with pytest.raises(UserError, match=why):
        read(root, tmp_path)


def test_the_monkeys_table() -> None:
    assert parse_table(LABELS) == {"n0": "mantled_howler", "n10": "patas_monkey"}


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (b"", {}),
        (b"\r\n\r\n", {}),
        (b"0 tench\n1 English springer\n", {"0": "tench", "1": "English springer"}),
        (b"0\ttench\n", {"0": "tench"}),
        (b"n0, howler\nn1, patas\n", {"n0": "howler", "n1": "patas"}),
        (b"class,name\na,A\n", {"a": "A"}),
        (b"Label,Count,Latin Name\nn0,131,alouatta\n", {"n0": "alouatta"}),
        (b"lonely\nn1,patas\n", {"n1": "patas"}),
        (b'"n0","Howler, mantled"\nn1, "Patas ""red"""\n', {"n0": "Howler, mantled", "n1": 'Patas "red"'}),
        (b"n0\tHowler, mantled\nn1\tpatas\n", {"n0": "Howler, mantled", "n1": "patas"}),
        (b"\xff\xfe\x00", {}),
    ],
)
def test_other_tables(table: bytes, names: dict[str, str]) -> None:
    assert parse_table(table) == names


def test_the_real_monkeys(real_data: Path, tmp_path: Path) -> None:
    source = read(real_data / "monkeys", tmp_path)
    assert len(source.entries) == 1097
    assert "training/n9/n9151jpg" in {entry.path for entry in source.entries}
    assert [info.name for info in source.classes][:2] == ["mantled_howler", "patas_monkey"]
    assert source.classes[9] == ClassInfo("n9", "nilgiri_langur")


def test_a_name_without_a_slash_is_excluded_wherever_it_is(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "set", "train/a/1.jpg", "train/b/1.jpg", "train/docs/1.jpg", "val/docs/2.jpg", "val/a/3.jpg"
    )
    kept = ["train/a/1.jpg", "train/b/1.jpg", "val/a/3.jpg"]
    assert sorted(path for path, _, _ in found(root, tmp_path, ("docs",))) == kept
    assert len(found(root, tmp_path, ("val/docs",))) == 4
    assert len(found(root, tmp_path, ("1.*", "?"))) == 5  # patterns are of paths, and `.` is none


def test_a_pattern_is_excluded_where_its_path_is(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "cats/1.jpg", "cows/1.jpg", "dogs/cam_01.jpg", "dogs/2.jpg")
    assert sorted(path for path, _, _ in found(root, tmp_path, ("c*",))) == ["dogs/2.jpg", "dogs/cam_01.jpg"]


def test_splits_inside_classes_are_not_taken_for_their_photographs(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "cat/train/1.jpg", "cat/val/2.jpg", "dog/train/1.jpg", "dog/val/2.jpg")
    with pytest.raises(UserError, match=r"cat/train and cat/val look like splits .* else arrange them as train/cat"):
        found(root, tmp_path)
    assert len(found(root, tmp_path, ("val",))) == 2  # toys/train and vehicles/train may be classes' own
    root = touch(tmp_path / "above", "set/train/a/1.jpg", "set/test/a/1.jpg", "notes/x/1.txt")
    with pytest.raises(UserError, match=r"name .*above/set if it holds the whole set"):
        found(root, tmp_path)
    root = touch(tmp_path / "top", "set/cat/train/1.jpg", "set/cat/val/2.jpg", "set/dog/1.jpg")
    with pytest.raises(UserError, match=r"name .*top/set/cat if .* else arrange them as train/cat"):
        found(root, tmp_path)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", root))
    with pytest.raises(UserError, match=r"unpack it and name the folder set/cat if"):
        found(packed, tmp_path)


def test_splits_of_names_that_are_doubled_are_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "set", *(f"{one}/{one}/{kind}/1.jpg" for one in ("seg_train", "seg_test") for kind in "ab"))
    found(root, tmp_path)
    assert "are they classes?" in caplog.text


def test_one_folder_within_a_class_may_have_any_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "set", "cat/Val/1.jpg", "cat/2.jpg", "dog/val/1.jpg", "dog/x/1.jpg")
    assert {label for _, label, _ in found(root, tmp_path)} == {"cat", "dog"}
    assert not caplog.text


def test_parts_with_names_of_their_own_are_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "set", *(f"{part}/{kind}/1.jpg" for part in ("first", "second") for kind in ("a", "b")))
    assert len(found(root, tmp_path)) == 4
    assert "first and second both have a, b, ...: are they classes?" in caplog.text


def test_testing_is_a_split(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "Training/a/1.jpg", "Training/b/1.jpg", "Testing/a/1.jpg", "Testing/b/1.jpg")
    assert {split for _, _, split in found(root, tmp_path)} == {"train", "test"}


def test_a_list_beside_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "set", "jpg/1.jpg", "jpg/2.jpg")
    (root / "train_list.txt").write_text("jpg/1.jpg 0\njpg/2.jpg 1\n")
    with pytest.raises(UserError, match=r"name the list file instead: .*train_list.txt"):
        found(root, tmp_path)
    touch(root, "png/1.png")
    assert {label for _, label, _ in found(root, tmp_path)} == {"jpg", "png"}
    assert "if the list is meant instead" in caplog.text


def test_a_home_that_nobody_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such data folder"):
        found(Path("~nobody-of-that-name/photos"), tmp_path)
