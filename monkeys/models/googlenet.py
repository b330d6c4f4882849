"""GoogLeNet (arXiv 1409.4842) with batch norm and ReLU after every convolution instead of response normalisation."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn.functional import relu

from .layers import conv_norm_relu, linear_head

# Filters of each module: 1×1, 3×3 reduction, 3×3, 5×5 reduction, 5×5, pool projection.
INCEPTION: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def outputs(module: str) -> int:
    """Channels that an inception module gives: the sum of its four branches."""
    ones, _, threes, _, fives, pooled = INCEPTION[module]
    return ones + threes + fives + pooled


class Inception(nn.Layer):
    """Four branches side by side, joined along the channels: 1×1, 3×3, 5×5 and a projected 3×3 max pool."""

    def __init__(self, channels: int, module: str) -> None:
        super().__init__()
        ones, reduce3, threes, reduce5, fives, pooled = INCEPTION[module]
        self.ones = conv_norm_relu(channels, ones, 1)
        self.threes = nn.Sequential(conv_norm_relu(channels, reduce3, 1), conv_norm_relu(reduce3, threes, 3))
        self.fives = nn.Sequential(conv_norm_relu(channels, reduce5, 1), conv_norm_relu(reduce5, fives, 5))
        self.pooled = nn.Sequential(nn.MaxPool2D(3, stride=1, padding=1), conv_norm_relu(channels, pooled, 1))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.concat([self.ones(x), self.threes(x), self.fives(x), self.pooled(x)], axis=1)


class Auxiliary(nn.Layer):
    """Side classifier for training: average pool to 4×4 from any size, 1×1 convolution, two linear layers."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(4)
        self.conv = conv_norm_relu(channels, 128, 1)
        self.hidden = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc = linear_head(1024, num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        hidden = relu(self.hidden(self.conv(self.pool(x)).flatten(1)))
        return self.fc(self.dropout(hidden))


class GoogLeNet(nn.Layer):
    """[N,3,S,S] → logits [N,C]; in train mode (logits, first auxiliary logits, second), from modules 4a and 4d.

    The last pool is a global average, which equals the published 7×7 one at 224 px and lets other sizes through.
    """

    head_prefixes = ("fc.", "aux1.fc.", "aux2.fc.")

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm_relu(3, 64, 7, 2), _halve(), conv_norm_relu(64, 64, 1), conv_norm_relu(64, 192, 3), _halve()
        )
        self.to_4a = nn.Sequential(
            Inception(192, "3a"), Inception(outputs("3a"), "3b"), _halve(), Inception(outputs("3b"), "4a")
        )
        self.to_4d = nn.Sequential(
            Inception(outputs("4a"), "4b"), Inception(outputs("4b"), "4c"), Inception(outputs("4c"), "4d")
        )
        self.to_5b = nn.Sequential(
            Inception(outputs("4d"), "4e"), _halve(), Inception(outputs("4e"), "5a"), Inception(outputs("5a"), "5b")
        )
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        self.dropout = nn.Dropout(0.4)
        self.fc = linear_head(outputs("5b"), num_classes)
        self.aux1 = Auxiliary(outputs("4a"), num_classes)
        self.aux2 = Auxiliary(outputs("4d"), num_classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor | tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        after_4a = self.to_4a(self.stem(x))
        after_4d = self.to_4d(after_4a)
        features = self.avgpool(self.to_5b(after_4d)).flatten(1)
        logits = self.fc(self.dropout(features))
        if not self.training:
            return logits
        return logits, self.aux1(after_4a), self.aux2(after_4d)


def _halve() -> nn.MaxPool2D:
    return nn.MaxPool2D(3, stride=2, padding=1)
