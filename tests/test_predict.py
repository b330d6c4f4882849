"""Predictions from files, folders, lists and standard input: row by row, in order, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pytest
from untrained import TEMPERATURE, make_run

from monkeys.cli import predict
from monkeys.data.image import ImageError
from monkeys.errors import UserError
from monkeys.evaluation.predictions import softmax
from monkeys.serving import Predictor

ROOT = Path(__file__).parents[1]
LAYERS = "conv3-8 maxpool2 conv3-8 avgpool2 fc16 drop0.2 fc3 softmax"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory.mktemp("predict"), model="plain", size=16, layers=LAYERS)


@pytest.fixture
def bad(tmp_path) -> Path:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    return tmp_path / "bad.jpg"


class Standard(io.TextIOWrapper):
    """Standard input that holds these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def test_importing_the_room_is_cheap_and_the_class_is_there():
    program = (
        "import sys, os, monkeys.serving\n"
        "assert not {'paddle', 'numpy', 'cv2'} & sys.modules.keys()\n"
        "from monkeys.serving import Predictor\n"
        "assert Predictor.__name__ == 'Predictor' and os.environ['OMP_NUM_THREADS']\n"
        "monkeys.serving.Predicter"
    )
    environ = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert "AttributeError: module 'monkeys.serving' has no attribute 'Predicter'" in done.stderr


def test_probabilities_are_calibrated(made):
    photos, run = made
    predictor = Predictor(run)
    image = predictor.network.preprocess(photos / "n0" / "1.jpg")[None]
    guesses = predictor.predict(photos / "n0" / "1.jpg").guesses
    expected = np.sort(softmax(predictor.engine(image) / TEMPERATURE)[0])[::-1]
    np.testing.assert_allclose([guess.probability for guess in guesses], expected, rtol=1e-6)
    assert sum(guess.probability for guess in guesses) == pytest.approx(1)
    assert len(predictor.predict(photos / "n0" / "1.jpg", topk=2).guesses) == 2


def test_an_unknown_engine_is_named(made):
    with pytest.raises(UserError, match="dygraph and inference"):
        Predictor(made[1], engine="fast")


def test_one_bad_picture_asked_for_alone_is_an_error(made, bad):
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        Predictor(made[1]).predict(bad)


@pytest.mark.parametrize("pattern", ["gggggb", "bggggg", "gbgggbb", "bbbbgb", "gggg", "b", "gggbbbbg"])
def test_a_bad_picture_costs_its_own_row_wherever_it_stands(made, bad, pattern):
    """Batches of four: the last one is answered too when its last picture is bad, or when all of it is."""
    photos, run = made
    good = photos / "n1" / "2.jpg"
    paths = [good if letter == "g" else bad for letter in pattern]
    found = list(Predictor(run).predict_many(paths, batch_size=4))
    assert [row.path for row in found] == [str(path) for path in paths]
    assert [bool(row.error) for row in found] == [letter == "b" for letter in pattern]
    assert [len(row.guesses) for row in found] == [0 if letter == "b" else 3 for letter in pattern]


def test_rows_come_before_all_paths_are_known(made):
    photos, run = made
    asked = []

    def endless() -> Iterator[Path]:
        for path in repeat(photos / "n1" / "2.jpg"):
            asked.append(path)
            yield path

    assert next(Predictor(run).predict_many(endless(), batch_size=4)).guesses
    assert len(asked) == 4


