from __future__ import annotations

import numpy as np
import pytest
import torch

import pl_env
from agents.network import NetworkConfig, SchedulingNetwork


def observation_of(scenario: pl_env.Scenario, seed: int = 0) -> dict[str, torch.Tensor]:
    observation, _ = pl_env.PartialLoadingEnv(scenario).reset(seed=seed)
    return {key: torch.from_numpy(value)[None] for key, value in observation.items()}


@pytest.fixture
def network() -> SchedulingNetwork:
    torch.manual_seed(1)
    return SchedulingNetwork(NetworkConfig(batch_cap=8, width=32))


def test_the_order_of_models_permutes_scores_and_leaves_the_value(network):
    observation = observation_of(pl_env.Scenario())
    order = torch.from_numpy(np.random.default_rng(0).permutation(50))
    per_model = ("load_time", "pending", "upload_time", "batch_time")
    permuted = observation | {key: observation[key][:, order] for key in per_model}
    scores, value = network(observation)
    permuted_scores, permuted_value = network(permuted)
    torch.testing.assert_close(permuted_scores.view(50, 8), scores.view(50, 8)[order])
    torch.testing.assert_close(permuted_value, value)
    assert scores.std() > 0


def test_one_network_serves_any_number_of_models_and_users(network):
    for scenario in (pl_env.Scenario.preset("general"), pl_env.Scenario.preset("bls", n_models=7, n_users=3)):
        scores, value = network(observation_of(scenario))
        assert scores.shape == (1, scenario.n_models * 8)
        assert value.shape == (1, 1)


def test_actions_start_nearly_alike(network):
    """So that exploration begins with every legal action."""
    scores, _ = network(observation_of(pl_env.Scenario()))
    assert scores.abs().max() < 0.5


@pytest.mark.parametrize("field", ["batch_cap", "width"])
def test_sizes_out_of_range(field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is 0; it must be an integer from 1"):
        NetworkConfig(**({"batch_cap": 8} | {field: 0}))
