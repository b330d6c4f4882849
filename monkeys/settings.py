"""The settings of an experiment as frozen, typed models; `config.py` reads them from a file and a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from .paths import expand_home

Fraction = float
LEAST_SIDE, MOST_SIDE = 8, 2048
Side = Annotated[int, Field(ge=LEAST_SIDE, le=MOST_SIDE)]  # of a picture, in pixels
SideOrZero = Annotated[int, Field(ge=0, le=MOST_SIDE)]


UserPath = Annotated[Path, AfterValidator(expand_home)]


def _as_tuple(given: Any) -> Any:
    names = given if isinstance(given, (list, tuple)) else () if given is None else (given,)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"names that YAML takes for something else want quotes, e.g. ['0', 'no'], not {given!r}")
    return names


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]  # one may stand without its brackets


class Section(BaseModel):
    """A part of the configuration: immutable, and no key but the declared ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class RunConfig(Section):
    """Where a run is written, and what its randomness starts from."""

    name: str = Field("", pattern=r"^(\.*[\w-][\w.-]*)?$", description="empty: the configuration file's stem")
    dir: UserPath = Field(Path("runs"), description="where run folders live")
    seed: NonNegativeInt = Field(0, lt=2**63, description="of weights, order and augmentation")
    device: Literal["auto", "cpu", "gpu"] = "auto"


class DataConfig(Section):
    """Which photographs, how they are split, and how they reach the network."""

    root: UserPath = Field(Path("data"), description="folder, archive or list file")
    size: Side = Field(224, description="pixels per side of the network's input")
    sizes: dict[NonNegativeInt, Side] = Field({}, description="progressive training size: first epoch -> pixels")
    eval_size: SideOrZero = Field(0, description="pixels per side in evaluation; 0: as trained")
    source_size: SideOrZero = Field(0, description="pixels per side while augmented; 0: as trained")
    fit: Literal["squash", "crop"] = "squash"
    normalise: Literal["symmetric", "imagenet"] = Field("symmetric", description="[-1, 1], or ImageNet mean and std")
    val_fraction: Fraction = Field(0.15, gt=0, lt=1, description="of the training images, where there is no such part")
    test_fraction: Fraction = Field(0.0, ge=0, lt=1, description="likewise")
    folds: int | None = Field(None, ge=2, description="validation is one of this many folds instead of a fraction")
    fold: NonNegativeInt = Field(0, description="which of them, from 0")
    split_seed: NonNegativeInt = Field(0, lt=2**32, description="of the drawn splits")
    grouped: bool = Field(True, description="copies of one picture stay in one split")
    exclude: Names = Field(
        (),
        description="left out: paths, patterns of them (*/cam_*), or names wherever they are: [one_class, a/b.jpg]",
    )
    odd: Names = Field((), description="kinds of odd files that are left out, e.g. animated, tiny")
    skip_unreadable: bool = Field(False, description="leave unreadable files out instead of stopping")
    cache: bool = Field(True, description="keep decoded, resized pictures in one memory-mapped file")
    cache_dir: UserPath | None = Field(None, description="default: $XDG_CACHE_HOME/monkeys")
    workers: NonNegativeInt = Field(0, le=256, description="loader processes; 0: in the training process")

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        faults = []
        if self.val_fraction + self.test_fraction >= 1:
            faults.append("data.val_fraction and data.test_fraction leave nothing to train on")
        if self.folds is not None and self.fold >= self.folds:
            faults.append(
                f"data.fold {self.fold} does not exist: with data.folds {self.folds} they are 0 to {self.folds - 1}"
            )
        largest = max([self.size, *self.sizes.values()])
        if 0 < self.eval_size < LEAST_SIDE:
            faults.append(f"data.eval_size {self.eval_size}: a picture needs at least {LEAST_SIDE} pixels per side")
        if 0 < self.source_size < largest:
            faults.append(f"data.source_size {self.source_size} is less than the {largest} pixels of training")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class AugmentConfig(Section):
    """How training pictures are varied and mixed."""

    recipe: str = Field("report", description="see --list recipes")
    engine: Literal["fast", "imgaug"] = "fast"
    mixup: NonNegativeFloat = Field(0.0, description="alpha of the Beta distribution; 0: off")
    cutmix: NonNegativeFloat = Field(0.0, description="alpha of the Beta distribution; 0: off")
    mix_prob: Fraction = Field(1.0, ge=0, le=1, description="share of batches that are mixed")
    cutmix_share: Fraction = Field(0.5, ge=0, le=1, description="of the mixed batches, where mixup and cutmix are on")
    erase: Fraction = Field(0.0, ge=0, le=1, description="probability of random erasing")
    plain_epochs: NonNegativeInt = Field(0, description="last epochs without mixup, cutmix and erasing")
    unaugmented_epochs: NonNegativeInt = Field(0, description="last epochs of photographs as they are")


