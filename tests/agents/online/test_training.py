"""Training: what is tried and learnt, threads, and a run that is interrupted ends with the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import agents
from agents.evolution import EvolutionConfig
from agents.online.families import Family
from agents.online.improving import Improvement, ImprovementConfig, Trials, _loss, _network_named, try_batches
from agents.online.network import CompiledNetwork, NetworkConfig
from agents.online.playing import Player, compiled_weights
from agents.online.training import TrainingConfig, WholeEpisodes, train
from baselines.online.policies import plan_by, tuned
from pl_env.errors import InvalidValue
from pl_env.online import Scenario
from pl_env.online.arrays import CACHE_BYTES, EVICTION

FEW = Family(Scenario(episode_seconds=1.0))
SMALL = ImprovementConfig(rounds=3, updates=2, episodes=3, share=0.3, passes=2, minibatch_size=16)
CONFIG = TrainingConfig(network=NetworkConfig(4, 8), improvement=SMALL)
STAGES = dataclasses.replace(
    CONFIG,
    network=NetworkConfig(4, 8, ahead=3),
    improvement=dataclasses.replace(SMALL, rounds=1),
    refinement=dataclasses.replace(SMALL, rounds=1, plays_on="online/reactive"),
    evolution=EvolutionConfig(rounds=1, generations=2, pairs=3, episodes=4),
)


@pytest.fixture(scope="module", params=["improvement", "all stages"])
def config(request) -> TrainingConfig:
    return CONFIG if request.param == "improvement" else STAGES


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    return train(FEW, config, tmp_path_factory.mktemp("whole"), progress=False)


class Killed(Exception):
    pass


def same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path, config, whole, rounds):
    def watch(agent, states):
        if agent.trained_on["rounds"] == rounds:
            raise Killed

    with pytest.raises(Killed):
        train(FEW, config, tmp_path, progress=False, watch=watch)
    result = train(FEW, config, tmp_path, resume=True, progress=False)
    same(result.agent.network, whole.agent.network)
    assert [{**point, "seconds": 0} for point in result.curve] == [{**point, "seconds": 0} for point in whole.curve]
    same(agents.load(tmp_path / "checkpoint").network, whole.agent.network)


def test_threads_change_no_bits(tmp_path, config, whole):
    same(
        train(FEW, dataclasses.replace(config, threads=2), tmp_path, progress=False).agent.network, whole.agent.network
    )


def test_a_run_of_another_family_is_not_resumed(tmp_path, config):
    train(FEW, dataclasses.replace(config, improvement=dataclasses.replace(SMALL, rounds=1)), tmp_path, progress=False)
    other = dataclasses.replace(FEW, rates=(60.0, 90.0))
    with pytest.raises(InvalidValue, match="rates"):
        train(other, config, tmp_path, resume=True, progress=False)


def tried(plays_on: str = "", seed: int = 0) -> tuple[CompiledNetwork, Trials]:
    torch.manual_seed(seed)
    network = CompiledNetwork(CONFIG.network)
    with torch.no_grad():
        network.out.normal_(std=0.1)
    player = Player(FEW, CONFIG.network)
    return network, try_batches(
        player, network, FEW, SMALL, _network_named(plays_on) if plays_on else None, np.random.default_rng(seed)
    )


@pytest.mark.parametrize("plays_on", ["", "online/reactive"])
def test_what_is_tried(plays_on):
    _, trials = tried(plays_on)
    count = len(trials.tried)
    assert count > 10
    assert trials.tried[:, :2].all(), "a decision without a choice teaches nothing"
    assert (trials.value[trials.tried] >= 1).all(), "each batch serves somebody"
    assert trials.states.token.shape[0] == trials.states.edge.shape[0] == count
    assert (trials.states.own < trials.states.known.sum(dim=1, keepdim=True)).all()
    differ = [
        len(set(map(tuple, row[known].tolist()))) == known.sum()
        for row, known in zip(trials.states.action, trials.tried, strict=True)
    ]
    assert np.mean(differ) > 0.9, "other batches, but for twins"


def test_who_plays_on_better_serves_more():
    values = [tried(plays_on)[1].value for plays_on in ("", "online/reactive")]
    assert values[0].shape == values[1].shape
    assert values[0].mean() < values[1].mean()


@pytest.mark.parametrize(
    ("name", "why"), [("online/default", "does not look ahead"), ("bls", "an agent of PartialLoadingOnline")]
)
def test_not_everybody_can_play_on(name, why):
    with pytest.raises(InvalidValue, match=f"plays_on is '{name}'; it must be .*{why}"):
        Improvement("refinement", FEW, dataclasses.replace(SMALL, plays_on=name), 0, 1)


def test_regret_is_none_where_the_values_are_sure_and_right():
    _, trials = tried()

    class Knows(torch.nn.Module):
        def forward(self, states):
            return trials.value

    loss, regret = _loss(Knows(), trials, dataclasses.replace(SMALL, temperature=1e-4))
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert regret.item() == pytest.approx(0, abs=1e-5)


def test_a_network_learns_what_was_tried():
    network, trials = tried()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(150):
        loss, _ = _loss(network, trials, SMALL)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_policies_play_the_same_episodes_as_in_the_environment():
    """The player's goodput is that of the agent, one decision after the other."""
    from agents.online.agent import Agent

    torch.manual_seed(1)
    networks = [CompiledNetwork(CONFIG.network) for _ in range(2)]
    with torch.no_grad():
        networks[1].out.normal_()
    play = WholeEpisodes(FEW, CONFIG.network, 1)
    weights = np.stack([compiled_weights(network) for network in networks]).astype(np.float64)
    goodput, decisions = play(weights, 3, np.random.default_rng(5))
    drawn = FEW.sample(np.random.default_rng(5), 3)
    assert goodput.shape == (2, 3)
    assert decisions > 100
    for n, each in enumerate(drawn):
        scenario = FEW.scenario.override(eviction=FEW.evictions[n % 2])
        for policy, network in enumerate(networks):
            assert goodput[policy, n] == plan_by(scenario.instance(each.users), Agent(network), "agent").objective


