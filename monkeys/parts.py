"""Half of the composition root: a configuration becomes the parts that `experiment.py` sets to work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn

from . import runtime
from .augment import build_recipe
from .augment.mix import erase, mix
from .config import Config
from .data.cache import open_pictures
from .data.dataset import Batch, Collate, Dataset, Pictures, as_they_are, class_weights
from .data.image import Preprocess
from .data.loader import TrainOrder, load, plain_order
from .data.manifest import Manifest, Row
from .models import build_model, head_prefix
from .models.weights import load_pretrained
from .optim import build_optimizer
from .optim.schedules import Schedule, build_schedule
from .serving.network import WEIGHTS, save_record
from .training import checkpoint
from .training.distributed import Group
from .training.ema import Averaged
from .training.engine import Step, choose_precision, predict
from .training.run_folder import RunFolder
from .training.runlog import NullLog
from .training.stopping import Stopping
from .training.trainer import Progress, Trainer

log = logging.getLogger("monkeys")

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RESEED = 4  # a stream of random numbers of its own: dropout and stochastic depth


@dataclass(frozen=True)
class Data:
    """The photographs of a run, ready to be asked for."""

    config: Config
    manifest: Manifest

    @property
    def preprocess(self) -> Preprocess:
        """Of evaluation and prediction, saved with the weights."""
        return self._preprocess(self.config.data.eval_size or self._train_size(self.config.train.epochs))

    def _preprocess(self, size: int) -> Preprocess:
        data = self.config.data
        if data.normalise == "imagenet":
            return Preprocess(size, IMAGENET_MEAN, IMAGENET_STD, data.fit)
        return Preprocess(size, fit=data.fit)

    def _train_size(self, epoch: int) -> int:
        reached = [first for first in self.config.data.sizes if first <= epoch]
        return self.config.data.sizes[max(reached)] if reached else self.config.data.size

    def _pictures(self, rows: tuple[Row, ...], size: int) -> Pictures:
        data = self.config.data
        return open_pictures(
            rows,
            self.manifest.root,
            self._preprocess(size),
            cache=data.cache,
            cache_dir=runtime.cache_folder(data.cache_dir),
            workers=runtime.usable_cores(),
        )

    def batch_bytes(self, images: int) -> int:
        """What a batch of so many training images takes as float32, with targets and labels."""
        largest = max([self.config.data.size, *self.config.data.sizes.values()])
        return images * 4 * (3 * largest**2 + len(self.manifest.classes) + 2) + 64

    def labels(self, split: str) -> np.ndarray:
        """[N] int64."""
        index = self.manifest.label_index
        return np.array([index[row.label] for row in self.manifest.of(split)], dtype=np.int64)

    def training(self) -> Dataset:
        """The training photographs, augmented, at each epoch's size."""
        config, rows = self.config, self.manifest.of("train")
        sizes = {self._train_size(epoch) for epoch in range(config.train.epochs)}
        by_size = {size: self._pictures(rows, size) for size in sorted(sizes)}
        augment = build_recipe(config.augment.recipe, config.augment.engine)
        return Dataset(lambda epoch: by_size[self._train_size(epoch)], self.labels("train"), augment, config.run.seed)

    def evaluation(self, split: str) -> Dataset:
        """A split as it is."""
        pictures = self._pictures(self.manifest.of(split), self.preprocess.size)
        return Dataset(lambda epoch: pictures, self.labels(split), as_they_are, seed=0)

    def collate(self) -> Collate:
        """Of training: smoothing, class weights, mixing and erasing."""
        augment, train = self.config.augment, self.config.train
        weights = class_weights(self.labels("train"), len(self.manifest.classes), train.class_weights)

        def mixed(images: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            images = erase(images, rng, prob=augment.erase)
            return mix(images, targets, rng, mixup=augment.mixup, cutmix=augment.cutmix, prob=augment.mix_prob)

        until = train.epochs - augment.plain_epochs
        return Collate(self.preprocess.normalise, weights, train.label_smoothing, mixed, until, self.config.run.seed)

    def plain_collate(self) -> Collate:
        """Of evaluation: images and one-hot targets."""
        ones = np.ones(len(self.manifest.classes), np.float32)
        return Collate(self.preprocess.normalise, ones, 0.0, lambda images, targets, rng: (images, targets), 0, 0)


def model_options(config: Config) -> dict[str, Any]:
    """What `build_model` needs beside the number of classes; saved with the weights."""
    model = config.model
    return {
        "name": model.name,
        "stem": model.stem,
        "zero_init": model.zero_init,
        "drop_path": model.drop_path,
        "dropout": model.dropout,
        "layers": model.layers,
        "init": model.init,
        "size": config.data.size,
    }


def effective_lr(config: Config) -> float:
    """The learning rate after scaling with the batch, said where it differs from the one stated."""
    optim, batch = config.optim, config.train.batch_size
    if not optim.lr_batch or optim.lr_batch == batch:
        return optim.lr
    lr = optim.lr * batch / optim.lr_batch
    log.info("lr %g, stated for batches of %d, becomes %g for %d (linear rule)", optim.lr, optim.lr_batch, lr, batch)
    return lr


_NOT_IN_FINGERPRINT = {
    "run": {"name", "dir", "device"},
    "data": {"root", "cache", "cache_dir", "workers"},
    "train": {"processes", "max_steps", "max_minutes", "save_steps"},
}


def fingerprint(config: Config, manifest: Manifest) -> dict[str, Any]:
    """What a resumed run must have in common with its checkpoint: all that decides the weights."""
    settings = config.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT)
    flat = {f"{section}.{key}": value for section, values in settings.items() for key, value in values.items()}
    classes = ", ".join(info.id for info in manifest.classes)
    return {**flat, "classes": classes, "manifest": manifest.digest}


