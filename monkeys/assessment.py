"""Half of the composition root: a run's network is examined on a split, a folder or a list."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from . import atomic
from .config import Config, load_config
from .data.image import decode
from .errors import UserError
from .evaluation.calibration import fit_temperature as best_temperature
from .evaluation.metrics import Predictions, answers, evaluate_predictions, leak_free_words
from .models import MODELS, head_prefixes
from .progress import progress
from .reports.evaluation import refuse_foreign, write_evaluation
from .reports.saliency import write_saliency
from .serving.engine import Engine, digest
from .serving.examinations import note_network, refuse_other_source
from .serving.examined import Images, other_images, own_images, source_name
from .serving.export import open_inference
from .serving.held_out import BATCH, batches
from .serving.held_out import read_manifest as read_manifest
from .serving.network import RECORD, WEIGHTS, Network, load_network, read_record
from .training.engine import predict
from .training.tta import predict_with_tta, view_sizes

log = logging.getLogger("monkeys")


@dataclass(frozen=True)
class Assessment:
    """What an examination found, and where it was written."""

    out: Path
    metrics: dict[str, Any]
    predictions: Predictions
    network: Network
    images: Images

    @property
    def summary(self) -> str:
        """The figures in one or two lines."""
        m = self.metrics
        text = f"{m['split']}: top-1 {m['top1']:.1%} (95 % interval {m['top1_low']:.1%} to {m['top1_high']:.1%})"
        text += f" of {m['n']} images, top-5 {m['top5']:.1%}, macro F1 {m['macro_f1']:.1%}, loss {m['loss']:.3f}"
        if leaks := leak_free_words(m):
            text += f"\n{leaks}"
        if m["selected_on_this_split"]:
            text += "\nthe best epoch was chosen on this split, so its figures are a little too good"
        if self.images.from_validation:
            text += "\nloss and calibration error are those after a temperature that was fitted on these images"
        return text


def assess(
    run: Path,
    *,
    split: str = "val",
    source: Path | None = None,
    sample: int = 0,
    seed: int = 0,
    tta: bool = False,
    weights: str = "best",
    out: Path | None = None,
    engine: str = "dygraph",
) -> Assessment:
    """Predict a split of the run's own manifest, or all images of another source, and write every artefact.

    sample: only so many images, drawn with `seed`. tta: test-time augmentation. weights: "best" or "last",
    which no choice of an epoch has touched. Writes `RUN/eval-<split or source name>[-last][-tta]/` where nothing else
    is told.
    engine: what computes the answers, "dygraph" or "inference"; the pictures of where the network looks always take the
    former.
    """
    if engine == "inference":
        _refuse_what_is_not_exported(tta, weights)
    name = source_name(source) if source else split
    target = out or run / f"eval-{name}{'-last' if weights == 'last' else ''}{'-tta' if tta else ''}"
    _refuse_taken(target, out, source)
    fast = open_inference(run) if engine == "inference" else None
    best_sha256 = digest(run / WEIGHTS)
    network, config = load_network(run, weights=weights), load_config(run / "config.yaml")
    images = other_images(run, config, source, network) if source else own_images(run, config, split)
    images = images.chosen(_sample(len(images.rows), sample, seed))
    predictions = _predictions(network, images, config, tta, fast)
    selected = images.from_validation and (weights == "best" or _watches_validation(config))
    temperature = network.temperature  # of best weights and single views; 1 until training has ended
    if weights == "last" or tta:
        validation = predictions if source is None and split == "val" and not sample else None
        temperature = _own_temperature(network, run, config, tta, validation)
    metrics = evaluate_predictions(predictions, network.classes, split=name, selected=selected, temperature=temperature)
    write_evaluation(
        target,
        predictions,
        network.classes,
        metrics,
        lambda path: decode(images.root / path),
        seed=seed,
        temperature=temperature,
    )
    _look(target, network, images, predictions, seed)
    note_network(target, weights=weights, best_sha256=best_sha256, temperature=temperature, source=source, tta=tta)
    return Assessment(target, metrics, predictions, network, images)


def _refuse_taken(target: Path, out: Path | None, source: Path | None) -> None:
    if out:
        refuse_foreign(out)
    elif source:
        refuse_other_source(target, source)


def _refuse_what_is_not_exported(tta: bool, weights: str) -> None:
    if tta:
        raise UserError("--tta needs other picture sizes than an exported network takes: leave out --engine inference")
    if weights == "last":
        raise UserError("--weights last is not what was exported: leave out --engine inference")


def _watches_validation(config: Config) -> bool:
    """Whether the end of training, too, was chosen on the validation split."""
    train = config.train
    return bool(train.patience or train.target_top1 or config.optim.schedule.name == "plateau")


def _look(out: Path, network: Network, images: Images, predictions: Predictions, seed: int) -> None:
    """Draw where the network looks, on a few images of each class."""
    rows = answers(predictions, network.classes)
    names = {info.id: info.name for info in network.classes}

    def photograph(index: int) -> np.ndarray:
        return decode(images.root / rows[index].path)

    write_saliency(out, network.model, network.preprocess, photograph, rows, names, seed=seed)


def fit_temperature(run: Path) -> float:
    """Calibrate the run's network on its validation split and save the temperature with the weights."""
    network, config = load_network(run), load_config(run / "config.yaml")
    images = own_images(run, config, "val")
    temperature = best_temperature(_logits(network, images, config), images.labels(network))
    atomic.write_json(run / RECORD, read_record(run) | {"temperature": temperature})
    return temperature


