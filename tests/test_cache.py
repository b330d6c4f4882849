"""The cache of decoded pictures: built once, shared, rebuilt when it must be, done without when the disk is short."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hostile import encoded, photo

from monkeys.data import cache
from monkeys.data.cache import CachedPictures, DecodedPictures, open_pictures
from monkeys.data.image import ImageError, Preprocess
from monkeys.data.pool import in_processes
from monkeys.errors import TrainingError, UserError


@dataclass(frozen=True)
class Row:
    path: str
    digest: str


PREPROCESS = Preprocess(16)


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Row, ...]:
    """Forty photographs below tmp_path / "data"."""
    made = []
    for number in range(40):
        path = tmp_path / "data" / f"n{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(photo(60, 40 + number, seed=number), "JPEG"))
        made.append(Row(path.relative_to(tmp_path / "data").as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()))
    return tuple(made)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that this process decodes."""
    names: list[str] = []
    decode = cache.decode

    def counted(data: bytes, name: str) -> np.ndarray:
        names.append(name)
        return decode(data, name)

    monkeypatch.setattr(cache, "decode", counted)
    return names


def opened(
    rows: tuple[Row, ...], folder: Path, preprocess: Preprocess = PREPROCESS, workers: int = 1
) -> cache.Pictures:
    return open_pictures(rows, folder / "data", preprocess, cache=True, cache_dir=folder / "cache", workers=workers)


def files(folder: Path) -> list[str]:
    """What is in the cache, but for the lock."""
    return sorted(path.suffix for path in (folder / "cache" / "pictures").iterdir() if path.name != ".lock")


def assert_right(
    pictures: cache.Pictures, rows: tuple[Row, ...], folder: Path, preprocess: Preprocess = PREPROCESS
) -> None:
    expected = DecodedPictures(rows, folder / "data", preprocess)
    assert len(pictures) == len(expected) == len(rows)
    assert all(np.array_equal(pictures[index], expected[index]) for index in range(len(rows)))


def test_nothing_is_decoded_again(rows: tuple[Row, ...], tmp_path: Path, count: list[str]) -> None:
    pictures = opened(rows, tmp_path)
    assert len(count) == len(rows)
    count.clear()
    shutil.rmtree(tmp_path / "data")
    again = opened(rows, tmp_path)
    for _ in range(3):
        for index in range(len(rows)):
            assert np.array_equal(pictures[index], again[index])
    assert count == []
    assert files(tmp_path) == [".json", ".u8"]


def test_pictures_are_right_and_may_be_written_to(rows: tuple[Row, ...], tmp_path: Path) -> None:
    pictures = opened(rows, tmp_path)
    assert isinstance(pictures, CachedPictures)
    pictures[3][:] = 0
    picture = pictures[3]
    assert (type(picture), picture.shape, picture.dtype) == (np.ndarray, (16, 16, 3), np.uint8)
    assert_right(pictures, rows, tmp_path)
    with pytest.raises(IndexError):
        pictures[len(rows)]


def test_several_processes_build_the_same_bytes(rows: tuple[Row, ...], tmp_path: Path) -> None:
    pictures = opened(rows, tmp_path, workers=2)
    assert isinstance(pictures, CachedPictures)
    assert_right(pictures, rows, tmp_path)


def test_without_a_cache_nothing_is_written(rows: tuple[Row, ...], tmp_path: Path) -> None:
    pictures = open_pictures(rows, tmp_path / "data", PREPROCESS, cache=False, cache_dir=tmp_path / "cache", workers=1)
    assert isinstance(pictures, DecodedPictures)
    assert_right(pictures, rows, tmp_path)
    assert not (tmp_path / "cache").exists()
    assert len(opened((), tmp_path)) == 0