def make_schedule(config: Config, order: TrainOrder) -> Schedule:
    """The learning rate of every step."""
    plan, steps = config.optim.schedule, order.steps_per_epoch
    return build_schedule(
        plan.name,
        lr=effective_lr(config),
        total_steps=config.train.epochs * steps,
        steps_per_epoch=steps,
        warmup_steps=round(plan.warmup_epochs * steps),
        min_lr=plan.min_lr,
        drop_period=plan.drop_period,
        drop_factor=plan.drop_factor,
        boundaries=plan.boundaries,
        values=plan.values,
        power=plan.power,
        scale=plan.scale,
        patience=plan.patience,
    )


def make_stopping(config: Config) -> Stopping:
    """The rules that end a run before its last epoch."""
    train = config.train
    return Stopping(
        patience=train.patience,
        min_delta=train.min_delta,
        target_top1=train.target_top1,
        min_grad_norm=train.min_grad_norm,
        min_weight_change=train.min_weight_change,
        max_minutes=train.max_minutes,
    )


def make_step(config: Config, model: nn.Layer, group: Group, device: str) -> Step:
    """Model, optimizer and precision, joined in what moves the weights."""
    optim, seed = config.optim, config.run.seed
    optimizer = build_optimizer(
        optim.name,
        model,
        lr=optim.lr,
        weight_decay=optim.weight_decay,
        momentum=optim.momentum,
        clip_norm=optim.clip_norm,
        decay_norms=optim.decay_norms,
        body_lr_factor=optim.body_lr_factor,
        layer_decay=optim.layer_decay,
        head_prefix=head_prefix(model),
    )
    precision, why = choose_precision(config.train.amp, device)
    log.info(why)

    def reseed(step: int, position: int) -> None:
        part = position * group.size + group.rank
        paddle.seed(int(np.random.SeedSequence([seed, _RESEED, step, part]).generate_state(1)[0]))

    watch = config.train.min_weight_change > 0
    return Step(model, optimizer, precision.scaler(), precision, group, reseed, watch)


def make_trainer(config: Config, data: Data, folder: RunFolder, group: Group, device: str, run_log: NullLog) -> Trainer:
    """All parts of a run, built from its configuration."""
    train, classes = config.train, data.manifest.classes
    with paddle.utils.unique_name.guard():
        options = model_options(config)
        model = build_model(num_classes=len(classes), **options)
        if config.model.pretrained != "none":
            log.info("%s", load_pretrained(model, config.model.pretrained))
        step_fn = make_step(config, model, group, device)
    dataset, collate = data.training(), data.collate()
    order = TrainOrder(len(dataset), train.batch_size, config.run.seed, train.accumulate, group.rank, group.size)
    micro = train.batch_size // (train.accumulate * group.size)

    def stream(first: int, last: int) -> Iterator[Batch]:
        return load(dataset, order.micro_batches(first, last), collate, config.data.workers, data.batch_bytes(micro))

    validation = data.evaluation("val")

    def validation_batches() -> Iterator[Batch]:
        return load(validation, plain_order(len(validation), micro, group.rank, group.size), data.plain_collate())

    def save_best(tensors: checkpoint.Tensors, progress: Progress) -> None:
        if group.rank == 0:
            checkpoint.save_tensors(folder.path / WEIGHTS, tensors)
            save_record(
                folder.path,
                model_options=options,
                preprocess=data.preprocess,
                classes=classes,
                temperature=1.0,
                epoch=progress.best_epoch + 1,
                val_top1=progress.best_top1,
                val_loss=progress.best_loss,
            )

    return Trainer(
        model=model,
        step_fn=step_fn,
        schedule=make_schedule(config, order),
        stopping=make_stopping(config),
        averaged=Averaged(model, train.ema),
        order=order,
        train=stream,
        validation=validation_batches,
        save_best=save_best,
        log=run_log,
        checkpoints=checkpoint.Checkpoints(folder.path / "last"),
        group=group,
        fingerprint=fingerprint(config, data.manifest),
        epochs=train.epochs,
        max_steps=train.max_steps,
        save_steps=train.save_steps,
        freeze_epochs=train.freeze_epochs,
        head_prefix=head_prefix(model),
    )
