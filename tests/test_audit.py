"""The audit: finds what was planted, remembers it, and looks again only at what has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import hostile
import numpy as np
import pytest
from invented import folder, picture, save, watermarked
from PIL import Image

from monkeys.data import audit as audit_module
from monkeys.data import look, pool, records
from monkeys.data.audit import AuditReport, audit
from monkeys.data.image import ImageError
from monkeys.data.look import ODD, look_at
from monkeys.data.records import Store


def report(root: Path, tmp_path: Path, **options: object) -> AuditReport:
    return audit(root, cache_dir=tmp_path / "cache", workers=1, **options).report()


def kinds(found: AuditReport) -> dict[str, set[str]]:
    by_path: dict[str, set[str]] = {}
    for item in found.odd:
        by_path.setdefault(item["path"].partition("/")[2], set()).add(item["kind"])
    return by_path


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Two classes with one of each finding."""
    root = folder(tmp_path / "set", {"training/a": 5, "training/b": 5})
    original = root / "training/a/000.jpg"
    (root / "training/a/copy.jpg").write_bytes(original.read_bytes())
    (root / "training/b/001 copy.jpg").write_bytes((root / "training/b/001.jpg").read_bytes())
    save(picture(1, 48, 64), root / "training/a/small.jpg", quality=40)
    save(watermarked(picture(2, 48, 64)), root / "validation/a/stamped.png")
    save(picture(90, 48, 64), root / "validation/b/free.jpg")
    (root / "validation/b/leak.jpg").write_bytes((root / "training/b/001.jpg").read_bytes())
    save(picture(6, 48, 64), root / "training/b/0 re-encoded.jpg", quality=60)
    save(np.ascontiguousarray(picture(3, 48, 64)[:, ::-1]), root / "training/b/other label.jpg")
    (root / "training/b/cut.jpg").write_bytes(original.read_bytes()[:-900])
    (root / "training/b/notes.txt").write_text("not an image")
    return root


def test_everything_planted_is_found(planted: Path, tmp_path: Path) -> None:
    found = report(planted, tmp_path)
    assert (found.n_files, found.n_readable) == (20, 18)
    assert [item["path"] for item in found.unreadable] == ["training/b/cut.jpg", "training/b/notes.txt"]
    assert all(item["reason"] for item in found.unreadable)
    assert found.exact_duplicates == 3
    assert sorted(map(len, found.copies)) == [2, 3]
    assert found.n_groups == 11
    assert found.largest_group == 4
    assert found.leaks == [
        {"train": "training/a/002.jpg", "val": "validation/a/stamped.png"},
        {"train": "training/b/001 copy.jpg", "val": "validation/b/leak.jpg"},
    ]
    assert found.leaks_test == []
    assert found.classes == {"a": {"train": 7, "val": 1}, "b": {"train": 8, "val": 2}}
    assert found.label_conflicts == [
        [{"path": "training/a/003.jpg", "label": "a"}, {"path": "training/b/other label.jpg", "label": "b"}]
    ]
    mirrored = [pair for pair in found.near_duplicates if pair["mirrored"]]
    assert [{pair["first"], pair["second"]} for pair in mirrored] == [
        {"training/a/003.jpg", "training/b/other label.jpg"}
    ]
    assert found.one_size == [64, 48]


def test_the_report_is_json_with_the_promised_keys(planted: Path, tmp_path: Path) -> None:
    (planted / "training/a" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"broken")
    values = json.loads(json.dumps(report(planted, tmp_path).to_json(), ensure_ascii=False, allow_nan=False).encode())
    promised = ("n_files", "n_readable", "unreadable", "odd", "exact_duplicates", "n_groups", "leaks", "classes")
    assert list(values)[: len(promised)] == list(promised)
    assert "training/a/caf\\xe9.jpg" in [item["path"] for item in values["unreadable"]]


