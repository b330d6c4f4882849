"""A few sentences about a set of photographs, computed from its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..data.audit import AuditReport
from ..data.records import Record

BALANCED = 1.5  # largest class against smallest, up to which nothing needs to be done


def conclude(report: AuditReport, records: Sequence[Record]) -> list[str]:
    """What somebody who has never seen the set should know of it."""
    return [
        _balance(report),
        *_splits(report),
        *_sizes(report, records),
        _copies(report),
        *_leaks(report),
        *_trouble(report),
    ]


def _balance(report: AuditReport) -> str:
    names = {label: name.replace("_", " ") for label, name in report.class_names.items()}
    counts = {label: sum(row.values()) for label, row in report.classes.items()}
    large, small = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    if not counts[small]:
        return f"{names[small]} has no readable image."
    if counts[large] == counts[small]:
        return f"All classes have {counts[large]} images."
    ratio = counts[large] / counts[small]
    verdict = "the classes are balanced" if ratio <= BALANCED else "consider train.class_weights=inverse"
    return (
        f"The largest class ({names[large]}, {counts[large]}) has {ratio:.2f} times the images of the "
        f"smallest ({names[small]}, {counts[small]}): {verdict}."
    )


def _splits(report: AuditReport) -> list[str]:
    if any(row.get(split) for row in report.classes.values() for split in ("val", "test")):
        return []
    return ["The set has no validation images of its own; a part of each class is set aside when training starts."]


def usual_size(records: Sequence[Record]) -> str:
    """Which size more than nine tenths of the images have, in words; empty where none is so common."""
    (width, height), count = Counter((r.width, r.height) for r in records).most_common(1)[0]
    common = count > 0.9 * len(records)
    return f"{count} of {len(records)} images have {width} × {height} pixels" if common else ""


def _sizes(report: AuditReport, records: Sequence[Record]) -> list[str]:
    if report.one_size:
        width, height = report.one_size
        return [
            f"Every image has {width} × {height} pixels: they were resized before, and what their shapes were is lost."
        ]
    sentences = []
    if usual := usual_size(records):
        sentences.append(f"{usual}: most were resized before, and what their shapes were is lost.")
    aspects = np.array([r.width / r.height for r in records])
    small = np.mean([r.width < 1000 and r.height < 1000 for r in records])
    between = np.mean((aspects >= 1) & (aspects <= 2))
    sentences.append(
        f"{small:.0%} of the images are below 1000 × 1000 pixels. {between:.0%} are from square to twice as wide as "
        f"high; the narrowest is {aspects.min():.2f} times as wide as high, the widest {aspects.max():.2f} times."
    )
    return sentences


def _copies(report: AuditReport) -> str:
    extra = report.n_readable - report.n_groups
    if not extra:
        return "No picture is there twice."
    near = extra - report.exact_duplicates
    return (
        f"{report.n_readable} files show {report.n_groups} distinct pictures; byte-identical copies beyond the first: "
        f"{report.exact_duplicates}, re-encoded, rescaled, marked or mirrored ones: {near}. A random split of files "
        "would put some pictures on both sides; splits drawn here do not."
    )


def _leaks(report: AuditReport) -> list[str]:
    sentences = []
    for split, name, leaks in (("val", "validation", report.leaks), ("test", "test", report.leaks_test)):
        total = sum(row.get(split, 0) for row in report.classes.values())
        if leaks:
            sentences.append(
                f"{len(leaks)} of {total} {name} images ({len(leaks) / total:.0%}) show a picture that training "
                "also has: look at the leak-free accuracy."
            )
    return sentences


def _trouble(report: AuditReport) -> list[str]:
    sentences = []
    if report.unreadable:
        sentences.append(
            f"Files that cannot be read: {len(report.unreadable)}. Training refuses to start unless told to skip them."
        )
    if report.odd:
        kinds = Counter(item["kind"] for item in report.odd)
        listed = ", ".join(f"{count} {kind.replace('-', ' ')}" for kind, count in kinds.most_common())
        sentences.append(f"Odd, but usable: {listed}.")
    if report.label_conflicts:
        sentences.append(
            f"Pictures that carry more than one label: {len(report.label_conflicts)}. Somebody should look at them."
        )
    return sentences or ["Every file can be read, and none is odd."]
