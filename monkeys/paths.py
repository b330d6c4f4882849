"""Paths as people type them."""

from __future__ import annotations

import os
from pathlib import Path


def expand_home(path: str | Path) -> Path:
    """~ is the home folder, as in a shell; the name of nobody's home stays as it is, where Path's own method raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111
