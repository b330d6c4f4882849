"""A sheet of what imgaug and the fast engine make of one picture, operation by operation, with the same parameters.

    python benchmarks/pairs.py quickstart/data/training/n4/n4-train-0092.jpg --out docs/images/engines.jpg

Operations that draw a value per pixel or per segment (noise, dropout, superpixels) differ in these draws alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monkeys.augment import operation_pairs
from monkeys.data.image import Preprocess, decode
from monkeys.reports.plots_sheets import sheet

SIZE = 224


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("photo", type=Path)
    parse.add_argument("--out", type=Path, required=True)
    parse.add_argument("--seed", type=int, default=0)
    args = parse.parse_args()
    image = Preprocess(SIZE).resize(decode(args.photo))
    pairs = operation_pairs(image, np.random.default_rng(args.seed))
    images = [side for _, theirs, ours in pairs for side in (theirs, ours)]
    captions = [f"{name}\n{engine}" for name, _, _ in pairs for engine in ("imgaug", "fast")]
    with tempfile.TemporaryDirectory() as folder:
        drawn = sheet(images, captions, Path(folder) / "pairs.png", columns=6, title="Each operation in both engines")
        Image.open(drawn).convert("RGB").save(args.out, quality=85)  # photographs are a tenth as large as JPEG


if __name__ == "__main__":
    main()
