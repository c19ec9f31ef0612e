"""A small network that corrects the myopic planner: what a candidate plan costs more than the myopic one, later on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baselines.cold_start_stream.candidates import AFTER, CANDIDATES, CONTEXT
from pl_env.ranges import require_integer


@dataclass(frozen=True)
class NetworkConfig:
    """Its size.

    Attributes:
        hidden: Units of each of the two hidden layers.

    Raises:
        InvalidValue: A number is out of range.
    """

    hidden: int = 32

    def __post_init__(self) -> None:
        require_integer("hidden", self.hidden, 1, 1024)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)


class CandidateNetwork(nn.Module):
    """Scores candidates: the lower the better, the myopic plan is 0. Fresh weights score all alike."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        features, hidden = 2 * AFTER + CONTEXT + CANDIDATES, config.hidden
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.head = nn.Linear(hidden, 1)
        self.linear = nn.Linear(AFTER, 1, bias=False)
        with torch.no_grad():
            for layer in (self.head, self.linear):
                layer.weight.zero_()
            self.head.bias.zero_()

    def forward(self, context: Tensor, after: Tensor) -> Tensor:
        """Scores.

        Args:
            context: float32 (N, 8), of the prompts.
            after: float32 (N, 12, 12), of their candidates.

        Returns:
            float32 (N, 12), in units of T0.
        """
        gained = after - after[:, :1]
        which = torch.eye(CANDIDATES).expand(len(after), CANDIDATES, CANDIDATES)
        around = torch.cat([context[:, None].expand(-1, CANDIDATES, -1), after, gained, which], dim=2)
        scores = self.linear(gained)[:, :, 0] + self.head(self.body(around))[:, :, 0]
        is_another = (gained != 0).any(dim=2)
        return torch.where(is_another, scores, 0.0)
