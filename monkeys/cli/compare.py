"""Put runs side by side: `RUN_A RUN_B … --out DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import DONE, entry, say


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(
        prog="compare", description="Settings that differ, accuracy with intervals, McNemar's test, speed and curves."
    )
    parse.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, two or more")
    parse.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables and the plot")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Write the comparison and print it."""
    args = parser().parse_args(argv)
    from ..reports.comparison import compare_runs

    page = compare_runs(args.runs, args.out)
    say(page.read_text(encoding="utf-8"))
    say(f"written: {page}")
    return DONE
