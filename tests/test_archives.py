"""Archives: unpacked safely, all or nothing, and only once."""

from __future__ import annotations

import bz2
import errno
import fcntl
import gzip
import io
import lzma
import os
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from monkeys.data import archive_members, archives
from monkeys.data.archives import MARK, is_archive, unpack
from monkeys.data.encodings import decoded
from monkeys.errors import UserError

FILES = {
    "training/n0/a.jpg": b"aaa",
    "training/n1/b c.jpg": b"bbbb",
    "labels ü.txt": b"n0, x\n",
    "training/n1/empty": b"",
}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w", **options: int) -> Path:
    with tarfile.open(path, mode, **options) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def plain_members(files: dict[str, bytes] = FILES) -> list[tuple[tarfile.TarInfo, bytes]]:
    folder = tarfile.TarInfo("training/")
    folder.type = tarfile.DIRTYPE
    return [(folder, b""), *((tarfile.TarInfo(name), data) for name, data in files.items())]


def found(folder: Path) -> dict[str, bytes]:
    """All files below a folder, but for the mark."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_refused(archive: Path, out: Path, words: str, **limits: int) -> None:
    """Refused in one line, with nothing left behind."""
    before = sorted(path for path in out.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        unpack(archive, out, **limits)
    assert "\n" not in str(caught.value)
    assert words in str(caught.value).replace(str(out.parent), "")  # which has the test's name
    assert sorted(path for path in out.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "pax", "gnu"])
def test_unpacks_every_kind_whatever_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "archive.bin"
    if kind == "zip":
        zipped(path, FILES)
    elif kind in ("pax", "gnu"):
        long = {"d/" * 60 + "f" * 150: b"x", **FILES}
        tarred(path, plain_members(long), format=tarfile.PAX_FORMAT if kind == "pax" else tarfile.GNU_FORMAT)
    else:
        tarred(path, plain_members(), "w:" + kind.partition(".")[2])
    assert is_archive(path)
    out = unpack(path, tmp_path / "deep" / "out")
    assert {name: data for name, data in found(out).items() if not name.startswith("d/")} == FILES
    assert not list(out.parent.glob(".*")), "nothing temporary may remain"


def test_the_second_time_changes_nothing(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    out = unpack(archive, tmp_path / "out")
    (out / "training/n0/a.jpg").unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert unpack(archive, tmp_path / "out") == out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times


def test_an_empty_folder_is_filled_and_a_full_one_kept(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    (tmp_path / "empty").mkdir()
    assert found(unpack(archive, tmp_path / "empty")) == FILES
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert_refused(archive, tmp_path / "full", "holds something else")
    other = zipped(tmp_path / "b.zip", {"x": b"y"})
    assert_refused(other, tmp_path / "empty", "holds something else")


def test_folders_of_other_systems(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a\\b\\c.jpg": b"1", "./d/.//e": b"2", "__MACOSX/a/._c.jpg": b"3"})
    assert found(unpack(archive, tmp_path / "out")) == {"a/b/c.jpg": b"1", "d/e": b"2"}


OUTSIDE = ["../evil", "a/../../evil", "/etc/evil", "C:evil", "c:\\evil", "..\\evil", "\\\\host\\share\\evil", "a/.."]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_path_leads_out(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "zip":
        zipped(path, {"good.jpg": b"x", name: b"evil"})
    else:
        tarred(path, plain_members({"good.jpg": b"x", name: b"evil"}))
    assert_refused(path, tmp_path / "out", "leads out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_no_links_or_devices_in_tar(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("photo.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    assert_refused(tarred(tmp_path / "a", [*plain_members(), (info, b"")]), tmp_path / "out", "link")


def test_a_link_that_later_members_go_through(tmp_path: Path) -> None:
    info = tarfile.TarInfo("d")
    info.type, info.linkname = tarfile.SYMTYPE, "/tmp"
    archive = tarred(tmp_path / "a", [(info, b""), (tarfile.TarInfo("d/evil"), b"x")])
    assert_refused(archive, tmp_path / "out", "link")


def test_no_links_in_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert_refused(tmp_path / "a", tmp_path / "out", "link")


def test_no_sparse_files(tmp_path: Path) -> None:
    if subprocess.run(["tar", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no tar program")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10**9)
    subprocess.run(["tar", "-cSf", tmp_path / "a", "-C", tmp_path, "holes"], check=True)
    (tmp_path / "holes").unlink()
    assert_refused(tmp_path / "a", tmp_path / "out", "sparse")


def test_special_bits_are_dropped(tmp_path: Path) -> None:
    info = tarfile.TarInfo("run")
    info.mode = 0o6777
    out = unpack(tarred(tmp_path / "a", [(info, b"x")]), tmp_path / "out")
    assert stat.S_IMODE((out / "run").stat().st_mode) & 0o7111 == 0


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_comes_twice(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "zip":
        zipped(path, {"x.jpg": b"1", "y.jpg": b"2"})
        path.write_bytes(path.read_bytes().replace(b"y.jpg", b"x.jpg"))
    else:
        tarred(path, plain_members({"x.jpg": b"1", "./x.jpg": b"2"}))
    assert_refused(path, tmp_path / "out", "twice")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_that_is_also_a_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    assert_refused(zipped(tmp_path / "a", dict.fromkeys(names, b"x")), tmp_path / "out", "twice")


def test_encrypted(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a", FILES)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag of the first local header and of its entry in the table
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert_refused(path, tmp_path / "out", "encrypted")


def test_unknown_compression(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a", {"x": b"y" * 100})
    data = bytearray(path.read_bytes())
    data[8:10] = data[data.index(b"PK\x01\x02") + 10 : data.index(b"PK\x01\x02") + 12] = struct.pack("<H", 9)
    path.write_bytes(data)
    assert_refused(path, tmp_path / "out", "unpack it yourself")


def test_limits_are_counted_while_writing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a", {"x": b"y" * 5000}, zipfile.ZIP_STORED)
    assert_refused(path, tmp_path / "out", "more than 4999 bytes", max_bytes=4999)
    assert found(unpack(path, tmp_path / "out", max_bytes=5000)) == {"x": b"y" * 5000}
    many = zipped(tmp_path / "b", {str(number): b"" for number in range(10)})
    assert_refused(many, tmp_path / "other", "more than 9 files", max_files=9)
    assert len(found(unpack(many, tmp_path / "other", max_files=10))) == 10


def test_a_header_that_lies_about_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_members, "MIN_BOMB", 2**20)
    path = zipped(tmp_path / "a", {"x": bytes(2**22)})
    data = bytearray(path.read_bytes())
    table = data.index(b"PK\x01\x02")
    data[22:26] = data[table + 24 : table + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(UserError):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open])
def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opener: Callable) -> None:
    monkeypatch.setattr(archive_members, "MIN_BOMB", 2**20)
    info = tarfile.TarInfo("zeros")
    info.size = 2**25
    with opener(tmp_path / "a", "wb") as file:
        file.write(info.tobuf())
        for _ in range(2**5):
            file.write(bytes(2**20))
    assert_refused(tmp_path / "a", tmp_path / "out", "bomb")


def test_a_zip_bomb_of_overlapping_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many entries of the table point at the same megabytes."""
    monkeypatch.setattr(archive_members, "MIN_BOMB", 2**20)
    path = zipped(tmp_path / "a", {"0" * 4: os.urandom(2**16) * 16}, zipfile.ZIP_STORED)
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    table = b"".join(entry[:46] + b"%04d" % number for number in range(1000))
    path.write_bytes(
        data[:start] + table + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1000, 1000, len(table), start, 0)
    )
    with pytest.raises(UserError):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_table_of_contents_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_members, "_MAX_ZIP_DIRECTORY", 100)
    assert_refused(zipped(tmp_path / "a", FILES), tmp_path / "out", "table of contents")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_giant_header_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 2**31
    with gzip.open(tmp_path / "a", "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        file.write(bytes(2**22))
    assert is_archive(tmp_path / "a")
    assert_refused(tmp_path / "a", tmp_path / "out", "header is too long")
    packed = tarred(tmp_path / "b", plain_members()).read_bytes()
    end = len(packed.rstrip(b"\0")) // 512 * 512 + 512
    (tmp_path / "b").write_bytes(packed[:end] + info.tobuf() + bytes(2**22))
    assert_refused(tmp_path / "b", tmp_path / "out", "header is too long")


def test_headers_without_end(tmp_path: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 0
    (tmp_path / "a").write_bytes(info.tobuf() * 5000 + bytes(1024))
    assert_refused(tmp_path / "a", tmp_path / "out", "damaged")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_cut_archives(tmp_path: Path, kind: str, part: float) -> None:
    files = {f"{number}.jpg": os.urandom(3000) for number in range(20)}
    path = tmp_path / "a"
    if kind == "zip":
        zipped(path, files)
    else:
        tarred(path, plain_members(files), "w:" + kind.partition(".")[2])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert_refused(path, tmp_path / "out", "damaged or incomplete")


def test_a_tar_cut_between_members(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a", plain_members({"a": b"x" * 512, "b": b"y" * 512}))
    path.write_bytes(path.read_bytes()[: 512 * 3])  # folder, header and content of a
    assert_refused(path, tmp_path / "out", "damaged or incomplete")


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a", plain_members({"a": b"x" * 512, "b": b"y" * 512}))
    data = bytearray(path.read_bytes())
    data[512 * 3 + 10] ^= 255  # in the header of b
    path.write_bytes(data)
    assert_refused(path, tmp_path / "out", "damaged or incomplete")


def test_changed_bytes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a", {"x": os.urandom(5000)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[2000] ^= 255
    path.write_bytes(data)
    assert_refused(path, tmp_path / "out", "damaged")


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"\x1f\x8b" + b"x" * 600, gzip.compress(b"no tar" * 200, mtime=0), b"\xff\xd8\xff" * 99],
    ids=["nothing", "text", "half a gzip", "gzip of no tar", "JPEG"],  # the same in every process that collects
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "photos.zip").write_bytes(data)
    assert not is_archive(tmp_path / "photos.zip")
    assert_refused(tmp_path / "photos.zip", tmp_path / "out", "not a zip or tar")


def test_an_image_with_a_zip_at_its_end_is_no_archive(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "z", FILES).read_bytes()
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(600) + inner)
    assert not is_archive(tmp_path / "a.jpg")
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "missing")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    assert_refused(zipped(tmp_path / "a", FILES), tmp_path / "out", "disk is full")


