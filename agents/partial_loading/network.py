"""The network: models as a set, with the matrix of loading times between them as edge features.

Listing the models in another order permutes the scores and leaves the value as it is; one network serves any number of
models and users and any library. Only the batch cap is fixed, by the width of the last layer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pl_env.ranges import require, require_integer

Observation = dict[str, Tensor]
"""The environment's observation, each array with a leading axis of length n, and "loading", float32 (n, I + 1, I) or
(1, I + 1, I): loading times as fractions of the deadline, row = resident model, last row = empty GPU. Where the network
is shown a plan also "planned_value", float32 (n, I · b_cap), and "later_upload", float32 (n, I, b_cap), of
`agents.partial_loading.observing.plan_of`."""

READ = ("budget", "load_time", "pending", "upload_time", "batch_time")
"""Of the environment's observation; which blocks are resident shows in the loading times."""

_SHORT = 0.003
"""Fraction of the deadline that counts as a short time: about what one more user takes."""

_CHUNK = 64
"""Most states that pass at once."""

_MOST_PAIRS = 100_000
"""Most pairs of models that pass at once, so that they stay in the cache."""

_TRUST_AT_FIRST = 8.0
"""Score of a user that a planner expects more: a tenth of a user makes an action about twice as likely."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        batch_cap: Largest batch b_cap of the action space.
        width: Channels of each model's code; a multiple of ``heads``.
        layers: Attention layers.
        heads: Attention heads of a layer.
        planned_values: Whether the network is shown what a planner expects of each action, which it then corrects.

    Raises:
        InvalidValue: A field is out of range.
    """

    batch_cap: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    planned_values: bool = False

    def __post_init__(self) -> None:
        require_integer("batch_cap", self.batch_cap, 1, 1024)
        require_integer("width", self.width, 1, 4096)
        require_integer("layers", self.layers, 1, 64)
        require_integer("heads", self.heads, 1, 64)
        require(self.width % self.heads == 0, "width", self.width, f"a multiple of {self.heads} heads")
        require(isinstance(self.planned_values, bool), "planned_values", self.planned_values, "True or False")

    def to_dict(self) -> dict[str, int]:
        """The fields as JSON types."""
        return asdict(self)


class _Tokens(NamedTuple):
    """What the network sees of n states: T models of each that can still be served, padded."""

    nodes: Tensor  # (n, T, node features)
    edges: Tensor  # (edge features, n, T, T), from the model of the second axis to that of the third
    present: Tensor  # bool (n, T)
    models: Tensor  # int64 (n, T), the models' numbers


