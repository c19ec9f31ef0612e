"""ResNet-18, 34 and 50 in torch, with torchvision's names in the state dict (He et al., CVPR 2016).

The order and the sizes of the layers are those of `pl_env.layers.layer_table`; a test holds the two against each other.
This module needs torch, from the extra ``agents``; nothing else in `pl_env` imports it at import.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pl_env.errors import InvalidValue, UnknownName
from pl_env.layers import ARCHITECTURES

_STAGES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


class _Block(nn.Module):
    """A residual block: two 3×3 convolutions, or with ``bottleneck`` 1×1, 3×3 (which has the stride) and 1×1."""

    def __init__(self, c_in: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        c_out = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(c_out)
        else:
            self.conv1 = nn.Conv2d(c_in, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
        self.bottleneck = bottleneck
        changes = stride != 1 or c_in != c_out
        self.downsample = (
            nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)) if changes else None
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(torch.relu(out)))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A ResNet for RGB images of any size; float32 (b, 3, h, w) in, float32 (b, n_classes) out.

    Args:
        architecture: One of `pl_env.layers.ARCHITECTURES`.
        n_classes: Outputs of the head.

    Raises:
        UnknownName: There is no such architecture.
    """

    def __init__(self, architecture: str, n_classes: int) -> None:
        super().__init__()
        if architecture not in _STAGES:
            raise UnknownName("architecture", architecture, ARCHITECTURES)
        bottleneck = architecture == "resnet50"
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels, stages = 64, []
        for stage, n_blocks in enumerate(_STAGES[architecture]):
            blocks = []
            for block in range(n_blocks):
                width, stride = 64 * 2**stage, 2 if stage > 0 and block == 0 else 1
                blocks.append(_Block(channels, width, stride, bottleneck))
                channels = 4 * width if bottleneck else width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(channels, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def build(architecture: str, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """The network that a checkpoint belongs to; the default of ``--builder``.

    Args:
        architecture: Name of the architecture.
        shapes: Shape of every tensor of the checkpoint by name; the head's tells the number of classes.

    Raises:
        InvalidValue: There is no such architecture, or the checkpoint has no head named "fc".
    """
    if architecture not in ARCHITECTURES:
        raise InvalidValue(
            f"architecture is {architecture!r}; only {', '.join(ARCHITECTURES)} are built in, "
            "for others give --builder package.module:function"
        )
    if "fc.bias" not in shapes:
        raise InvalidValue(f"a checkpoint of {architecture} has no tensor 'fc.bias', which tells its number of classes")
    return ResNet(architecture, shapes["fc.bias"][0])
