"""Predictions for people and programs: a run folder and a picture in, class names and probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from ..data.image import ImageError
from ..errors import UserError
from ..evaluation.predictions import softmax
from .engine import ENGINES, Dygraph, Engine, damaged_file, is_export, open_exported, read_export
from .network import Description, describe, load_network, read_record


@dataclass(frozen=True)
class Guess:
    """One class with its calibrated probability."""

    id: str
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture: classes by falling probability; or why there is nothing to say."""

    path: str
    guesses: tuple[Guess, ...] = ()
    error: str = ""

    @property
    def best(self) -> Guess:
        return self.guesses[0]


class Predictor:
    """The best network of a run, or of an export in the paddle or safetensors format, ready to be asked.

    engine: "dygraph", the network as trained; or "inference", paddle.inference with oneDNN on the CPU, for which a run
    is exported on first use. An export in the paddle format always takes the latter. Several threads may ask.
    """

    def __init__(self, run: Path | str, engine: Literal["dygraph", "inference"] = "dygraph") -> None:
        if engine not in ENGINES:
            raise UserError(f"engine {engine!r}: known are {' and '.join(ENGINES)}")
        folder = Path(run)
        self.network: Description
        self.engine: Engine
        if is_export(folder):
            self.network, self.engine = _exported(folder)
        elif engine == "inference":
            from .export import open_inference

            self.engine, self.network = open_inference(folder), describe(read_record(folder))
        else:
            trained = load_network(folder)
            self.network, self.engine = trained, Dygraph(trained.model)

    def predict(self, path: Path | str, topk: int = 5) -> Prediction:
        """One picture; raises ImageError where it cannot be read."""
        image = self.network.preprocess(Path(path))
        return self._predictions([str(path)], [image], topk)[0]

    def predict_many(self, paths: Iterable[Path], topk: int = 5, batch_size: int = 16) -> Iterator[Prediction]:
        """As many as there are, in order, a batch in memory at a time; an unreadable picture costs its own row."""
        waiting = iter(paths)
        while batch := list(islice(waiting, batch_size)):
            yield from self._batch(batch, topk)

    def _batch(self, paths: list[Path], topk: int) -> list[Prediction]:
        images, errors = {}, {}
        for index, path in enumerate(paths):
            try:
                images[index] = self.network.preprocess(path)
            except ImageError as error:
                errors[index] = Prediction(str(path), error=error.reason)
        found = self._predictions([str(paths[index]) for index in images], list(images.values()), topk)
        predicted = dict(zip(images, found, strict=True))
        return [predicted.get(index) or errors[index] for index in range(len(paths))]

    def _predictions(self, paths: list[str], images: list[np.ndarray], topk: int) -> list[Prediction]:
        if not images:
            return []
        classes = self.network.classes
        probabilities = self.probabilities(np.stack(images))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : min(topk, len(classes))]
        return [
            Prediction(path, tuple(Guess(classes[i].id, classes[i].name, float(row[i])) for i in best))
            for path, row, best in zip(paths, probabilities, order, strict=True)
        ]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """[N, 3, S, S] float32, preprocessed -> [N, C] float64, calibrated. UserError where they are no numbers."""
        logits = self.engine(images)
        if not np.isfinite(logits).all():
            raise UserError("the network's answer is not finite; its weights are broken: train again")
        return softmax(logits / self.network.temperature)


def _exported(folder: Path) -> tuple[Description, Engine]:
    record = read_export(folder)
    if name := damaged_file(folder, record):
        raise UserError(f"{folder / name} is missing or damaged: copy it again, or export again")
    if record["format"] == "paddle":
        return describe(record), open_exported(folder, record)
    if record["format"] == "safetensors":
        network = load_network(folder, record)
        return network, Dygraph(network.model)
    raise UserError(f"{folder} is an export for {record['format']}; give the run, or its paddle or safetensors export")