def test_another_process_that_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a", FILES)
    write = archives._write_all

    def slow(*args: object) -> int:
        monkeypatch.setattr(archives, "_write_all", write)
        unpack(archive, tmp_path / "out")
        return write(*args)

    monkeypatch.setattr(archives, "_write_all", slow)
    assert found(unpack(archive, tmp_path / "out")) == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "out"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_kept(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a", FILES)
    for name in ("dead", "alive"):
        (tmp_path / f".out.{name}.part").mkdir()
        (tmp_path / f".out.{name}.part" / "x").write_bytes(b"x")
    lock = os.open(tmp_path / ".out.alive.part", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unpack(archive, tmp_path / "out")
    os.close(lock)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.alive.part", "a", "out"]


@pytest.mark.slow
def test_hostile_archives_stay_small(tmp_path: Path) -> None:
    """A tar.gz of attributes without end, and one of zeros, in a process that may take 1 GB."""
    header, zeros = tarfile.TarInfo("h"), tarfile.TarInfo("z")
    header.type, header.size, zeros.size = tarfile.XHDTYPE, 2**33 - 512, 2**33 - 512
    for info in (header, zeros):
        with gzip.open(tmp_path / f"{info.name}.tar.gz", "wb", compresslevel=1) as file:
            file.write(info.tobuf())
            for _ in range(400):
                file.write(bytes(2**20))
    program = (
        "import resource, sys; from pathlib import Path; from monkeys.data.archives import unpack\n"
        "from monkeys.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "try: unpack(Path(sys.argv[1]), Path(sys.argv[1] + '.out'))\n"
        "except UserError: sys.exit(2)\n"
    )
    for name in ("h.tar.gz", "z.tar.gz"):
        assert subprocess.run([sys.executable, "-c", program, tmp_path / name], check=False).returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.tar.gz", "z.tar.gz"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb2312"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_of_untold_encoding(tmp_path: Path, kind: str, encoding: str) -> None:
    names = ["金丝猴/1.jpg", "猴子/2.jpg"]
    if kind == "zip":
        plain = {f"{index}" * len(name.encode(encoding)): name.encode(encoding) for index, name in enumerate(names)}
        data = zipped(tmp_path / "plain", dict.fromkeys(plain, b"")).read_bytes()
        for stand_in, name in plain.items():
            data = data.replace(stand_in.encode(), name)
        (tmp_path / "a").write_bytes(data)
    else:
        with tarfile.open(tmp_path / "a", "w", format=tarfile.GNU_FORMAT, encoding=encoding) as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name))
    out = unpack(tmp_path / "a", tmp_path / "out")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg")) == sorted(names)


