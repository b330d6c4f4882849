"""What `data.exclude` leaves out: paths, patterns of paths, and plain names wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath


class Exclusion:
    """Whether paths are left out, and which of the patterns were of use. A folder stands for all in it."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._given = {pattern.rstrip("/"): pattern for pattern in patterns}
        self._wild = [pattern for pattern in self._given if any(character in pattern for character in "*?[")]
        self._used: set[str] = set()

    def matches(self, path: str) -> bool:
        """path: relative to the source's folder, posix."""
        if not self._given:
            return False
        paths = [path, *(str(parent) for parent in PurePosixPath(path).parents if parent.name)]
        found = {*paths, *PurePosixPath(path).parts} & self._given.keys()  # taken as they stand, brackets and all
        found |= {pattern for pattern in self._wild if any(fnmatchcase(one, pattern) for one in paths)}
        self._used |= found
        return bool(found)

    @property
    def unused(self) -> list[str]:
        """The patterns that nothing has matched so far, as they were given."""
        return [given for pattern, given in self._given.items() if pattern not in self._used]
