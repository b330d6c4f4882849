"""A run folder as training leaves it, without the training: random weights, real parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
from conftest import paint

from monkeys.config import load_config, to_yaml
from monkeys.data.image import Preprocess
from monkeys.data.manifest import build_manifest
from monkeys.models import build_model
from monkeys.serving.network import WEIGHTS, save_record
from monkeys.training import checkpoint

CPU = Path(__file__).parents[1] / "configs" / "monkeys_cpu.yaml"
CLASSES = {"n0": 8, "n1": 8, "n2": 8}
TEMPERATURE = 1.7


def make_run(place: Path, *, model: str = "resnet18", size: int = 32, layers: str | None = None) -> tuple[Path, Path]:
    """(photographs, run folder) below `place`."""
    photos, cache, run = paint(place / "photos", CLASSES), place / "cache", place / "runs" / "untrained"
    settings = [f"data.root={photos}", f"data.cache_dir={cache}", f"run.dir={place / 'runs'}", "run.name=untrained"]
    config = load_config(CPU, [*settings, f"data.size={size}", "data.cache=false"], {})
    manifest = build_manifest(photos, val_fraction=0.5, cache_dir=cache)
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(to_yaml(config))
    (run / "classes.json").write_text(json.dumps([{"id": info.id, "name": info.name} for info in manifest.classes]))
    manifest.write(run / "manifest.csv")
    options = {"name": model, "size": size, "layers": layers}
    paddle.seed(5)
    network = build_model(num_classes=len(CLASSES), **options)
    save(run, network, options, Preprocess(size), manifest.classes)
    return photos, run


def save(run: Path, network: paddle.nn.Layer, options: dict, preprocess: Preprocess, classes: tuple) -> None:
    """Weights and record, the batch norms' statistics being of noise as after some training."""
    noise = np.random.default_rng(0).normal(size=(16, 3, preprocess.size, preprocess.size)).astype(np.float32)
    network.train()
    for _ in range(3):
        network(paddle.to_tensor(noise))
    checkpoint.save_tensors(run / WEIGHTS, checkpoint.model_tensors(network))
    figures = {"epoch": 3, "val_top1": 0.5, "val_loss": 1.0}
    save_record(run, model_options=options, preprocess=preprocess, classes=classes, temperature=TEMPERATURE, **figures)
