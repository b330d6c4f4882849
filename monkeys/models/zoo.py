"""The networks of paddle.vision.models by name: those that Paddle 2.6.2 and 3.3.1 both have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import paddle
from paddle import nn
from paddle.vision import models as vision


class GreyLeNet(vision.LeNet):
    """LeNet, which reads grey 28×28 images, behind the mean of the three colour channels."""

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        return super().forward(images.mean(axis=1, keepdim=True))


class MainGoogLeNet(vision.GoogLeNet):
    """Paddle's GoogLeNet (no batch norm), giving its auxiliary logits in train mode only."""

    def forward(self, images: paddle.Tensor) -> paddle.Tensor | tuple[paddle.Tensor, ...]:
        logits = super().forward(images)
        return tuple(logits) if self.training else logits[0]


@dataclass(frozen=True)
class ZooEntry:
    """How to build one network; `heads` are the name prefixes of its last layer and of those of auxiliary branches."""

    factory: Callable[..., nn.Layer]
    heads: tuple[str, ...]


_FC = ("fc.",)
_DENSE = ("out.",)
_SHUFFLE = ("_fc.",)
_SQUEEZE = ("_conv9.",)
_VGG = ("classifier.6.",)

ZOO: dict[str, ZooEntry] = {
    "alexnet": ZooEntry(vision.alexnet, ("_fc8.",)),
    "densenet121": ZooEntry(vision.densenet121, _DENSE),
    "densenet161": ZooEntry(vision.densenet161, _DENSE),
    "densenet169": ZooEntry(vision.densenet169, _DENSE),
    "densenet201": ZooEntry(vision.densenet201, _DENSE),
    "densenet264": ZooEntry(vision.densenet264, _DENSE),
    "inception_v3": ZooEntry(vision.inception_v3, _FC),
    "lenet": ZooEntry(GreyLeNet, ("fc.2.",)),
    "mobilenet_v1": ZooEntry(vision.mobilenet_v1, _FC),
    "mobilenet_v2": ZooEntry(vision.mobilenet_v2, ("classifier.1.",)),
    "mobilenet_v3_small": ZooEntry(vision.mobilenet_v3_small, ("classifier.3.",)),
    "mobilenet_v3_large": ZooEntry(vision.mobilenet_v3_large, ("classifier.3.",)),
    "paddle_googlenet": ZooEntry(MainGoogLeNet, ("_fc_out.", "_out1.", "_out2.")),
    "paddle_resnet18": ZooEntry(vision.resnet18, _FC),
    "paddle_resnet34": ZooEntry(vision.resnet34, _FC),
    "paddle_resnet50": ZooEntry(vision.resnet50, _FC),
    "paddle_resnet101": ZooEntry(vision.resnet101, _FC),
    "paddle_resnet152": ZooEntry(vision.resnet152, _FC),
    "resnext50_32x4d": ZooEntry(vision.resnext50_32x4d, _FC),
    "resnext50_64x4d": ZooEntry(vision.resnext50_64x4d, _FC),
    "resnext101_32x4d": ZooEntry(vision.resnext101_32x4d, _FC),
    "resnext101_64x4d": ZooEntry(vision.resnext101_64x4d, _FC),
    "resnext152_32x4d": ZooEntry(vision.resnext152_32x4d, _FC),
    "resnext152_64x4d": ZooEntry(vision.resnext152_64x4d, _FC),
    "shufflenet_v2_swish": ZooEntry(vision.shufflenet_v2_swish, _SHUFFLE),
    "shufflenet_v2_x0_25": ZooEntry(vision.shufflenet_v2_x0_25, _SHUFFLE),
    "shufflenet_v2_x0_33": ZooEntry(vision.shufflenet_v2_x0_33, _SHUFFLE),
    "shufflenet_v2_x0_5": ZooEntry(vision.shufflenet_v2_x0_5, _SHUFFLE),
    "shufflenet_v2_x1_0": ZooEntry(vision.shufflenet_v2_x1_0, _SHUFFLE),
    "shufflenet_v2_x1_5": ZooEntry(vision.shufflenet_v2_x1_5, _SHUFFLE),
    "shufflenet_v2_x2_0": ZooEntry(vision.shufflenet_v2_x2_0, _SHUFFLE),
    "squeezenet1_0": ZooEntry(vision.squeezenet1_0, _SQUEEZE),
    "squeezenet1_1": ZooEntry(vision.squeezenet1_1, _SQUEEZE),
    "vgg11": ZooEntry(vision.vgg11, _VGG),
    "vgg13": ZooEntry(vision.vgg13, _VGG),
    "vgg16": ZooEntry(vision.vgg16, _VGG),
    "vgg19": ZooEntry(vision.vgg19, _VGG),
    "wide_resnet50_2": ZooEntry(vision.wide_resnet50_2, _FC),
    "wide_resnet101_2": ZooEntry(vision.wide_resnet101_2, _FC),
}


def build_zoo(name: str, num_classes: int) -> nn.Layer:
    """Build a network of the table with a fresh head of `num_classes`; never downloads."""
    entry = ZOO[name]
    model = entry.factory(num_classes=num_classes)
    model.head_prefixes = entry.heads
    return model
