"""Atomic writes: all or nothing, whatever fails."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from monkeys import atomic
from monkeys.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"one")
    atomic.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a.bin"]


def test_text_and_json_are_utf8_and_readable(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "t.txt", "Äffchen\n")
    atomic.write_json(tmp_path / "j.json", {"name": "猴", "loss": float("inf")})
    assert (tmp_path / "t.txt").read_bytes() == "Äffchen\n".encode()
    assert json.loads((tmp_path / "j.json").read_text(encoding="utf-8")) == {"name": "猴", "loss": float("inf")}


@pytest.mark.parametrize(
    ("text", "words"), [(None, "cannot be read"), ("{", "is damaged"), ("[1]", "expected an object")]
)
def test_a_json_file_that_is_none_is_named(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "metrics.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        atomic.read_json(path)
    assert str(path) in str(caught.value)


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    atomic.write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "real")
    atomic.write_bytes(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "real").read_bytes() == b"x"


def test_long_names_fit(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / ("n" * 255), b"x")
    assert names(tmp_path) == ["n" * 255]


def test_an_interrupted_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic.atomic_write(path) as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_what_json_cannot_hold_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        atomic.write_json(tmp_path / "a.json", {"x": object()})
    assert names(tmp_path) == []


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_bytes_and_folder_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync: Callable[[int], None] = os.fsync
    replace = Path.replace

    def watched_sync(descriptor: int) -> None:
        done.append("folder" if os.fstat(descriptor).st_mode & 0o040000 else "file")
        sync(descriptor)

    def watched_replace(self: Path, target: Path) -> Path:
        done.append("replace")
        assert self.read_bytes() == b"x", "what is put in place must be complete"
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    atomic.write_bytes(tmp_path / "a", b"x")
    assert done == ["file", "replace", "folder"]


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_only_a_file_system_without_folder_sync_is_forgiven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raises: bool
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    if raises:
        with pytest.raises(OSError, match=os.strerror(number)):
            atomic.sync_folder(tmp_path)
    else:
        atomic.sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
        (errno.ENOENT, "no such file or folder"),
        (errno.ECONNRESET, "reset by peer"),
    ],
)
def test_explains_in_one_sentence(number: int, words: str) -> None:
    sentence = atomic.explain(OSError(number, os.strerror(number)), "runs/a")
    assert sentence.startswith("runs/a: ")
    assert words in sentence
    assert "\n" not in sentence


def test_explains_an_error_without_a_number() -> None:
    assert atomic.explain(OSError("odd"), "p") == "p: odd"
    assert atomic.explain(OSError(), "p") == "p: OSError"
