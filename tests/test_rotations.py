"""The photographs turned in four ways: right, and only those that are trained on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]


def test_training_photographs_are_turned_and_the_held_out_ones_left(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "manifest.csv").write_text("path,split\na.png,train\nb.png,val\n")
    script, out = ROOT / "benchmarks" / "rotations.py", tmp_path / "out"
    subprocess.run(
        [sys.executable, str(script), "--run", str(tmp_path), "--data", str(tmp_path), "--out", str(out)],
        check=True,
        capture_output=True,
    )
    written = sorted(out.rglob("*.png"))
    assert [path.parent.name for path in written] == ["turned-000", "turned-090", "turned-180", "turned-270"]
    for quarter, path in enumerate(written):
        np.testing.assert_array_equal(cv2.imread(str(path)), np.rot90(image, quarter))
