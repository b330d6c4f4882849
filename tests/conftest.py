"""Fixtures shared by all tests; the real configuration is shrunk here, never replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds `monkeys/` and `imagenette-2k/`; skips where $MONKEYS_DATA does not name one."""
    folder = os.environ.get("MONKEYS_DATA", "")
    if not folder:
        pytest.skip("MONKEYS_DATA is not set: real photographs needed")
    return Path(folder).resolve()
