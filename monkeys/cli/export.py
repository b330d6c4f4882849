"""Hand a trained network to other programs: `RUN --format paddle|onnx|safetensors`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from .. import runtime
from . import DONE, entry, existing_run, say

log = logging.getLogger("monkeys")

FORMATS = ("paddle", "onnx", "safetensors")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(
        prog="export",
        description="Hand a trained network to other programs, with its preprocessing, class names and a model card; "
        "what was written is loaded back and compared on validation photographs before it takes its place.",
    )
    parse.add_argument("run", type=Path, help="run folder")
    parse.add_argument(
        "--format",
        choices=FORMATS,
        default="paddle",
        help="for paddle.inference (default), for onnxruntime, or weights alone",
    )
    parse.add_argument("--out", type=Path, help="folder to write (RUN/export/<format>)")
    parse.add_argument(
        "--without-photographs", action="store_true", help="compare on generated noise where the photographs are gone"
    )
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Export, check, and say what was written."""
    args = parser().parse_args(argv)
    existing_run(args.run)
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    from ..serving.export import export

    say(export(args.run, args.format, args.out, photographs=not args.without_photographs).summary)
    return DONE