class SchedulingNetwork(nn.Module):
    """Scores every action and estimates the return.

    A model's features pass through attention layers, whose bias an edge network computes from the loading times
    between models; the code of each model, with that of all together, is scored for each batch size.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, cap, heads = config.width, config.batch_cap, config.heads
        features = (8 if config.planned_values else 5) * cap + 10
        self.encode = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))
        self.edge = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, heads * config.layers))
        self.layers = nn.ModuleList(_AttentionLayer(width, heads) for _ in range(config.layers))
        self.normalise = nn.LayerNorm(width)
        self.summarise = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, cap))
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        # Scores of nearly 0 at first, so that training starts from all legal actions alike.
        nn.init.orthogonal_(self.score[-1].weight, 0.01)  # type: ignore[arg-type]
        nn.init.zeros_(self.score[-1].bias)  # type: ignore[arg-type]
        if config.planned_values:
            self.trust = nn.Parameter(torch.tensor(_TRUST_AT_FIRST))
        self.sizes: Tensor
        self.register_buffer("sizes", torch.arange(1, cap + 1) / cap, persistent=False)

    def forward(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """Scores (n, I · b_cap) and values (n, 1) of n observations.

        The score of a model that can no longer be served is 0.
        """
        useful = _can_still_be_served(observation)
        counts = useful.sum(dim=1)
        if len(counts) == 1:
            return self._forward(observation, useful, max(1, int(counts[0])))
        # States with about as many models together, so that little is padded.
        order = counts.argsort(stable=True)
        scores: list[Tensor] = []
        values: list[Tensor] = []
        end = len(order)
        while end > 0:
            most = max(1, int(counts[order[end - 1]]))
            rows = order[max(0, end - max(1, min(_CHUNK, _MOST_PAIRS // most**2))) : end]
            end -= len(rows)
            part_scores, part_values = self._forward(select(observation, rows), useful[rows], most)
            scores.insert(0, part_scores)
            values.insert(0, part_values)
        back = order.argsort()
        return torch.cat(scores)[back], torch.cat(values)[back]

    def _forward(self, observation: Observation, useful: Tensor, most: int) -> tuple[Tensor, Tensor]:
        tokens = self._tokens(observation, useful, most)
        biases = self._biases(tokens)
        codes = self.encode(tokens.nodes)
        for layer, bias in zip(self.layers, biases.chunk(self.config.layers, dim=1), strict=True):
            codes = layer(codes, bias)
        codes = self.normalise(codes)
        present = tokens.present[:, :, None]
        mean = (codes * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        highest = codes.masked_fill(~present, -1e9).max(dim=1).values.clamp(min=-1e3)
        context = self.summarise(torch.cat([mean, highest], dim=1))
        everywhere = context[:, None, :].expand(-1, codes.shape[1], -1)
        token_scores = self.score(torch.cat([codes, everywhere], dim=2))
        if self.config.planned_values:
            token_scores = token_scores + self.trust * tokens.nodes[:, :, : self.config.batch_cap]
        token_scores = token_scores * present
        n, n_models = useful.shape
        scores = token_scores.new_zeros(n, n_models, self.config.batch_cap)
        scores = scores.scatter_add(1, tokens.models[:, :, None].expand_as(token_scores), token_scores)
        return scores.flatten(start_dim=1), self.value(context)

    def _biases(self, tokens: _Tokens) -> Tensor:
        """Biases of all attention, (n, heads · layers, T, T): the edge network, pairs along the long axis."""
        pairs = tokens.edges.flatten(start_dim=1)
        for layer in self.edge:
            if isinstance(layer, nn.Linear):
                pairs = torch.addmm(layer.bias[:, None], layer.weight, pairs)
            else:
                pairs = layer(pairs)
        biases = pairs.view(-1, *tokens.edges.shape[1:])
        return biases.masked_fill(~tokens.present[None, :, None, :], -1e9).transpose(0, 1)

    def _tokens(self, observation: Observation, useful: Tensor, most: int) -> _Tokens:
        models = useful.byte().topk(most, dim=1).indices
        present = useful.gather(1, models)
        cells = models[:, :, None].expand(-1, -1, self.config.batch_cap)
        batch_time = observation["batch_time"].gather(1, cells)
        upload_time = observation["upload_time"].gather(1, cells)
        load_time, pending = observation["load_time"].gather(1, models), observation["pending"].gather(1, models)
        loading, budget = observation["loading"], observation["budget"]
        from_empty = loading[:, -1, :].expand(len(models), -1).gather(1, models)

        exists = (upload_time < 1).float()
        largest = exists.sum(dim=2).clamp(min=1)  # the largest batch of each model
        at_largest = (largest.long() - 1)[:, :, None]
        upload_step = torch.diff(upload_time, dim=2, prepend=torch.zeros_like(upload_time[:, :, :1]))
        left = budget.clamp(min=1e-4)
        of_all = [budget, left.log() / 4, useful.sum(dim=1, keepdim=True) / 50, observation["pending"].sum(1, True)]
        alone = [load_time * 5, (load_time / left).clamp(max=2), from_empty * 5, pending * 20, largest / 8]
        alone += [(from_empty - load_time) * 5]
        sizes = [
            exists,
            torch.log(self.sizes / batch_time.clamp(min=1e-4)) * exists,  # users per time
            (batch_time / left[:, :, None]).clamp(max=2) * exists,
            _compressed(budget[:, :, None] - batch_time) * exists,  # what is left over
            _compressed(upload_step) * exists,
        ]
        if self.config.planned_values:
            planned = observation["planned_value"].view(upload_time.shape[0], -1, self.config.batch_cap)
            later_upload = observation["later_upload"].gather(1, cells)
            later_step = torch.diff(later_upload, dim=2, prepend=torch.zeros_like(later_upload[:, :, :1]))
            sizes.insert(0, planned.gather(1, cells))
            sizes += [_compressed(later_step) * exists, _compressed(upload_time - later_upload) * exists]
        nodes = torch.cat([*sizes, torch.stack(alone, dim=2), torch.cat(of_all, 1)[:, None].expand(-1, most, -1)], 2)

        n_models = loading.shape[2]
        pairs = (models[:, :, None] * n_models + models[:, None, :]).flatten(start_dim=1)
        forth = loading.flatten(start_dim=1).expand(len(models), -1).gather(1, pairs).view(-1, most, most)
        back = forth.transpose(1, 2)
        # Times of a model's smallest and largest batch without its loading.
        smallest_time = batch_time[:, :, 0] - load_time
        largest_time = batch_time.gather(2, at_largest)[:, :, 0] - load_time
        after = budget - largest_time - load_time
        edges = [
            forth * 10,
            back * 10,
            (from_empty[:, None, :] - forth) * 10,
            torch.log(largest[:, None, :] / (forth + largest_time[:, None, :]).clamp(min=1e-4)) / 4,
            _compressed(budget[:, :, None] - forth - smallest_time[:, None, :]),
            _compressed(after[:, :, None] - forth - smallest_time[:, None, :]),
        ]
        return _Tokens(nodes, torch.stack(edges), present, models)


def select(observation: Observation, rows: Tensor) -> Observation:
    """Some rows of an observation; what has one row for all keeps it."""
    return {key: value if len(value) == 1 else value[rows] for key, value in observation.items()}


def load_fraction(load_ns: NDArray[np.int64], deadline_ns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Loading times (n, I + 1, I) as fractions of deadlines (n,), clipped at 1 as in the environment, float32."""
    return np.minimum(1.0, load_ns / np.maximum(1, deadline_ns)[:, None, None]).astype(np.float32)