def test_what_decides_on_the_bytes_decides_on_the_file(
    rows: tuple[Row, ...], tmp_path: Path, count: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(rows, tmp_path)
    built = 1
    for other, preprocess in (
        (rows[::-1], PREPROCESS),
        (rows[1:], PREPROCESS),
        (rows, Preprocess(17)),
        (rows, Preprocess(16, fit="crop")),
    ):
        count.clear()
        assert_right(opened(other, tmp_path, preprocess), other, tmp_path, preprocess)
        assert count
        built += 1
        assert files(tmp_path) == [".json"] * built + [".u8"] * built
    count.clear()
    opened(rows, tmp_path, Preprocess(16, mean=(0.1, 0.2, 0.3)))
    opened(tuple(Row(f"elsewhere/{row.path}", row.digest) for row in rows), tmp_path)
    assert count == [], "neither scaling nor the place of the files changes a byte"
    monkeypatch.setattr("PIL.__version__", "99")
    opened(rows, tmp_path)
    assert len(count) == len(rows), "another decoder may give other bytes"


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 255]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda pixels, note: shorten(pixels),
        lambda pixels, note: flip(pixels),
        lambda pixels, note: pixels.write_bytes(b""),
        lambda pixels, note: pixels.unlink(),
        lambda pixels, note: note.unlink(),
        lambda pixels, note: note.write_text("{"),
        lambda pixels, note: note.write_text("[]"),
        lambda pixels, note: note.write_bytes(b"\xff\xfe"),
    ],
    ids=["shorter", "changed", "emptied", "gone", "no note", "half a note", "another note", "no text"],
)
def test_a_damaged_cache_is_built_again(
    rows: tuple[Row, ...], tmp_path: Path, count: list[str], damage: Callable[[Path, Path], None]
) -> None:
    opened(rows, tmp_path)
    (pixels,) = (tmp_path / "cache" / "pictures").glob("*.u8")
    os.utime(pixels, (1, 1))  # so that a change within one tick of the clock shows as well
    pixels.with_suffix(".json").write_text(f'{{"bytes": {pixels.stat().st_size}, "mtime_ns": {10**9}}}')
    count.clear()
    opened(rows, tmp_path)
    assert count == [], "undamaged it is used"
    damage(pixels, pixels.with_suffix(".json"))
    assert_right(opened(rows, tmp_path), rows, tmp_path)
    assert len(count) >= len(rows)
    assert files(tmp_path) == [".json", ".u8"]


def test_a_note_for_another_length_is_not_believed(rows: tuple[Row, ...], tmp_path: Path) -> None:
    opened(rows, tmp_path)
    (pixels,) = (tmp_path / "cache" / "pictures").glob("*.u8")
    shorten(pixels)
    status = pixels.stat()
    pixels.with_suffix(".json").write_text(f'{{"bytes": {status.st_size}, "mtime_ns": {status.st_mtime_ns}}}')
    assert_right(opened(rows, tmp_path), rows, tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("change", ["other bytes", "gone", "no image"])
def test_a_changed_file_is_named(rows: tuple[Row, ...], tmp_path: Path, change: str, workers: int) -> None:
    path = tmp_path / "data" / rows[33].path
    changed = list(rows)
    if change == "other bytes":
        path.write_bytes(encoded(photo(seed=99), "JPEG"))
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(b"text")
        changed[33] = Row(rows[33].path, hashlib.sha256(b"text").hexdigest())
    words = {"other bytes": "has changed", "gone": "cannot be read", "no image": "not an image"}[change]
    with pytest.raises(UserError, match=words) as caught:
        opened(tuple(changed), tmp_path, workers=workers)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ImageError) == (change != "other bytes")
    assert files(tmp_path) == [], "nothing half built may remain"
    with pytest.raises(UserError, match=words):
        DecodedPictures(tuple(changed), tmp_path / "data", PREPROCESS)[33]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("fault", ["short before", "full while writing", "no folder", "no lock"])
