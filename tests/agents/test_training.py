from __future__ import annotations

import copy
import dataclasses
import os
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import agents
import pl_env
from agents import training
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.plots import draw_learning_curve
from agents.training import train_in_stages, update_average
from pl_env.systems import SYSTEMS
from tests.agents.toy import Regression, ToyAgent, train_toy


def assert_same_weights(one: agents.Agent, two: agents.Agent) -> None:
    for name, tensor in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.fixture
def family(tiny) -> agents.Family:
    return agents.Family(tiny)


def test_learning_happens(family, tmp_path):
    """On a problem of three models an agent closes most of the distance from random to optimal in some seconds."""
    imitation = agents.ImitationConfig(rounds=12, episodes=64, minibatch_size=64, learning_rate=5e-3, averaging=0.1)
    config = agents.TrainingConfig(width=32, imitation=imitation)
    agent = agents.train(family, config, tmp_path, progress=False).agent
    policies = {"agent": agent, "optimal": "optimal-dp", "random": "random"}
    result = agents.evaluate(policies, family.scenario, episodes=200, seed=5)
    distance = result["optimal"].mean - result["random"].mean
    assert result["agent"].mean > result["random"].mean + 0.6 * distance
    assert result["agent"].low > result["random"].high


def test_a_run_leaves_a_checkpoint_a_curve_and_tensorboard_logs(family, quick_config, tmp_path):
    result = agents.train(family, quick_config, tmp_path, progress=False)
    assert [(point["round"], point["stage"]) for point in result.curve] == [
        (0, "imitation"),
        (1, "imitation"),
        (2, "fine-tuning"),
        (3, "fine-tuning"),
    ]
    loaded = agents.load(tmp_path / "checkpoint")
    assert_same_weights(loaded, result.agent)
    assert loaded.trained_on["rounds"] == 4
    assert pl_env.Scenario.from_dict(loaded.trained_on["family"]["scenario"], family.scenario.library)
    assert list(tmp_path.glob("tensorboard/events*"))


