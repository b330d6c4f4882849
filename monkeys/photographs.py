"""The photographs of a run, as its configuration wants them: sizes by epoch, normalisation, augmentation, batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import runtime
from .augment import build_recipe
from .augment.mix import erase, mix
from .config import Config
from .data.cache import open_pictures
from .data.dataset import Collate, Dataset, Pictures, as_they_are, class_weights
from .data.image import Preprocess
from .data.manifest import Manifest, Row

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Photographs:
    """What training and evaluation see."""

    config: Config
    manifest: Manifest

    @property
    def preprocess(self) -> Preprocess:
        """Of evaluation and prediction, saved with the weights."""
        return self._preprocess(self.config.data.eval_size or self._train_size(self.config.train.epochs - 1))

    def _preprocess(self, size: int) -> Preprocess:
        data = self.config.data
        if data.normalise == "imagenet":
            return Preprocess(size, IMAGENET_MEAN, IMAGENET_STD, data.fit)
        return Preprocess(size, fit=data.fit)

    def _train_size(self, epoch: int) -> int:
        epoch = min(epoch, self.config.train.epochs - 1)  # a range test may have more steps than the plan
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
        """The training photographs, augmented before the unaugmented epochs, at each epoch's size."""
        config, rows = self.config, self.manifest.of("train")
        augment = build_recipe(config.augment.recipe, config.augment.engine)
        until = config.train.epochs - config.augment.unaugmented_epochs
        labels, seed = self.labels("train"), config.run.seed
        if config.data.source_size:
            source = self._pictures(rows, config.data.source_size)
            return Dataset(lambda epoch: source, labels, augment, seed, self._shrink, augment_until=until)
        sizes = {self._train_size(epoch) for epoch in range(config.train.epochs)}
        by_size = {size: self._pictures(rows, size) for size in sorted(sizes)}
        return Dataset(lambda epoch: by_size[self._train_size(epoch)], labels, augment, seed, augment_until=until)

    def _shrink(self, epoch: int, image: np.ndarray) -> np.ndarray:
        return self._preprocess(self._train_size(epoch)).resize(image)

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
            return mix(
                images,
                targets,
                rng,
                mixup=augment.mixup,
                cutmix=augment.cutmix,
                prob=augment.mix_prob,
                cutmix_share=augment.cutmix_share,
            )

        until = train.epochs - max(augment.plain_epochs, augment.unaugmented_epochs)
        return Collate(self.preprocess.normalise, weights, train.label_smoothing, mixed, until, self.config.run.seed)
