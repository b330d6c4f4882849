"""Self-contained HTML pages. The only door to jinja2."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import atomic

AS_PNG = 400_000  # bytes up to which a picture stays as it is
TEMPLATES = Path(__file__).parent / "templates"


def write_page(template: str, context: Mapping[str, Any], path: Path) -> Path:
    """Render a template to a page that opens without a network; everything in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share, digits=1: "–" if share is None else f"{100 * share:.{digits}f} %"
    environment.filters["spaced"] = lambda name: name.replace("_", " ")
    environment.filters["number"] = lambda value: f"{value:,}".replace(",", "\u202f")
    text = environment.get_template(template).render(context)
    atomic.write_bytes(path, text.encode("utf-8", "backslashreplace"))  # a file name need not be text
    return path


def inline(path: Path) -> Markup | None:
    """A PNG as a data URI, or None where there is no such picture; a large one (photographs) becomes a JPEG."""
    if not path.exists():
        return None
    data, kind = path.read_bytes(), "png"
    if len(data) > AS_PNG:
        import cv2

        data, kind = cv2.imencode(".jpg", cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes(), "jpeg"
    return Markup(f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}")
