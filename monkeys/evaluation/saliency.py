"""Grad-CAM (Selvaraju et al., arXiv 1610.02391): where a network looks when it decides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeGuard

import numpy as np
import paddle
from paddle import nn

ENOUGH = 4  # places along each side: two by two show nothing


class NoPictureError(ValueError):
    """No layer of the network has a picture in it."""


def grad_cam(model: nn.Layer, images: np.ndarray, class_index: np.ndarray) -> np.ndarray:
    """Heat maps [N, S, S] float32 between 0 and 1 of the last place in the network that still has a picture in it.

    images: [N, 3, S, S] float32, preprocessed. class_index: [N], the classes asked about. The model ends in evaluation
    mode, its weights and gradients as they were. Raises NoPictureError where it has nothing but vectors inside.
    """
    model.eval()
    layer, entering = _last_picture(model, images[:1])
    kept: list[paddle.Tensor] = []

    def cut(picture: paddle.Tensor) -> paddle.Tensor:
        """Let the gradient end here, so that nothing before is kept in memory."""
        kept.append(picture.detach())
        kept[-1].stop_gradient = False
        return kept[-1].clone()

    if entering:
        hook = layer.register_forward_pre_hook(lambda layer, inputs: (cut(inputs[0]), *inputs[1:]))
    else:
        hook = layer.register_forward_post_hook(lambda layer, inputs, output: cut(output))
    try:
        with _frozen(model):
            logits = model(paddle.to_tensor(images))
            chosen = logits[paddle.arange(len(images)), paddle.to_tensor(class_index.astype(np.int64))].sum()
            (gradient,) = paddle.grad(chosen, kept[-1])
    finally:
        hook.remove()
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


def _last_picture(model: nn.Layer, image: np.ndarray) -> tuple[nn.Layer, bool]:
    """Where the last tensor [N, C, H, W] of enough places is: the layer, and whether it enters or leaves it.

    Enough is ENOUGH along both sides, and where a small input leaves none so large, more than one place. What enters
    counts as well, for branches that are joined between layers; only the photograph itself does not. What has left a
    layer or a block is noted there, since it may enter several.
    """
    found: list[tuple[nn.Layer, bool, paddle.Tensor]] = []

    def note_entering(layer: nn.Layer, inputs: tuple[object, ...]) -> None:
        if found and inputs and _is_picture(inputs[0]):
            left = [other for other, entering, tensor in found if tensor is inputs[0] and not entering]
            found.append((left[0], False, inputs[0]) if left else (layer, True, inputs[0]))

    def note_leaving(layer: nn.Layer, inputs: object, output: object) -> None:
        if _is_picture(output):
            found.append((layer, False, output))

    leaves = [layer for layer in model.sublayers() if not layer.sublayers()]
    hooks = [layer.register_forward_pre_hook(note_entering) for layer in leaves]
    hooks += [layer.register_forward_post_hook(note_leaving) for layer in model.sublayers()]
    try:
        with paddle.no_grad():
            model(paddle.to_tensor(image))
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise NoPictureError("this network has no layer with a picture in it; its input is too small for a heat map")
    fine = [place for place in found if min(place[2].shape[2:]) >= ENOUGH]
    layer, entering, _ = (fine or found)[-1]
    return layer, entering


def _is_picture(value: object) -> TypeGuard[paddle.Tensor]:
    return isinstance(value, paddle.Tensor) and value.ndim == 4 and value.shape[2] * value.shape[3] > 1


@contextlib.contextmanager
def _frozen(model: nn.Layer) -> Iterator[None]:
    """No gradients of weights in the block."""
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    for parameter in trained:
        parameter.stop_gradient = True
    try:
        yield
    finally:
        for parameter in trained:
            parameter.stop_gradient = False


def _scaled(maps: np.ndarray) -> np.ndarray:
    highest = maps.max(axis=(1, 2), keepdims=True)
    return (maps / np.where(highest > 0, highest, 1)).astype(np.float32)
