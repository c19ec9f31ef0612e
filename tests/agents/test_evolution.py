from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import pl_env
from agents.checkpoint import load_checkpoint
from agents.evolution import Evolution, EvolutionConfig, ascend, perturbed, weights_of
from agents.training import train_in_stages
from tests.agents.toy import ToyAgent

TARGET = np.array([1.0, -2.0, 0.5, 3.0])


def play(weights, episodes, rng):
    """How near the weights of a line of three inputs are to a target, with noise that all policies share."""
    noise = rng.normal(size=episodes)
    returns = -((weights - TARGET) ** 2).sum(axis=1)[:, None] + 10 * noise
    return returns, weights.shape[0] * episodes


def evolve(out, config, seed=0, **arguments):
    torch.manual_seed(0)
    agent = ToyAgent(nn.Linear(3, 1), {"data": {"kind": "line"}})
    return train_in_stages(agent, [Evolution(play, config, seed)], out, progress=False, **arguments)


CONFIG = EvolutionConfig(rounds=15, generations=10, pairs=8, episodes=2, noise=0.05, learning_rate=0.1, averaging=0.2)


def test_it_climbs(tmp_path):
    result = evolve(tmp_path, CONFIG)
    np.testing.assert_allclose(weights_of(result.agent.network), TARGET, atol=0.05)
    assert result.curve[-1]["states"] == 15 * 10 * 16 * 2


def test_pairs_are_antithetic_and_weights_are_in_the_order_of_parameters():
    network = nn.Linear(3, 1)
    with torch.no_grad():
        network.weight[:] = torch.tensor([[1.0, 2.0, 3.0]])
        network.bias[:] = 4.0
    steps = np.array([[1.0, 0, 0, 0], [0, 0, 0, 0.5]])
    expected = [[2, 2, 3, 4], [1, 2, 3, 4.5], [0, 2, 3, 4], [1, 2, 3, 3.5]]
    np.testing.assert_array_equal(perturbed(network, steps), expected)


def test_a_step_by_hand():
    """Pairs gain 2 and lose 2, whose root mean square is 2: the direction is (noise of the first - second) / 2."""
    network = nn.Linear(1, 1)
    before = weights_of(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    ascend(network, optimizer, np.array([[1.0, 0.0], [0.5, 1.0]]), np.array([3.0, 5.0, 1.0, 7.0]), 0.1)
    np.testing.assert_allclose(weights_of(network) - before, 0.1 * np.array([0.25, -0.5]), atol=1e-7)


def test_where_nobody_is_better_nothing_moves():
    network = nn.Linear(1, 1)
    before = weights_of(network)
    ascend(network, torch.optim.Adam(network.parameters()), np.ones((2, 2)), np.full(4, 3.0), 0.1)
    np.testing.assert_array_equal(weights_of(network), before)


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path):
    whole = evolve(tmp_path / "whole", CONFIG)

    def stop(agent, states):
        if agent.trained_on["rounds"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evolve(tmp_path / "cut", CONFIG, watch=stop)
    resumed = evolve(tmp_path / "cut", CONFIG, resume=True)
    np.testing.assert_array_equal(weights_of(whole.agent.network), weights_of(resumed.agent.network))
    parts = [load_checkpoint(tmp_path / name / "checkpoint", "training")[1]["training"] for name in ("whole", "cut")]
    for name, tensor in parts[0].items():
        assert torch.equal(tensor, parts[1][name])


def test_another_seed_goes_another_way(tmp_path):
    one, two = evolve(tmp_path / "0", CONFIG), evolve(tmp_path / "1", CONFIG, seed=1)
    assert not np.array_equal(weights_of(one.agent.network), weights_of(two.agent.network))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EvolutionConfig)])
def test_every_argument_is_checked(field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is -1; it must be"):
        EvolutionConfig(**{field: -1})
