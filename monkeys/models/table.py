"""Every network that can be asked for by name. Pure data: importing it does not import Paddle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelEntry:
    """One network of the list.

    size: usual side of a picture in pixels; smallest, largest: what it takes. parameters (trainable) and gflops
    (billions of multiply-adds) are as `describe` measures them at `size` with `classes`; None where they depend on a
    list. fixed_size: once built, it takes only the size that it was built for.
    """

    summary: str
    size: int = 224
    parameters: int | None = None
    gflops: float | None = None
    family: str = "zoo"
    classes: int = 1000
    smallest: int = 32
    largest: int | None = None
    fixed_size: bool = False

    def accepted(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Those that a network takes which was built for the first of them."""
        most = sizes[0] if self.fixed_size else self.largest or max(sizes)
        return tuple(size for size in sizes if size <= most)


def _own(family: str, summary: str, parameters: int, gflops: float) -> ModelEntry:
    return ModelEntry(summary, 224, parameters, gflops, family, smallest=8)


def _network(convolutions: int, remark: str, size: int, parameters: int, gflops: float) -> ModelEntry:
    summary = f"plain network of {convolutions} convolutions, {remark}"
    return ModelEntry(summary, size, parameters, gflops, "network", classes=10, fixed_size=True)


MODELS: dict[str, ModelEntry] = {
    "resnet18": _own("resnet", "residual network of 18 layers, two 3×3 convolutions a block", 11_689_512, 1.814),
    "resnet34": _own("resnet", "residual network of 34 layers, two 3×3 convolutions a block", 21_797_672, 3.664),
    "resnet50": _own("resnet", "residual network of 50 layers, bottleneck blocks", 25_557_032, 4.089),
    "resnet101": _own("resnet", "residual network of 101 layers, bottleneck blocks", 44_549_160, 7.801),
    "resnet152": _own("resnet", "residual network of 152 layers, bottleneck blocks", 60_192_808, 11.514),
    "efficientnet_b0": _own(
        "efficientnet", "EfficientNet-B0: inverted bottlenecks with squeeze-excite", 5_288_548, 0.386
    ),
    "googlenet": _own("googlenet", "GoogLeNet (22 layers) with batch norm and two auxiliary heads", 13_385_816, 1.583),
    "plain": ModelEntry("the layers of model.layers", family="plain", smallest=1, fixed_size=True),
    "network_74_1656": _network(8, "dropout among them, layers of 4096", 256, 160_267_338, 9.928),
    "network_74_2675": _network(15, "every third one 1×1, layers of 768", 224, 24_982_218, 5.373),
    "network_75_4395": _network(5, "one layer of 4096", 256, 138_175_050, 4.475),
    "network_79_0828": _network(9, "layers of 512", 224, 15_514_314, 4.493),
    "network_82_242": _network(10, "layers of 512", 224, 17_874_634, 4.955),
    "network_82_3185": _network(9, "layers of 512 (as 79_0828)", 224, 15_514_314, 4.493),
    "network_82_828": _network(10, "layers of 768", 224, 24_627_914, 4.962),
    "network_83_1338": _network(12, "layers of 1024", 224, 31_586_250, 7.281),
    "network_83_2611": _network(8, "layers of 512", 224, 14_923_978, 4.03),
    "network_83_949": _network(10, "layers of 1024", 224, 31_512_266, 4.969),
    "network_84_3312": _network(9, "layers of 512 (as 79_0828)", 224, 15_514_314, 4.493),
    "network_84_8153": _network(10, "layers of 768 (as 82_828)", 224, 24_627_914, 4.962),
    "alexnet": ModelEntry("AlexNet", 224, 61_100_840, 0.714, smallest=223, largest=254),
    "densenet121": ModelEntry("DenseNet of 121 layers", 224, 7_978_856, 2.834),
    "densenet161": ModelEntry("DenseNet of 161 layers", 224, 28_681_000, 7.728),
    "densenet169": ModelEntry("DenseNet of 169 layers", 224, 14_149_480, 3.36),
    "densenet201": ModelEntry("DenseNet of 201 layers", 224, 20_013_928, 4.291),
    "densenet264": ModelEntry("DenseNet of 264 layers", 224, 33_337_704, 5.752),
    "inception_v3": ModelEntry("Inception v3", 299, 23_834_568, 5.713, smallest=75),
    "lenet": ModelEntry(
        "LeNet on the mean of the colours, 28 px",
        28,
        61_610,
        0.0003,
        classes=10,
        smallest=28,
        largest=28,
        fixed_size=True,
    ),
    "mobilenet_v1": ModelEntry("MobileNet v1", 224, 4_231_976, 0.569),
    "mobilenet_v2": ModelEntry("MobileNet v2", 224, 3_504_872, 0.301),
    "mobilenet_v3_small": ModelEntry("MobileNet v3, small", 224, 2_542_856, 0.057),
    "mobilenet_v3_large": ModelEntry("MobileNet v3, large", 224, 5_483_032, 0.217),
    "paddle_googlenet": ModelEntry(
        "Paddle's GoogLeNet, without batch norm", 224, 11_535_736, 1.437, smallest=189, largest=236
    ),
    "paddle_resnet18": ModelEntry("Paddle's ResNet-18", 224, 11_689_512, 1.814),
    "paddle_resnet34": ModelEntry("Paddle's ResNet-34", 224, 21_797_672, 3.664),
    "paddle_resnet50": ModelEntry("Paddle's ResNet-50", 224, 25_557_032, 4.089),
    "paddle_resnet101": ModelEntry("Paddle's ResNet-101", 224, 44_549_160, 7.801),
    "paddle_resnet152": ModelEntry("Paddle's ResNet-152", 224, 60_192_808, 11.514),
    "resnext50_32x4d": ModelEntry("ResNeXt-50, 32 groups of 4", 224, 25_028_904, 4.23),
    "resnext50_64x4d": ModelEntry("ResNeXt-50, 64 groups of 4", 224, 45_192_488, 7.981),
    "resnext101_32x4d": ModelEntry("ResNeXt-101, 32 groups of 4", 224, 44_177_704, 7.97),
    "resnext101_64x4d": ModelEntry("ResNeXt-101, 64 groups of 4", 224, 83_455_272, 15.46),
    "resnext152_32x4d": ModelEntry("ResNeXt-152, 32 groups of 4", 224, 59_951_400, 11.71),
    "resnext152_64x4d": ModelEntry("ResNeXt-152, 64 groups of 4", 224, 114_971_944, 22.939),
    "shufflenet_v2_swish": ModelEntry("ShuffleNet v2 with Swish", 224, 2_278_604, 0.145),
    "shufflenet_v2_x0_25": ModelEntry("ShuffleNet v2, width 0.25", 224, 603_688, 0.018),
    "shufflenet_v2_x0_33": ModelEntry("ShuffleNet v2, width 0.33", 224, 647_272, 0.022),
    "shufflenet_v2_x0_5": ModelEntry("ShuffleNet v2, width 0.5", 224, 1_366_792, 0.04),
    "shufflenet_v2_x1_0": ModelEntry("ShuffleNet v2, width 1.0", 224, 2_278_604, 0.145),
    "shufflenet_v2_x1_5": ModelEntry("ShuffleNet v2, width 1.5", 224, 3_503_624, 0.296),
    "shufflenet_v2_x2_0": ModelEntry("ShuffleNet v2, width 2.0", 224, 7_366_536, 0.564),
    "squeezenet1_0": ModelEntry("SqueezeNet 1.0", 224, 1_248_424, 0.777),
    "squeezenet1_1": ModelEntry("SqueezeNet 1.1", 224, 1_235_496, 0.35),
    "vgg11": ModelEntry("VGG of 11 layers", 224, 132_863_336, 7.609),
    "vgg13": ModelEntry("VGG of 13 layers", 224, 133_047_848, 11.308),
    "vgg16": ModelEntry("VGG of 16 layers", 224, 138_357_544, 15.47),
    "vgg19": ModelEntry("VGG of 19 layers", 224, 143_667_240, 19.632),
    "wide_resnet50_2": ModelEntry("ResNet-50, twice as wide inside its blocks", 224, 68_883_240, 11.398),
    "wide_resnet101_2": ModelEntry("ResNet-101, twice as wide inside its blocks", 224, 126_886_696, 22.753),
}
