"""Fixtures shared by all tests; the real configuration is shrunk here, never replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds `monkeys/` and `imagenette-2k/`; skips where $MONKEYS_DATA does not name one."""
    folder = os.environ.get("MONKEYS_DATA", "")
    if not folder:
        pytest.skip("MONKEYS_DATA is not set: real photographs needed")
    return Path(folder).resolve()


def paint(folder: Path, classes: dict[str, int], seed: int = 0, size: int = 40, *, wide: bool = False) -> Path:
    """Class folders of small JPEGs, each a noisy picture whose bright bar tells the class; square, or wide."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(seed)
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            coarse = rng.integers(0, 140, (8, 8, 3), dtype=np.uint8)
            image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
            image[:, 12 * number : 12 * number + 8] = 250
            image = cv2.resize(image, (size * 3 // 2, size)) if wide else image
            cv2.imwrite(str(folder / name / f"{index}.jpg"), image)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of twelve small pictures."""
    return paint(tmp_path / "photos", {"n0": 12, "n1": 12, "n2": 12})


@pytest.fixture
def shrunk(tmp_path: Path) -> list[str]:
    """Overrides that make any shipped configuration tiny: the real parts with small numbers."""
    return [
        f"run.dir={tmp_path / 'runs'}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.size=32",
        "data.sizes={}",
        "data.workers=0",
        "model.name=resnet18",
        "train.epochs=2",
        "train.batch_size=8",
        "train.accumulate=1",
        "optim.schedule.warmup_epochs=0",
    ]
