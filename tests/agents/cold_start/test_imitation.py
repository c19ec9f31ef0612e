"""Training: labels, losses, and a run that is interrupted ends with the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import agents
import baselines
from agents.cold_start.imitation import ImitationConfig, Labels, loss_of, play
from agents.cold_start.jobs import JOBS
from agents.cold_start.network import NetworkConfig, PlacementNetwork
from agents.cold_start.training import TrainingConfig, train
from pl_env.cold_start import Scenario
from pl_env.cold_start.env import ColdStartEnv
from pl_env.errors import FileFormatError, InvalidValue

SMALL = ImitationConfig(rounds=3, episodes=4, updates=5, minibatch_size=8)
CONFIG = TrainingConfig(network=NetworkConfig(8, 1, 2, 8), imitation=SMALL)
FEW = {"few": Scenario(n_devices=(3, 4), model="gpt2"), "tight": Scenario.preset("tight", n_devices=4, model="gpt2")}


@pytest.fixture(scope="module")
def labels() -> Labels:
    return play(None, tuple(FEW.values()), dataclasses.replace(SMALL, episodes=20), np.random.default_rng(0))[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(FEW, CONFIG, tmp_path_factory.mktemp("whole"), progress=False)


class Killed(Exception):
    pass


def kill_after(rounds):
    def watch(agent, states):
        if agent.trained_on["rounds"] == rounds:
            raise Killed

    return watch


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path, whole, rounds):
    with pytest.raises(Killed):
        train(FEW, CONFIG, tmp_path, progress=False, watch=kill_after(rounds))
    result = train(FEW, CONFIG, tmp_path, resume=True, progress=False)
    for one in (result.agent, agents.load(tmp_path / "checkpoint")):
        torch.testing.assert_close(one.network.state_dict(), whole.agent.network.state_dict(), rtol=0, atol=0)
    assert [{**point, "seconds": 0} for point in result.curve] == [{**point, "seconds": 0} for point in whole.curve]


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_run_without_its_labels_is_not_resumed(tmp_path, damage):
    with pytest.raises(Killed):
        train(FEW, CONFIG, tmp_path, progress=False, watch=kill_after(2))
    path = tmp_path / "labels" / "round-0000.npz"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-100])
    with pytest.raises(FileFormatError, match=r"round-0000\.npz: its labels cannot be read"):
        train(FEW, CONFIG, tmp_path, resume=True, progress=False)


def test_a_run_of_another_scenario_is_not_resumed(tmp_path):
    with pytest.raises(Killed):
        train(FEW, CONFIG, tmp_path, progress=False, watch=kill_after(1))
    other = FEW | {"few": FEW["few"].override(radius_m=3.0)}
    with pytest.raises(InvalidValue, match=r"few.radius_m is 3.0; it must be 10.0"):
        train(other, CONFIG, tmp_path, resume=True, progress=False)


def test_labels_are_what_actions_lose(labels):
    """Relative to the best of the state, which loses nothing; states without a choice are left out."""
    counts = np.bincount(labels.states.state.numpy())
    assert len(counts) == len(labels) > 20
    assert counts.min() > 1
    assert (labels.lost >= 0).all()
    for n in range(len(labels)):
        assert labels.lost[labels.states.state == n].min() == 0


def test_the_optimum_is_played_at_first():
    config = dataclasses.replace(SMALL, exploration=0.0, episodes=6)
    assert play(None, tuple(FEW.values()), config, np.random.default_rng(0))[1] == 1.0
    torch.manual_seed(0)
    network = PlacementNetwork(NetworkConfig(8, 1, 2, 8))
    assert play(network, tuple(FEW.values()), config, np.random.default_rng(0))[1] > 1.0


def test_labels_of_one_state_are_those_of_the_solver(labels):
    """The first state of the first episode, solved after each of its actions."""
    scenario = FEW["few"]
    instance = scenario.sample(np.random.default_rng(0))
    best = baselines.solve(instance).finish_ns
    first = labels.states.state == 0
    env = ColdStartEnv(scenario)
    found = []
    for number in labels.states.number[first].tolist():
        env.reset(options={"instance": instance})
        device, count = divmod(number, instance.n_layers)
        env.step(device * env.most_layers + count)
        found.append(baselines.solve(env.remaining()).finish_ns / best - 1)
    np.testing.assert_allclose(labels.lost[first], found, atol=1e-6)


def test_labels_survive_a_file(tmp_path, labels):
    labels.write(tmp_path / "labels.npz")
    read = Labels.read(tmp_path / "labels.npz")
    assert torch.equal(read.lost, labels.lost)
    for field in dataclasses.fields(type(labels.states)):
        assert torch.equal(getattr(read.states, field.name), getattr(labels.states, field.name)), field.name


def test_labels_are_joined(labels):
    rows = torch.arange(len(labels))
    joined = Labels.join([labels.take(rows[:5]), labels.take(rows[5:])])
    assert torch.equal(joined.lost, labels.lost)
    assert torch.equal(joined.states.state, labels.states.state)


def test_nothing_is_lost_where_scores_are_sure_and_right(labels):
    class Knows(torch.nn.Module):
        def forward(self, states):
            return -labels.lost / 1e-5

    _, regret = loss_of(Knows(), labels, SMALL)
    assert regret.item() == pytest.approx(0, abs=1e-5)


def test_a_network_learns_the_labels(labels):
    torch.manual_seed(0)
    network = PlacementNetwork(NetworkConfig(16, 1, 2, 32))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    regrets = []
    for _ in range(150):
        loss, regret = loss_of(network, labels, SMALL)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        regrets.append(regret.item())
    assert regrets[-1] < 0.2 * regrets[0]


@pytest.mark.parametrize(
    ("field", "value"), [("rounds", 0), ("episodes", 0), ("exploration", 1.5), ("sharpness", 0.0), ("updates", 0)]
)
def test_what_is_out_of_range_is_refused(field, value):
    with pytest.raises(InvalidValue, match=f"{field}.* is .*must be"):
        ImitationConfig(**{field: value})


def test_jobs_go_by_the_systems_name():
    from agents import train_command

    assert train_command.parse(["cold_start"]).job == JOBS["default"]
    arguments = train_command.parse(["cold_start/default", "--imitation.rounds", "2", "--network.width", "8"])
    assert (arguments.job.training.imitation.rounds, arguments.job.training.network.width) == (2, 8)
