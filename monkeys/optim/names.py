"""One way to refuse a name that no table holds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ..errors import UserError


def known(kind: str, name: str, table: Mapping[str, object]) -> None:
    """Raise UserError, with the nearest name and all of them, where the table has no such name."""
    if name not in table:
        near = difflib.get_close_matches(name, list(table), n=1, cutoff=0.0)[0]
        raise UserError(f"no {kind} {name!r} (nearest: {near}; known: {', '.join(table)})")
