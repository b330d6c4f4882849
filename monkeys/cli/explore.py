"""Get to know a set of photographs: `SRC --out DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .. import runtime
from ..errors import UserError
from . import DONE, entry, say


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="explore", description="Audit a set of photographs and draw what is in it.")
    parse.add_argument("source", type=Path, help="folder, archive or list file")
    parse.add_argument("--out", type=Path, required=True, help="folder for explore.html, pictures and tables")
    parse.add_argument("--cache-dir", type=Path, help="where audits are kept (default: the user's cache folder)")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Write the exploration of a set."""
    args = parser().parse_args(argv)
    if not args.source.exists():
        raise UserError(f"no such folder, archive or list file: {args.source}")
    if args.source.resolve() in (args.out.resolve(), *args.out.resolve().parents):
        raise UserError(f"--out {args.out} lies inside {args.source}: its pictures would count next time")
    runtime.quiet_opencv()
    from ..reports.dataset import explore

    cache = runtime.cache_folder(args.cache_dir)
    page = explore(args.source, args.out, cache_dir=cache, workers=runtime.usable_cores())
    say(f"written: {page}")
    return DONE