def _can_still_be_served(observation: Observation) -> Tensor:
    """Models with pending users that fit into the time left after the most helpful predecessor, bool (n, I)."""
    loading = observation["loading"]
    n_models = loading.shape[2]
    itself = torch.eye(n_models + 1, n_models, dtype=torch.bool, device=loading.device)
    least_load = loading.masked_fill(itself, 2.0).min(dim=1).values
    load_time = observation["load_time"]
    needed = observation["batch_time"][:, :, 0] - load_time + torch.minimum(load_time, least_load)
    if "later_upload" in observation:  # a user in a deep fade now
        needed = needed - (observation["upload_time"] - observation["later_upload"])[:, :, 0].clamp(min=0)
    return (observation["pending"] > 0) & (needed <= observation["budget"] + 1e-6)


def _compressed(time: Tensor) -> Tensor:
    """Fractions of the deadline on a scale that is fine about 0 and coarse far from it."""
    return torch.sign(time) * torch.log1p(time.abs() / _SHORT) / 4


class _AttentionLayer(nn.Module):
    """Attention with a bias, then a small network of each code's own; both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.normalise = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.collect = nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, codes: Tensor, bias: Tensor) -> Tensor:
        n, t, width = codes.shape
        projected = self.project(self.normalise(codes)).view(n, t, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        heard = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        codes = codes + self.collect(heard.transpose(1, 2).reshape(n, t, width))
        thought: Tensor = self.think(codes)
        return codes + thought
