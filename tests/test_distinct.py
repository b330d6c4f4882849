"""Of the copies of a picture one is trained on, and all that is held out stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MANIFEST = """path,label,split,group
n0/a.jpg,n0,train,1
n0/copy of a.jpg,n0,train,1
n0/b.jpg,n0,val,2
n0/copy of b.jpg,n0,val,2
n1/a.jpg,n1,train,3
"""


def test_copies_leave_the_training_part_only(tmp_path):
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    for line in MANIFEST.splitlines()[1:]:
        path = tmp_path / line.split(",")[0]
        path.parent.mkdir(exist_ok=True)
        path.write_text(line)
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "benchmarks" / "distinct.py"), "--run", tmp_path, "--data", tmp_path]
    said = subprocess.run([*command, "--out", out], check=True, capture_output=True, text=True).stdout
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.jpg")) == [
        "training/n0/n0_a.jpg",
        "training/n1/n1_a.jpg",
        "validation/n0/n0_b.jpg",
        "validation/n0/n0_copy of b.jpg",
    ]
    assert "4 of 5 files" in said
    again = subprocess.run([*command, "--out", out], capture_output=True, text=True)
    assert again.returncode == 2
    assert "is not empty" in again.stderr
