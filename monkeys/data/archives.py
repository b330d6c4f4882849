"""Zip and tar archives, unpacked safely: nothing leaves the target folder, nothing grows without bound, all or nothing.

Content tells zip, tar, tar.gz, tar.bz2 and tar.xz apart, not the suffix. Sizes are counted as bytes come out, because
headers lie.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import json
import lzma
import os
import re
import secrets
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from .. import atomic
from ..errors import UserError
from ..paths import sha256
from ..progress import progress
from .archive_members import Budget, Member, is_tar, is_zip, tar_members, zip_members

MAX_BYTES = 500 * 10**9
MAX_FILES = 20_000_000
MARK = ".archive.json"  # in the unpacked folder: which archive it came from

_CHUNK = 2**18
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(ValueError, RuntimeError, OverflowError, MemoryError, IndexError),
)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its content; a compressed file that holds no tar is none."""
    try:
        return path.is_file() and (is_zip(path) or is_tar(path))
    except OSError:
        return False


def unpack(
    archive: Path, out: Path, *, digest: str = "", max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
) -> Path:
    """Unpack into the folder `out`, which appears when all is well; the second time nothing changes.

    digest: the archive's SHA-256, where the caller has it already.
    UserError for what is damaged, encrypted or hostile (links, devices, paths that lead elsewhere, bombs), for a full
    disk, and for an `out` that holds something else. `__MACOSX` folders are left out; backslashes part folders.
    """
    try:
        digest = digest or sha256(archive)
        if not _unpacked_before(out, digest):
            out.parent.mkdir(parents=True, exist_ok=True)
            _clear_abandoned(out)
            with _temporary_sibling(out) as temporary:
                count = _write_all(archive, temporary, Budget(archive, max_bytes), max_files)
                atomic.write_json(temporary / MARK, {"archive": archive.name, "sha256": digest, "files": count})
                _put_in_place(temporary, out, digest)
    except _DAMAGED as error:
        raise UserError(f"{archive}: damaged or incomplete ({error}); fetch it again") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say so of bad data
            raise UserError(f"{archive}: damaged or incomplete ({error}); fetch it again") from error
        raise UserError(f"unpacking {archive}: {atomic.explain(error, error.filename or out)}") from error
    return out


def _write_all(archive: Path, folder: Path, budget: Budget, max_files: int) -> int:
    """Write every member below the folder; returns the number of files."""
    if is_zip(archive):
        members = zip_members(archive, budget)
    elif is_tar(archive):
        members = tar_members(archive, budget)
    else:
        raise UserError(f"{archive}: not a zip or tar archive; unpack it yourself and give the folder")
    files = 0
    for count, member in enumerate(progress(members, desc=f"unpacking {archive.name}", unit="file")):
        if count >= max_files:
            raise UserError(f"{archive}: holds more than {max_files} files")
        parts = _safe_parts(archive, member.name)
        if parts and parts[0] != "__MACOSX":
            files += _write(archive, folder.joinpath(*parts), member)
    return files


def _write(archive: Path, target: Path, member: Member) -> int:
    try:
        if member.read is None or member.name.endswith(("/", "\\")):
            target.mkdir(parents=True, exist_ok=True)
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.read() as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        return 1
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{archive}: holds {member.name!r} twice") from None


def _safe_parts(archive: Path, name: str) -> tuple[str, ...]:
    """The folders and the file of a member's name; UserError where it leads out of the target."""
    plain = name.replace("\\", "/")
    parts = tuple(part for part in plain.split("/") if part not in ("", "."))
    if plain.startswith("/") or re.match("[A-Za-z]:", plain) or ".." in parts or "\0" in name:
        raise UserError(f"{archive}: {name!r} leads out of the folder; an archive of photographs has no such path")
    return parts


def _unpacked_before(out: Path, digest: str) -> bool:
    """Whether `out` is this archive, unpacked; UserError where it is something else."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads((out / MARK).read_text(encoding="utf-8"))["sha256"] == digest:
            return True
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already and holds something else; choose another folder or remove it")
    return False


def _put_in_place(temporary: Path, out: Path, digest: str) -> None:
    try:
        temporary.replace(out)
    except OSError as error:
        taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)  # another process was faster
        if not taken or not _unpacked_before(out, digest):
            raise


@contextlib.contextmanager
def _temporary_sibling(out: Path) -> Iterator[Path]:
    """A folder beside `out`, locked as long as this process lives, removed unless it was renamed."""
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    temporary.mkdir()
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
    finally:
        os.close(descriptor)
        shutil.rmtree(temporary, ignore_errors=True)


def _clear_abandoned(out: Path) -> None:
    """Remove what killed processes left: temporary folders that nobody holds the lock of."""
    for folder in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