def test_odd_files(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"a": 2, "b": 2})
    image = Image.fromarray(picture(50, 60, 80))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    image.save(root / "a/wrong.png", "JPEG")
    image.save(root / "a/n9151jpg", "JPEG")
    image.convert("L").save(root / "a/grey.jpg")
    image.convert("L").convert("RGB").save(root / "a/grey_in_colour.jpg", quality=60)
    image.convert("CMYK").save(root / "a/print.jpg")
    image.convert("RGBA").save(root / "a/alpha.png")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(root / "a/deep.png")
    image.save(root / "a/turned.jpg", exif=rotated)
    image.save(root / "a/film.gif", save_all=True, append_images=[image.rotate(9)])
    image.resize((200, 40)).save(root / "a/strip.jpg")
    image.resize((40, 20)).save(root / "a/tiny.jpg")
    Image.fromarray(np.tile(picture(51, 600, 800), (9, 8, 1))[:5000, :6000]).save(root / "a/huge.jpg")
    Image.new("RGB", (100, 100), "red").save(root / "a/plain.png")
    found = kinds(report(root, tmp_path))
    assert found == {
        "wrong.png": {"wrong-suffix"},
        "n9151jpg": {"no-suffix"},
        "grey.jpg": {"greyscale"},
        "grey_in_colour.jpg": {"greyscale"},
        "print.jpg": {"cmyk"},
        "alpha.png": {"alpha"},
        "deep.png": {"16-bit", "greyscale"},
        "turned.jpg": {"rotated"},
        "film.gif": {"animated"},
        "strip.jpg": {"aspect"},
        "tiny.jpg": {"tiny"},
        "huge.jpg": {"huge"},
        "plain.png": {"plain"},
    }
    assert set().union(*found.values()) == set(ODD)


def test_size_is_as_decoded(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"a": 1, "b": 1})
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture(0, 60, 80)).save(root / "a/turned.jpg", exif=turned)
    records = {r.path: r for r in audit(root, cache_dir=tmp_path / "cache", workers=1).records}
    assert (records["a/turned.jpg"].width, records["a/turned.jpg"].height) == (60, 80)
    assert records["a/turned.jpg"].bytes == (root / "a/turned.jpg").stat().st_size
    assert records["a/000.jpg"].colour == pytest.approx(picture(0, 48, 64).mean(axis=(0, 1)) / 255, abs=0.02)