@pytest.mark.parametrize("name", ["Müller", "ça va", "Ångström", "é", "coração"])
def test_a_western_name_is_not_taken_for_chinese(name: str) -> None:
    assert decoded(name.encode("cp437", "ignore")) in (None, "corao", name.encode("ascii", "ignore").decode())
    assert decoded(name.encode("cp1252")) is None
    assert decoded(name.encode()) == name


def test_no_folder_is_torn_by_a_rare_name_in_it(tmp_path: Path) -> None:
    raw = {b"0" * 13: "金丝猴/1.jpg".encode("gbk")[:13].ljust(13, b"x"), b"1" * 15: "金丝猴/陶喆.jpg".encode("gbk")}
    data = zipped(tmp_path / "plain", {name.decode(): b"" for name in raw}).read_bytes()
    for stand_in, name in raw.items():
        data = data.replace(stand_in, name)
    (tmp_path / "a.zip").write_bytes(data)
    out = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["金丝猴"]


def test_nor_where_the_parts_are_divided_by_backslashes() -> None:
    info = zipfile.ZipInfo()
    info.filename = "金丝猴\\陶喆.jpg".encode("gbk").decode("cp437")
    assert archive_members._zip_name(info).startswith("金丝猴/")


def test_a_tar_with_western_names(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("Singe à queue/1.jpg"))
    assert (unpack(tmp_path / "a", tmp_path / "out") / "Singe à queue" / "1.jpg").exists()


def test_a_name_from_a_field_of_its_own(tmp_path: Path) -> None:
    """As Python 3.12 reads them: Unicode without the flag."""
    info = zipfile.ZipInfo("猴/1.jpg")
    assert archive_members._zip_name(info) == "猴/1.jpg"
