"""EfficientNet-B0 (arXiv 1905.11946), parameters named as in torchvision so that its weights fit."""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn.functional import sigmoid, silu

from .layers import Conv2D, DropPath, conv, depth_probabilities, linear_head

# Rows: expansion, kernel, stride of the first block, output channels, blocks.
STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, FEATURES = 32, 1280
SQUEEZE = 4  # the squeeze layer has a quarter of the block's input channels


class SqueezeExcite(nn.Layer):
    """Weighs each channel by a function of all channels' means (arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = Conv2D(channels, squeezed, 1)
        self.fc2 = Conv2D(squeezed, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        means = x.mean(axis=[2, 3], keepdim=True)
        return x * sigmoid(self.fc2(silu(self.fc1(means))))


class InvertedBottleneck(nn.Layer):
    """1×1 up, depthwise convolution, squeeze-excite, 1×1 down; a shortcut where input and output are alike."""

    def __init__(
        self, channels: int, filters: int, *, expansion: int, kernel: int, stride: int, drop_path: float
    ) -> None:
        super().__init__()
        wide = channels * expansion
        steps = [] if expansion == 1 else [_conv_norm_silu(channels, wide, 1)]
        steps += [
            _conv_norm_silu(wide, wide, kernel, stride, groups=wide),
            SqueezeExcite(wide, max(1, channels // SQUEEZE)),
            nn.Sequential(conv(wide, filters, 1), nn.BatchNorm2D(filters)),
        ]
        self.block = nn.Sequential(*steps)
        self.shortcut = stride == 1 and channels == filters
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x + self.drop_path(self.block(x)) if self.shortcut else self.block(x)


class EfficientNetB0(nn.Layer):
    """[N,3,S,S] → logits [N,C]. The paper trains with drop_path 0.2 and dropout 0.2; both are off by default here."""

    head_prefixes = ("classifier.1.",)

    def __init__(self, num_classes: int, *, drop_path: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        drops = iter(depth_probabilities(drop_path, sum(row[-1] for row in STAGES)))
        parts, channels = [_conv_norm_silu(3, STEM, 3, 2)], STEM
        for expansion, kernel, stride, filters, count in STAGES:
            blocks = []
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(
                    InvertedBottleneck(
                        channels, filters, expansion=expansion, kernel=kernel, stride=step, drop_path=next(drops)
                    )
                )
                channels = filters
            parts.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*parts, _conv_norm_silu(channels, FEATURES, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), linear_head(FEATURES, num_classes))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.features(x).mean(axis=[2, 3]))


def _conv_norm_silu(channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(conv(channels, filters, kernel, stride, groups), nn.BatchNorm2D(filters), nn.Silu())
