"""Train a classifier: `-c configs/x.yaml -o data.root=FOLDER [--resume auto]`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import runtime
from ..augment import RECIPES
from ..config import Config, described_settings, load_config
from ..errors import Interrupted, UserError
from ..launch import is_rank, launch
from ..models import MODELS, ModelEntry
from ..optim import OPTIMIZERS, SCHEDULES, SECOND_ORDER
from . import DONE, config_arguments, entry, say, train_command

log = logging.getLogger("monkeys")

CHOICES: dict[str, Mapping[str, object]] = {
    "model.name": MODELS,
    "optim.name": OPTIMIZERS,
    "optim.schedule.name": SCHEDULES,
    "augment.recipe": RECIPES,
}
LISTS = ("models", "optimizers", "schedules", "recipes", "settings")
_SECOND_ORDER = "second order, for small networks: `compare_optimizers.py --model resnet18` says why"
HINTS = dict.fromkeys(SECOND_ORDER, _SECOND_ORDER)
_RESUME = "auto: go on where the run stopped, or begin it; force: go on with other settings"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="train", description="Train a fine-grained image classifier.")
    config_arguments(parse)
    existing = parse.add_mutually_exclusive_group()
    existing.add_argument("--resume", choices=("auto", "force"), default="", help=_RESUME)
    existing.add_argument("--overwrite", action="store_true", help="replace a run of the same name")
    parse.add_argument("--find-lr", action="store_true", help="100 steps of a learning-rate range test, no training")
    parse.add_argument("--out", type=Path, metavar="DIR", help="where --find-lr writes (<run folder>-lr)")
    parse.add_argument("--list", choices=LISTS, help="print the names that a configuration may use")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Train, or list what there is to choose from."""
    args = parser().parse_args(argv)
    if args.list:
        return _list(args.list)
    if args.config is None:
        raise UserError("which configuration? add -c FILE, e.g. -c configs/monkeys_cpu_15m.yaml")
    config = load_config(args.config, args.override, CHOICES, HINTS)
    if args.out and not args.find_lr:
        raise UserError("--out belongs to --find-lr; -o run.dir=… run.name=… say where a run is written")
    if args.find_lr:
        return _find_lr(config, args.out or config.run_folder.with_name(f"{config.run.name}-lr"))
    processes = 1 if is_rank() else _processes(config)
    if processes > 1:
        return _in_ranks(config, processes, list(sys.argv[1:] if argv is None else argv))
    return _train(config, args.resume, args.overwrite)


def _processes(config: Config) -> int:
    """auto: one per GPU, or two on a CPU with two cores, which beat two threads; fewer where batches do not divide."""
    train = config.train
    cards = _cards(config)
    if train.processes != "auto":
        if 0 < cards < train.processes:
            raise UserError(f"train.processes={train.processes}, but there are {cards} cards: one process each")
        return train.processes
    most = cards or min(2, runtime.usable_cores())
    parts = {n: n * train.accumulate for n in range(most, 1, -1)}  # of a batch; each has two images or more
    found = next((n for n, count in parts.items() if train.batch_size % count == 0 and train.batch_size > count), 1)
    if found < most:
        log.info("train.processes=auto: %d of %d", found, most)
        log.info("each needs an equal part of a batch of %d, of two images or more", train.batch_size)
    return found


def _in_ranks(config: Config, processes: int, arguments: list[str]) -> int:
    """Start this command again, once per rank."""
    log.info(runtime.tune_cpu(processes=processes))
    return launch(train_command(arguments), processes, gloo=not _cards(config))


def _cards(config: Config) -> int:
    return 0 if config.run.device == "cpu" else runtime.gpu_count(os.environ)


def _find_lr(config: Config, out: Path) -> int:
    log.info(runtime.tune_cpu())
    runtime.import_paddle()
    from ..experiment import search_lr

    lr = search_lr(config, out)
    say(f"suggested: -o optim.lr={lr:.2g} (for batches of {config.optim.lr_batch or config.train.batch_size})")
    say(f"written: {out / 'lr_finder.png'}")
    return DONE


def _train(config: Config, resume: str, overwrite: bool) -> int:
    tuned = runtime.tune_cpu()
    if not is_rank():  # else whoever started the ranks has said it
        log.info(tuned)
    runtime.import_paddle()
    from ..evaluation.metrics import leak_free_words
    from ..experiment import run_experiment

    try:
        outcome = run_experiment(config, resume=resume, overwrite=overwrite, announce=say)
    except Interrupted as interruption:
        log.warning("%s", interruption)
        return 128 + interruption.signum
    if outcome.metrics:
        m = outcome.metrics
        say(
            f"{outcome.folder} is finished ({outcome.reason}): validation top-1 {m['top1']:.1%} "
            f"(95 % interval {m['top1_low']:.1%} to {m['top1_high']:.1%}; the best epoch was chosen on this split)"
        )
        if leaks := leak_free_words(m):
            say(leaks)
        say(f"report: {outcome.folder / 'report.html'}")
        say(f"dashboard: visualdl --logdir {outcome.folder.parent} --language en --disable-telemetry")
    return DONE


def _list(what: str) -> int:
    if what == "models":
        for name, model in MODELS.items():
            say(f"{name:22}{_size(model)}  {model.summary}")
        return DONE
    if what == "settings":
        for key, default, description in described_settings():
            shown = "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
            say(f"{key:36}{shown:14}{description}".rstrip())
        return DONE
    tables: dict[str, Mapping[str, str]] = {"optimizers": OPTIMIZERS, "schedules": SCHEDULES, "recipes": RECIPES}
    for name, summary in tables[what].items():
        say(f"{name:22}{summary}")
    return DONE


def _size(model: ModelEntry) -> str:
    """Parameters, multiply-adds and input size, in columns."""
    if model.parameters is None or model.gflops is None:
        return f"{'as its list says':>40} at {model.size} px"
    return f"{model.parameters:12,d} parameters {model.gflops:7.2f} GFLOPs at {model.size} px"
