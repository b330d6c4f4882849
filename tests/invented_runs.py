"""Run folders as trainings leave them, without a training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monkeys.config import to_yaml
from monkeys.evaluation.metrics import Predictions, answers, evaluate_predictions, write_predictions
from monkeys.paths import sha256
from monkeys.reports.evaluation import write_evaluation
from monkeys.serving.examinations import note_network
from monkeys.serving.network import RECORD, WEIGHTS
from monkeys.settings import Config, DataConfig, RunConfig
from monkeys.training.runlog import COLUMNS


@dataclass(frozen=True)
class Info:
    id: str
    name: str


CLASSES = (Info("n0", "bald_uakari"), Info("n1", "<b>howler</b>"), Info("n2", "langur"))


def write_run(
    run: Path, right: list[bool], *, lr: float = 0.1, digest: str = "d", leaking: int = 0, pictures: bool = False
) -> Path:
    """A finished run of two epochs whose network is right where `right` says so; the first `leaking` images leak."""
    run.mkdir(parents=True)
    labels = np.arange(len(right)) % 3
    said = np.where(right, labels, (labels + 1) % 3)
    paths = tuple(f"n{label}/{index}.jpg" for index, label in enumerate(labels))
    free = np.arange(len(right)) >= leaking
    logits = 2 * np.eye(3, dtype=np.float32)[said]
    predictions = Predictions(paths, labels.astype(np.int64), logits, free)
    metrics = evaluate_predictions(predictions, CLASSES, split="val", selected=True)
    if pictures:
        grey = np.full((8, 8, 3), 90, np.uint8)
        write_evaluation(run / "eval-val", predictions, CLASSES, metrics, lambda path: grey)
    else:
        (run / "eval-val").mkdir()
        write_predictions(run / "eval-val" / "predictions.csv", answers(predictions, CLASSES))
        (run / "eval-val" / "metrics.json").write_text(json.dumps(metrics))
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / WEIGHTS).write_bytes(b"weights")
    record = {"model": {"name": "resnet18"}, "preprocess": {"size": 64}, "classes": [], "temperature": 1.0, "epoch": 2}
    (run / RECORD).write_text(json.dumps(record))
    note_network(run / "eval-val", weights="best", best_sha256=sha256(run / WEIGHTS), temperature=1.0)
    rows = [f"{path},n{label},val,g{i},{digest}{i}" for i, (path, label) in enumerate(zip(paths, labels, strict=True))]
    (run / "manifest.csv").write_text("\n".join(["path,label,split,group,digest", *rows]) + "\n")
    config = Config(run=RunConfig(name=run.name), data=DataConfig(root=Path("photos"))).model_dump(mode="json")
    config["optim"]["lr"] = lr
    (run / "config.yaml").write_text(to_yaml(Config.model_validate(config)))
    (run / "history.csv").write_text(history(2))
    return run


def history(epochs: int) -> str:
    """history.csv: the columns of a run, losses falling."""
    lines = [",".join(COLUMNS)]
    for epoch in range(1, epochs + 1):
        values = dict.fromkeys(COLUMNS, 0.5) | {"epoch": epoch, "val_loss": 1 / epoch, "val_top1": epoch / 10}
        values |= {"seconds": 30.0, "img_per_s": 10.0 * epoch}
        lines.append(",".join(str(values[column]) for column in COLUMNS))
    return "\n".join(lines) + "\n"
