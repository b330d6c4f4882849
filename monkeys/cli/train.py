"""Train a classifier: `-c configs/x.yaml -o data.root=FOLDER [--resume auto]`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from .. import runtime
from ..augment import RECIPES
from ..config import Config, load_config
from ..errors import Interrupted, UserError
from ..models import MODELS
from ..optim import OPTIMIZERS, SCHEDULES
from . import DONE, config_arguments, entry, say

log = logging.getLogger("monkeys")

CHOICES = {
    "model.name": MODELS,
    "optim.name": OPTIMIZERS,
    "optim.schedule.name": SCHEDULES,
    "augment.recipe": RECIPES,
}
LISTS = ("models", "optimizers", "schedules", "recipes")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="train", description="Train a fine-grained image classifier.")
    config_arguments(parse)
    parse.add_argument("--resume", nargs="?", const="auto", choices=("auto", "force"), default="", help="go on with a run")
    parse.add_argument("--overwrite", action="store_true", help="replace a run of the same name")
    parse.add_argument("--find-lr", action="store_true", help="look for a learning rate; trains nothing")
    parse.add_argument("--list", choices=LISTS, help="print the names that a configuration may use")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Train, or list what there is to choose from."""
    args = parser().parse_args(argv)
    if args.list:
        return _list(args.list)
    if args.config is None:
        raise UserError("which configuration? add -c FILE, e.g. -c configs/monkeys_cpu.yaml")
    config = load_config(args.config, args.override, CHOICES)
    return _train(config, args.resume, args.overwrite)


def _train(config: Config, resume: str, overwrite: bool) -> int:
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    from ..experiment import run_experiment

    try:
        outcome = run_experiment(config, resume=resume, overwrite=overwrite)
    except Interrupted as interruption:
        log.warning("%s", interruption)
        return 128 + interruption.signum
    if outcome.metrics:
        low, high = outcome.metrics["top1_low"], outcome.metrics["top1_high"]
        say(
            f"{outcome.folder}: {outcome.reason}; validation top-1 {outcome.metrics['top1']:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}; the best epoch was chosen on this split)"
        )
        say(f"report: {outcome.folder / 'report.html'}")
        say(f"dashboard: visualdl --logdir {outcome.folder.parent} --language en --disable-telemetry")
    return DONE


def _list(what: str) -> int:
    if what == "models":
        runtime.tune_cpu()
        runtime.import_paddle()
        from ..models.summary import describe

        for name, entry_ in MODELS.items():
            size = describe(name)
            say(f"{name:24}{size.parameters / 1e6:9.2f} M parameters {size.gflops:8.2f} GFLOPs at {size.size} px  {entry_.summary}")
        return DONE
    tables = {"optimizers": OPTIMIZERS, "schedules": SCHEDULES, "recipes": RECIPES}
    for name, summary in tables[what].items():
        say(f"{name:24}{summary}")
    return DONE
