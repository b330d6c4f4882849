"""The only door to tqdm: a progress bar on a terminal; in a log, which shows none, a line every tenth step."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

EVERY = 10  # steps, as the course report prints

Item = TypeVar("Item")

log = logging.getLogger("monkeys")


def progress(iterable: Iterable[Item], *, total: int | None = None, desc: str = "", unit: str = "it") -> tqdm[Item]:
    """Iterate with a bar on standard error; silent when standard error is not a terminal."""
    return tqdm(
        iterable, total=total, desc=desc, unit=unit, leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty()
    )


def tell(bar: tqdm[Item], step: int, text: str) -> None:
    """Show the text beside the bar; where there is none, log it after every tenth step."""
    bar.set_postfix_str(text)
    if bar.disable and step % EVERY == 0:
        log.info("step %d  %s", step, text)
