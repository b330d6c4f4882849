"""Photographs that tell their own labels: the training part of a run, turned by 0, 90, 180 and 270 degrees.

    python benchmarks/rotations.py --run runs/monkeys_cpu_15m --data data/monkeys --out data/rotations

Which way up a photograph is takes no labels to know, but teaches what to look at (Gidaris et al., 2018). Train on the
folder that this makes, then name the weights in model.pretrained. Photographs that the run holds out are not in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from training_part import arguments, manifest_rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monkeys.data.image import decode
from monkeys.progress import progress


def main() -> None:
    args = arguments(__doc__)
    paths = [row["path"] for row in manifest_rows(args.run) if row["split"] == "train"]
    for quarter in range(4):
        (args.out / f"turned-{90 * quarter:03d}").mkdir(parents=True)
    for number, path in enumerate(progress(paths, desc="turning", unit="photograph")):
        image = decode(args.data / path)[..., ::-1]
        for quarter in range(4):
            place = args.out / f"turned-{90 * quarter:03d}" / f"{number:05d}.png"
            cv2.imwrite(str(place), np.ascontiguousarray(np.rot90(image, quarter)))


if __name__ == "__main__":
    main()
