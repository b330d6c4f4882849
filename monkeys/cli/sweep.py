"""Train several configurations, one after the other: `CONFIG… [-o key=value …] --out DIR`."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .. import atomic
from ..config import load_config, run_name
from ..errors import WRONG_INPUT, UserError
from ..launch import run_alone
from . import DONE, SIGINT_EXIT, entry, override_argument, say, train_command
from .train import CHOICES

log = logging.getLogger("monkeys")

SIGTERM_EXIT = 143
_NAMED_HERE = ("run.name", "run.dir")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(
        prog="sweep", description="Train configurations in turn; repeated, it goes on where it stopped."
    )
    parse.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="YAML configurations")
    override_argument(parse)
    parse.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the runs and of the table")
    return parse


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Train each, then write the table; the exit code is that of the first that did not finish."""
    args = parser().parse_args(argv)
    _check(args.configs, args.override, args.out)
    atomic.refuse_foreign(args.out, ["sweep.csv"], ["sweep.csv", "sweep.png", "sweep.md"], "sweep")
    atomic.make_folder(args.out)
    codes: dict[str, int] = {}
    for number, path in enumerate(args.configs, start=1):
        log.info("%d/%d %s", number, len(args.configs), path)
        settings = [*args.override, *_name_and_folder(path, args.out)]
        name = run_name(path)
        codes[name] = run_alone(train_command(["-c", str(path), "--resume", "auto", "-o", *settings]))
        if codes[name] in (SIGINT_EXIT, SIGTERM_EXIT):
            log.warning("the same sweep command goes on from there")
            return codes[name]
    if set(codes.values()) == {WRONG_INPUT}:
        raise UserError(
            "nothing was trained: each configuration's reason stands above; "
            "settings that differ from those of an earlier sweep need another --out"
        )
    from ..reports.sweep import write_sweep

    page = write_sweep(args.out, {name: _state(code) for name, code in codes.items()})
    say(page.read_text(encoding="utf-8"))
    say(f"written: {page}")
    return next((code for code in codes.values() if code != DONE), DONE)


def _name_and_folder(config: Path, out: Path) -> list[str]:
    return [f"run.name={run_name(config)}", f"run.dir={out}"]


def _check(configs: Sequence[Path], overrides: Sequence[str], out: Path) -> None:
    twice = [name for name, count in Counter(map(run_name, configs)).items() if count > 1]
    if twice:
        raise UserError(f"two configurations are named {twice[0]}: each becomes the run folder of its name")
    own = [text for text in overrides if text.partition("=")[0] in _NAMED_HERE]
    if own:
        raise UserError(f"-o {own[0]}: a sweep names its runs itself, after the configurations, inside --out")
    for path in configs:  # all of them, before the first is trained
        load_config(path, [*overrides, *_name_and_folder(path, out)], CHOICES)


def _state(code: int) -> str:
    return "finished" if code == DONE else f"failed, exit code {code}"
