"""`Trainer.fit`: epochs of training and validation, the best weights kept, everything saved to go on from."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle import nn

from ..data.dataset import Batch
from ..data.loader import TrainOrder
from ..errors import Interrupted
from ..optim.schedules import Schedule
from ..progress import progress, tell
from ..runtime import peak_megabytes
from . import checkpoint
from .distributed import Group
from .ema import Averaged
from .engine import Step, Tally, means, train_epoch, validate
from .interrupt import Signals
from .runlog import NullLog
from .stopping import Stopping

log = logging.getLogger("monkeys")


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0  # steps done
    best_epoch: int = -1
    best_top1: float = -1.0
    best_loss: float = sys.float_info.max
    seconds: float = 0.0  # of training, validation and saving, over all sessions
    stopped: str = ""  # the reason, once the run has ended


@dataclass
class Trainer:
    """All parts of a run; every one that changes while it trains is in `state`/`restore`.

    train: (first step, last step) -> micro-batches. validation: () -> batches of this rank.
    save_best: called with the weights to keep (averaged ones where there is an average) and the progress.
    """

    model: nn.Layer
    step_fn: Step
    schedule: Schedule
    stopping: Stopping
    averaged: Averaged
    order: TrainOrder
    train: Callable[[int, int], Iterator[Batch]]
    validation: Callable[[], Iterator[Batch]]
    save_best: Callable[[checkpoint.Tensors, Progress], None]
    log: NullLog
    checkpoints: checkpoint.Checkpoints
    group: Group
    fingerprint: dict[str, Any]
    epochs: int
    max_steps: int = 0
    save_steps: int = 0
    freeze_epochs: int = 0
    heads: tuple[str, ...] = ()  # what the names of their parameters begin with
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)
    saved_step: int = -1
    frozen: bool | None = None
    signum: int = 0  # a signal that came with the last step of an epoch
    clock: float = 0.0  # when `progress.seconds` was last brought up to date
    trained: list[tuple[str, paddle.Tensor]] = field(init=False)  # not batch-norm statistics, which Paddle lists too

    def __post_init__(self) -> None:
        self.trained = [(name, p) for name, p in self.model.named_parameters() if not p.stop_gradient]

    @property
    def last_step(self) -> int:
        """Steps done when the plan ends."""
        planned = self.epochs * self.order.steps_per_epoch
        return min(planned, self.max_steps) if self.max_steps else planned

    def fit(self) -> Progress:
        """Train until the plan or a stopping rule ends it; raises Interrupted once a signal's state is saved."""
        self.group.barrier()  # from here on ranks wait for each other only as long as a collective operation does
        self.clock = time.perf_counter()
        stream = self.train(self.progress.step, self.last_step)
        with Signals() as signals:
            while not self.progress.stopped and (self.progress.step < self.last_step or self.tally.seen):
                self._epoch(stream, signals)
        self.progress.stopped = self.progress.stopped or "all steps done"  # the plan has become shorter since
        return self.progress

    def _epoch(self, stream: Iterator[Batch], signals: Signals) -> None:
        first, epoch = self.progress.step, self.progress.step // self.order.steps_per_epoch
        last = min((epoch + 1) * self.order.steps_per_epoch, self.last_step)
        self._freeze(epoch < self.freeze_epochs)
        with progress(range(first, last), desc=f"epoch {epoch + 1}/{self.epochs}", unit="step") as bar:

            def after_step(step: int, lr: float, tally: Tally) -> None:
                self._after_step(step, lr, signals, last)
                tell(bar, step + 1, f"{tally} lr {lr:.2g}")

            parts = (self.tally, self.order.accumulate, after_step, self._set_modes)
            train_epoch(self.step_fn, stream, bar, self.schedule.lr, *parts)
        self._close_epoch(epoch, last)

    def _set_modes(self) -> None:
        """Training mode; a frozen body keeps its batch-norm statistics too."""
        self.model.train()
        for layer in self.model.sublayers():
            if (own := layer.parameters(include_sublayers=False)) and all(p.stop_gradient for p in own):
                layer.eval()

    def _freeze(self, frozen: bool) -> None:
        if frozen == self.frozen:
            return
        for name, parameter in self.trained:
            parameter.stop_gradient = frozen and not name.startswith(self.heads)
        self.step_fn.model = self.group.wrap(self.model)  # data parallelism notes at wrapping what has a gradient
        self.frozen = frozen

    def _after_step(self, step: int, lr: float, signals: Signals, epoch_end: int) -> None:
        self.averaged.update()
        self.progress.step = step + 1
        self.log.step(step + 1, {"loss": self.tally.last_loss, "lr": lr, "grad_norm": self.tally.grad_norm})
        signum = self.group.any(signals.received)
        within = step + 1 < epoch_end
        if within and (signum or (self.save_steps and (step + 1) % self.save_steps == 0)):
            self.save()
        if within and signum:
            raise Interrupted(signum, self._position())
        self.signum = signum  # the epoch is complete: it is closed first, so that its row is not lost

    def _close_epoch(self, epoch: int, last: int) -> None:
        self.group.share_statistics(self.model)
        with self.averaged.applied():
            self.group.share_statistics(self.model)  # each rank has averaged its own
            val_loss, val_top1 = means(self.group.sum(validate(self.model, self.validation(), self.step_fn.precision)))
            if (val_top1, -val_loss) > (self.progress.best_top1, -self.progress.best_loss):
                self.progress.best_epoch, self.progress.best_top1, self.progress.best_loss = epoch, val_top1, val_loss
                self.save_best(checkpoint.model_tensors(self.model), self.progress)
        self._record(epoch, val_loss, val_top1)
        self.progress.stopped = self._reason_to_stop(val_loss, val_top1, last)
        self.tally = Tally()
        self.save()
        if self.signum and not self.progress.stopped:
            raise Interrupted(self.signum, self._position())

    def _record(self, epoch: int, val_loss: float, val_top1: float) -> None:
        tally = self.tally
        train_loss, train_top1 = tally.loss / tally.seen, tally.correct / tally.seen
        self._count_seconds()
        self.log.epoch(
            {
                "epoch": epoch + 1,
                "step": self.progress.step,
                "lr": self.schedule.lr(self.progress.step - 1),
                "train_loss": train_loss,
                "train_top1": train_top1,
                "val_loss": val_loss,
                "val_top1": val_top1,
                "seconds": round(tally.seconds, 3),
                "img_per_s": round(tally.rate, 2),
                "data_wait": round(tally.waited / max(tally.seconds, 1e-9), 4),
                "grad_norm": tally.grad_norm,
                "peak_mb": peak_megabytes(),
                "elapsed": round(self.progress.seconds, 3),
            }
        )
        log.info(
            "epoch %d/%d  train loss %.4f top-1 %.1f %%  validation loss %.4f top-1 %.1f %%  %.1f images/s",
            epoch + 1, self.epochs, train_loss, 100 * train_top1, val_loss, 100 * val_top1, tally.rate,
        )  # fmt: skip
        self.schedule.observe(train_loss, val_loss)

    def _reason_to_stop(self, val_loss: float, val_top1: float, last: int) -> str:
        reason = self.stopping.update(
            val_loss=val_loss,
            val_top1=val_top1,
            grad_norm=self.tally.grad_norm,
            weight_change=self.tally.weight_change,
            minutes=self.group.any(int(self.progress.seconds)) / 60,  # ranks must stop together
        )
        return reason or ("all steps done" if last == self.last_step else "")

    def _position(self) -> str:
        return f"epoch {self.progress.step // self.order.steps_per_epoch + 1} step {self.progress.step}"

    def save(self) -> None:
        """Checkpoint everything that changes while training."""
        if self.group.rank == 0 and self.saved_step != self.progress.step:
            self._count_seconds()
            self.checkpoints.save(self.progress.step, self._tensors(), self._state())
            self.saved_step = self.progress.step
        self.group.barrier()

    def _count_seconds(self) -> None:
        before, self.clock = self.clock, time.perf_counter()
        self.progress.seconds += self.clock - before

    def _tensors(self) -> checkpoint.Tensors:
        parts = {
            "model": checkpoint.model_tensors(self.model),
            "optimizer": checkpoint.optimizer_tensors(self.step_fn.optimizer, self.model),
            "average": self.averaged.state_dict(),
        }
        return {f"{part}/{name}": value for part, tensors in parts.items() for name, value in tensors.items()}

    def _state(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "progress": vars(self.progress),
            "tally": self.tally.state_dict(),
            "schedule": self.schedule.state_dict(),
            "stopping": self.stopping.state_dict(),
            "scaler": checkpoint.as_json(self.step_fn.scaler.state_dict()),
            "average_updates": self.averaged.updates,
            "machine": self._machine(),
            "log": self.log.offsets(),
        }

    def restore(self, tensors: checkpoint.Tensors, state: dict[str, Any]) -> str:
        """Take over a checkpoint; returns where the run goes on, in words."""
        part = functools.partial(checkpoint.part, tensors)
        checkpoint.restore_model(self.model, part("model"), "the checkpoint")
        checkpoint.restore_optimizer(self.step_fn.optimizer, self.model, part("optimizer"))
        checkpoint.refuse_missing_state("train.ema", self.averaged.state_dict(), part("average"))
        self.averaged.load_state_dict(part("average"), state["average_updates"])
        self.progress, self.tally = Progress(**state["progress"]), Tally(**state["tally"])
        checkpoint.refuse_missing_state("optim.schedule.name", self.schedule.state_dict(), state["schedule"])
        self.schedule.load_state_dict(state["schedule"])
        self.stopping.load_state_dict(state["stopping"])
        checkpoint.restore_scaler(self.step_fn.scaler, state["scaler"])
        self.saved_step = self.progress.step
        if state["machine"] != self._machine():
            log.warning("saved with %s, resumed with %s: the last digits may differ", state["machine"], self._machine())
        best = f"{self.progress.best_top1:.1%}" if self.progress.best_epoch >= 0 else "none yet"
        return f"resumed at {self._position()}, lr {self.schedule.lr(self.progress.step):.2g}, best top-1 {best}"

    def _machine(self) -> dict[str, Any]:
        """What the order of additions depends on, beside the configuration."""
        return {"threads": os.environ.get("OMP_NUM_THREADS", "1"), "processes": self.group.size}
