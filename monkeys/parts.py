"""Half of the composition root: a configuration becomes the parts that `experiment.py` sets to work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
from paddle import nn

from .config import Config
from .data.dataset import Batch, plain_collate
from .data.loader import TrainOrder, load, plain_order
from .data.manifest import Manifest
from .models import build_model, check_sizes, head_prefixes
from .optim import build_optimizer
from .optim.schedules import Schedule, build_schedule
from .photographs import Photographs
from .pretrained import start_from
from .serving.network import WEIGHTS, save_record
from .training import checkpoint
from .training.distributed import Group
from .training.ema import Averaged
from .training.engine import Step, choose_precision
from .training.run_folder import RunFolder
from .training.runlog import NullLog
from .training.stopping import Stopping
from .training.trainer import Progress, Trainer

log = logging.getLogger("monkeys")

_RESEED = 4  # a stream of random numbers of its own: dropout and stochastic depth


def model_options(config: Config) -> dict[str, Any]:
    """What `build_model` needs beside the number of classes; saved with the weights."""
    model = config.model
    return {
        "name": model.name,
        "stem": model.stem,
        "zero_init": model.zero_init,
        "project_first": model.project_first,
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
    classes = ", ".join(info.id for info in manifest.classes)
    return {**settings(config), "classes": classes, "manifest": manifest.digest}


def settings(config: Config) -> dict[str, Any]:
    """Dotted key -> value, of every setting that decides the weights."""
    sections = config.model_dump(mode="json", exclude=_NOT_IN_FINGERPRINT)
    return {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}


def settings_and_limits(config: Config) -> dict[str, Any]:
    """The settings, with what ends a run early: a finished one does not go on because these were raised."""
    return {
        **settings(config),
        "train.max_steps": config.train.max_steps,
        "train.max_minutes": config.train.max_minutes,
    }


def make_schedule(config: Config, order: TrainOrder) -> Schedule:
    """The learning rate of every step."""
    plan, steps = config.optim.schedule, order.steps_per_epoch
    lr = effective_lr(config)
    batch_factor = lr / config.optim.lr  # every rate of the plan is for batches of optim.lr_batch
    return build_schedule(
        plan.name,
        lr=lr,
        total_steps=config.train.epochs * steps,
        steps_per_epoch=steps,
        warmup_steps=round(plan.warmup_epochs * steps),
        min_lr=plan.min_lr * batch_factor,
        drop_period=plan.drop_period,
        drop_factor=plan.drop_factor,
        boundaries=plan.boundaries,
        values=tuple(value * batch_factor for value in plan.values),
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
        heads=head_prefixes(model),
    )
    precision, why = choose_precision(config.train.amp, device)
    log.info(why)

    def reseed(step: int, position: int) -> None:
        part = position * group.size + group.rank
        paddle.seed(int(np.random.SeedSequence([seed, _RESEED, step, part]).generate_state(1)[0]))

    watch = config.train.min_weight_change > 0
    return Step(model, optimizer, precision.scaler(), precision, group, reseed, watch)


def make_model(config: Config, data: Photographs, *, resumed: bool) -> nn.Layer:
    """The network, from random or given weights. resumed: a checkpoint will fill it."""
    eval_sizes = [config.data.eval_size] if config.data.eval_size else []
    others = {"data.sizes": config.data.sizes.values(), "data.eval_size": eval_sizes}
    check_sizes(config.model.name, config.data.size, others)
    model = build_model(num_classes=len(data.manifest.classes), **model_options(config))
    if config.model.pretrained != "none" and not resumed:
        start_from(config.model.pretrained, model, data.preprocess, data.manifest.classes)
    return model


def _mention_unused(config: Config, data: Photographs, images: int) -> None:
    """A word on settings that are written down and not used. images: at a time."""
    if images < 2 and (config.augment.mixup or config.augment.cutmix):
        advice = "a larger train.batch_size, fewer train.processes or a smaller train.accumulate"
        log.warning("mixup and cutmix need two images at a time: %s", advice)
    size, sizes, epochs = config.data.size, config.data.sizes, config.train.epochs
    if 0 in sizes and size != sizes[max(sizes)]:
        log.warning(
            "data.size=%d is not used: data.sizes=%s begin at epoch 0; data.sizes={} turns them off", size, sizes
        )
    if late := [first for first in sizes if first >= epochs]:
        examined = data.preprocess.size
        log.warning(
            "data.sizes from epoch %d on are not reached in %d; examined at %d pixels", min(late), epochs, examined
        )


def make_trainer(
    config: Config, data: Photographs, folder: RunFolder, group: Group, device: str, *, resumed: bool = False
) -> Trainer:
    """All parts of a run, built from its configuration. resumed: its weights come from a checkpoint."""
    train, classes = config.train, data.manifest.classes
    with paddle.utils.unique_name.guard():
        model = make_model(config, data, resumed=resumed)
        step_fn = make_step(config, model, group, device)
    dataset, collate = data.training(), data.collate()
    order = TrainOrder(len(dataset), train.batch_size, config.run.seed, train.accumulate, group.rank, group.size)
    micro = train.batch_size // (train.accumulate * group.size)
    if group.rank == 0:
        _mention_unused(config, data, micro)

    def stream(first: int, last: int) -> Iterator[Batch]:
        return load(dataset, order.micro_batches(first, last), collate, config.data.workers, data.batch_bytes(micro))

    validation = data.evaluation("val")
    examined = plain_collate(data.preprocess, len(classes))

    def validation_batches() -> Iterator[Batch]:
        return load(validation, plain_order(len(validation), micro, group.rank, group.size), examined)

    def save_best(tensors: checkpoint.Tensors, progress: Progress) -> None:
        if group.rank == 0:
            checkpoint.save_tensors(folder.path / WEIGHTS, tensors)
            save_record(
                folder.path,
                model_options=model_options(config),
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
        log=NullLog(),
        checkpoints=checkpoint.Checkpoints(folder.path / "last"),
        group=group,
        fingerprint=fingerprint(config, data.manifest),
        epochs=train.epochs,
        max_steps=train.max_steps,
        save_steps=train.save_steps,
        freeze_epochs=train.freeze_epochs,
        heads=head_prefixes(model),
    )
