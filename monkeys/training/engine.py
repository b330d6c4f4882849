"""The two verbs of training: `train_epoch` moves the weights, `predict` looks at images without moving them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ..data.dataset import Batch
from ..errors import NotFiniteError, TrainingError
from ..evaluation.predictions import log_softmax
from .distributed import Group

AUXILIARY_WEIGHT = 0.3  # of each auxiliary head's loss (GoogLeNet, arXiv 1409.4842)


@dataclass(frozen=True)
class Precision:
    """One code path for mixed precision: disabled, these calls do nothing."""

    enabled: bool = False
    dtype: str = "float16"

    def autocast(self) -> Any:
        return paddle.amp.auto_cast(enable=self.enabled, dtype=self.dtype)

    def scaler(self) -> paddle.amp.GradScaler:
        """Loss scaling, which only float16 needs."""
        return paddle.amp.GradScaler(enable=self.enabled and self.dtype == "float16")


FULL = Precision()


def choose_precision(wanted: bool | str, device: str) -> tuple[Precision, str]:
    """AMP where it helps, and the reason in words: bfloat16 where the card has it, else float16; none on a CPU."""
    if not device.startswith("gpu"):
        asked = "was asked for, but stays" if wanted is True else "is"
        return Precision(), f"mixed precision {asked} off: Paddle's dygraph has none on a CPU"
    if wanted is False:
        return Precision(), "mixed precision is off, as asked for"
    major, _ = paddle.device.cuda.get_device_capability()
    if major < 7:
        return Precision(), f"mixed precision is off: compute capability {major} is too old for it, 7 is needed"
    dtype = "bfloat16" if major >= 8 else "float16"
    return Precision(True, dtype), f"mixed precision is on, {dtype} (compute capability {major})"


@dataclass
class Tally:
    """What an epoch has seen so far: sums, so that parts of it add up exactly."""

    loss: float = 0.0
    correct: float = 0.0
    seen: int = 0
    steps: int = 0
    last_loss: float = 0.0  # mean of the last step
    grad_norm: float = 0.0  # of the last step
    weight_change: float | None = None  # of the last step, where it is watched
    seconds: float = 0.0
    waited: float = 0.0  # seconds of these that the loop waited for data

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.seen / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        return f"loss {self.loss / self.seen:.3f} top-1 {self.correct / self.seen:.1%} {self.rate:.1f} img/s"

    def state_dict(self) -> dict[str, float]:
        return asdict(self)


def soft_cross_entropy(outputs: Any, targets: paddle.Tensor) -> paddle.Tensor:
    """Mean of -sum(target * log softmax(logits)); auxiliary logits count AUXILIARY_WEIGHT each."""
    heads = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    weights = [1.0] + [AUXILIARY_WEIGHT] * (len(heads) - 1)
    losses = [
        -(targets * nn.functional.log_softmax(head.astype("float32"), axis=1)).sum(axis=1).mean() for head in heads
    ]
    return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


@dataclass
class Step:
    """Moves the weights by one step over its micro-batches. `reseed` is called before each, with its position."""

    model: nn.Layer
    optimizer: paddle.optimizer.Optimizer
    scaler: paddle.amp.GradScaler
    precision: Precision
    group: Group
    reseed: Callable[[int, int], None]
    watch_weights: bool = False

    def __call__(self, step: int, batches: list[Batch], lr: float, tally: Tally) -> None:
        """Adds summed loss, correct answers and images of all ranks to the tally."""
        self.optimizer.set_lr(lr)
        sums = np.zeros(3)
        for position, batch in enumerate(batches):
            self.reseed(step, position)
            last = position == len(batches) - 1
            found = None
            with contextlib.suppress(MemoryError), contextlib.nullcontext() if last else self.group.no_sync(self.model):
                found = self._micro_batch(batch, len(batches))
            if found is None:  # here, not where it was caught: the error holds what the step had made
                raise TrainingError(self._out_of_memory(step, batch, len(batches)))
            sums += found
        loss, correct, seen = self.group.sum(sums)
        if not np.isfinite(loss):
            raise NotFiniteError(f"the loss is {loss} at step {step}")
        tally.grad_norm = self._gradient_norm()
        if not np.isfinite(tally.grad_norm) and not self.scaler.is_enable():  # ReLU and pooling hide it from the loss
            raise NotFiniteError(f"the gradient is not finite at step {step}")
        # of float16, a step whose gradient overflowed is left out and says nothing of how the weights move
        watched = self.watch_weights and np.isfinite(tally.grad_norm)
        before = [p.clone() for p in self.model.parameters()] if watched else []
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.clear_grad()
        if watched:
            after = self.model.parameters()
            tally.weight_change = _norm([now - then for now, then in zip(after, before, strict=True)])
        tally.last_loss = float(loss / seen)
        tally.loss += float(loss)
        tally.correct += float(correct)
        tally.seen += int(seen)
        tally.steps += 1

    def _micro_batch(self, batch: Batch, parts: int) -> np.ndarray:
        images, targets = paddle.to_tensor(batch.images), paddle.to_tensor(batch.targets)
        with self.precision.autocast():
            outputs = self.model(images)
            loss = soft_cross_entropy(outputs, targets)
        self.scaler.scale(loss / parts).backward()
        logits = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
        correct = (logits.astype("float32").numpy().argmax(axis=1) == batch.labels).sum()
        return np.array([float(loss) * len(batch.labels), correct, len(batch.labels)], dtype=np.float64)

    def _out_of_memory(self, step: int, batch: Batch, parts: int) -> str:
        """What ran out and what would fit, found by trying half as many images until they do."""
        images = fitting = len(batch.labels)
        self.optimizer.clear_grad(set_to_zero=False)
        while fitting := fitting // 2:
            with contextlib.suppress(MemoryError), self.group.no_sync(self.model):
                self._micro_batch(Batch(*(array[:fitting] for array in batch)), parts)
                break
        said = f"memory ran out at step {step} with {images} images of {batch.images.shape[-1]} px at a time"
        if not fitting:
            return f"{said}, and not even one fits: choose a smaller data.size or network"
        same = f"train.accumulate={images // fitting * parts} (the same steps), or " if images % fitting == 0 else ""
        return f"{said}; {fitting} fit: {same}train.batch_size={fitting * parts * self.group.size}"

    def _gradient_norm(self) -> float:
        """Of the last gradient, unscaled, in float32; cheap beside the step itself."""
        norm = _norm([p.grad.astype("float32") for p in self.model.parameters() if p.grad is not None])
        return norm / float(self.scaler.state_dict().get("scale", 1.0))


def _norm(tensors: list[paddle.Tensor]) -> float:
    """Euclidean norm of all together; the dot product runs in BLAS, many times as fast as a square and a sum."""
    flat = [tensor.flatten() for tensor in tensors]
    return float(paddle.add_n([paddle.dot(values, values) for values in flat]).sqrt()) if flat else 0.0


def train_epoch(
    step_fn: Step,
    stream: Iterator[Batch],
    steps: Iterable[int],
    lr: Callable[[int], float],
    tally: Tally,
    accumulate: int,
    after_step: Callable[[int, float, Tally], None],
    set_modes: Callable[[], None],
) -> Tally:
    """Train over the given global steps, adding to `tally`; `after_step(step, lr, tally)` may save, log or raise."""
    set_modes()
    for step in steps:
        started = time.perf_counter()
        batches = list(islice(stream, accumulate))
        loaded = time.perf_counter()
        rate = lr(step)
        step_fn(step, batches, rate, tally)
        tally.waited += loaded - started
        tally.seconds += time.perf_counter() - started
        after_step(step, rate, tally)
    return tally


def predict(model: nn.Layer, batches: Iterable[Batch], precision: Precision = FULL) -> np.ndarray:
    """Logits [N, C] float32 of all images, in the order of the batches; the model ends in the mode it came in."""
    was_training = model.training
    model.eval()
    with paddle.no_grad(), precision.autocast():
        logits = [model(paddle.to_tensor(batch.images)).astype("float32").numpy() for batch in batches]
    if was_training:
        model.train()
    return np.concatenate(logits)


def validate(model: nn.Layer, batches: Iterable[Batch], precision: Precision = FULL) -> np.ndarray:
    """Sums over this rank's images: [cross-entropy, correct, count], float64."""
    sums = np.zeros(3)
    for batch in batches:
        sums += score(predict(model, [batch], precision), batch.labels)
    return sums


def means(sums: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and accuracy, from such sums; NotFiniteError where the network's answers are no numbers."""
    loss, correct, count = sums
    if not np.isfinite(loss):
        raise NotFiniteError(f"the validation loss is {loss}")
    return float(loss / count), float(correct / count)


def score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sums over images: [cross-entropy, correct, count], float64."""
    loss = -log_softmax(logits)[np.arange(len(labels)), labels].sum()
    return np.array([loss, (logits.argmax(axis=1) == labels).sum(), len(labels)], dtype=np.float64)
