"""The only door to tqdm: a progress bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(iterable: Iterable[Item], *, total: int | None = None, desc: str = "", unit: str = "it") -> tqdm[Item]:
    """Iterate with a bar on standard error; silent when standard error is not a terminal."""
    return tqdm(
        iterable, total=total, desc=desc, unit=unit, leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty()
    )
