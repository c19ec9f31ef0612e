"""Training: labels, losses, and a run that is interrupted ends with the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import agents
from agents.slide.imitation import Imitation, ImitationConfig, Labels, _loss, play
from agents.slide.jobs import JOBS
from agents.slide.network import AdmissionNetwork, NetworkConfig
from agents.slide.training import TrainingConfig, train
from pl_env.errors import FileFormatError, InvalidValue
from pl_env.slide import Scenario

SMALL = ImitationConfig(rounds=3, episodes=2, futures=2, updates=5, minibatch_size=8)
CONFIG = TrainingConfig(network=NetworkConfig(8, 1), imitation=SMALL)
FEW = Scenario(n_users=6)


@pytest.fixture(scope="module")
def labels() -> Labels:
    return play(None, FEW, dataclasses.replace(SMALL, episodes=5, futures=4), np.random.default_rng(0))[0]


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


def same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path, whole, rounds):
    with pytest.raises(Killed):
        train(FEW, CONFIG, tmp_path, progress=False, watch=kill_after(rounds))
    result = train(FEW, CONFIG, tmp_path, resume=True, progress=False)
    same(result.agent.network, whole.agent.network)
    assert [{**point, "seconds": 0} for point in result.curve] == [{**point, "seconds": 0} for point in whole.curve]
    same(agents.load(tmp_path / "checkpoint").network, whole.agent.network)


def test_a_run_that_is_killed_within_a_round_ends_with_the_same_bits(tmp_path, whole, monkeypatch):
    """The round's labels are there already, and are made again."""
    with pytest.raises(Killed):
        train(FEW, CONFIG, tmp_path, progress=False, watch=kill_after(1))
    with monkeypatch.context() as patched:
        patched.setattr(Imitation, "_update", kill_now)
        with pytest.raises(Killed):
            train(FEW, CONFIG, tmp_path, resume=True, progress=False)
    assert len(list((tmp_path / "labels").iterdir())) == 2
    same(train(FEW, CONFIG, tmp_path, resume=True, progress=False).agent.network, whole.agent.network)


def kill_now(*arguments):
    raise Killed


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
    with pytest.raises(InvalidValue, match="n_users is 7; it must be 6"):
        train(Scenario(n_users=7), CONFIG, tmp_path, resume=True, progress=False)


def test_labels_are_what_is_gained_over_refusing(labels):
    assert len(labels) > 10
    assert labels.mask[:, 0].all()
    assert labels.mask[:, 1:].any(dim=1).all(), "a state without a choice teaches nothing"
    assert (labels.gained[:, 0] == 0).all()
    assert (labels.gained[~labels.mask] == 0).all()
    assert labels.gained.abs().max() <= FEW.n_users
    last = labels.to_come[:, 0] == 0
    assert (labels.gained[last] == labels.mask[last].float() - torch.tensor([1.0, 0, 0, 0])).all(), "whoever fits"


def test_labels_survive_a_file(tmp_path, labels):
    labels.write(tmp_path / "labels.npz")
    read = Labels.read(tmp_path / "labels.npz")
    for field in dataclasses.fields(Labels):
        assert torch.equal(getattr(read, field.name), getattr(labels, field.name)), field.name


def test_regret_is_none_where_the_values_are_sure_and_right(labels):
    class Knows(torch.nn.Module):
        def forward(self, observation):
            return labels.gained

    loss, regret = _loss(Knows(), labels, dataclasses.replace(SMALL, temperature=1e-4))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert regret.item() == pytest.approx(0, abs=1e-6)


def test_a_network_learns_the_labels(labels):
    torch.manual_seed(0)
    network = AdmissionNetwork(NetworkConfig(32, 2))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(200):
        loss, _ = _loss(network, labels, SMALL)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("rounds", 0), ("futures", 0), ("exploration", 1.5), ("temperature", 0.0), ("rule", (1.0,)), ("rule", (-1,) * 4)],
)
def test_what_is_out_of_range_is_refused(field, value):
    with pytest.raises(InvalidValue, match=f"{field}.* is .*must be"):
        ImitationConfig(**{field: value})


def test_jobs_go_by_the_systems_name():
    from agents import train_command

    assert train_command.parse(["slide"]).job == JOBS["default"]
    arguments = train_command.parse(["slide/hard", "--imitation.rounds", "2", "--network.width", "8"])
    assert arguments.job.training.imitation.rule == JOBS["hard"].training.imitation.rule
    assert (arguments.job.training.imitation.rounds, arguments.job.training.network.width) == (2, 8)