def test_paths_of_every_kind(tmp_path, monkeypatch):
    for name in ("folder/b.jpg", "folder/a/z.jpg", "folder/a/.hidden.jpg", "folder/.git/x.jpg", "in list/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    lines = ["\ufeffin list/c.jpg\r\n", "\r\n", f"{tmp_path / 'folder' / 'b.jpg'}\n", "folder/a\n", "ü.jpg"]
    (tmp_path / "list.txt").write_text("".join(lines), encoding="utf-8", newline="")
    monkeypatch.setattr(sys, "stdin", Standard(b"one.jpg\nt\xffwo.jpg\r\n\n"))
    found = list(
        predict.expand([str(tmp_path / "folder"), f"@{tmp_path / 'list.txt'}", "-", "missing.jpg", "x" * 5000])
    )
    below = [path.relative_to(tmp_path).as_posix() for path in found[:6]]
    assert below == ["folder/b.jpg", "folder/a/z.jpg", "in list/c.jpg", "folder/b.jpg", "folder/a/z.jpg", "ü.jpg"]
    assert [os.fsencode(path) for path in found[6:9]] == [b"one.jpg", b"t\xffwo.jpg", b"missing.jpg"]
    assert len(found) == 10
    with pytest.raises(UserError, match=r"list .* cannot be read"):
        list(predict.expand(["@" + str(tmp_path / "nowhere.txt")]))


def test_links_to_folders_are_followed_once_and_closed_folders_named(tmp_path, monkeypatch, caplog):
    for name in ("elsewhere/b.jpg", "set/a.jpg", "set/closed/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set")
    scandir = os.scandir

    def closed(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)
    found = [path.relative_to(tmp_path).as_posix() for path in predict.expand([str(tmp_path / "set")])]
    assert found == ["set/a.jpg", "set/link/b.jpg"]
    assert "closed: no permission" in caplog.text


def test_a_folder_that_may_be_listed_but_not_entered_is_passed_over(tmp_path, monkeypatch, caplog):
    for name in ("set/a/1.jpg", "set/b/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    identity = predict._identity

    def barred(folder):
        if folder.name == "a":
            raise PermissionError(13, "Permission denied", str(folder))
        return identity(folder)

    monkeypatch.setattr(predict, "_identity", barred)
    assert [path.name for path in predict.expand([str(tmp_path / "set")])] == ["2.jpg"]
    assert "a: no permission" in caplog.text


def test_the_table_is_no_photograph(made, tmp_path, monkeypatch):
    photos, run = made
    folder = shutil.copytree(photos / "n0", tmp_path / "mine")
    monkeypatch.chdir(folder.parent)
    for _ in range(2):
        assert predict.main([str(run), str(folder), "--out", "mine/answers.csv"]) == 0
    assert "answers" not in (folder / "answers.csv").read_text()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_names_that_are_no_text_come_through(made, tmp_path, suffix, monkeypatch):
    photos, run = made
    name = os.fsencode(tmp_path) + b'/t\xff,\n"wo.jpg'
    Path(os.fsdecode(name)).write_bytes((photos / "n1" / "2.jpg").read_bytes())
    out = tmp_path / f"out{suffix}"
    assert predict.main([str(run), os.fsdecode(name), "\0.jpg", "x" * 5000, "--out", str(out)]) == 0
    if suffix == ".csv":
        with out.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            found = list(csv.DictReader(file))
        assert [float(row["probability_1"]) == float(row["confidence"]) for row in found if not row["error"]] == [True]
    else:
        found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert found[0]["topk"][0]["id"] == found[0]["predicted"]
    assert os.fsencode(found[0]["path"]) == name
    assert [bool(row.get("error")) for row in found] == [False, True, True]


def test_a_table_of_names_with_carriage_returns_is_read_back(made, tmp_path):
    photos, run = made
    folder = shutil.copytree(photos / "n0", tmp_path / "a\rb")
    (folder / "Icon\r").write_bytes(b"")
    assert predict.main([str(run), str(folder), "--out", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        found = [row["path"] for row in csv.DictReader(file)]
    names = sorted(path.name for path in (photos / "n0").iterdir())
    assert found == [f"{tmp_path}/a\\rb/{name}" for name in names]


def test_weights_that_are_no_numbers_predict_nothing(made):
    predictor = Predictor(made[1])
    predictor.engine = lambda images: np.full((len(images), 3), np.nan, np.float32)
    with pytest.raises(UserError, match="not finite"):
        predictor.predict(made[0] / "n0" / "1.jpg")


def test_without_a_file_lines_go_to_standard_output(made, bad, capsys):
    photos, run = made
    assert predict.main([str(run), str(photos / "n0" / "0.jpg"), str(bad), "--topk", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("%")


def test_an_empty_folder_is_told(made, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert predict.main([str(made[1]), str(tmp_path / "empty")]) == 2
    assert "nothing to predict" in capsys.readouterr().err


def test_a_prediction_that_is_cut_leaves_its_rows_beside_the_old_file(made, tmp_path, monkeypatch):
    photos, run = made
    out, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    assert predict.main([str(run), str(photos / "n0"), "--out", str(out)]) == 0
    assert not part.exists()
    before = out.read_bytes()
    whole = Predictor.predict_many

    def cut(self, paths, *more):
        for number, row in enumerate(whole(self, paths, *more)):
            if number == 5:
                assert len(part.read_text().splitlines()) == 6, "rows wait in memory"
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(Predictor, "predict_many", cut)
    assert predict.main([str(run), str(photos / "n0"), "--out", str(out)]) == 130
    assert out.read_bytes() == before
    assert part.read_bytes() == b"".join(before.splitlines(keepends=True)[:6])
    monkeypatch.undo()
    assert predict.main([str(run), str(photos / "n0"), "--out", str(out)]) == 0
    assert not part.exists()


def test_a_folder_that_cannot_be_written_is_named(made, tmp_path, capsys):
    photos, run = made
    assert predict.main([str(run), str(photos), "--out", str(tmp_path / "no" / "out.csv")]) == 2
    assert "out.csv" in capsys.readouterr().err


# in a process of its own: what other tests left in this one comes and goes
MANY_PATHS = """
import json, os, sys
from pathlib import Path
from monkeys.cli import predict
from monkeys.serving import Predictor

run, engine, listed = sys.argv[1:]
sizes, rows = [], 0
for row in Predictor(Path(run), engine=engine).predict_many(predict.expand([listed])):
    assert bool(row.error) == row.path.endswith("bad.jpg")
    rows += 1
    if rows % 10_000 == 0:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(resident * os.sysconf("SC_PAGE_SIZE") / 2**20)
print(json.dumps([rows, sizes]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dygraph", "inference"])
def test_memory_stays_flat_over_many_paths(made, tmp_path, engine):
    """A list of 100,000 paths of one small picture, one in fifty of them bad, through the command's own parts."""
    _, run = made
    cv2.imwrite(str(tmp_path / "small.png"), np.full((10, 10, 3), 90, np.uint8))
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "list.txt").write_text(("small.png\n" * 49 + "bad.jpg\n") * 2000)
    command = [sys.executable, "-c", MANY_PATHS, str(run), engine, f"@{tmp_path / 'list.txt'}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    rows, sizes = json.loads(said.splitlines()[-1])
    assert rows == 100_000
    assert max(sizes) - sizes[0] < 8, sizes
