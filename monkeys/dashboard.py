"""What the VisualDL panel shows beside curves: inputs at the start, mistakes and comparisons at the end."""

from __future__ import annotations

from paddle import nn

from .assessment import Assessment, features
from .config import Config
from .data.dataset import Key
from .data.image import decode
from .evaluation.metrics import softmax
from .photographs import Photographs
from .training.runlog import NullLog

SHOWN = 8  # the panel draws at most ten pictures per tag
_COMPARED = {
    "model": "model.name",
    "size": "data.size",
    "recipe": "augment.recipe",
    "optimizer": "optim.name",
    "lr": "optim.lr",
    "weight_decay": "optim.weight_decay",
    "batch_size": "train.batch_size",
    "epochs": "train.epochs",
    "seed": "run.seed",
}


def show_inputs(log: NullLog, model: nn.Layer, data: Photographs) -> None:
    """A few augmented training images and the model's summary."""
    dataset = data.training()
    for index in range(min(SHOWN, len(dataset))):
        log.image("inputs/augmented", dataset[Key(0, index)].image, index)
    log.text("model/summary", str(model))


def show_results(log: NullLog, config: Config, examined: Assessment) -> None:
    """Confusion matrix, worst mistakes, PR curves, embedding, and the settings with their final figures."""
    for picture in ("confusion_matrix", "errors"):
        path = examined.out / f"{picture}.png"
        if path.exists():
            log.image(f"results/{picture}", decode(path), 0)
    labels = examined.predictions.labels
    probabilities = softmax(examined.predictions.logits / examined.network.temperature)
    for index, info in enumerate(examined.network.classes):
        log.pr_curve(f"pr/{_tag(info.name)}", labels == index, probabilities[:, index])
    names = [examined.network.classes[label].name for label in labels]
    log.embedding("validation", features(examined, config), names)
    settings = {name: _setting(config, key) for name, key in _COMPARED.items()}
    log.hparams(settings, {f"final/{name}": examined.metrics[name] for name in ("top1", "loss", "macro_f1")})


def _setting(config: Config, key: str) -> str | int | float:
    section, _, name = key.partition(".")
    value = getattr(getattr(config, section), name)
    return value if isinstance(value, (int, float)) else str(value)


def _tag(name: str) -> str:
    """A class name as VisualDL takes it: no percent sign."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
