"""Paths as people type them, and what lies there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def expand_home(path: str | Path) -> Path:
    """~ is the home folder, as in a shell; the name of nobody's home stays as it is, where Path's own method raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def as_text(path: str | Path) -> str:
    """A path that UTF-8 can write: bytes of it that are no text are written as such."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def sha256(path: Path) -> str:
    """SHA-256 of a file of any size, in hex. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()
