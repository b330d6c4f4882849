"""The console command `monkeys COMMAND …`: the same main functions as `tools/COMMAND.py`, imported when asked for."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

from ..errors import WRONG_INPUT, UserError
from . import DONE, entry, say

COMMANDS: dict[str, str] = {
    "prepare": "copy photographs into training, validation and test folders, or draw the sample set",
    "explore": "what is in a set of photographs: copies, odd files, sizes, examples",
    "train": "train a classifier, or go on with one",
    "eval": "examine a trained network on images with known classes",
    "predict": "name what is in photographs",
    "export": "hand a network to other programs",
    "sweep": "train several configurations, one after the other",
    "compare": "put runs side by side",
    "compare-optimizers": "every optimizer on the Iris data",
    "bench": "speed, each figure as a ratio against a reference",
    "demo": "a page to try a network in the browser",
}


@entry
def main(argv: Sequence[str] | None = None) -> int:
    """Hand over to the command; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        say(usage())
        return DONE if arguments else WRONG_INPUT
    if arguments[0] == "--version":
        say(f"monkeys {importlib.metadata.version('monkeys')}")
        return DONE
    return _run(arguments[0], arguments[1:])


def usage() -> str:
    """The commands, one a line."""
    lines = [f"  {name:20}{summary}" for name, summary in COMMANDS.items()]
    return "\n".join(["usage: monkeys COMMAND …    (monkeys COMMAND --help says more)", "", *lines])


def _run(name: str, arguments: Sequence[str]) -> int:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)[0]
        raise UserError(f"no command {name!r} (nearest: {near}; known: {', '.join(COMMANDS)})")
    module = importlib.import_module(f".{name.replace('-', '_')}", __package__)
    code: int = module.main(arguments)
    return code
