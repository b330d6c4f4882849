"""The commands that documents, headers and docstrings show: scripts, options, configurations and settings exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from monkeys.config import load_config

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
HEADERS = [*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("benchmarks/studies/*.yaml")]
SCRIPTS = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("benchmarks/*.sh")]
COMMAND = re.compile(r"(?:python3?|--nproc_per_node \d) ((?:tools|benchmarks)/\w+\.py\b.*)")
FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def shown(path: Path) -> list[str]:
    """Commands of a page (in backticks, fenced or indented), of a header (after #) or of a docstring (indented)."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [line for block in FENCED.findall(text) for line in block.splitlines()]
    spans = re.findall(r"`([^`]+)`", FENCED.sub("", text)) if path.suffix == ".md" else []
    lines = re.findall(r"^(?:#  | {4})(.*)", text, re.MULTILINE)
    found = [COMMAND.search(" ".join(piece.split("\n"))) for piece in spans + lines + fenced]
    return [re.split(r"\s#\s|\s\(", match[1])[0].strip() for match in found if match]


COMMANDS = sorted({command for path in PAGES + HEADERS + SCRIPTS for command in shown(path)})
TRAININGS = [command for command in COMMANDS if re.match(r"tools/train\.py -c (configs|benchmarks)/", command)]


def options(script: str) -> str:
    """Source of what reads a script's options."""
    name = Path(script).name
    readers = [ROOT / script, ROOT / "benchmarks/training_part.py"]
    if script.startswith("tools/"):
        readers = [ROOT / "monkeys/cli" / name, ROOT / "monkeys/cli/__init__.py"]
    return "\n".join(path.read_text(encoding="utf-8") for path in readers)


def test_there_are_commands_to_look_at():
    assert len(COMMANDS) > 60
    assert {command.split()[0] for command in COMMANDS} >= {"tools/train.py", "tools/eval.py", "benchmarks/study.py"}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_names_exists(command):
    script, *words = shlex.split(command)
    assert (ROOT / script).exists()
    for word in words:
        option = re.match(r"--[a-z][a-z-]+", word)
        assert not option or f'"{option[0]}"' in options(script), option
        if re.fullmatch(r"(configs|benchmarks|tools)/[\w./]+", word):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("command", TRAININGS)
def test_settings_are_accepted(command):
    words = shlex.split(command)
    overrides = [word for word in words[3:] if re.match(r"[a-z_]+\.[a-z0-9_.]+=", word)]
    assert load_config(ROOT / words[2], overrides, {})
