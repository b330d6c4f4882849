"""Names of classes from a table beside them, such as the ten monkeys' `monkey_labels.txt`."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UserError
from .encodings import decoded

TABLES = ("monkey_labels.txt", "labels.txt", "label_list.txt", "labels.csv", "classes.txt")
_ID_TITLES = {"label", "id", "class", "class_id", "folder"}


def read_names(folders: Iterable[Path], ids: Sequence[str]) -> dict[str, str]:
    """Class id -> name by the first table in these folders that knows any of the ids, else the id itself.

    Where several classes have one name, as people read it, each name has its id behind it.
    """
    names = {label: label for label in ids} | _from_tables(folders, ids)
    counts = Counter(name.replace("_", " ") for name in names.values())
    return {
        label: name if counts[name.replace("_", " ")] == 1 else f"{name} ({label})" for label, name in names.items()
    }


def without_id(name: str, label: str) -> str:
    """A class's name without the id that was put behind it where several have that name."""
    return name.removesuffix(f" ({label})")


def _from_tables(folders: Iterable[Path], ids: Sequence[str]) -> dict[str, str]:
    for folder in folders:
        for table in TABLES:
            names = parse_table((folder / table).read_bytes()) if (folder / table).is_file() else {}
            known = {label: names[label] for label in ids if names.get(label)}
            if known:
                return known
    return {}


def check_names(root: Path, labels: Iterable[str], paths: Iterable[str]) -> None:
    """UserError for a name that the run's tables could not keep, before anything is read or written."""
    for label in labels:
        try:
            label.encode()
        except UnicodeEncodeError:
            raise UserError(f"{root}: the class {label!r} has a name that is not valid UTF-8: rename it") from None
    unfit = next((path for path in paths if "\r" in path), None)
    if unfit is not None:
        raise UserError(f"{root}: {unfit!r} has a carriage return in its name: rename it")


def parse_table(data: bytes) -> dict[str, str]:
    """Id -> name of a table with commas or blanks, with or without titles, padded, with empty lines.

    Of several name columns the common name is taken. Numbers of images are not read: in the ten monkeys' table the
    column "Train Images" counts training and validation together.
    """
    rows = [_cells(line) for line in _text(data).splitlines() if line.strip()]
    if not rows:
        return {}
    titles = [title.lower() for title in rows[0]]
    column = 1
    if titles[0] in _ID_TITLES:
        rows = rows[1:]
        named = [index for index, title in enumerate(titles) if "name" in title]
        column = next((index for index in named if "common" in titles[index]), named[0] if named else 1)
    names = {row[0]: row[column] for row in rows if len(row) > column}
    return {} if all(name.isdecimal() for name in names.values()) else names  # numbers of images


def _text(data: bytes) -> str:
    """As spreadsheets save tables: UTF-8, UTF-16 with its mark, or the Chinese or Western encoding of Windows."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    found = decoded(data)
    if found is not None:
        return found.removeprefix("\ufeff")
    damaged = data.decode("utf-8-sig", errors="replace")
    utf8 = any(character > "\x7f" and character != "\ufffd" for character in damaged)
    return damaged if utf8 else data.decode("cp1252", errors="replace")


def _cells(line: str) -> list[str]:
    """Cells without padding, divided at tabs or commas (quoted ones are kept), else at the first blank.

    The ten monkeys' own table pads its cells with tabs, so that a tab counts where it divides what the comma does not.
    """
    line = line.strip()
    if "\t" in line.partition(",")[0].strip():
        cells = line.split("\t")
    elif "," in line:
        cells = next(csv.reader([line], skipinitialspace=True))
    else:
        return line.split(None, 1)
    return [cell.strip() for cell in cells]
