"""Residual networks of 18 to 152 layers (arXiv 1512.03385), with the stride of a bottleneck on its 3×3 convolution.

Parameters are named as in paddle.vision and torchvision (conv1, bn1, layer1.0.conv1 … fc), so weights of either fit.
"""

from __future__ import annotations

from collections.abc import Iterator

import paddle
from paddle import nn
from paddle.nn import initializer

from ..errors import UserError
from .layers import DropPath, conv, conv_norm_relu, depth_probabilities, linear_head, relu

STEMS = ("7x7", "3x3x3")
WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Layer):
    """Two 3×3 convolutions and a shortcut; the first one carries the stride."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, drop_path: float, project: bool = False) -> None:
        super().__init__()
        self.conv1 = conv(channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2D(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2D(width)
        self.downsample = projection(channels, width, stride, project)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        branch = relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return relu(self.drop_path(branch) + shortcut)

    def last_norm(self) -> nn.BatchNorm2D:
        return self.bn2


class Bottleneck(nn.Layer):
    """1×1 down, 3×3 with the stride, 1×1 up to four times the width, and a shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, drop_path: float, project: bool = False) -> None:
        super().__init__()
        self.conv1 = conv(channels, width, 1)
        self.bn1 = nn.BatchNorm2D(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2D(width)
        self.conv3 = conv(width, width * self.expansion, 1)
        self.bn3 = nn.BatchNorm2D(width * self.expansion)
        self.downsample = projection(channels, width * self.expansion, stride, project)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        branch = relu(self.bn1(self.conv1(x)))
        branch = relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return relu(self.drop_path(branch) + shortcut)

    def last_norm(self) -> nn.BatchNorm2D:
        return self.bn3


DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Layer):
    """Stem, 3×3/2 max pool, four stages, global average pool, dropout, linear head: [N,3,S,S] → logits [N,C].

    `stem` "7x7" is one 7×7 convolution of stride 2; "3x3x3" is three 3×3 ones of 32, 32 and 64 filters, the first with
    the stride (arXiv 1812.01187). `zero_init` starts every block as its shortcut (last batch-norm scale 0):
    ResNet-50 learned sooner with it, ResNet-18 ended worse (docs/LOG.md).
    `project_first` puts a convolution on the first shortcut of 18 and 34 layers too, as PaddleClas does (others have it
    anyway). `drop_path` is the stochastic depth of the last block, falling linearly to 0 at the first.
    """

    head_prefixes = ("fc.",)

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        stem: str = "7x7",
        zero_init: bool = False,
        project_first: bool = False,
        drop_path: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        block, counts = DEPTHS[depth]
        self.conv1 = _stem(stem)
        self.bn1 = nn.BatchNorm2D(WIDTHS[0])
        self.maxpool = nn.MaxPool2D(3, stride=2, padding=1)
        drops = iter(depth_probabilities(drop_path, sum(counts)))
        self.layer1 = _stage(block, WIDTHS[0], WIDTHS[0], counts[0], 1, drops, project_first)
        self.layer2 = _stage(block, WIDTHS[0] * block.expansion, WIDTHS[1], counts[1], 2, drops)
        self.layer3 = _stage(block, WIDTHS[1] * block.expansion, WIDTHS[2], counts[2], 2, drops)
        self.layer4 = _stage(block, WIDTHS[2] * block.expansion, WIDTHS[3], counts[3], 2, drops)
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear_head(WIDTHS[3] * block.expansion, num_classes)
        if zero_init:
            self._zero_last_norms()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.maxpool(relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features = self.avgpool(x).flatten(1)
        return self.fc(self.dropout(features))

    def _zero_last_norms(self) -> None:
        for layer in self.sublayers():
            if isinstance(layer, (BasicBlock, Bottleneck)):
                initializer.Constant(0.0)(layer.last_norm().weight)


def projection(channels: int, filters: int, stride: int, project: bool = False) -> nn.Sequential | None:
    """1×1 convolution and batch norm for a shortcut whose size changes; else, unless asked for, None."""
    if stride == 1 and channels == filters and not project:
        return None
    return nn.Sequential(conv(channels, filters, 1, stride), nn.BatchNorm2D(filters))


def _stem(name: str) -> nn.Layer:
    if name not in STEMS:
        raise UserError(f'model.stem: unknown stem "{name}"; known: {", ".join(STEMS)}')
    if name == "7x7":
        return conv(3, WIDTHS[0], 7, 2)
    return nn.Sequential(*conv_norm_relu(3, 32, 3, 2), *conv_norm_relu(32, 32, 3), conv(32, WIDTHS[0], 3))


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    channels: int,
    width: int,
    count: int,
    stride: int,
    drops: Iterator[float],
    project: bool = False,
) -> nn.Sequential:
    first = block(channels, width, stride, next(drops), project)
    rest = [block(width * block.expansion, width, 1, next(drops)) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)
