"""What `tools/bench.py` measures of this project: each probe prints one JSON object of figures.

    python benchmarks/probes.py train --data data/monkeys --processes 2
    python benchmarks/probes.py augment --data data/monkeys --engine fast
    python benchmarks/probes.py feed --data data/monkeys --engine report --processes 2

Every probe runs in a process of its own, so that threads and tuning are those of a user's run.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

Figures = dict[str, float]


def photographs(data: Path) -> list[Path]:
    """All files of a folder, in order."""
    return sorted(
        path for path in data.rglob("*") if path.is_file() and path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )


def train(args: argparse.Namespace) -> Figures:
    """The real loop, `tools/train.py`: images/s and peak memory of a few steps of ResNet-50 on real photographs."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [
            *(f"data.root={args.data}", f"run.dir={folder}", "run.name=probe", f"data.size={args.size}"),
            *(f"train.batch_size={args.batch}", f"train.accumulate={args.accumulate}", f"train.max_steps={args.steps}"),
            *(
                f"train.processes={args.processes}",
                "augment.recipe=light",
                "model.name=resnet50",
                "data.val_fraction=0.02",
            ),
        ]
        command = [sys.executable, str(ROOT / "tools" / "train.py"), "-c", str(ROOT / "configs" / "monkeys_cpu.yaml")]
        started = time.perf_counter()
        done = subprocess.run([*command, "-o", *settings], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr.strip().splitlines()[-1])
        with (Path(folder) / "probe" / "history.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        return {
            "images_per_s": float(last["img_per_s"]),
            "peak_mb": float(last["peak_mb"]),
            "data_wait": float(last["data_wait"]),
            "seconds": time.perf_counter() - started,
        }


def augment(args: argparse.Namespace) -> Figures:
    """Recipe `report` on one core; imgaug's pipeline is built again for every image, as the report did."""
    import cv2

    from monkeys.augment import build_recipe
    from monkeys.data.image import Preprocess, decode

    cv2.setNumThreads(0)
    resize = Preprocess(args.size).resize
    images = [resize(decode(path)) for path in photographs(args.data)[::20]]
    fast = build_recipe("report", "fast")

    def run(count: int) -> float:
        started = time.process_time()
        for index, image in enumerate(islice(cycle(images), count)):
            augmenter = fast if args.engine == "fast" else build_recipe("report", "imgaug")
            augmenter(image, np.random.default_rng([0, index]))
        return count / (time.process_time() - started)

    run(10)
    return {"images_per_s": run(600 if args.engine == "fast" else 150)}


def load(args: argparse.Namespace) -> Figures:
    """Batches of a second epoch from 12-megapixel photographs: from the cache, or read, decoded and resized anew."""
    from monkeys.data.cache import open_pictures
    from monkeys.data.dataset import Dataset, as_they_are, plain_collate
    from monkeys.data.image import Preprocess
    from monkeys.data.loader import load as batches
    from monkeys.data.loader import plain_order

    with tempfile.TemporaryDirectory() as folder:
        rows = list(enlarged(args.data, Path(folder), 24))
        pictures = open_pictures(
            rows, Path(folder), Preprocess(args.size), cache=args.engine == "cached", cache_dir=Path(folder), workers=1
        )
        dataset = Dataset(lambda epoch: pictures, np.zeros(len(rows), np.int64), as_they_are, seed=0)
        collate = plain_collate(Preprocess(args.size), 10)

        def epoch() -> float:
            started = time.perf_counter()
            seen = sum(len(batch.labels) for batch in batches(dataset, plain_order(len(rows), 8), collate))
            return seen / (time.perf_counter() - started)

        epoch()
        return {"images_per_s": epoch()}


