"""The network as policies of stable-baselines3 and sb3-contrib."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from agents.partial_loading.network import NetworkConfig, SchedulingNetwork


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


class _NetworkPolicy:
    """What the two policies below share: no layers besides the network's."""

    mlp_extractor: nn.Module
    action_net: nn.Module
    value_net: nn.Module

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Split(self.features_dim)  # type: ignore[attr-defined]

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_net = nn.Identity()
        self.value_net = nn.Identity()
        self.optimizer_kwargs["lr"] = lr_schedule(1)  # type: ignore[attr-defined]
        self.optimizer = self.optimizer_class(self.parameters(), **self.optimizer_kwargs)  # type: ignore[attr-defined]

    @property
    def network(self) -> SchedulingNetwork:
        """The network that is trained."""
        extractor = self.features_extractor  # type: ignore[attr-defined]
        assert isinstance(extractor, _Extractor)
        return extractor.network


def _with_network(arguments: dict[str, Any], network: NetworkConfig) -> dict[str, Any]:
    return arguments | {"features_extractor_class": _Extractor, "features_extractor_kwargs": {"network": network}}


class MaskableSchedulingPolicy(_NetworkPolicy, MaskableActorCriticPolicy):  # type: ignore[misc]
    """`SchedulingNetwork` as a policy of sb3-contrib's MaskablePPO."""

    def __init__(self, *args: Any, network: NetworkConfig, **kwargs: Any) -> None:
        MaskableActorCriticPolicy.__init__(self, *args, **_with_network(kwargs, network))


class SchedulingPolicy(_NetworkPolicy, ActorCriticPolicy):  # type: ignore[misc]
    """`SchedulingNetwork` as a policy of stable-baselines3's PPO, which knows no masks."""

    def __init__(self, *args: Any, network: NetworkConfig, **kwargs: Any) -> None:
        ActorCriticPolicy.__init__(self, *args, **_with_network(kwargs, network))