class ModelConfig(Section):
    """Which network, and the weights it starts from."""

    name: str = Field("resnet50", description="see --list models")
    pretrained: str = Field("none", description="none, imagenet, or the path of a weights file")
    stem: Literal["7x7", "3x3x3"] = "7x7"
    zero_init: bool = Field(False, description="blocks' last batch norms start at zero; costs ResNet-18 (docs/LOG.md)")
    project_first: bool = Field(False, description="as PaddleClas: ResNet-18 and -34 project the first shortcut too")
    drop_path: Fraction = Field(0.0, ge=0, lt=1, description="stochastic depth: how often the last block is skipped")
    dropout: Fraction = Field(0.0, ge=0, lt=1, description="before the head")
    layers: str | None = Field(
        None,
        description="of model.name=plain: conv3-32 maxpool2 fc64 drop0.3 fc10 softmax; the last fc takes the classes",
    )
    init: Literal["default", "he", "glorot", "uniform"] = "default"


class ScheduleConfig(Section):
    """How the rate changes; keys that one schedule alone reads say so."""

    name: str = Field("cosine", description="see --list schedules")
    warmup_epochs: NonNegativeFloat = Field(5.0, description="in which the rate rises in a straight line")
    min_lr: NonNegativeFloat = Field(0.0, description="cosine: where it ends")
    drop_period: PositiveInt = Field(10, description="step: epochs between drops")
    drop_factor: float = Field(0.1, gt=0, lt=1, description="step, plateau: the rate is multiplied by this")
    boundaries: tuple[PositiveFloat, ...] = Field((), description="piecewise: epochs at which the value changes")
    values: tuple[PositiveFloat, ...] = Field((), description="piecewise: one value more than boundaries")
    power: PositiveFloat = Field(1.0, description="power: c2 in lr / (1 + step / c1) ** c2")
    scale: PositiveFloat = Field(10.0, description="power: c1, in epochs")
    patience: NonNegativeInt = Field(3, description="plateau: epochs without improvement before a drop")


class OptimConfig(Section):
    """What makes a step of a gradient."""

    name: str = Field("adam", description="see --list optimizers")
    lr: PositiveFloat = Field(0.001, description="learning rate, the highest of its schedule")
    lr_batch: NonNegativeInt = Field(0, description="the batch lr is stated for; the rate scales with it; 0: as given")
    momentum: Fraction = Field(0.9, ge=0, lt=1, description="of momentum and nesterov")
    weight_decay: NonNegativeFloat = Field(0.0, description="decoupled in adamw and adamp, else added to the gradient")
    decay_norms: bool = Field(True, description="decay biases and norms too")
    clip_norm: NonNegativeFloat = Field(0.0, description="largest global gradient norm; 0: off")
    body_lr_factor: PositiveFloat = Field(1.0, description="rate of everything but the head, relative to lr")
    layer_decay: Fraction = Field(1.0, gt=0, le=1, description="rate falls by this factor per block away from the head")
    schedule: ScheduleConfig = ScheduleConfig()


class TrainConfig(Section):
    """How long, in what batches, towards which targets, and what ends it early."""

    epochs: PositiveInt = Field(300, description="the plan that schedules refer to")
    max_steps: NonNegativeInt = Field(0, description="ends the whole run after this many steps; 0: off")
    max_minutes: NonNegativeFloat = Field(0.0, description="ends the run after the epoch that passes this; 0: off")
    batch_size: PositiveInt = Field(128, description="images of a step, over all processes and micro-batches")
    accumulate: PositiveInt = Field(1, description="micro-batches per step; each has batch_size / accumulate images")
    amp: Literal["auto"] | bool = Field("auto", description="mixed precision; auto: on a GPU")
    label_smoothing: Fraction = Field(0.0, ge=0, lt=1, description="share of a target that all classes get alike")
    class_weights: Literal["none", "inverse"] | tuple[PositiveFloat, ...] = Field(
        "none", description="none, inverse (to the number of images), or a list of one weight per class"
    )
    ema: Fraction = Field(0.0, ge=0, lt=1, description="decay of the averaged weights; 0: off")
    freeze_epochs: NonNegativeInt = Field(0, description="first epochs in which only the head is trained")
    patience: NonNegativeInt = Field(0, description="epochs without a lower validation loss before stopping; 0: off")
    min_delta: NonNegativeFloat = Field(0.0, description="what counts as lower")
    target_top1: Fraction = Field(0.0, ge=0, le=1, description="stop once validation top-1 reaches this; 0: off")
    min_grad_norm: NonNegativeFloat = Field(0.0, description="stop once the gradient norm is below; 0: off")
    min_weight_change: NonNegativeFloat = Field(0.0, description="stop once an epoch's last step is shorter; 0: off")
    save_steps: NonNegativeInt = Field(0, description="also checkpoint every this many steps; 0: each epoch only")
    processes: Literal["auto"] | PositiveInt = Field(
        1, description="auto: one per GPU or two on a CPU, if batches divide"
    )

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"train.batch_size {self.batch_size} cannot be cut into train.accumulate {self.accumulate} equal parts"
            )
        return self


class Config(Section):
    """One experiment."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()

    @property
    def run_folder(self) -> Path:
        return self.run.dir / self.run.name
