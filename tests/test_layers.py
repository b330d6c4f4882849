"""Imports point one way, and every large library has one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monkeys"

# left may be imported by right; rooms of one group do not see each other except in the given order
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "paths", "atomic", "numpy_compat", "progress", "settings", "config", "runtime", "launch"),
    ("data", "augment", "models", "optim"),
    ("evaluation",),
    ("training",),
    ("serving",),
    ("reports",),
    ("photographs", "pretrained", "assessment", "parts", "dashboard", "experiment"),
    ("cli",),
)
ORDER = {room: (level, place) for level, rooms in enumerate(LAYERS) for place, room in enumerate(rooms)}
DOORS = {
    "imgaug": ("augment/",),
    "visualdl": ("training/runlog.py",),
    "matplotlib": ("reports/plots",),
    "jinja2": ("reports/page.py",),
    "pydantic": ("settings.py", "config.py"),
    "yaml": ("config.py",),
    "gradio": ("serving/demo.py",),
    "tqdm": ("progress.py",),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(dotted name, is ours) of every import in a module, relative ones made absolute."""
    here = ("monkeys", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name.startswith("monkeys")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = here[: len(here) - node.level] if node.level else ()
            base = ".".join((*package, node.module or "")).strip(".")
            for alias in node.names:
                yield f"{base}.{alias.name}", base.startswith("monkeys")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_point_one_way():
    wrong = []
    for path in modules():
        if path == PACKAGE / "__init__.py":
            continue
        for name, ours in imports(path):
            parts = name.split(".")
            if not ours or len(parts) < 2 or parts[1] == room(path):
                continue
            if ORDER[parts[1]] >= ORDER[room(path)]:  # sideways only in the order above
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_every_library_has_one_door():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name, ours in imports(path)
        if not ours and name.split(".")[0] in DOORS
        if not str(path.relative_to(PACKAGE)).startswith(DOORS[name.split(".")[0]])
    ]
    assert not wrong


def test_importing_the_package_does_nothing():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body)


def test_no_circles_between_siblings():
    for folder in sorted({path.parent for path in modules()} - {PACKAGE}):
        dotted = ".".join(("monkeys", *folder.relative_to(PACKAGE).parts))
        names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        graph = {
            name: {
                part[len(dotted) + 1 :].split(".")[0]
                for part, _ in imports(folder / f"{name}.py")
                if part.startswith(dotted + ".")
            }
            & names - {name}
            for name in names
        }
        while graph:
            free = {name for name, needs in graph.items() if not needs & graph.keys()}
            assert free, f"circle in {dotted}: {sorted(graph)}"
            graph = {name: needs for name, needs in graph.items() if name not in free}
