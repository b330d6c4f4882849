"""Compare optimizers on the Iris data: `--out DIR [--epochs N] [--seeds N] [--methods NAME…] [--tune]`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from .. import atomic, runtime
from ..errors import UserError
from ..models import MODELS
from ..optim import OPTIMIZERS, SECOND_ORDER
from ..optim.hessian import refuse_second_order
from ..optim.names import known
from ..progress import progress
from . import DONE, entry, say

METHODS = {**OPTIMIZERS, **SECOND_ORDER}
IRIS = "iris"
FILES = ("curves.csv", "table.csv", "table.md", "optimizers.png")  # in the order of writing

log = logging.getLogger("monkeys")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(
        prog="compare_optimizers",
        description="Train one small network on the Iris data with every optimizer: curves, table, plot.",
    )
    parse.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parse.add_argument("--epochs", type=int, default=200, help="steps of each method (default: 200)")
    parse.add_argument("--seeds", type=int, default=10, help="starting points of each method (default: 10)")
    parse.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help=", ".join(METHODS))
    parse.add_argument("--model", default=IRIS, help="iris; of any other it says why it is not compared")
    parse.add_argument("--tune", action="store_true", help="search the rates of first-order methods anew")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Train, write curves.csv, table.csv, table.md and optimizers.png, and print the table."""
    args = parser().parse_args(argv)
    methods = list(dict.fromkeys(name for names in args.methods for name in names.split(",") if name))
    if not methods:
        raise UserError(f"--methods: name one or more of {', '.join(METHODS)}")
    for method in methods:
        known("method", method, METHODS)
    for option in ("epochs", "seeds"):
        if getattr(args, option) < 1:
            raise UserError(f"--{option}: expected at least 1, got {getattr(args, option)}")
    if args.model != IRIS:
        refuse_model(args.model, methods)
    atomic.refuse_foreign(args.out, FILES[:1], FILES, "comparison of optimizers")
    atomic.make_folder(args.out)
    log.info(runtime.tune_cpu(processes=runtime.usable_cores()))  # one thread: the network is too small to share
    runtime.import_paddle()
    _compare(methods, args.epochs, args.seeds, args.out, args.tune)
    return DONE


def refuse_model(name: str, methods: Sequence[str]) -> None:
    """Raise UserError: the reason why this network is not compared here."""
    known("model", name, {IRIS: "", **MODELS})
    size, second = MODELS[name].parameters, [method for method in methods if method in SECOND_ORDER]
    if second and size:
        refuse_second_order(size, name)
    raise UserError(f"only the small Iris network is compared; train {name} with tools/train.py -o optim.name=…")


def _compare(methods: list[str], epochs: int, seeds: int, out: Path, tune_rates: bool) -> None:
    from ..optim import comparison
    from ..reports import optimizers as report
    from ..reports.plots_optimizers import plot_optimizers

    rates = dict(comparison.RATES)
    if tune_rates:
        tuned = [method for method in methods if method in OPTIMIZERS]
        rates.update({m: comparison.tune(m, epochs) for m in progress(tuned, desc="rates", unit="method")})
    total = len(methods) * seeds
    runs = list(progress(comparison.compare(methods, range(seeds), epochs, rates), total=total, unit="run"))
    rows = report.table(runs, rates)
    curves_csv, table_csv, page, picture = (out / name for name in FILES)
    report.write_curves(runs, curves_csv)
    report.write_table(rows, table_csv)
    text = report.markdown(rows, epochs)
    page.write_text(text, encoding="utf-8")
    found = report.by_method(runs)
    courses = {row.method: report.median_course(found[row.method]) for row in rows}
    first, second = ({m: courses[m] for m in courses if m in table} for table in (OPTIMIZERS, SECOND_ORDER))
    plot_optimizers(first, second, picture, f"median of {seeds} starting points")
    say(text)
    say(f"results in {out}, plot in {picture}")