def feed(args: argparse.Namespace) -> Figures:
    """Augmented batches of cached photographs, as training gets them: how many images/s so many loader workers give."""
    from monkeys.augment import build_recipe
    from monkeys.data.cache import open_pictures
    from monkeys.data.dataset import Dataset, plain_collate
    from monkeys.data.image import Preprocess
    from monkeys.data.loader import load as batches
    from monkeys.data.loader import plain_order
    from monkeys.data.manifest import Row

    preprocess = Preprocess(args.size)
    rows = [
        Row(str(path.relative_to(args.data)), "n0", "train", "", hashlib.sha256(path.read_bytes()).hexdigest(), 0, 0)
        for path in photographs(args.data)
    ]
    with tempfile.TemporaryDirectory() as folder:
        pictures = open_pictures(rows, args.data, preprocess, cache=True, cache_dir=Path(folder), workers=2)
        dataset = Dataset(lambda epoch: pictures, np.zeros(len(rows), np.int64), build_recipe(args.engine), seed=0)
        size = args.batch * 4 * (3 * args.size**2 + 12) + 64
        stream = batches(
            dataset, plain_order(len(rows), args.batch), plain_collate(preprocess, 10), args.processes, size
        )
        next(stream)
        started = time.perf_counter()
        seen = sum(len(batch.labels) for batch in stream)
        return {"images_per_s": seen / (time.perf_counter() - started)}


def enlarged(data: Path, folder: Path, count: int) -> Iterator:
    """Manifest rows of photographs enlarged to 4000 x 3000 pixels."""
    import cv2

    from monkeys.data.image import decode
    from monkeys.data.manifest import Row

    for index, path in enumerate(photographs(data)[:count]):
        large = cv2.resize(decode(path), (4000, 3000), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{index}.jpg"), large[:, :, ::-1])
        digest = hashlib.sha256((folder / f"{index}.jpg").read_bytes()).hexdigest()
        yield Row(f"{index}.jpg", "n0", "train", str(index), digest, 4000, 3000)


def predict(args: argparse.Namespace) -> Figures:
    """ResNet-50 on batches of 16 pictures: eager, or exported and run by paddle.inference in fp32 or bf16."""
    from monkeys import runtime

    runtime.tune_cpu()
    runtime.import_paddle()
    from monkeys.data.image import Preprocess
    from monkeys.data.manifest import ClassInfo
    from monkeys.models import build_model
    from monkeys.serving.engine import Dygraph, Inference, has_bf16
    from monkeys.serving.formats import WRITERS
    from monkeys.serving.network import Network

    if args.engine == "bf16" and not has_bf16():
        raise SystemExit("this processor has no bfloat16 instructions")
    classes = tuple(ClassInfo(f"n{index}", f"n{index}") for index in range(10))
    model = build_model("resnet50", 10)
    model.eval()
    network = Network(Preprocess(args.size), classes, {"name": "resnet50", "size": args.size}, 1.0, 1, model)
    engine = Dygraph(model)
    with tempfile.TemporaryDirectory() as folder:
        if args.engine != "dygraph":
            WRITERS["paddle"](network, Path(folder), Path(folder))
            engine = Inference(Path(folder), bf16=args.engine == "bf16")
        images = np.random.default_rng(0).normal(size=(args.batch, 3, args.size, args.size)).astype(np.float32)
        return {"images_per_s": repeated(lambda: engine(images), args.batch, args.steps), "peak_mb": peak_mb()}


def start(args: argparse.Namespace) -> Figures:
    """Seconds until `tools/train.py --help` has answered."""
    command = [sys.executable, str(ROOT / "tools" / "train.py"), "--help"]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return {"seconds": time.perf_counter() - started}


def repeated(work: Callable[[], object], images: int, times: int) -> float:
    """Images per second of the work, after one call to warm up."""
    work()
    started = time.perf_counter()
    for _ in range(times):
        work()
    return images * times / (time.perf_counter() - started)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PROBES: dict[str, Callable[[argparse.Namespace], Figures]] = {
    probe.__name__: probe for probe in (train, augment, load, feed, predict, start)
}


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("probe", choices=PROBES)
    parse.add_argument("--data", type=Path, default=Path())
    parse.add_argument("--engine", default="")
    parse.add_argument("--size", type=int, default=224)
    parse.add_argument("--batch", type=int, default=16)
    parse.add_argument("--accumulate", type=int, default=1)
    parse.add_argument("--processes", type=int, default=1)
    parse.add_argument("--steps", type=int, default=6)
    args = parse.parse_args()
    os.environ.setdefault("GLOG_minloglevel", "2")
    print(json.dumps(PROBES[args.probe](args)))


if __name__ == "__main__":
    main()
