"""What is wrong with a set of photographs: unreadable and odd files, copies, twins, leaks, double labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import runtime
from ..paths import as_text
from .layout import Entry, Source, read_source
from .look import examine
from .records import Record, Store
from .signatures import SIDE
from .twins import Comparison, Pair, compare

_METHOD = 2  # raised when pictures would be grouped differently


@dataclass(frozen=True, slots=True)
class Linked:
    """Two files whose pictures are twins or look alike."""

    first: str
    second: str
    correlation: float
    mirrored: bool


@dataclass(frozen=True)
class Audit:
    """A source, examined. records and groups: one per entry; the group of an unreadable file is empty."""

    source: Source
    records: tuple[Record, ...]
    groups: tuple[str, ...]
    twins: tuple[Linked, ...]
    look_alikes: tuple[Linked, ...]

    def report(self) -> AuditReport:
        """The findings."""
        return _report(self)


@dataclass(frozen=True)
class AuditReport:
    """The findings as plain values; `to_json` gives audit.json.

    exact_duplicates: byte-identical copies beyond the first; n_groups: distinct pictures; leaks: every validation
    picture that is also in training, with one of its twins there; near_duplicates: the pairs that joined groups;
    look_alikes: pairs that were not joined, nearest first, for people to judge; label_conflicts: pictures that carry
    several labels; largest_group: files that show one picture.
    """

    n_files: int
    n_readable: int
    unreadable: list[dict[str, str]]
    odd: list[dict[str, str]]
    exact_duplicates: int
    n_groups: int
    leaks: list[dict[str, str]]
    classes: dict[str, dict[str, int]]
    class_names: dict[str, str]
    leaks_test: list[dict[str, str]]
    copies: list[list[str]]
    near_duplicates: list[dict[str, Any]]
    look_alikes: list[dict[str, Any]]
    label_conflicts: list[list[dict[str, str]]]
    largest_group: int
    one_size: list[int] | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; file names that are no text are escaped."""
        return _text(asdict(self))


def audit(root: Path, *, cache_dir: Path, workers: int = 0, exclude: Sequence[str] = ()) -> Audit:
    """Examine a folder, archive or list file; what has not changed since the last time is taken from the cache.

    workers: processes that read; 0: one per usable core. Raises UserError where there is no such source.
    """
    source = read_source(root, cache_dir, exclude)
    place = Store.path(source.root, cache_dir)
    store = Store.load(place)
    paths = list(dict.fromkeys(entry.path for entry in source.entries))
    changed = examine(source.root, paths, store, workers or runtime.usable_cores())
    changed |= _compare(store, paths)
    if changed:
        store.save(place)
    return _audit(source, tuple(store.records[entry.path] for entry in source.entries), store.comparison)


def _compare(store: Store, paths: Sequence[str]) -> bool:
    """Bring the store's comparison of these pictures up to date; True where it had to be made anew."""
    first: dict[str, str] = {}
    for path in paths:
        if store.records[path].readable:
            first.setdefault(store.records[path].digest, path)
    digests = sorted(first)
    key = hashlib.sha256(f"{_METHOD} {' '.join(digests)}".encode()).hexdigest()
    if store.comparison.get("key") == key:
        return False
    signatures = [store.signatures[first[digest]] for digest in digests]
    comparison = compare(np.stack(signatures) if signatures else np.empty((0, SIDE, SIDE), np.float16))
    store.comparison = {"key": key, **_by_digest(comparison, digests)}
    return True


def _by_digest(comparison: Comparison, digests: list[str]) -> dict[str, Any]:
    """In terms of content, whatever the files are called: groups larger than one, and pairs."""
    members: dict[int, list[str]] = defaultdict(list)
    for digest, group in zip(digests, comparison.groups.tolist(), strict=True):
        members[group].append(digest)

    def listed(pairs: Iterable[Pair]) -> list[list[Any]]:
        return [[digests[p.first], digests[p.second], round(p.correlation, 4), p.mirrored] for p in pairs]

    return {
        "groups": [group for group in members.values() if len(group) > 1],
        "twins": listed(comparison.twins),
        "look_alikes": listed(comparison.look_alikes),
    }