def test_the_family_draws_loads_and_rules_in_turn():
    drawn = FEW.sample(np.random.default_rng(0), 40)
    rates = np.array([len(each.users) for each in drawn])
    assert rates.min() < 80 < 200 < rates.max()
    evictions = [int(each.tables.options[EVICTION]) for each in drawn[:4]]
    assert evictions[0] == evictions[2] != evictions[1] == evictions[3]
    assert {int(each.tables.options[CACHE_BYTES]) for each in drawn} == {300_000_000}
    for each in drawn[:4]:
        assert (each.parameters[0] == tuned(each.tables)).all()
    again = FEW.sample(np.random.default_rng(0), 2)
    assert (again[1].users == drawn[1].users).all()


@pytest.mark.parametrize(
    ("field", "value"), [("batches", 1), ("share", 0.0), ("temperature", 0.0), ("updates", 0), ("plays_on", 1)]
)
def test_what_is_out_of_range_is_refused(field, value):
    with pytest.raises(InvalidValue, match=f"{field}.* is .*must be"):
        ImprovementConfig(**{field: value})


def test_families_that_are_out_of_range_are_refused():
    with pytest.raises(InvalidValue, match="rates"):
        Family(rates=(90.0, 60.0))
    with pytest.raises(InvalidValue, match="evictions"):
        Family(evictions=("fifo",))


def test_jobs_go_by_the_systems_name():
    from agents import train_command
    from agents.online.jobs import JOBS

    assert train_command.parse(["online"]).job == JOBS["default"]
    arguments = train_command.parse(["online/default", "--improvement.rounds", "2", "--eviction", "lru"])
    assert arguments.job.training.improvement.rounds == 2
    assert arguments.job.evaluated_on.eviction == "lru"