def test_a_short_disk_is_done_without(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC if fault == "full while writing" else errno.ENOLCK, "the system's words")

    if fault == "short before":
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12 - 10**6, 10**6))
    elif fault == "full while writing":
        monkeypatch.setattr(cache, "_write_pictures", fail)
    elif fault == "no folder":
        (tmp_path / "cache").write_text("a file is in the way")
    else:
        monkeypatch.setattr(fcntl, "flock", fail)
    with caplog.at_level(logging.WARNING, "monkeys"):
        pictures = opened(rows, tmp_path)
    assert isinstance(pictures, DecodedPictures)
    assert_right(pictures, rows, tmp_path)
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "every epoch" in record.getMessage()
    if fault in ("short before", "full while writing"):
        assert "disk is full" in record.getMessage()
        assert files(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may drop its rights and take them again")
def test_a_read_only_cache_is_used_and_a_missing_one_done_without(rows: tuple[Row, ...], tmp_path: Path) -> None:
    opened(rows, tmp_path)
    folder = tmp_path / "cache" / "pictures"
    for path in (tmp_path, *tmp_path.parents[:3]):  # one more under parallel tests
        path.chmod(0o755)
    folder.chmod(0o555)
    os.seteuid(65534)
    try:
        assert isinstance(opened(rows, tmp_path), CachedPictures)
        assert isinstance(opened(rows[1:], tmp_path), DecodedPictures)
    finally:
        os.seteuid(0)
        folder.chmod(0o755)


PROGRAM = """
import json, logging, sys
from pathlib import Path
from test_cache import Row, opened
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    rows = tuple(Row(*row) for row in json.loads((folder / "rows.json").read_text()))
    pictures = opened(rows, folder, workers=int(sys.argv[2]))
    print(type(pictures).__name__, sum(int(pictures[i].sum()) for i in range(len(pictures))), flush=True)
"""


def started(rows: tuple[Row, ...], folder: Path, workers: int = 1) -> subprocess.Popen[str]:
    """Another process that opens the same pictures."""
    import json

    (folder / "rows.json").write_text(json.dumps([[row.path, row.digest] for row in rows]))
    (folder / "program.py").write_text(PROGRAM)
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "program.py"), str(folder), str(workers)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once(rows: tuple[Row, ...], tmp_path: Path) -> None:
    """While one builds, the other waits, and then uses what the first has made."""
    (tmp_path / "cache" / "pictures").mkdir(parents=True)
    with (tmp_path / "cache" / "pictures" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [started(rows, tmp_path) for _ in range(2)]
        said = [other.stdout.readline() for other in others if other.stdout]
        assert all("waiting" in line for line in said), said
        assert files(tmp_path) == []
    lines = [other.communicate()[0].split() for other in others]
    assert lines[0] == lines[1]
    assert lines[0][0] == "CachedPictures"
    assert files(tmp_path) == [".json", ".u8"]
    assert_right(opened(rows, tmp_path), rows, tmp_path)


def test_the_second_of_two_builders_decodes_nothing(
    rows: tuple[Row, ...], tmp_path: Path, count: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process finished between the first look and the lock is used."""
    locked = cache._locked

    def after_another(path: Path) -> object:
        monkeypatch.setattr(cache, "_locked", locked)
        opened(rows, tmp_path)
        count.clear()
        return locked(path)

    monkeypatch.setattr(cache, "_locked", after_another)
    assert isinstance(opened(rows, tmp_path), CachedPictures)
    assert count == []


def test_a_killed_builder_leaves_nothing_in_the_way(rows: tuple[Row, ...], tmp_path: Path, count: list[str]) -> None:
    folder = tmp_path / "cache" / "pictures"
    folder.mkdir(parents=True)
    (folder / "0123.part").write_bytes(b"half")
    (folder / "4567.u8").write_bytes(b"without a note")
    (folder / ".4567.json.0a1b2c3d.tmp").write_bytes(b"half a note")
    opened(rows, tmp_path)
    assert files(tmp_path) == [".json", ".u8"]


def written(folder: Path) -> float:
    """The share of an unfinished file that is on the disk; -1 where there is none."""
    for path in (folder / "cache" / "pictures").glob("*.part"):
        status = path.stat()
        return status.st_blocks * 512 / status.st_size if status.st_size else 0.0
    return -1.0


@pytest.mark.slow
def test_builders_killed_at_any_time(rows: tuple[Row, ...], tmp_path: Path) -> None:
    """No decoder outlives its parent, and the next builder works as if nothing had been."""
    many = rows * 400
    for number in range(6):
        builder = started(many, tmp_path, workers=2)
        while builder.poll() is None and written(tmp_path) < 0.05 * number:
            time.sleep(0.001)
        assert builder.poll() is None, "too late to kill it"
        builder.send_signal(signal.SIGKILL)
        builder.communicate()  # the pipe closes only when the last of its processes has ended
    assert_right(opened(many, tmp_path, workers=2), many, tmp_path)
    assert files(tmp_path) == [".json", ".u8"]


def test_only_the_most_recent_files_are_kept(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: list[str]
) -> None:
    monkeypatch.setattr(cache, "KEEP_FILES", 3)
    sizes = [Preprocess(size) for size in (4, 5, 6)]
    for age, preprocess in enumerate(sizes):
        opened(rows, tmp_path, preprocess)
        newest = max((tmp_path / "cache" / "pictures").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + age, 1000 + age))
    opened(rows, tmp_path, sizes[0])  # used again: now the most recent of the three
    opened(rows, tmp_path, Preprocess(7))
    assert files(tmp_path) == [".json"] * 3 + [".u8"] * 3
    count.clear()
    for preprocess in (sizes[0], sizes[2], Preprocess(7)):
        opened(rows, tmp_path, preprocess)
    assert count == []
    opened(rows, tmp_path, sizes[1])
    assert count


def test_the_total_is_bounded_and_a_new_one_always_fits(
    rows: tuple[Row, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "KEEP_BYTES", 40 * 3 * (8 * 8 + 9 * 9))
    for size in (8, 9, 10, 30):
        assert isinstance(opened(rows, tmp_path, Preprocess(size)), CachedPictures)
    assert files(tmp_path) == [".json", ".u8"]


def test_a_removed_file_stays_readable_for_those_who_use_it(rows: tuple[Row, ...], tmp_path: Path) -> None:
    pictures = opened(rows, tmp_path)
    shutil.rmtree(tmp_path / "cache")
    assert_right(pictures, rows, tmp_path)


def test_pickles_carry_the_path_only(rows: tuple[Row, ...], tmp_path: Path) -> None:
    pictures = opened(rows, tmp_path)
    assert len(pickle.dumps(pictures)) < 1000
    assert_right(pickle.loads(pickle.dumps(pictures)), rows, tmp_path)


def total(pictures: cache.Pictures) -> int:
    return sum(int(pictures[index].sum()) for index in range(len(pictures)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_the_same_pages(rows: tuple[Row, ...], tmp_path: Path, method: str) -> None:
    pictures = opened(rows, tmp_path)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(total, [pictures, pictures]) == [total(pictures)] * 2


# the pool of processes


def stop_here(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_process_is_told() -> None:
    with pytest.raises(TrainingError, match="memory ran out"):
        list(in_processes(stop_here, [(number,) for number in range(6)], 2))


def ignores_interruption(number: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return number


def test_results_come_in_order_and_interruption_is_the_parents() -> None:
    assert list(in_processes(ignores_interruption, [(number,) for number in range(20)], 2)) == list(range(20))
    assert list(in_processes(abs, [(number,) for number in (-2, -1)], 1)) == [2, 1]


# photographs


def test_real_photographs(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "monkeys" / "training"
    found = sorted(path for path in root.rglob("*") if path.is_file())[::20]
    chosen = tuple(
        Row(path.relative_to(root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in found
    )
    preprocess = Preprocess(64)
    pictures = open_pictures(chosen, root, preprocess, cache=True, cache_dir=tmp_path, workers=2)
    decoded = DecodedPictures(chosen, root, preprocess)
    assert isinstance(pictures, CachedPictures)
    assert all(np.array_equal(pictures[index], decoded[index]) for index in range(len(chosen)))
