"""A trainer of the real parts with tiny numbers: a plain network, 16-pixel pictures, three classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle

from monkeys.data.dataset import Collate, Dataset, as_they_are
from monkeys.data.loader import TrainOrder, load, plain_order
from monkeys.models import build_model, head_prefixes
from monkeys.optim import build_optimizer
from monkeys.optim.schedules import build_schedule
from monkeys.training import checkpoint
from monkeys.training.checkpoint import Checkpoints
from monkeys.training.distributed import Group
from monkeys.training.ema import Averaged
from monkeys.training.engine import Precision, Step
from monkeys.training.runlog import NullLog, RunLog
from monkeys.training.stopping import Stopping
from monkeys.training.trainer import Trainer

SIZE, CLASSES, LAYERS = 16, 3, "conv3-8 maxpool2 conv3-8 avgpool2 fc16 drop0.2 fc3 softmax"


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.normal(0, 20, image.shape), 0, 255).astype(np.uint8)


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures [N,S,S,3] with a bright bar whose place is the class [N]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.integers(0, 120, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 5 * label : 5 * label + 3] += 110
    return images, labels.astype(np.int64)


def normalise(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)


def plain(images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return images, targets


def make_toy(
    folder: Path,
    *,
    log: NullLog | None = None,
    epochs: int = 3,
    batch_size: int = 6,
    accumulate: int = 1,
    ema: float = 0.0,
    schedule: str = "cosine",
    optimizer: str = "adam",
    lr: float = 0.01,
    stopping: Stopping | None = None,
    group: Group | None = None,
    **options: Any,
) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    group = group or Group()
    images, labels = pictures(24)
    val_images, val_labels = pictures(10, seed=1)
    train = Dataset(lambda epoch: images, labels, noise, seed=3)
    held_out = Dataset(lambda epoch: val_images, val_labels, as_they_are, seed=0)
    ones = np.ones(CLASSES, np.float32)
    collate = Collate(normalise, ones, 0.1, plain, 0, seed=3)
    order = TrainOrder(len(train), batch_size, 3, accumulate, group.rank, group.size)
    paddle.seed(0)
    with paddle.utils.unique_name.guard():
        model = build_model("plain", CLASSES, layers=LAYERS, size=SIZE)
        rule = build_optimizer(optimizer, model, lr=lr)
    precision, per_epoch = Precision(), order.steps_per_epoch

    def reseed(step: int, part: int) -> None:
        paddle.seed(7 * step + part)

    def save_best(tensors: checkpoint.Tensors, progress: object) -> None:
        checkpoint.save_tensors(folder / "best.safetensors", tensors)

    return Trainer(
        model=model,
        step_fn=Step(model, rule, precision.scaler(), precision, group, reseed),
        schedule=build_schedule(
            schedule,
            lr=lr,
            total_steps=epochs * per_epoch,
            steps_per_epoch=per_epoch,
            patience=0,
        ),
        stopping=stopping or Stopping(),
        averaged=Averaged(model, ema),
        order=order,
        train=lambda first, last: load(train, order.micro_batches(first, last), collate),
        validation=lambda: load(
            held_out, plain_order(len(held_out), 4, group.rank, group.size), Collate(normalise, ones, 0.0, plain, 0, 0)
        ),
        save_best=save_best,
        log=log or RunLog(folder),
        checkpoints=Checkpoints(folder / "last"),
        group=group,
        fingerprint={},
        epochs=epochs,
        heads=head_prefixes(model),
        **options,
    )
