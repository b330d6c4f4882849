"""The console command: the tools under one name, quick to answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monkeys.cli import console
from monkeys.cli import eval as eval_command

ROOT = Path(__file__).parents[1]


def test_every_tool_is_a_command():
    tools = {path.stem.replace("_", "-") for path in (ROOT / "tools").glob("*.py")}
    assert tools == set(console.COMMANDS)


def test_help_names_every_command_and_imports_none():
    program = (
        "import sys; from monkeys.cli.console import main\n"
        "code = main(['--help'])\n"
        "heavy = {'numpy', 'pydantic', 'paddle', 'cv2', 'monkeys.cli.train'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in console.COMMANDS)


def test_no_command_prints_the_list_and_fails(capsys):
    assert console.main([]) == 2
    assert "usage: monkeys COMMAND" in capsys.readouterr().out


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    assert console.main(["trian"]) == 2
    assert "nearest: train" in capsys.readouterr().err


def test_arguments_and_exit_codes_go_through(capsys):
    assert console.main(["train", "--list", "schedules"]) == 0
    assert "cosine" in capsys.readouterr().out
    assert console.main(["eval", str(ROOT / "nowhere")]) == 2
    assert "no such run folder" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["paddle", "gradio"])
def test_a_missing_library_is_named_where_it_can_be_installed(monkeypatch, capsys, missing):
    class Command:
        @staticmethod
        def main(arguments: list[str]) -> int:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(console.importlib, "import_module", lambda *names: Command)
    if missing == "paddle":
        assert console.main(["train"]) == 2
        assert "pip install paddlepaddle" in capsys.readouterr().err
    else:
        with pytest.raises(ModuleNotFoundError):
            console.main(["train"])


def test_a_tool_names_a_missing_paddle_as_well(monkeypatch, capsys, tmp_path):
    (tmp_path / "best.safetensors").touch()
    monkeypatch.setitem(sys.modules, "paddle", None)
    assert eval_command.main([str(tmp_path)]) == 2
    assert "pip install paddlepaddle" in capsys.readouterr().err
