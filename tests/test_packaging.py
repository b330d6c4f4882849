"""What is installed: requirements, constraints and the package say the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, str]:
    """Package -> exact version of the lines `package==version` of a file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = (re.fullmatch(r"([\w.-]+)==([\w.+!]+)", line.strip()) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def test_constraints_hold_every_requirement_at_its_pin():
    constraints = pinned("constraints.txt")
    for name in ("requirements-base.txt", "requirements.txt", "requirements-dev.txt"):
        assert pinned(name).items() <= constraints.items()
        text = (ROOT / name).read_text(encoding="utf-8")
        wanted = re.findall(r"^([A-Za-z][\w.-]*)", text, re.MULTILINE)
        missing = {package.lower().replace("_", "-") for package in wanted} - constraints.keys()
        assert not missing, name


def test_the_package_asks_for_the_same_paddle_as_the_requirements():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, extra in (("requirements.txt", "cpu"), ("requirements-gpu.txt", "gpu")):
        (paddle, version), *_ = (item for item in pinned(name).items() if item[0].startswith("paddle"))
        assert f'{extra} = ["{paddle}=={version}"]' in project


def test_the_scripts_are_bash():
    for script in sorted((ROOT / "tools").glob("*.sh")):
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_matrix_names_a_missing_interpreter_and_an_unknown_corner(tmp_path):
    script = str(ROOT / "tools" / "matrix.sh")
    for environment, words in (
        ({"CORNERS": "py310", "PYTHON310": str(tmp_path / "none")}, "PYTHON310="),
        ({"CORNERS": "py27"}, "no corner py27"),
    ):
        done = subprocess.run(
            ["bash", script], env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert words in done.stderr
