"""The members of a zip or tar archive, one after the other, refused where they are no plain files or folders."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

from ..errors import UserError
from .encodings import decoded

MAX_RATIO = 200  # unpacked to packed bytes, above MIN_BOMB: photographs stay near 1, deflate reaches 1000
MIN_BOMB = 2**26
_MAX_HEADER = 2**20  # of a tar member: names and attributes
_MAX_ZIP_DIRECTORY = 2**27  # bytes; Python takes up to twelve times as many
_BLOCK = 512
_UTF8 = 0x800  # the flag of a zip's member whose name is UTF-8

_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive. read: opens the content until the next member is asked for; None: a folder."""

    name: str
    read: Callable[[], Any] | None


class Budget:
    """How many bytes may still come out of an archive."""

    def __init__(self, archive: Path, max_bytes: int) -> None:
        self.archive = archive
        self.spent = 0
        self.bomb = max(MIN_BOMB, MAX_RATIO * archive.stat().st_size)
        self.max_bytes = max_bytes

    def spend(self, count: int) -> None:
        """UserError once too much came out."""
        self.spent += count
        if self.spent > self.bomb:
            raise UserError(f"{self.archive}: unpacks to more than {MAX_RATIO} times its size, as archive bombs do")
        if self.spent > self.max_bytes:
            raise UserError(f"{self.archive}: unpacks to more than {self.max_bytes} bytes")


class _Counted:
    """A file of which every byte is counted. header: how many bytes may be read while it is not None."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self.file, self.budget = file, budget
        self.header: int | None = None
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if self.header is not None:
            self.header -= size
            if self.header < 0 or size < 0:
                raise tarfile.ReadError("a header is too long")
        self.last = self.file.read(size)
        self.budget.spend(len(self.last))
        return self.last

    def seek(self, position: int) -> int:
        self.budget.spend(max(0, position - self.file.tell()))
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def is_zip(path: Path) -> bool:
    """By the first bytes: many a file with a zip at its end is something else."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def is_tar(path: Path) -> bool:
    """By the checksum of the first header, behind any compression."""
    try:
        with _open_packed(path) as file:
            tarfile.TarInfo.frombuf(file.read(_BLOCK), tarfile.ENCODING, "replace")
        return True
    except EOFError:  # cut within the first block of a compressed file: that is what should be said of it
        return True
    except (tarfile.TarError, zlib.error, lzma.LZMAError, OSError):
        return False


def zip_members(archive: Path, budget: Budget) -> Iterator[Member]:
    """The members of a zip file; UserError for links, devices, encryption and unknown compression."""
    if _zip_directory_bytes(archive) > _MAX_ZIP_DIRECTORY:
        raise UserError(f"{archive}: its table of contents is too large; unpack it yourself and give the folder")
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.flag_bits & 1:
                raise UserError(f"{archive}: is encrypted; unpack it yourself and give the folder")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"{archive}: {info.filename!r} is a link or a device")
            yield Member(_zip_name(info), None if info.is_dir() else partial(_open_zipped, file, info, budget))


def tar_members(archive: Path, budget: Budget) -> Iterator[Member]:
    """The members of a tar file, compressed or not; UserError for links, devices and sparse files."""
    with _open_packed(archive) as packed:
        stream: Any = _Counted(packed, budget)  # tarfile needs no more of a file than this has
        stream.header = _MAX_HEADER
        with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as tar:
            while (info := tar.next()) is not None:
                stream.header = None
                if not (info.isdir() or info.isreg()) or info.issparse():
                    raise UserError(f"{archive}: {info.name!r} is a link, a device or a sparse file")
                yield Member(_tar_name(info), None if info.isdir() else partial(tar.extractfile, info))
                tar.members.clear()  # type: ignore[attr-defined]  # millions of them would fill the memory
                stream.header = _MAX_HEADER
        if stream.last.strip(b"\0") or len(stream.last) < _BLOCK:  # tarfile takes a cut header for the end
            raise tarfile.ReadError("the end is missing")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; where the zip does not say that it is UTF-8, each part by itself, so that no folder is torn."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        parts = re.split(rb"[/\\]", info.filename.encode("cp437"))  # as zipfile has read them
    except UnicodeEncodeError:  # from a field of its own, as newer Pythons read it
        return info.filename
    return "/".join(decoded(part) or part.decode("cp437") for part in parts)


def _tar_name(info: tarfile.TarInfo) -> str:
    parts = info.name.encode("utf-8", "surrogateescape").split(b"/")
    return "/".join(decoded(part) or part.decode("cp1252", "replace") for part in parts)


def _open_packed(path: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    with path.open("rb") as file:
        start = file.read(6)
    reader = next((reader for magic, reader in _PACKED.items() if start.startswith(magic)), None)
    return reader(path, "rb") if reader else path.open("rb")


def _open_zipped(file: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> _Counted:
    try:
        return _Counted(file.open(info), budget)
    except NotImplementedError as error:
        raise UserError(f"{file.filename}: {error}; unpack it yourself and give the folder") from None


def _zip_directory_bytes(archive: Path) -> int:
    """Size of the table of contents, from the record at the end; 0 where there is none."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, 2**16 + 200), 2)
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        return 0
    size = struct.unpack_from("<I", tail, end + 12)[0]
    long_end = tail.rfind(b"PK\x06\x06", 0, end)
    return struct.unpack_from("<Q", tail, long_end + 40)[0] if size == 0xFFFFFFFF and long_end >= 0 else size