def test_the_same_seed_gives_the_same_agent(family, quick_config, tmp_path):
    first = agents.train(family, quick_config, tmp_path / "1", progress=False).agent
    second = agents.train(family, quick_config, tmp_path / "2", progress=False).agent
    third = agents.train(family, dataclasses.replace(quick_config, seed=1), tmp_path / "3", progress=False).agent
    assert_same_weights(first, second)
    weights = [agent.network.state_dict()["encode.0.weight"] for agent in (first, third)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_run_that_stops_anywhere_resumes_to_the_same_bits(family, quick_config, tmp_path, monkeypatch, stop_after):
    """Within the first stage, between the two, and within the second; a stop within a round loses that round."""
    whole = agents.train(family, quick_config, tmp_path / "whole", progress=False)
    save = training.save_checkpoint
    saved = []

    def stop(*arguments):
        if len(saved) == stop_after:
            raise KeyboardInterrupt
        saved.append(save(*arguments))

    monkeypatch.setattr(training, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        agents.train(family, quick_config, tmp_path / "cut", progress=False)
    monkeypatch.undo()
    resumed = agents.train(family, quick_config, tmp_path / "cut", resume=True, progress=False)
    assert_same_weights(whole.agent, resumed.agent)
    without_clock = [[{**point, "seconds": 0} for point in result.curve] for result in (whole, resumed)]
    assert without_clock[0] == without_clock[1]
    parts = [load_checkpoint(tmp_path / name / "checkpoint", "training")[1]["training"] for name in ("whole", "cut")]
    assert parts[0].keys() == parts[1].keys()
    for name, tensor in parts[0].items():
        torch.testing.assert_close(parts[1][name], tensor, rtol=0, atol=0)


def test_resume_of_a_finished_run_changes_nothing(family, quick_config, tmp_path):
    first = agents.train(family, quick_config, tmp_path, progress=False)
    again = agents.train(family, quick_config, tmp_path, resume=True, progress=False)
    assert again.curve == first.curve
    assert_same_weights(first.agent, again.agent)


def test_a_folder_with_a_run_is_not_overwritten(family, quick_config, tmp_path):
    agents.train(family, quick_config, tmp_path, progress=False)
    with pytest.raises(pl_env.InvalidValue, match="must be a folder without a checkpoint, or be given with resume"):
        agents.train(family, quick_config, tmp_path, progress=False)


def test_resume_of_something_else_is_refused(family, quick_config, tmp_path):
    agents.train(family, quick_config, tmp_path, progress=False)
    more_epochs = dataclasses.replace(quick_config, imitation=dataclasses.replace(quick_config.imitation, epochs=3))
    for other, config, message in (
        (
            agents.Family(family.scenario.override(max_batch_size=3)),
            quick_config,
            "scenario.max_batch_size is 3; it must be 2, as in the family",
        ),
        (family, dataclasses.replace(quick_config, width=16), "width is 16; it must be 8, as in the config"),
        (family, more_epochs, "imitation.epochs is 3; it must be 1, as in the config"),
    ):
        with pytest.raises(pl_env.InvalidValue, match=message):
            agents.train(other, config, tmp_path, resume=True, progress=False)


def test_resume_without_a_run_or_with_an_agent_only(family, quick_config, agent, tmp_path):
    with pytest.raises(pl_env.FileFormatError, match=r"checkpoint\.json: there is no such file"):
        agents.train(family, quick_config, tmp_path, resume=True, progress=False)
    agent.save(tmp_path / "checkpoint")
    with pytest.raises(pl_env.FileFormatError, match=r"training\.safetensors: cannot be read"):
        agents.train(family, quick_config, tmp_path, resume=True, progress=False)


def test_fine_tuning_plays_one_scenario(quick_config, tmp_path):
    with pytest.raises(pl_env.InvalidValue, match=r"fine_tuning\.rounds is 2; it must be 0 where deadline or theta"):
        agents.train(agents.Family.named("any-library"), quick_config, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field.name)
        for kind in (agents.TrainingConfig, agents.ImitationConfig, agents.FineTuningConfig)
        for field in dataclasses.fields(kind)
        if field.name not in ("imitation", "fine_tuning", "masks", "initial")
    ],
)
def test_every_training_argument_is_checked(kind, field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is -1; it must be"):
        kind(**{field: -1})


def test_a_watcher_sees_every_round(family, quick_config, tmp_path):
    seen = []
    agents.train(family, quick_config, tmp_path, progress=False, watch=lambda agent, states: seen.append(states))
    assert len(seen) == 4
    assert seen == sorted(seen)


def test_a_run_of_which_only_the_older_checkpoint_is_left_is_a_run(tiny, quick_config, tmp_path):
    agents.train(agents.Family(tiny), quick_config, tmp_path, progress=False)
    os.rename(tmp_path / "checkpoint", tmp_path / "checkpoint.old")
    with pytest.raises(pl_env.InvalidValue, match="a folder without a checkpoint"):
        agents.train(agents.Family(tiny), quick_config, tmp_path, progress=False)
    result = agents.train(agents.Family(tiny), quick_config, tmp_path, progress=False, resume=True)
    assert len(result.curve) == quick_config.rounds


def test_a_scenario_in_which_nothing_can_be_served(tiny, quick_config, tmp_path):
    with pytest.raises(pl_env.InvalidValue, match="ones of which some episode has a legal action"):
        agents.train(agents.Family(tiny.override(deadline=1e-6)), quick_config, tmp_path, progress=False)


def test_rounds_without_a_state_to_learn_from(tmp_path):
    """One user: its model's batch of one is all there is, and the learner is sure of it."""
    imitation = agents.ImitationConfig(rounds=2, episodes=2, teacher_rounds=0, easy_share=0.0)
    config = agents.TrainingConfig(seed=np.int64(1), width=8, layers=1, heads=2, imitation=imitation)
    scenario = pl_env.Scenario.preset("bls", n_models=1, n_users=1)
    result = agents.train(agents.Family(scenario), config, tmp_path, progress=False)
    assert [point["states"] for point in result.curve] == [0, 0]


def test_a_plan_needs_one_library_to_be_fine_tuned(quick_config, tmp_path):
    config = dataclasses.replace(quick_config, planned_values=True)
    with pytest.raises(pl_env.InvalidValue, match="planned_values is True; it must be False to fine-tune"):
        agents.train(agents.Family(pl_env.Scenario(resample_library=True)), config, tmp_path, progress=False)


def test_an_update_of_a_single_step_is_refused():
    with pytest.raises(pl_env.InvalidValue, match="such that 9 steps do not leave 1 over"):
        agents.FineTuningConfig(n_envs=3, rollout_steps=3, minibatch_size=8)


def test_any_systems_network_is_trained_in_any_stages(tmp_path, monkeypatch):
    """Resumed, logged, drawn, saved and found again by the system that its checkpoint names."""
    whole = train_toy(tmp_path / "whole")
    assert whole.curve[-1]["loss"] < 0.2 * whole.curve[0]["loss"]
    assert [point["place"] for point in whole.curve] == [*range(20), *range(10)]
    assert len(draw_learning_curve(whole, "toys").axes) == 2

    def stop(agent, states):
        if states == 16 * 22:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path / "cut", watch=stop)
    resumed = train_toy(tmp_path / "cut", resume=True)
    assert_same_weights(whole.agent, resumed.agent)
    folder = tmp_path / "cut" / "checkpoint"
    with pytest.raises(pl_env.FileFormatError, match="an agent of the system 'toy', which this release does not have"):
        agents.load(folder)
    room = ModuleType("agents.toy")
    room.Agent = ToyAgent
    monkeypatch.setitem(sys.modules, "agents.toy", room)
    monkeypatch.setitem(SYSTEMS, "toy", {})
    loaded = agents.load(folder)
    assert type(loaded) is ToyAgent
    assert loaded.trained_on == {"data": {"kind": "sums"}, "rounds": 30}
    assert_same_weights(whole.agent, loaded)


