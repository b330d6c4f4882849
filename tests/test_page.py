from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from monkeys.reports import page
from monkeys.reports.page import inline, write_page


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the package's templates."""
    monkeypatch.setattr(page, "TEMPLATES", tmp_path)
    return tmp_path


def rendered(folder: Path, template: str, **context: object) -> str:
    (folder / "t.html").write_text(template, encoding="utf-8")
    return write_page("t.html", context, folder / "page.html").read_text(encoding="utf-8")


def test_whatever_comes_from_outside_is_escaped(templates):
    assert "<script>" not in rendered(templates, "{{ name }}", name="<script>alert(1)</script>")
    assert rendered(templates, '<a title="{{ name }}">', name='" onclick="x') == '<a title="&#34; onclick=&#34;x">'


def test_a_forgotten_value_is_an_error_not_a_gap(templates):
    with pytest.raises(UndefinedError):
        rendered(templates, "{{ forgotten }}")


def test_numbers_are_written_for_people(templates):
    assert (
        rendered(templates, "{{ 0.98765 | percent }} {{ none | percent }} {{ 12345 | number }}")
        == "98.8 % – 12\u202f345"
    )


def test_file_names_that_are_no_text_can_be_shown(templates):
    assert rendered(templates, "{{ name }}", name="a\udcffb.jpg") == r"a\udcffb.jpg"


def test_the_package_carries_its_templates():
    assert {path.name for path in page.TEMPLATES.glob("*.html")} >= {"base.html", "explore.html", "run.html"}


def test_nothing_is_fetched_from_elsewhere():
    for template in page.TEMPLATES.glob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"https?://|<script|<link|@import|url\(", text), template.name


def test_a_plot_is_inlined_as_it_is(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    kind, _, data = str(inline(tmp_path / "a.png")).partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == (tmp_path / "a.png").read_bytes()


def test_photographs_are_inlined_smaller_and_look_the_same(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (700, 700), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    kind, _, data = str(inline(tmp_path / "a.png")).partition(",")
    assert kind == "data:image/jpeg;base64"
    assert len(base64.b64decode(data)) < (tmp_path / "a.png").stat().st_size / 2
    back = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back.astype(int) - picture).mean() < 6


def test_a_picture_that_is_not_there_is_none(tmp_path):
    assert inline(tmp_path / "none.png") is None
