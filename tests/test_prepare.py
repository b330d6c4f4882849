"""Preparing: every source into one layout, the source untouched, repetition without effect, foreign folders refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from invented import folder, picture, save

from monkeys.cli.prepare import main
from monkeys.data import prepare as prepare_module

TOOL = Path(__file__).parents[1] / "tools/prepare.py"


def run(tmp_path: Path, *arguments: str | Path) -> int:
    return main([*map(str, arguments), "--cache-dir", str(tmp_path / "cache"), "--workers", "1"])


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def listed(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """As Kaggle packs it, with a label table, an oddly named file and one in a folder of its own."""
    root = folder(
        tmp_path / "src", {"training/training/n0": 7, "training/training/n1": 7, "validation/validation/n0": 1}
    )
    save(picture(50, 48, 64), root / "training/training/n0/n9151jpg")
    save(picture(51, 48, 64), root / "training/training/n0/more/000.jpg")
    (root / "monkey_labels.txt").write_text("Label, Common Name\nn0, howler\nn1, patas\n")
    return root


def test_a_folder_becomes_plain(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(source)
    out = tmp_path / "out"
    assert run(tmp_path, source, "--out", out) == 0
    assert tree(source) == before
    written = tree(out)
    assert written["training/n0/001.jpg"] == before["training/training/n0/001.jpg"]
    assert written["training/n0/n9151jpg"] == before["training/training/n0/n9151jpg"]
    assert "validation/n0/000.jpg" in written
    clash = [name for name in written if name.endswith("-000.jpg")]
    assert [written[name] for name in clash] == [before["training/training/n0/more/000.jpg"]]
    assert written["labels.csv"] == b"Label,Name\nn0,howler\nn1,patas\n"
    assert len(listed(out)) == 17
    assert {row["split"] for row in listed(out)} == {"train", "val"}
    assert "17 images of 2 classes, 17 distinct pictures" in capsys.readouterr().out


def test_long_names_are_copied_too(tmp_path: Path) -> None:
    root, name = tmp_path / "set", "猴" * 83 + ".jpg"  # 253 bytes
    save(picture(50, 48, 64), root / "n0" / name)
    save(picture(51, 48, 64), root / "n0" / "more" / name)
    save(picture(52, 48, 64), root / "n1" / "1.jpg")
    assert run(tmp_path, root, "--out", tmp_path / "out") == 0
    names = sorted(path.name for path in (tmp_path / "out/training/n0").iterdir())
    assert len(names) == 2
    assert name in names
    assert all(len(one.encode()) <= 255 and one.endswith("猴.jpg") for one in names)


def test_what_follows_a_dot_may_be_a_sentence(tmp_path: Path) -> None:
    root, name = tmp_path / "set", "Fig. 1 " + "a" * 245
    save(picture(50, 48, 64), root / "n0" / "1.jpg")
    save(picture(51, 48, 64), root / "n1" / "1.jpg")
    for number, place in enumerate(("n0", "n0/more")):
        save(picture(60 + number, 48, 64), tmp_path / "new.jpg")
        (root / place).mkdir(exist_ok=True)
        (tmp_path / "new.jpg").rename(root / place / name)
    assert run(tmp_path, root, "--out", tmp_path / "out") == 0
    names = sorted(path.name for path in (tmp_path / "out/training/n0").iterdir())
    assert len(names) == 3
    assert all(len(one.encode()) <= 255 for one in names)


def test_repetition_changes_nothing(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(tmp_path, source, "--out", out) == 0
    before, stamps = tree(out), {path: path.stat().st_mtime_ns for path in (out / "training").rglob("*")}
    assert run(tmp_path, source, "--out", out) == 0
    assert tree(out) == before
    assert {path: path.stat().st_mtime_ns for path in (out / "training").rglob("*")} == stamps


def test_an_interrupted_copy_goes_on(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []

    def stop(origin: Path, target: Path) -> None:
        copied.append(str(origin))
        if len(copied) == 4:
            Path(target).write_bytes(b"half")
            raise KeyboardInterrupt
        Path(target).write_bytes(Path(origin).read_bytes())

    out = tmp_path / "out"
    monkeypatch.setattr(prepare_module.shutil, "copyfile", stop)
    assert run(tmp_path, source, "--out", out) == 130
    assert len(list((out / "training").rglob("*.jpg"))) == 3
    monkeypatch.undo()
    assert run(tmp_path, source, "--out", out) == 0
    assert run(tmp_path, source, "--out", tmp_path / "whole") == 0
    assert tree(out) == tree(tmp_path / "whole")


def test_an_archive(source: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, data in tree(source).items():
            archive.writestr(f"monkeys/{name}", data)
    assert run(tmp_path, tmp_path / "set.zip", "--out", tmp_path / "a") == 0
    assert run(tmp_path, source, "--out", tmp_path / "b") == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_list_file(source: Path, tmp_path: Path) -> None:
    paths = [
        path.relative_to(source).as_posix()
        for path in sorted((source / "training/training").rglob("*"))
        if path.is_file()
    ]
    (source / "train_list.txt").write_text("".join(f"{path} {path.split('/')[2][1]}\n" for path in paths))
    (source / "val_list.txt").write_text("validation/validation/n0/000.jpg 0\n")
    assert run(tmp_path, source / "train_list.txt", "--out", source / "prepared") == 0
    written = tree(source / "prepared")
    assert "training/0/n9151jpg" in written
    assert "validation/0/000.jpg" in written
    assert len(listed(source / "prepared")) == 17


def test_labels_that_cannot_be_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path / "src", {"a": 3, "b": 3})
    lines = [f"{path.relative_to(root)} ../{path.parent.name}\n" for path in root.rglob("*.jpg")]
    (root / "list.txt").write_text("".join(lines))
    assert run(tmp_path, root / "list.txt", "--out", tmp_path / "out") == 2
    assert "cannot be the name of a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unreadable_files_stay_behind_and_are_named(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (source / "training/training/n0/cut.jpg").write_bytes((source / "training/training/n0/000.jpg").read_bytes()[:-600])
    assert run(tmp_path, source, "--out", tmp_path / "out") == 0
    assert "cut.jpg" in caplog.text
    assert not (tmp_path / "out/training/n0/cut.jpg").exists()
    assert (source / "training/training/n0/cut.jpg").exists()


@pytest.mark.parametrize("place", ["src", "src/inside", "src/training/training/n0"])
def test_the_source_is_never_written_to(
    source: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(source)
    assert run(tmp_path, source, "--out", tmp_path / place) == 2
    assert "lies in the source" in capsys.readouterr().err
    assert tree(source) == before
    assert not (source / "inside").exists()


def test_foreign_folders_are_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    assert run(tmp_path, source, "--out", tmp_path / "full") == 2
    assert "not made by prepare" in capsys.readouterr().err
    assert run(tmp_path, source, "--out", tmp_path / "full/thesis.txt") == 2
    assert "is a file" in capsys.readouterr().err
    assert tree(tmp_path / "full") == {"thesis.txt": b"mine"}


def test_another_set_is_not_mixed_in(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(tmp_path, source, "--out", out) == 0
    before = tree(out)
    other = folder(tmp_path / "other", {"n0": 3, "x": 3}, first=70)
    assert run(tmp_path, other, "--out", out) == 2
    assert "holds images of another source" in capsys.readouterr().err
    save(picture(99, 48, 64), source / "training/training/n0/000.jpg")
    assert run(tmp_path, source, "--out", out) == 2
    assert "differs from" in capsys.readouterr().err
    assert run(tmp_path, "--synthetic", "--out", out) == 2
    assert "holds another set" in capsys.readouterr().err
    assert tree(out) == before


def test_useless_sources_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = folder(tmp_path / "one", {"a": 3})
    for wrong, said in ((one, "only one class"), (tmp_path / "nowhere", "no such data folder")):
        assert run(tmp_path, wrong, "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_noticed_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
    assert run(tmp_path, source, "--out", tmp_path / "out") == 2
    assert "MB free" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_sample_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, options = tmp_path / "drawn", ("--per-class", "2", "1", "1", "--seed", "5")
    assert run(tmp_path, "--synthetic", "--out", out, *options) == 0
    assert {row["split"] for row in listed(out)} == {"train", "val", "test"}
    assert len(listed(out)) == 40
    before = tree(out)
    assert json.loads(before[".prepared.json"])["seed"] == 5
    assert run(tmp_path, "--synthetic", "--out", out, *options) == 0
    assert tree(out) == before
    capsys.readouterr()
    assert run(tmp_path, "--synthetic", "--out", out, "--per-class", "2", "1", "1", "--seed", "6") == 2
    assert "seed 5" in capsys.readouterr().err


def test_kaggle_by_way_of_its_package(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert run(tmp_path, "kaggle", "--out", tmp_path / "out") == 2
    assert "pip install kagglehub" in capsys.readouterr().err
    asked: list[str] = []
    hub = types.SimpleNamespace(dataset_download=lambda name: asked.append(name) or str(source))
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    assert run(tmp_path, "kaggle", "--out", tmp_path / "out") == 0
    assert asked == ["slothkong/10-monkey-species"]


@pytest.mark.parametrize(
    "arguments", [["--out", "x"], ["src", "--synthetic", "--out", "x"], ["src"], ["s", "--out", "x", "--seed", "-1"]]
)
def test_wrong_commands(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as ended:  # argparse's own way
        code = ended.code
    assert code == 2
    assert "error: " in capsys.readouterr().err


def test_the_tool(source: Path, tmp_path: Path) -> None:
    save(picture(60, 48, 64), source / "validation/validation/n1/1.jpg")
    command = [sys.executable, TOOL, source, "--out", tmp_path / "out", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "manifest.csv" in done.stdout
