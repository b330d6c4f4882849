"""The photographs upright, on a side and upside down: turned right, and only those that are trained on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]


def test_training_photographs_are_turned_and_the_held_out_ones_left(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    names = [f"{number:02d}.png" for number in range(11)]
    for name in names:
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "manifest.csv").write_text(
        "path,split\n" + "".join(f"{name},train\n" for name in names[:10]) + "10.png,val\n"
    )
    script, out = ROOT / "benchmarks" / "rotations.py", tmp_path / "out"
    subprocess.run(
        [sys.executable, str(script), "--run", str(tmp_path), "--data", str(tmp_path), "--out", str(out)],
        check=True,
        capture_output=True,
    )
    written = {str(path.relative_to(out)): cv2.imread(str(path)) for path in out.rglob("*.png")}
    assert len(written) == 30  # the held-out photograph is not there
    for number in range(10):
        part = "validation" if number == 9 else "training"
        sideways = 3 if number in (3, 4, 5, 9) else 1
        for folder, quarters in {"upright": 0, "sideways": sideways, "upside-down": 2}.items():
            np.testing.assert_array_equal(written[f"{part}/{folder}/{number:05d}.png"], np.rot90(image, quarters))