def test_hostile_entries_neither_hang_nor_crash(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", {"a": 1, "b": 1})
    os.mkfifo(root / "a/pipe.jpg")
    (root / "a/empty.jpg").touch()
    (root / "a/gone.jpg").symlink_to(tmp_path / "nowhere")
    (root / "a/circle.jpg").symlink_to(root / "a/circle.jpg")
    reasons = {item["path"]: item["reason"] for item in report(root, tmp_path).unreadable}
    assert set(reasons) == {"a/pipe.jpg", "a/empty.jpg", "a/gone.jpg", "a/circle.jpg"}
    assert "regular file" in reasons["a/pipe.jpg"]


def test_plain_pictures_are_told_apart_by_bytes(tmp_path: Path) -> None:
    for index, label in enumerate("aabb"):
        save(np.full((50, 50, 3), 60 * index, np.uint8), tmp_path / f"set/{label}/{index}.png")
    (tmp_path / "set/a/again.png").write_bytes((tmp_path / "set/a/0.png").read_bytes())
    found = report(tmp_path / "set", tmp_path)
    assert (found.n_groups, found.exact_duplicates) == (4, 1)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that were read, in order."""
    paths: list[str] = []

    def spy(job: look.Job) -> look.Found | None:
        paths.append(job[1])
        return look_at(job)

    monkeypatch.setattr(look, "look_at", spy)
    return paths


def test_a_second_audit_reads_only_what_has_changed(
    planted: Path, tmp_path: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = audit(planted, cache_dir=tmp_path / "cache", workers=1)
    assert len(looked_at) == 20
    looked_at.clear()
    monkeypatch.setattr(audit_module, "compare", None)  # would fail if called
    assert audit(planted, cache_dir=tmp_path / "cache", workers=1) == first
    assert looked_at == []


def test_a_changed_byte_is_noticed_even_with_the_old_time(planted: Path, tmp_path: Path, looked_at: list[str]) -> None:
    before = report(planted, tmp_path)
    path = planted / "training/a/copy.jpg"
    data, status = bytearray(path.read_bytes()), path.stat()
    data[30] ^= 1
    looked_at.clear()
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = report(planted, tmp_path)
    assert looked_at == ["training/a/copy.jpg"]
    assert after.exact_duplicates == before.exact_duplicates - 1


def test_a_touched_file_is_read_but_not_decoded(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = report(planted, tmp_path)
    os.utime(planted / "training/a/copy.jpg")
    monkeypatch.setattr(look, "decode_with_info", None)  # would fail if called
    assert report(planted, tmp_path) == before


@pytest.mark.parametrize("fault", ["cannot be read: Input/output error", "not enough memory to decode it"])
def test_a_fault_that_passes_is_not_remembered(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def out_of_order(*_: object) -> None:
        raise ImageError("x", fault) from (MemoryError() if "memory" in fault else OSError())

    before = report(planted, tmp_path / "other")
    monkeypatch.setattr(look, "decode_with_info" if "memory" in fault else "read_file", out_of_order)
    hurt = report(planted, tmp_path)
    assert {item["reason"] for item in hurt.unreadable} == {fault}
    monkeypatch.undo()
    assert report(planted, tmp_path) == before


def test_removed_and_added_files(planted: Path, tmp_path: Path) -> None:
    before = report(planted, tmp_path)
    (planted / "training/a/copy.jpg").unlink()
    save(picture(77, 48, 64), planted / "training/a/new.jpg")
    after = report(planted, tmp_path)
    assert (after.n_groups, after.exact_duplicates) == (before.n_groups + 1, before.exact_duplicates - 1)


def test_a_damaged_memory_is_made_anew(planted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = report(planted, tmp_path)
    place = Store.path(planted, tmp_path / "cache")
    for damage in (b"", b"PK\x03\x04 no archive", place.read_bytes()[:-700]):
        place.write_bytes(damage)
        assert report(planted, tmp_path) == before
    assert "examined anew" in caplog.text


def test_what_an_earlier_version_refused_is_looked_at_again(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, name, place = report(planted, tmp_path), "training/a/000.jpg", Store.path(planted, tmp_path / "cache")
    store = Store.load(place)
    store.records[name] = replace(store.records[name], reason="refused")
    store.save(place)
    assert report(planted, tmp_path).n_readable == before.n_readable - 1  # of this version it is believed
    with monkeypatch.context() as earlier:
        earlier.setattr(records, "_VERSION", records._VERSION - 1)
        store.save(place)
    assert report(planted, tmp_path) == before


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    planted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert report(planted, tmp_path).n_files == 20
    assert "not remembered" in caplog.text


def test_nothing_is_written_into_the_users_folder(planted: Path, tmp_path: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in planted.rglob("*"))
    report(planted, tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in planted.rglob("*")) == before


def test_workers_find_the_same(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = audit(planted, cache_dir=tmp_path / "cache", workers=1)
    monkeypatch.setattr(look, "_CHUNK", 4)
    asked: list[int] = []
    monkeypatch.setattr(look, "in_processes", lambda *a: asked.append(a[2]) or pool.in_processes(*a))
    assert audit(planted, cache_dir=tmp_path / "other", workers=2) == alone
    assert asked == [2]


def test_excluded_files_are_not_read(planted: Path, tmp_path: Path, looked_at: list[str]) -> None:
    found = report(planted, tmp_path, exclude=("training/b/cut.jpg", "*.txt"))
    assert found.unreadable == []
    assert not {"training/b/cut.jpg", "training/b/notes.txt"} & set(looked_at)


def test_the_real_monkeys(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = audit(real_data / "monkeys", cache_dir=tmp_path_factory.getbasetemp() / "monkeys").report()
    assert (found.n_files, found.n_readable, found.exact_duplicates) == (1097, 1097, 64)
    assert abs(found.n_groups - 997) <= 2
    assert found.largest_group == 3
    assert [(item["path"], item["kind"]) for item in found.odd] == [("training/n9/n9151jpg", "no-suffix")]
    assert found.label_conflicts == []
    assert found.look_alikes[0]["correlation"] < 0.96


# A process of its own: the peak of this one, and of its children, may be another test's.
ALONE = """
import json, resource, sys
from pathlib import Path
from monkeys import runtime
from monkeys.data.audit import audit
if __name__ == "__main__":
    place = Path(sys.argv[1])
    found = audit(place / "set", cache_dir=place / "cache", workers=2).report()
    peaks = [runtime.peak_megabytes(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 2**10]
    reasons = sum(bool(item["reason"]) for item in found.unreadable)
    print(json.dumps({"files": found.n_files, "readable": found.n_readable, "reasons": reasons, "peaks": peaks}))
"""


@pytest.mark.slow
def test_ten_thousand_damaged_files(tmp_path: Path, real_data: Path) -> None:
    """Each is a picture or named as none; what the audit keeps in memory of all is small."""
    files = hostile.seeds(str(real_data / "monkeys" / "training"))
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
    for number in range(10_000):
        data = hostile.damaged(files[number % len(files)], np.random.default_rng(number))
        (tmp_path / "set" / "ab"[number % 2] / f"{number}.jpg").write_bytes(data)
    program = tmp_path / "program.py"
    program.write_text(ALONE)
    command = [sys.executable, str(program), str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    found = json.loads(done.stdout)
    assert found["files"] == 10_000
    assert found["readable"] + found["reasons"] == 10_000
    assert 200 < found["readable"] < 9_000
    assert max(found["peaks"]) < 1_000  # megabytes, in any process
