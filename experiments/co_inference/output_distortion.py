"""The study: how parameters' distortion and outputs' distortion of trained networks fall with the kept fraction.

Small networks on 8×8 digits, which are drawn here: a 5×7 font, moved, blurred, scaled and noisy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray
from torch import Tensor, nn

from pl_env.co_inference.dynamics import quality

Floats = NDArray[np.float64]

FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_TRAINING, _TEST = 4000, 2000
_EPOCHS, _BATCH = 15, 64

_FONT = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111",
    "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)


def digits(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Pictures, float32 (count, 1, 8, 8), and what they show, int64 (count,)."""
    font = np.array([[[int(dot) for dot in row] for row in digit.split()] for digit in _FONT], dtype=np.float64)
    shown = rng.integers(10, size=count)
    pictures = np.zeros((count, 8, 8))
    for n, digit in enumerate(shown):
        top, left = rng.integers(0, 2), rng.integers(0, 4)
        pictures[n, top : top + 7, left : left + 5] = font[digit] * rng.uniform(0.5, 1.0)
    blur = rng.uniform(0.0, 0.3, size=(count, 1, 1))
    for axis in (1, 2):
        neighbours = np.roll(pictures, 1, axis) + np.roll(pictures, -1, axis)
        pictures = (1 - blur) * pictures + 0.5 * blur * neighbours
    pictures += rng.normal(scale=0.18, size=pictures.shape)
    return torch.from_numpy(pictures[:, None].astype(np.float32)), torch.from_numpy(shown)


# ---------------------------------------------------------------- networks


def mlp() -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn() -> nn.Module:
    """Two convolutions."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)),
    )


class Transformer(nn.Module):
    """Two blocks over the rows of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(8, 48)
        self.position = nn.Parameter(0.02 * torch.randn(8, 48))
        layer = nn.TransformerEncoderLayer(48, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(48, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores of the ten digits."""
        scores: Tensor = self.head(self.blocks(self.embedding(pictures[:, 0]) + self.position).mean(dim=1))
        return scores


NETWORKS: dict[str, Callable[[], nn.Module]] = {"MLP": mlp, "CNN": cnn, "transformer": Transformer}


class StudyRow(NamedTuple):
    """One network at one kept fraction; distortions relative to those at r = 0."""

    network: str
    kept: float
    parameters: float
    outputs: float
    accuracy: float  # relative to the dense network's
    rate: float  # lambda: 1 / mean magnitude of the weights
    dense_accuracy: float


def study(seed: int = 0) -> list[StudyRow]:
    """Train, prune and measure every network."""
    rng = np.random.default_rng((11, seed))
    training, test = digits(_TRAINING, rng), digits(_TEST, rng)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for name in NETWORKS for row in _measure(name, training, test, seed)]
    finally:
        torch.set_num_threads(threads)


def _measure(name: str, training: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int) -> list[StudyRow]:
    torch.manual_seed(seed)
    network = NETWORKS[name]()
    _train(network, training)
    network.eval()
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    magnitudes = torch.cat([weight.detach().abs().ravel() for weight in weights])
    with torch.inference_mode():
        scores = network(test[0])
        dense_accuracy = _accuracy(scores, test[1])
        lost, moved, _ = _distances(network, weights, 0.0, test, scores)
        rows = []
        for kept in FRACTIONS:
            parameters, outputs, accuracy = _distances(network, weights, kept, test, scores)
            rows.append(
                StudyRow(
                    name,
                    kept,
                    parameters / lost,
                    outputs / moved,
                    accuracy / dense_accuracy,
                    1 / float(magnitudes.mean()),
                    dense_accuracy,
                )
            )
    return rows


def _train(network: nn.Module, training: tuple[Tensor, Tensor]) -> None:
    pictures, shown = training
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(pictures)), _BATCH):
            loss = nn.functional.cross_entropy(network(pictures[rows]), shown[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _distances(
    network: nn.Module, weights: Sequence[Tensor], kept: float, test: tuple[Tensor, Tensor], scores: Tensor
) -> tuple[float, float, float]:
    """What pruning takes from weights and from outputs, mean magnitudes, and the accuracy left.

    Of every matrix the same fraction is kept, so that none vanishes.
    """
    dense, lost, count = [weight.clone() for weight in weights], 0.0, 0
    for weight in weights:
        magnitude = weight.abs()
        n_dropped = round((1 - kept) * weight.numel())
        threshold = float(magnitude.ravel().kthvalue(n_dropped).values) if n_dropped else -1.0
        dropped = magnitude <= threshold
        lost += float(magnitude[dropped].sum())
        count += weight.numel()
        weight[dropped] = 0.0
    pruned = network(test[0])
    for weight, before in zip(weights, dense, strict=True):
        weight.copy_(before)
    return lost / count, float((pruned - scores).abs().mean()), _accuracy(pruned, test[1])


def _accuracy(scores: Tensor, shown: Tensor) -> float:
    return float((scores.argmax(dim=1) == shown).float().mean())


def draw(rows: Sequence[StudyRow]) -> Picture:
    """Distortions over the kept fraction, a column for each network, and accuracies."""
    picture = Picture(figsize=(9.8, 5.2), layout="constrained")
    names = list(dict.fromkeys(row.network for row in rows))
    grid = picture.subplots(2, len(names), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for (above, below), name in zip(grid.T, names, strict=True):
        of_network = [row for row in rows if row.network == name]
        kept = [row.kept for row in of_network]
        above.plot(
            kept, [row.parameters for row in of_network], "o-", color="#4477aa", label="parameters", markersize=4
        )
        above.plot(kept, [row.outputs for row in of_network], "s-", color="#ee6677", label="outputs", markersize=4)
        above.plot(kept, [1 - quality(r) for r in kept], ":", color="0.4", label="1 - Q(r)")
        below.plot(kept, [row.accuracy for row in of_network], "o-", color="#228833", markersize=4)
        above.set_title(f"{name}, accuracy {100 * of_network[0].dense_accuracy:.1f} %", fontsize=10)
        below.set_xlabel("kept fraction r")
        for axes in (above, below):
            axes.grid(color="0.9", linewidth=0.6)
            axes.axvline(0.5, color="0.8", linewidth=1)
    grid[0, 0].set_ylabel("distortion, relative to r = 0")
    grid[1, 0].set_ylabel("relative accuracy")
    grid[0, 0].legend(fontsize=9)
    return picture
