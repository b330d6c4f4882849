"""Text of untold encoding, as old archives and spreadsheets have it."""

from __future__ import annotations

import re

# bytes of Western words that happen to be a Chinese character stand beside Latin letters
_MIXED = re.compile(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]")


def decoded(raw: bytes) -> str | None:
    """UTF-8, or the common Chinese characters of older Windows; None where it is neither."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        chinese = raw.decode("gb2312")
    except UnicodeDecodeError:
        return None
    return None if _MIXED.search(chinese) else chinese