def forge(folder, change_progress=None, change_training=None):
    """Rewrite a checkpoint with hashes that fit, as whoever forges one would."""
    header, parts = load_checkpoint(folder, "weights", "training")
    if change_progress is not None:
        header["training"] = change_progress(header["training"])
    if change_training is not None:
        parts["training"] = change_training(parts["training"])
    said = {
        name: value for name, value in header.items() if name not in ("format", "version", "sha256", "header_sha256")
    }
    save_checkpoint(folder, said, parts)


def without_optimizer(training):
    return {name: value for name, value in training.items() if not name.startswith("optimizer")}


def flat_moments(training):
    return {name: value.reshape(-1) if name.endswith("0.exp_avg") else value for name, value in training.items()}


@pytest.mark.parametrize("value", [10**9, 0, -1, 1.0, True, None, "3", float("inf")])
def test_forged_progress_is_refused(tmp_path, value):
    train_toy(tmp_path, (3, 2))
    forge(tmp_path / "checkpoint", lambda progress: progress | {"rounds_done": value})
    with pytest.raises(pl_env.FileFormatError, match=r"rounds_done is .*; it must be an integer from 1 to 5"):
        train_toy(tmp_path, (3, 2), resume=True)


@pytest.mark.parametrize(
    "forged",
    [
        lambda curve: curve[:-1],
        lambda curve: None,
        lambda curve: [*curve[:-1], 3],
        lambda curve: [*curve[:-1], {}],
        lambda curve: [*curve[:-1], curve[-1] | {"states": None}],
        lambda curve: [*curve[:-1], curve[-1] | {"round": 0}],
        lambda curve: [*curve[:-1], curve[-1] | {"stage": 1}],
        lambda curve: [*curve[:-1], {key: value for key, value in curve[-1].items() if key != "seconds"}],
    ],
)
def test_a_forged_curve_is_refused(tmp_path, forged):
    train_toy(tmp_path, (3, 2))
    forge(tmp_path / "checkpoint", lambda progress: progress | {"curve": forged(progress["curve"])})
    with pytest.raises(pl_env.FileFormatError, match="its curve is not one of 5 rounds"):
        train_toy(tmp_path, (3, 2), resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_optimizer, "tensors are missing, or there are others"),
        (lambda training: training | {"more": torch.zeros(1)}, "tensors are missing, or there are others"),
        (flat_moments, "exp_avg of the optimiser's parameter 0 has the shape"),
    ],
)
def test_a_forged_optimiser_is_refused(tmp_path, change, message):
    train_toy(tmp_path, (3, 2))
    forge(tmp_path / "checkpoint", change_training=change)
    with pytest.raises(pl_env.FileFormatError, match=message):
        train_toy(tmp_path, (3, 2), resume=True)


@pytest.mark.parametrize("trained_on", [None, 3, [], "bls"])
def test_a_training_of_nothing_is_refused(tmp_path, trained_on):
    train_toy(tmp_path, (3, 2))
    header, parts = load_checkpoint(tmp_path / "checkpoint", "weights", "training")
    said = {name: header[name] for name in ("network", "system", "training")} | {"trained_on": trained_on}
    save_checkpoint(tmp_path / "checkpoint", said, parts)
    with pytest.raises(pl_env.FileFormatError, match="holds an agent, but no training to resume"):
        train_toy(tmp_path, (3, 2), resume=True)


@pytest.mark.parametrize("group", [None, 3, [1]])
def test_a_training_of_something_unheard_of_is_refused(tmp_path, group):
    train_toy(tmp_path, (3, 2))
    header, parts = load_checkpoint(tmp_path / "checkpoint", "weights", "training")
    said = {name: header[name] for name in ("network", "system", "training")} | {"trained_on": {"data": group}}
    save_checkpoint(tmp_path / "checkpoint", said, parts)
    with pytest.raises(pl_env.PlEnvError, match="kind is 'sums'; it must be None"):
        train_toy(tmp_path, (3, 2), resume=True)


def test_every_stage_begins_with_the_average_that_the_one_before_has_left(tmp_path):
    begun = []

    class Watched(Regression):
        def begin(self, average):
            super().begin(average)
            begun.append(copy.deepcopy(self.network))

    seen = []
    stages = [Watched("first", 2), Watched("second", 1)]
    agent = ToyAgent(nn.Linear(3, 1))
    train_in_stages(agent, stages, tmp_path, progress=False, watch=lambda agent, states: seen.append(agent.network))
    assert len(begun) == 2
    torch.testing.assert_close(begun[1].state_dict(), seen[1].state_dict(), rtol=0, atol=0)


def test_the_average_moves_by_its_share():
    average, network = nn.Linear(2, 1), nn.Linear(2, 1)
    before = average.weight.detach().clone()
    update_average(average, network, 0.25)
    torch.testing.assert_close(average.weight, 0.75 * before + 0.25 * network.weight)
