"""Exploration: one page about a set of photographs, with the table behind every picture."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from .. import atomic
from ..augment import RECIPES, build_recipe
from ..data.audit import Audit, AuditReport, audit
from ..data.image import ImageError, decode
from ..data.records import Record
from ..errors import UserError
from ..progress import progress
from . import plots_dataset, plots_sheets
from .conclusions import conclude, usual_size
from .page import inline, write_page

PER_CLASS, CLASSES_SHOWN, VERSIONS, TWINS_SHOWN = 6, 12, 6, 12
PICTURES = ("labels", "sizes", "file_sizes", "samples", "colours", "augmented", "twins")
TABLES = ("audit.json", "explore.html", "labels.csv", "images.csv", "twins.csv")
THUMBNAIL = 192  # pixels
AUGMENTED = 224  # pixels: what recipes are written for

Labelled = Sequence[tuple[str, str, Record]]  # (class id, split, record)


def explore(source: Path, out: Path, *, cache_dir: Path, workers: int, seed: int = 0) -> Path:
    """Audit a folder, archive or list file and write explore.html with all that belongs to it; returns the page."""
    atomic.refuse_foreign(out, ["audit.json"], [*(f"{name}.png" for name in PICTURES), *TABLES], "exploration")
    examined = audit(source, cache_dir=cache_dir, workers=workers)
    report = examined.report()
    if not report.n_readable:
        raise UserError(f"{source}: no readable image among {report.n_files} files")
    images = [
        (entry.label, entry.split or "train", record)
        for entry, record in zip(examined.source.entries, examined.records, strict=True)
        if record.readable
    ]
    atomic.make_folder(out)
    steps = (_tables, _labels, _sizes, _files_and_colours, _samples, _augmented, _twins)
    for step in progress(steps, desc="drawing", unit="picture"):
        step(examined, report, images, out, np.random.default_rng(seed))
    return _page(source, report, images, out)


def _tables(examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator) -> None:
    atomic.write_json(out / "audit.json", report.to_json())
    rows = [
        [r.path, label, split, r.width, r.height, r.bytes, r.format, r.mode, *(f"{c:.4f}" for c in r.colour)]
        for label, split, r in images
    ]
    head = ["path", "label", "split", "width", "height", "bytes", "format", "mode", "red", "green", "blue"]
    _csv(out / "images.csv", head, rows)
    pairs = [[p["first"], p["second"], p["correlation"], p["mirrored"]] for p in report.near_duplicates]
    _csv(out / "twins.csv", ["first", "second", "correlation", "mirrored"], pairs)


def _labels(examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator) -> None:
    plots_dataset.labels_per_class(_named(report), out / "labels.png")
    rows = [
        [label, report.class_names[label], split, n]
        for label, row in report.classes.items()
        for split, n in row.items()
    ]
    _csv(out / "labels.csv", ["label", "name", "split", "images"], rows)


def _sizes(examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator) -> None:
    points: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, split, record in images:
        points[split].append((record.width, record.height))
    small = np.mean([record.width < 1000 and record.height < 1000 for _, _, record in images])
    caption = usual_size([record for _, _, record in images]) or f"{small:.0%} are below 1000 × 1000"
    if report.one_size:
        caption = f"every image has {report.one_size[0]} × {report.one_size[1]} pixels"
    shown: dict[str, list[tuple[int, int]]] = {
        split: points[split] for split in ("train", "val", "test") if split in points
    }
    plots_dataset.sizes(shown, f"Image sizes: {caption}", out / "sizes.png")


def _files_and_colours(
    examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator
) -> None:
    plots_dataset.file_sizes([record.bytes / 1000 for _, _, record in images], out / "file_sizes.png")
    names = report.class_names
    means: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for label, _, record in images:
        means[names[label]].append(record.colour)
    plots_dataset.colours({name: np.array(values) for name, values in means.items()}, out / "colours.png")


def _samples(examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator) -> None:
    """A row of random images per class; of very many classes, a random dozen."""
    classes = list(report.classes)
    shown = sorted(rng.permutation(len(classes))[:CLASSES_SHOWN])
    pictures, captions = [], []
    for label in (classes[index] for index in shown):
        records = [record for found, _, record in images if found == label]
        chosen = [records[index] for index in rng.permutation(len(records))[:PER_CLASS]]
        pictures += [_thumbnail(examined.source.root / record.path) for record in chosen]
        captions += [_spaced(report.class_names[label]) for _ in chosen]
        blank = PER_CLASS - len(chosen)
        pictures += [np.full((THUMBNAIL, THUMBNAIL, 3), 255, np.uint8)] * blank
        captions += [""] * blank
    title = f"Random images of {len(shown)} of {len(classes)} classes" if len(shown) < len(classes) else "Random images"
    plots_sheets.sheet(pictures, captions, out / "samples.png", columns=PER_CLASS, title=title)


def _augmented(examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator) -> None:
    """One image as every recipe shows it."""
    _, _, record = images[int(rng.integers(len(images)))]
    original = cv2.resize(
        decode(examined.source.root / record.path), (AUGMENTED, AUGMENTED), interpolation=cv2.INTER_AREA
    )
    pictures, captions = [], []
    for name in RECIPES:
        if name == "none":  # is the first column
            continue
        augment = build_recipe(name)
        pictures += [original] + [augment(original, np.random.default_rng([7, version])) for version in range(VERSIONS)]
        captions += [f"{name}: original"] + [f"{name} {version + 1}" for version in range(VERSIONS)]
    plots_sheets.sheet(pictures, captions, out / "augmented.png", columns=VERSIONS + 1, title="One image, augmented")


def _twins(examined: Audit, report: AuditReport, images: Labelled, out: Path, rng: np.random.Generator) -> None:
    """The least alike of the pairs that count as one picture."""
    (out / "twins.png").unlink(missing_ok=True)
    pairs = sorted(examined.twins, key=lambda pair: pair.correlation)[:TWINS_SHOWN]
    if not pairs:
        return
    root = examined.source.root
    pictures = [_thumbnail(root / path) for pair in pairs for path in (pair.first, pair.second)]
    captions = [
        f"pair {number}: {Path(path).name}\ncorrelation {pair.correlation:.3f}{', mirrored' if pair.mirrored else ''}"
        for number, pair in enumerate(pairs, 1)
        for path in (pair.first, pair.second)
    ]
    plots_sheets.sheet(pictures, captions, out / "twins.png", columns=6, title="Pairs that show the same photograph")


def _page(source: Path, report: AuditReport, images: Labelled, out: Path) -> Path:
    conflicts = [
        (" · ".join(i["path"] for i in group), "one picture, several labels") for group in report.label_conflicts
    ]
    context = {
        "title": f"Exploration of {source.name}",
        "source": str(source),
        "report": report,
        "held_out": any(split != "train" for _, split, _ in images),
        "conclusions": conclude(report, [record for _, _, record in images]),
        "pictures": {name: inline(out / f"{name}.png") for name in PICTURES},
        "lists": [
            ("Unreadable files", [(item["path"], item["reason"]) for item in report.unreadable]),
            ("Odd files", [(item["path"], item["reason"]) for item in report.odd]),
            ("Validation images that training has too", [(i["val"], f"as {i['train']}") for i in report.leaks]),
            ("Test images that training has too", [(i["test"], f"as {i['train']}") for i in report.leaks_test]),
            ("One picture, several labels", conflicts),
        ],
    }
    return write_page("explore.html", context, out / "explore.html")


def _named(report: AuditReport) -> dict[str, dict[str, int]]:
    """Counts by class name."""
    return {name: report.classes[label] for label, name in report.class_names.items()}


def _thumbnail(path: Path) -> np.ndarray:
    try:
        image = decode(path)
    except ImageError:  # gone since it was examined
        return np.full((THUMBNAIL, THUMBNAIL, 3), 128, np.uint8)
    scale = min(1.0, THUMBNAIL / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    atomic.write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))
