"""The Chinese pages say the same commands and names as the English ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "README.zh-CN.md", "docs/aistudio.md": "docs/aistudio.zh-CN.md"}
COMMANDS = ("git", "bash", "python", "pip", "visualdl", "cd", ".", "PADDLE_DISTRI_BACKEND=gloo", "monkeys")


def code_lines(text: str) -> list[str]:
    """Lines of fenced and indented blocks, without what a # comments."""
    found, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(re.sub(r"\s+#.*", "", line).strip())
    return found


def commands(text: str) -> list[str]:
    return [line for line in code_lines(text) if line.split() and line.split()[0] in COMMANDS]


def files(text: str) -> list[str]:
    """What a listing of a folder names, in order."""
    return re.findall(r"[\w-]+\.(?:csv|json|yaml|html|png|safetensors)\b", "\n".join(code_lines(text)))


def inline(text: str) -> list[str]:
    """Names and options inside sentences, in any order: languages put them in different places."""
    return sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))))


def headings(text: str) -> list[int]:
    """Depths, in order."""
    prose = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return [len(mark) for mark in re.findall(r"^(#+) ", prose, re.MULTILINE)]


@pytest.mark.parametrize(("english", "chinese"), PAGES.items())
def test_pages_are_in_step(english, chinese):
    ours, theirs = ((ROOT / name).read_text(encoding="utf-8") for name in (english, chinese))
    assert commands(theirs) == commands(ours)
    assert len(commands(ours)) >= 8
    assert files(theirs) == files(ours)
    assert inline(theirs) == inline(ours)
    assert headings(theirs) == headings(ours)
    assert sum("\u4e00" <= letter <= "\u9fff" for letter in theirs) > 500


@pytest.mark.parametrize("page", [page for pair in PAGES.items() for page in pair])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_a_changed_command_is_noticed():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert commands(text) != commands(text.replace("--topk 3", "--topk 5"))
    assert inline(text) != inline(text.replace("`--overwrite`", "`--force`"))
