"""Commands: each module parses a command line and calls one function. What they share stands here."""

from __future__ import annotations

import argparse
import functools
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import atomic, runtime
from ..errors import WRONG_INPUT, TrainingError, UserError

Main = Callable[[Sequence[str] | None], int]

_NEEDS_LESS = (
    "a smaller network, smaller pictures (data.size, data.eval_size) or fewer at a time (train.batch_size) need less"
)
DONE, DEFECT, CANNOT_GO_ON, SIGINT_EXIT = 0, 1, 3, 130


def say(text: str) -> None:
    """A result for the user, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def entry(main: Main) -> Main:
    """Give a command its logging and the project's exit codes."""

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        logging.basicConfig(format="%(message)s", stream=sys.stderr)
        logging.getLogger("monkeys").setLevel(logging.INFO)
        runtime.quieten()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for a terminal that has no Chinese, and no dash
        try:
            return main(argv)
        except UserError as error:
            return _fail(str(error), WRONG_INPUT)
        except TrainingError as error:
            return _fail(str(error), CANNOT_GO_ON)
        except MemoryError:
            return _fail(f"memory ran out: {_NEEDS_LESS}", CANNOT_GO_ON)
        except KeyboardInterrupt:
            return _fail("interrupted", SIGINT_EXIT)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        except OSError as error:
            if error.errno not in atomic.DISK_FAULTS:
                raise
            return _fail(atomic.explain(error, error.filename or "a file"), WRONG_INPUT)
        except ModuleNotFoundError as error:
            if error.name != "paddle":
                raise
            return _fail("Paddle is not installed: pip install paddlepaddle==3.3.1, or the GPU build", WRONG_INPUT)

    return run


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """-c FILE and -o key=value …"""
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML configuration")
    override_argument(parser)


def override_argument(parser: argparse.ArgumentParser) -> None:
    """-o key=value …"""
    parser.add_argument(
        "-o", "--override", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. train.epochs=3"
    )


def existing_run(path: Path) -> Path:
    """The run folder, once it is clear that it holds a trained network."""
    if not path.is_dir():
        raise UserError(f"no such run folder: {path}")
    if not (path / "best.safetensors").exists():
        raise UserError(f"{path} holds no trained network (best.safetensors is missing); train it first")
    return path


def train_command(arguments: Sequence[str]) -> list[str]:
    """This interpreter's command line for training in a process of its own, wherever it is started from."""
    root = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.insert(0, {root!r}); from monkeys.cli.train import main; sys.exit(main())"
    return [sys.executable, "-c", program, *arguments]


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code
