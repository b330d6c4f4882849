"""Examine a trained network: `RUN [--split val] [--data FOLDER] [--sample 200 --seed 0]`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from .. import runtime
from ..errors import UserError
from . import DONE, entry, existing_run, say

log = logging.getLogger("monkeys")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="eval", description="Examine a trained network on images with known classes.")
    parse.add_argument("run", type=Path, help="run folder")
    source = parse.add_mutually_exclusive_group()
    source.add_argument("--split", default=None, choices=("train", "val", "test"), help="of the run's own data (val)")
    source.add_argument("--data", type=Path, help="another folder or archive of class folders")
    source.add_argument("--list", type=Path, help="a list file: path and label on each line")
    parse.add_argument("--sample", type=int, default=0, metavar="N", help="only N images, drawn at random")
    parse.add_argument("--seed", type=int, default=0, help="of --sample and of samples.png")
    parse.add_argument(
        "--tta", action="store_true", help="average over flips and two sizes; written beside the plain evaluation"
    )
    parse.add_argument(
        "--weights",
        choices=("best", "last"),
        default="best",
        help="of the epoch with the best validation, or of the last one, which was not chosen (best)",
    )
    parse.add_argument(
        "--engine",
        choices=("dygraph", "inference"),
        default="dygraph",
        help="the network as trained, or paddle.inference on the CPU (exported first where need be)",
    )
    parse.add_argument("--out", type=Path, help="where to write (RUN/eval-<split or folder name>[-last][-tta])")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate a run and write its tables and pictures."""
    args = parser().parse_args(argv)
    if args.sample < 0:
        raise UserError(f"--sample {args.sample}: a number of images cannot be negative")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: 0 or more")
    existing_run(args.run)
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    from ..assessment import assess
    from ..reports.run import write_run_report

    done = assess(
        args.run,
        split=args.split or "val",
        source=args.data or args.list,
        sample=args.sample,
        seed=args.seed,
        tta=args.tta,
        weights=args.weights,
        out=args.out,
        engine=args.engine,
    )
    say(done.summary)
    if done.metrics["selected_on_this_split"] and args.weights == "best":
        say("figures that no choice has touched: --weights last examines the weights of the last epoch")
    if args.sample:
        say(f"a sample: {done.out} holds {len(done.images.rows)} images until it is evaluated again without --sample")
    say(f"written: {done.out}")
    shown = args.weights == "best" and not args.out
    if shown and (args.run / "report.html").exists():  # else the run is not finished, and will write it
        say(f"renewed: {write_run_report(args.run)}")
    return DONE
