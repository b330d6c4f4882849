"""Test-time augmentation: the mean of what the network says of an image, its mirror image, and both a little larger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import paddle
from paddle import nn

from ..data.dataset import Batch
from .engine import FULL, Precision

SCALES = (1.0, 1.15)


def predict_with_tta(
    model: nn.Layer, batches: Iterable[Batch], scales: Sequence[float] = SCALES, precision: Precision = FULL
) -> np.ndarray:
    """Log of the mean probabilities [N, C] float32: as good as logits, since their softmax is that mean.

    scales: (1.0,) for a network that takes one size only.
    """
    model.eval()
    with paddle.no_grad(), precision.autocast():
        return np.concatenate(
            [_mean_log_probability(model, paddle.to_tensor(batch.images), scales) for batch in batches]
        )


def _mean_log_probability(model: nn.Layer, images: paddle.Tensor, scales: Sequence[float]) -> np.ndarray:
    views = [view for scale in scales for view in _with_mirror(_scaled(images, scale))]
    probabilities = [nn.functional.softmax(model(view).astype("float32"), axis=1) for view in views]
    return paddle.log(paddle.add_n(probabilities) / len(views) + 1e-30).numpy()


def _scaled(images: paddle.Tensor, scale: float) -> paddle.Tensor:
    if scale == 1.0:
        return images
    size = round(images.shape[-1] * scale)
    return nn.functional.interpolate(images, size=[size, size], mode="bilinear")


def _with_mirror(images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    return images, images.flip(axis=[3])
