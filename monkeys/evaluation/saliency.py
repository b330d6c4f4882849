"""Grad-CAM (Selvaraju et al., arXiv 1610.02391): where a network looks when it decides."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn


class NoPictureError(ValueError):
    """No layer of the network has a picture in it."""


def grad_cam(model: nn.Layer, images: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    """Heat maps [N, S, S] float32 between 0 and 1 of the last layer that still has a picture.

    images: [N, 3, S, S] float32, preprocessed. class_index: [N], the classes asked about. The model ends in evaluation
    mode; its gradients are cleared. Raises NoPictureError where the network has nothing but vectors inside.
    """
    model.eval()
    layer = _last_spatial_layer(model, images[:1])
    kept: list[paddle.Tensor] = []
    hook = layer.register_forward_post_hook(lambda layer, inputs, output: kept.append(output))
    try:
        inputs = paddle.to_tensor(images)
        inputs.stop_gradient = False  # so that a frozen network has a graph as well
        logits = model(inputs)
        chosen = logits[paddle.arange(len(images)), paddle.to_tensor(class_index.astype(np.int64))].sum()
        (gradient,) = paddle.grad(chosen, kept[-1])
    finally:
        hook.remove()
        model.clear_gradients()
    weights = gradient.mean(axis=[2, 3], keepdim=True)
    maps = nn.functional.relu((weights * kept[-1]).sum(axis=1, keepdim=True))
    size = list(images.shape[2:])
    return _scaled(nn.functional.interpolate(maps, size=size, mode="bilinear").squeeze(1).numpy())


def border_share(maps: np.ndarray, fraction: float = 0.1) -> np.ndarray:
    """Share [N] of each map's heat that lies on the outer border, `fraction` of the side wide; nan for cold maps.

    An evenly heated map has 1 - (1 - 2 * fraction) ** 2: 0.36 for a tenth.
    """
    width = max(1, round(fraction * maps.shape[1]))
    total = maps.sum(axis=(1, 2))
    inner = maps[:, width:-width, width:-width].sum(axis=(1, 2))
    return np.where(total > 0, 1 - inner / np.where(total > 0, total, 1), np.nan)


def _last_spatial_layer(model: nn.Layer, image: np.ndarray) -> nn.Layer:
    """The last layer without sublayers whose output is [N, C, H, W] with more than one place."""
    found: list[nn.Layer] = []

    def note(layer: nn.Layer, inputs: object, output: object) -> None:
        if isinstance(output, paddle.Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            found.append(layer)

    hooks = [layer.register_forward_post_hook(note) for layer in model.sublayers() if not layer.sublayers()]
    with paddle.no_grad():
        model(paddle.to_tensor(image))
    for hook in hooks:
        hook.remove()
    if not found:
        raise NoPictureError("this network has no layer with a picture in it; its input is too small for a heat map")
    return found[-1]


def _scaled(maps: np.ndarray) -> np.ndarray:
    highest = maps.max(axis=(1, 2), keepdims=True)
    return (maps / np.where(highest > 0, highest, 1)).astype(np.float32)