def _own_temperature(network: Network, run: Path, config: Config, tta: bool, validation: Predictions | None) -> float:
    """What makes confidence on the run's validation split fit best: last weights, and means of views, have their own.

    validation: the answers on that split, where they are known. Where the run's photographs are gone, the temperature
    is that of the best weights and single views, with a warning.
    """
    try:
        known = validation or _predictions(network, own_images(run, config, "val"), config, tta)
        return best_temperature(known.logits, known.labels)
    except UserError as error:
        log.warning("%s; so loss and calibration error go by the temperature of best weights and single views", error)
        return network.temperature


def _predictions(
    network: Network, images: Images, config: Config, tta: bool = False, engine: Engine | None = None
) -> Predictions:
    return Predictions(
        paths=tuple(row.path for row in images.rows),
        labels=images.labels(network),
        logits=_logits(network, images, config, tta, engine),
        leak_free=images.leak_free,
    )


def _sample(count: int, wanted: int, seed: int) -> np.ndarray:
    """Indices of all images, or of `wanted` random ones, in order."""
    if not wanted or wanted >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))


def _pooled(given: paddle.Tensor) -> np.ndarray:
    """[N, D] float32: a map's means over its places, what is no map as it is."""
    return (given.mean(axis=[2, 3]) if given.ndim == 4 else given).numpy()


def features(examined: Assessment, config: Config) -> np.ndarray:
    """What the head is given of each image, pooled: [N, D] float32."""
    model, seen = examined.network.model, []
    layers = dict(model.named_sublayers())
    prefix = head_prefixes(model)[0].rstrip(".")
    head = layers.get(prefix) or next(layer for name, layer in layers.items() if name.startswith(prefix))
    hook = head.register_forward_pre_hook(lambda layer, inputs: seen.append(_pooled(inputs[0])))
    try:
        _logits(examined.network, examined.images, config)
    finally:
        hook.remove()
    return np.concatenate(seen)


def _logits(
    network: Network, images: Images, config: Config, tta: bool = False, engine: Engine | None = None
) -> np.ndarray:
    """[N, C] float32, in the order of the rows; from the network as it was trained unless an engine is given."""
    found = batches(network, images.rows, images.root, config)
    shown = progress(found, total=math.ceil(len(images.rows) / BATCH), desc="predicting", unit="batch")
    if engine is not None:
        return np.concatenate([engine(batch.images) for batch in shown])
    if not tta:
        return predict(network.model, shown)
    sizes = MODELS[network.model_options["name"]].accepted(view_sizes(network.preprocess.size))
    return predict_with_tta(network.model, shown, sizes)
