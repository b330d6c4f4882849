"""Photographs that tell their own labels: the training part of a run, upright, on its side and upside down.

    python tools/train.py -c configs/monkeys_cpu_15m.yaml -o data.root=data/monkeys data.folds=5   # or any run
    python benchmarks/rotations.py --run runs/monkeys_cpu_15m --data data/monkeys --out data/rotations

Which way up a photograph is takes no labels to know, but teaches what to look at (Gidaris et al., 2018). Train on the
folder that this makes, then name the weights in model.pretrained. Left and right are one class (the paper has two),
because the recipes mirror: what was turned to the left looks like what was turned to the right. Every tenth photograph
is the folder's validation part, in all its turns. Photographs that the run holds out are not in it.
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

# quarters: three photographs one way, three the other, so that the tenth ones, which are held out, have both
TURNS = {"upright": (0, 0), "sideways": (1, 3), "upside-down": (2, 2)}


def main() -> None:
    args = arguments(__doc__)
    paths = [row["path"] for row in manifest_rows(args.run) if row["split"] == "train"]
    for number, path in enumerate(progress(paths, desc="turning", unit="photograph")):
        image = decode(args.data / path)[..., ::-1]
        part = args.out / ("validation" if number % 10 == 9 else "training")
        for folder, quarters in TURNS.items():
            (part / folder).mkdir(parents=True, exist_ok=True)
            turned = np.rot90(image, quarters[number // 3 % 2])
            cv2.imwrite(str(part / folder / f"{number:05d}.png"), np.ascontiguousarray(turned))


if __name__ == "__main__":
    main()
