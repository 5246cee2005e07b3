"""MobileFaceNet: the landmark network whose three inner feature maps guide the expression network.

Chen, Liu, Gao, Han, "MobileFaceNets", CCBR 2018 (arXiv 1804.07573), in the proportions of the released
MMFRM program. Attribute names are the released ones, so that its state dicts load as they are.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

FEATURE_CHANNELS = (64, 128, 512)  # of feature1 (28×28), feature2 (14×14), feature3 (7×7)
FEATURE_STRIDES = (4, 8, 16)  # image pixels to one of theirs


def linear_block(cin: int, cout: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and norm without an activation. A 3×3 keeps the side (by padding), a 7×7 uses it up."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(
                cin, cout, kernel, stride, padding=1 if kernel == 3 else 0, groups=groups, bias=False
            ),
            bn=nn.BatchNorm2d(cout),
        )
    )


def conv_block(cin: int, cout: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """The same with a PReLU."""
    block = linear_block(cin, cout, kernel=kernel, stride=stride, groups=groups)
    block.add_module("prelu", nn.PReLU(cout))
    return block


class Bottleneck(nn.Module):
    """Widen by 1×1, look around by depthwise 3×3, narrow by a linear 1×1; residual where nothing changes."""

    def __init__(self, cin: int, cout: int, *, wide: int, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.conv = conv_block(cin, wide)
        self.conv_dw = conv_block(wide, wide, kernel=3, stride=stride, groups=wide)
        self.project = linear_block(wide, cout)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        # (B, Cin, H, W) -> (B, Cout, H / stride, W / stride)
        out: Tensor = self.project(self.conv_dw(self.conv(x)))
        return x + out if self.residual else out


class Residuals(nn.Module):
    """Several residual bottlenecks of one width."""

    def __init__(self, channels: int, *, wide: int, count: int) -> None:
        super().__init__()
        blocks = (Bottleneck(channels, channels, wide=wide, residual=True) for _ in range(count))
        self.model = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class GlobalDepthwise(nn.Module):
    """The head (GDC): one 7×7 depthwise convolution in place of average pooling, then a linear layer."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv_6_dw = linear_block(512, 512, kernel=7, groups=512)
        self.linear = nn.Linear(512, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        # (B, 512, 7, 7) -> (B, outputs)
        out: Tensor = self.bn(self.linear(self.conv_6_dw(x).flatten(1)))
        return out


class MobileFaceNet(nn.Module):
    """Feature maps at three scales, and the head's answer.

    `outputs` is the head's width: 512 as released, 136 for 68 landmark points, 0 for no head (what the
    fusion needs). `classes` declares the released class's `alpha` and `fc`, which no forward pass ever
    uses: they are there only so that its state dict loads in full. 0 leaves them out.
    """

    def __init__(self, outputs: int = 512, classes: int = 7) -> None:
        super().__init__()
        self.conv1 = conv_block(3, 64, kernel=3, stride=2)
        self.conv2_dw = conv_block(64, 64, kernel=3, groups=64)
        self.conv_23 = Bottleneck(64, 64, wide=128, stride=2)
        self.conv_3 = Residuals(64, wide=128, count=4)
        self.conv_34 = Bottleneck(64, 128, wide=256, stride=2)
        self.conv_4 = Residuals(128, wide=256, count=6)
        self.conv_45 = Bottleneck(128, 128, wide=512, stride=2)
        self.conv_5 = Residuals(128, wide=256, count=2)
        self.conv_6_sep = conv_block(128, 512)
        self.output_layer = GlobalDepthwise(outputs) if outputs else None
        if classes:
            self.alpha = nn.Sequential(nn.Linear(512, 1), nn.Sigmoid()).requires_grad_(False)
            self.fc = nn.Linear(512, classes).requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        # (B, 3, 112, 112), normalised -> feature1, feature2, feature3[, the head's output (B, outputs)]
        features = self.features(x)
        return features if self.output_layer is None else (*features, self.output_layer(features[2]))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised (B, 3, 112, 112) to the three maps, without the head."""
        x = self.conv2_dw(self.conv1(x))  # (B, 64, 56, 56)
        feature1: Tensor = self.conv_3(self.conv_23(x))  # (B, 64, 28, 28)
        feature2: Tensor = self.conv_4(self.conv_34(feature1))  # (B, 128, 14, 14)
        feature3: Tensor = self.conv_6_sep(self.conv_5(self.conv_45(feature2)))  # (B, 512, 7, 7)
        return feature1, feature2, feature3
