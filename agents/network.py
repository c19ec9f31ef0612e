"""The network: models as a set. Every (model, batch size) is scored from that model's features with shared weights.

Listing the models in another order permutes the scores and leaves the value as it is; one network serves any number of
models. Only the batch cap is fixed, by the width of the last layer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from pl_env.ranges import require_integer


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        batch_cap: Largest batch b_cap of the action space.
        width: Hidden units of every layer.

    Raises:
        InvalidValue: A field is out of range.
    """

    batch_cap: int
    width: int = 64

    def __post_init__(self) -> None:
        require_integer("batch_cap", self.batch_cap, 1, 1024)
        require_integer("width", self.width, 1, 4096)

    def to_dict(self) -> dict[str, int]:
        """The fields as JSON types."""
        return asdict(self)


class SchedulingNetwork(nn.Module):
    """Scores every action and estimates the return, from the environment's Dict observation.

    Each model's features are encoded by one shared network; the mean and the maximum of all models' codes, with the
    time left, tell each model about the others; a second shared network scores the model's batch sizes.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, cap = config.width, config.batch_cap
        self.encode = nn.Sequential(nn.Linear(3 + 4 * cap, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.summarise = nn.Sequential(nn.Linear(2 * width + 1, width), nn.ReLU())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, cap))
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        # Scores of nearly 0 at first, so that training starts from all legal actions alike.
        nn.init.orthogonal_(self.score[-1].weight, 0.01)  # type: ignore[arg-type]
        nn.init.zeros_(self.score[-1].bias)  # type: ignore[arg-type]
        self.sizes: Tensor
        self.register_buffer("sizes", torch.arange(1, cap + 1) / cap, persistent=False)

    def forward(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Scores (n, I · b_cap) and values (n, 1) of n observations."""
        features = self._features(observation)
        codes = self.encode(features)
        pooled = torch.cat([codes.mean(dim=1), codes.max(dim=1).values, observation["budget"]], dim=1)
        context = self.summarise(pooled)
        everywhere = context[:, None, :].expand(-1, codes.shape[1], -1)
        scores = self.score(torch.cat([codes, everywhere], dim=2))
        return scores.flatten(start_dim=1), self.value(context)

    def _features(self, observation: dict[str, Tensor]) -> Tensor:
        """Features (n, I, 3 + 4 · b_cap) of each model."""
        batch_time, upload_time = observation["batch_time"], observation["upload_time"]
        budget = observation["budget"][:, :, None]
        exists = batch_time < 1.0
        # Users per time, in units of a full batch per deadline; the logarithm keeps cheap batches from drowning the
        # rest.
        rate = torch.log(self.sizes / batch_time.clamp(min=1e-4)) * exists
        fits = (exists & (batch_time <= budget)).float()
        alone = torch.stack([observation["load_time"], observation["pending"]], dim=2)
        return torch.cat([alone, budget.expand(-1, alone.shape[1], -1), batch_time, upload_time, rate, fits], dim=2)


class _Extractor(BaseFeaturesExtractor):
    """The network in the place of stable-baselines3's features extractor: scores and the value, side by side."""

    def __init__(self, observation_space: spaces.Dict, network: NetworkConfig) -> None:
        n_models = int(observation_space["batch_time"].shape[0])  # type: ignore[index]
        super().__init__(observation_space, features_dim=n_models * network.batch_cap + 1)
        self.network = SchedulingNetwork(network)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        return torch.cat(self.network(observations), dim=1)


class _Split(nn.Module):
    """In the place of the mlp extractor: scores to the actor, the value to the critic."""

    def __init__(self, features_dim: int) -> None:
        super().__init__()
        self.latent_dim_pi, self.latent_dim_vf = features_dim - 1, 1

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        return features[:, :-1]

    def forward_critic(self, features: Tensor) -> Tensor:
        return features[:, -1:]


class SchedulingPolicy(MaskableActorCriticPolicy):
    """`SchedulingNetwork` as a policy of sb3-contrib's MaskablePPO."""

    def __init__(self, *args: Any, network: NetworkConfig, **kwargs: Any) -> None:
        kwargs |= {"features_extractor_class": _Extractor, "features_extractor_kwargs": {"network": network}}
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Split(self.features_dim)  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_net = nn.Identity()
        self.value_net = nn.Identity()  # type: ignore[assignment]
        self.optimizer_kwargs["lr"] = lr_schedule(1)
        self.optimizer = self.optimizer_class(self.parameters(), **self.optimizer_kwargs)

    @property
    def network(self) -> SchedulingNetwork:
        """The network that is trained."""
        extractor = self.features_extractor
        assert isinstance(extractor, _Extractor)
        return extractor.network
