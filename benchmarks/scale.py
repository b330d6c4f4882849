"""How time and memory grow with the number of images: audit, grouping, manifest, picture cache, one loader epoch.

    python benchmarks/scale.py --images 1000 10000 [--folder DIR]

Draws that many small JPEG files (one in twenty is a re-encoded copy) into a temporary folder, runs every stage in a
process of its own, and prints a Markdown table: seconds, seconds of all processors (which a busy machine changes less;
for grouping they include making its signatures), and the peak of resident memory, workers included. Grouping alone is
also run on generated signatures, so that `--images 100000 --stages grouping` needs no files. 100,000 images take about
half a gigabyte of disk.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CLASSES, SIZE, BATCH = 10, 64, 128


def draw(root: Path, images: int, first: int, step: int) -> None:
    """Every step-th image: shapes of several sizes, about 5 kB as JPEG; each twentieth repeats another."""
    for index in range(first, images, step):
        copy = index % 20 == 19
        rng = np.random.default_rng(index - CLASSES if copy else index)
        image = np.zeros((96, 128, 3), np.float32)
        for cells in (3, 6, 12, 24):
            coarse = rng.normal(0, 60, (cells, cells, 3)).astype(np.float32)
            image += cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC)
        path = root / f"training/n{index % CLASSES}/{index:07d}.jpg"
        pixels = np.clip(image + 128, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 50 if copy else 85])


def draw_all(root: Path, images: int) -> None:
    """In two processes."""
    for label in range(CLASSES):
        (root / f"training/n{label}").mkdir(parents=True)
    jobs = [multiprocessing.Process(target=draw, args=(root, images, first, 2)) for first in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


def audit_stage(folder: Path, images: int) -> str:
    """Every file read, decoded, described; all compared with all."""
    from monkeys.data.audit import audit

    report = audit(folder / "set", cache_dir=folder / "cache").report()
    assert (report.n_readable, report.n_groups) == (images, images - images // 20)
    return f"{report.n_groups} pictures"


def grouping_stage(folder: Path, images: int) -> str:
    """All compared with all, on generated signatures with five per cent of twins."""
    from monkeys.data.twins import compare

    rng = np.random.default_rng(0)
    signatures = np.empty((images, 24, 24), np.float16)
    for index in range(images):
        coarse = [cv2.resize(rng.normal(0, 40, (n, n)), (24, 24), interpolation=cv2.INTER_CUBIC) for n in (3, 6, 12)]
        signatures[index] = np.clip(sum(coarse) + rng.normal(128, 15, (24, 24)), 0, 255)
    twins = rng.permutation(images)[: images // 10].reshape(2, -1)
    signatures[twins[1]] = np.clip(signatures[twins[0]] + rng.normal(0, 2, (len(twins[1]), 24, 24)), 0, 255)
    start = time.perf_counter()
    groups = len(np.unique(compare(signatures).groups))
    assert groups == images - twins.shape[1]
    return f"{time.perf_counter() - start:.3f}"


def manifest_stage(folder: Path, images: int) -> str:
    """With the audit remembered: list, compare times, draw the split, write the file."""
    from monkeys.data.manifest import build_manifest

    manifest = build_manifest(folder / "set", cache_dir=folder / "cache")
    manifest.write(folder / "manifest.csv")
    return f"{len(manifest.of('val'))} held out"


def cache_stage(folder: Path, images: int) -> str:
    """Every picture decoded, resized, and kept in one file."""
    _open(folder)
    size = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    return f"{size / 1e6:.0f} MB in the cache folder"


def epoch_stage(folder: Path, images: int) -> str:
    """Every picture once, from the cache to normalised batches, in one process."""
    from monkeys.data.dataset import Dataset, as_they_are, plain_collate
    from monkeys.data.image import Preprocess
    from monkeys.data.loader import load, plain_order

    pictures = _open(folder)
    data = Dataset(lambda epoch: pictures, np.zeros(images, np.int64), as_they_are, seed=0)
    collate = plain_collate(Preprocess(SIZE), CLASSES)
    start = time.perf_counter()
    seen = sum(len(batch.labels) for batch in load(data, plain_order(images, BATCH), collate))
    assert seen == images
    return f"{images / (time.perf_counter() - start):.0f} images/s"


def _open(folder: Path):
    from monkeys import runtime
    from monkeys.data.cache import open_pictures
    from monkeys.data.image import Preprocess
    from monkeys.data.manifest import ClassInfo, Manifest

    classes = tuple(ClassInfo(f"n{label}", f"n{label}") for label in range(CLASSES))
    manifest = Manifest.read(folder / "manifest.csv", folder / "set", classes)
    options = {"cache": True, "cache_dir": folder / "cache", "workers": runtime.usable_cores()}
    return open_pictures(manifest.rows, manifest.root, Preprocess(SIZE), **options)


STAGES: dict[str, Callable[[Path, int], str]] = {
    "audit": audit_stage,
    "manifest": manifest_stage,
    "cache": cache_stage,
    "epoch": epoch_stage,
    "grouping": grouping_stage,
}


def measure(stage: str, folder: Path, images: int) -> dict[str, object]:
    """Run a stage in a process of its own; seconds, peak megabytes and a remark."""
    command = [sys.executable, __file__, "--stage", stage, "--images", str(images), "--folder", str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def run_stage(stage: str, folder: Path, images: int) -> None:
    """In the process of its own."""
    from monkeys import runtime

    start = time.perf_counter()
    remark = STAGES[stage](folder, images)
    seconds = float(remark) if stage == "grouping" else time.perf_counter() - start
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "seconds": seconds,
        "cpu": own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime,
        "megabytes": (own.ru_maxrss + workers.ru_maxrss * runtime.usable_cores()) / 1024,
        "remark": "" if stage == "grouping" else remark,
    }
    print(json.dumps(found))


def table(sizes: list[int], stages: list[str], folder: Path) -> None:
    """Measure everything and print rows as they come."""
    print("| images | stage | seconds | processor seconds | peak memory, MB | |\n|---|---|---|---|---|---|", flush=True)
    for images in sizes:
        home = folder / str(images)
        home.mkdir()
        if stages != ["grouping"]:
            draw_all(home / "set", images)
        for stage in stages:
            found = measure(stage, home, images)
            numbers = f"{found['seconds']:.2f} | {found['cpu']:.2f} | {found['megabytes']:.0f}"
            print(f"| {images:,} | {stage} | {numbers} | {found['remark']} |", flush=True)


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--images", type=int, nargs="+", default=[1000, 10_000])
    parse.add_argument("--folder", type=Path, help="where to draw them; default: a temporary folder")
    parse.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parse.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    args = parse.parse_args()
    if args.stage:
        run_stage(args.stage, args.folder, args.images[0])
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        table(args.images, args.stages, Path(folder))


if __name__ == "__main__":
    main()
