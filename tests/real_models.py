"""Small real checkpoints: a perceptron of four layers that share blocks as told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WIDTH = 300
LAYERS = ("0", "2", "4", "6")
INPUT = (WIDTH,)


def build(architecture: str, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """The builder of ``--builder tests.real_models:build``."""
    assert architecture == "perceptron"
    linear = [nn.Linear(shapes[f"{name}.weight"][1], shapes[f"{name}.weight"][0]) for name in LAYERS]
    return nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2], nn.ReLU(), linear[3])


def layer(seed: int, width: int = WIDTH) -> dict[str, Tensor]:
    """Weight and bias of one layer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn((width, width), generator=generator) / width**0.5,
        "bias": torch.randn((width,), generator=generator),
    }


def perceptron(seeds: Sequence[int]) -> dict[str, Tensor]:
    """State dict of a perceptron whose layers are made of the given seeds; equal seeds are equal layers."""
    parts = zip(LAYERS, seeds, strict=True)
    return {f"{name}.{key}": tensor for name, seed in parts for key, tensor in layer(seed).items()}


def save(path: Path, tensors: Mapping[str, Tensor], architecture: str | None = "perceptron") -> Path:
    """Write a safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), path, metadata={"architecture": architecture} if architecture else None)
    return path


def save_perceptrons(folder: Path, seeds: Sequence[Sequence[int]]) -> Path:
    """Write one perceptron for each row of seeds: "m0", "m1", …"""
    for n, row in enumerate(seeds):
        save(folder / f"m{n}.safetensors", perceptron(row))
    return folder


BOTTOM_SHARED = ((1, 2, 3, 10), (1, 2, 3, 11), (1, 2, 20, 21), (5, 6, 30, 31), (5, 6, 40, 41))
"""Two clusters: l = 3, 3, 2 and 2, 2."""
ARBITRARY = ((1, 2, 30, 10), (1, 20, 3, 11), (12, 2, 3, 21))
"""Every two models share one layer, no three the same."""
NOTHING_SHARED = ((1, 2, 3, 4), (5, 6, 7, 8))