def _audit(source: Source, records: tuple[Record, ...], comparison: dict[str, Any]) -> Audit:
    """Digests back to files. A group is called after the smallest digest in it."""
    name = {digest: min(group) for group in comparison["groups"] for digest in group}
    groups = tuple(name.get(r.digest, r.digest)[:16] if r.readable else "" for r in records)
    path: dict[str, str] = {}
    for record in records:
        path.setdefault(record.digest, record.path)

    def linked(pairs: list[list[Any]]) -> tuple[Linked, ...]:
        return tuple(Linked(path[a], path[b], correlation, mirrored) for a, b, correlation, mirrored in pairs)

    return Audit(source, records, groups, linked(comparison["twins"]), linked(comparison["look_alikes"]))


def _report(audit: Audit) -> AuditReport:
    files = {record.path: record for record in audit.records}
    readable = [record for record in files.values() if record.readable]
    copies: dict[str, list[str]] = defaultdict(list)
    for record in readable:
        copies[record.digest].append(record.path)
    members: dict[str, list[tuple[Entry, Record]]] = defaultdict(list)
    for entry, record, group in zip(audit.source.entries, audit.records, audit.groups, strict=True):
        if record.readable:
            members[group].append((entry, record))
    sizes = {(record.width, record.height) for record in readable}
    return AuditReport(
        n_files=len(files),
        n_readable=len(readable),
        unreadable=[{"path": r.path, "reason": r.reason} for r in files.values() if not r.readable],
        odd=[{"path": r.path, "kind": kind, "reason": text} for r in readable for kind, text in r.odd],
        exact_duplicates=len(readable) - len(copies),
        n_groups=len(members),
        leaks=_leaks(members.values(), "val"),
        classes=_counts(audit),
        class_names={info.id: info.name for info in audit.source.classes},
        leaks_test=_leaks(members.values(), "test"),
        copies=[paths for paths in copies.values() if len(paths) > 1],
        near_duplicates=[asdict(pair) for pair in audit.twins],
        look_alikes=[asdict(pair) for pair in audit.look_alikes],
        label_conflicts=_conflicts(members.values()),
        largest_group=max((len({record.path for _, record in group}) for group in members.values()), default=0),
        one_size=list(sizes.pop()) if len(sizes) == 1 else None,
    )


def _leaks(groups: Iterable[list[tuple[Entry, Record]]], split: str) -> list[dict[str, str]]:
    """Each picture of a split that training has too, beside its copy there or else its first twin."""
    leaks = []
    for group in groups:
        training = [(entry.path, record.digest) for entry, record in group if entry.split in ("train", "")]
        for entry, record in group:
            if training and entry.split == split:
                twin = next((path for path, digest in training if digest == record.digest), training[0][0])
                leaks.append({"train": twin, split: entry.path})
    return leaks


def _conflicts(groups: Iterable[list[tuple[Entry, Record]]]) -> list[list[dict[str, str]]]:
    several = (group for group in groups if len({entry.label for entry, _ in group}) > 1)
    return [[{"path": entry.path, "label": entry.label} for entry, _ in group] for group in several]


def _counts(audit: Audit) -> dict[str, dict[str, int]]:
    """Readable images by class and split; without split folders all count as training."""
    counts: dict[str, dict[str, int]] = {info.id: {} for info in audit.source.classes}
    for entry, record in zip(audit.source.entries, audit.records, strict=True):
        if record.readable:
            split = entry.split or "train"
            counts[entry.label][split] = counts[entry.label].get(split, 0) + 1
    return counts


def _text(value: Any) -> Any:
    """Names that are not valid text, with the offending bytes written as escapes."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, dict):
        return {_text(key): _text(item) for key, item in value.items()}
    return [_text(item) for item in value] if isinstance(value, list | tuple) else value
