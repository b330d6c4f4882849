"""The composition root: configuration → parts → fit → evaluate → report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import atomic, runtime
from .assessment import assess, fit_temperature, read_manifest
from .config import Config, load_config, to_yaml
from .dashboard import show_inputs, show_results
from .data.manifest import Manifest, build_manifest
from .errors import UserError
from .parts import fingerprint, make_trainer, settings, settings_and_limits
from .photographs import Photographs
from .reports import plots
from .reports.run import write_run_report
from .training.checkpoint import Checkpoints
from .training.distributed import Group, join_group
from .training.find_lr import find_lr
from .training.run_folder import RunFolder
from .training.runlog import RunLog
from .training.trainer import Trainer

log = logging.getLogger("monkeys")


@dataclass(frozen=True)
class Outcome:
    """What a run came to: where it is, why it ended, and the validation metrics of its best epoch."""

    folder: Path
    reason: str
    metrics: Mapping[str, Any]


def run_experiment(
    config: Config, *, resume: str = "", overwrite: bool = False, announce: Callable[[str], None] = log.info
) -> Outcome:
    """Train as configured and report. resume: "" (a new run), "auto", or "force" (with other settings).

    announce: told where a resumed run goes on.
    """
    group = join_group()
    folder = RunFolder(config.run_folder)
    if group.rank:
        log.setLevel(logging.WARNING)  # rank 0 tells how it goes
        if resume and folder.finished:  # rank 0 says so, and ends
            return Outcome(folder.path, folder.finished, {})
        return _follow(config, folder, group)
    with folder.locked():
        if resume and folder.finished:
            then = settings_and_limits(load_config(folder.path / "config.yaml"))
            now = settings_and_limits(config)
            folder.refuse_other(
                then, now, "it is finished: choose another run.name, or --overwrite instead of --resume"
            )
            return _outcome(folder)
        if resume:
            folder.refuse_lost_checkpoints()
        elif not overwrite:
            folder.refuse_existing()
        return _lead(config, folder, group, resume if folder.holds_run else "", announce)


def search_lr(config: Config, out: Path, steps: int = 100) -> float:
    """Range test on the run's own data and network, which no run sees; writes lr_finder.png and .csv into `out`.

    Returns the suggested optim.lr: for batches of optim.lr_batch where that is set, else for the batch as it is.
    """
    atomic.refuse_foreign(out, ["lr_finder.csv"], ["lr_finder.csv", "lr_finder.png"], "range test")
    config = _unchanging(config, steps)
    device, manifest = _use_device(config), _manifest(config, RunFolder(out), "")
    trainer = make_trainer(config, Photographs(config, manifest), RunFolder(out), Group(), device)
    accumulate = config.train.accumulate
    atomic.make_folder(out)
    found = find_lr(trainer.step_fn, trainer.train(0, steps), accumulate=accumulate, steps=steps)
    lines = [f"{rate!r},{loss!r}" for rate, loss in zip(found.rates, found.losses, strict=True)]
    atomic.write_text(out / "lr_finder.csv", "\n".join(["lr,smoothed_loss", *lines]) + "\n")
    plots.lr_finder(found.rates, found.losses, found.suggestion, out / "lr_finder.png")
    return found.suggestion * (config.optim.lr_batch or config.train.batch_size) / config.train.batch_size


def _unchanging(config: Config, steps: int) -> Config:
    """One size, augmented and mixed throughout, however few of these steps the plan itself has."""
    changes: dict[str, dict[str, Any]] = {
        "data": {"sizes": {}},
        "augment": {"plain_epochs": 0, "unaugmented_epochs": 0},
        "train": {"epochs": max(config.train.epochs, steps)},
    }
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in changes.items()}
    return config.model_copy(update=sections)


def _lead(config: Config, folder: RunFolder, group: Group, resume: str, announce: Callable[[str], None]) -> Outcome:
    """Rank 0: prepares, trains, and does all the writing."""
    device = _use_device(config)
    manifest = _manifest(config, folder, resume)
    data = Photographs(config, manifest)
    now, defaults = fingerprint(config, manifest), settings(Config())
    saved = folder.checkpoint(now, defaults, force=resume == "force") if resume else None
    trainer = make_trainer(config, data, folder, group, device, resumed=saved is not None)
    if saved is None:
        _start(config, folder, manifest, device)
    trainer.log = RunLog(folder.path, saved[1]["log"] if saved else None)
    group.barrier()
    if saved:
        announce(trainer.restore(*saved))
        folder.write_config(to_yaml(config))  # the photographs may lie elsewhere now, and the limits be others
    else:
        show_inputs(trainer.log, trainer.model, data)
    trainer.fit()
    return _finish(folder, trainer, config)


def _follow(config: Config, folder: RunFolder, group: Group) -> Outcome:
    """Other ranks: train along with rank 0, and write nothing."""
    device = _use_device(config)
    group.barrier()  # until rank 0 has prepared the run folder
    manifest = read_manifest(folder.path, config)
    saved = Checkpoints(folder.path / "last").latest()
    trainer = make_trainer(config, Photographs(config, manifest), folder, group, device, resumed=saved is not None)
    if saved:
        trainer.restore(*saved)
    progress = trainer.fit()
    return Outcome(folder.path, progress.stopped, {})


def _use_device(config: Config) -> str:
    import paddle

    device, why = runtime.choose_device(config.run.device)
    log.info("device %s: %s", device, why)
    paddle.set_device(device)
    runtime.quiet_opencv()
    runtime.seed_everything(config.run.seed)
    return device


def _manifest(config: Config, folder: RunFolder, resume: str) -> Manifest:
    """The photographs with their splits: drawn once, then read from the run folder.

    Without a checkpoint there is nothing to go on from: the run begins anew, as it is configured now.
    """
    if resume and folder.holds_checkpoint:
        return read_manifest(folder.path, config)
    data = config.data
    if data.fold and data.folds is None:
        log.warning("data.fold=%d is not used without data.folds, e.g. data.folds=5", data.fold)
    if not data.root.exists():
        raise UserError(f"data.root: no such data folder, archive or list file: {data.root} (-o data.root=… names it)")
    return build_manifest(
        data.root,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        folds=data.folds,
        fold=data.fold,
        split_seed=data.split_seed,
        grouped=data.grouped,
        exclude=data.exclude,
        odd=data.odd,
        skip_unreadable=data.skip_unreadable,
        cache_dir=runtime.cache_folder(data.cache_dir),
        workers=runtime.usable_cores(),
    )


def _start(config: Config, folder: RunFolder, manifest: Manifest, device: str) -> None:
    """Put a new run's identity into its folder; the configuration, which makes it a run, comes last."""
    folder.clear()
    folder.write_json("environment.json", runtime.environment(device, config.run.seed))
    folder.write_json("classes.json", [{"id": info.id, "name": info.name} for info in manifest.classes])
    manifest.write(folder.path / "manifest.csv")
    folder.write_config(to_yaml(config))


def _finish(folder: RunFolder, trainer: Trainer, config: Config) -> Outcome:
    """Examine the best weights on validation, write the report, and close the run."""
    fit_temperature(folder.path)
    examined = assess(folder.path, split="val")
    atomic.write_json(folder.path / "metrics.json", examined.metrics)
    write_run_report(folder.path)
    show_results(trainer.log, config, examined)
    trainer.log.close()
    folder.finish(trainer.progress.stopped)
    return _outcome(folder)


def _outcome(folder: RunFolder) -> Outcome:
    return Outcome(folder.path, folder.finished, atomic.read_json(folder.path / "metrics.json"))
