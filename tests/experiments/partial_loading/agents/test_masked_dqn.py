"""The deep Q-network that knows which actions are legal."""

from __future__ import annotations

import dataclasses

import pytest

import pl_env
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from experiments.partial_loading.agents.masked_dqn import JOBS, DQNConfig, MaskedDQN

SMALL = dataclasses.replace(JOBS["tiny"], training=DQNConfig(rounds=5, n_envs=6, capacity=40, minibatch_size=8))


def stop_after(rounds: int):
    def watch(agent, states):
        if agent.trained_on["rounds"] == rounds:
            raise KeyboardInterrupt

    return watch


def bits(folder):
    return {path.name: path.read_bytes() for path in (folder / "checkpoint").glob("*.safetensors")}


def test_a_run_that_goes_on_comes_to_the_same_memory_and_bits(tmp_path):
    SMALL.train(tmp_path / "whole", resume=False, watch=lambda agent, states: None)
    with pytest.raises(KeyboardInterrupt):
        SMALL.train(tmp_path / "cut", resume=False, watch=stop_after(3))  # the memory has gone round by then
    SMALL.train(tmp_path / "cut", resume=True, watch=lambda agent, states: None)
    assert bits(tmp_path / "cut") == bits(tmp_path / "whole")
    assert len(bits(tmp_path / "whole")) == 2


def test_the_memory_holds_the_last_steps(tmp_path):
    family, config = SMALL.family, dataclasses.replace(SMALL.training, capacity=10_000)
    stage = MaskedDQN(family, config, tmp_path)
    stage.begin(SchedulingNetwork(NetworkConfig(family.scenario.max_batch_size)))
    steps = sum(stage.round(number, number)["states"] for number in range(2))
    assert stage._memory.size == steps
    assert stage._memory._reward[: stage._memory.size].min() > 0  # every legal action serves somebody


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"n_envs": 0}, {"learning_rate": 2}, {"exploration": -0.1}])
def test_mistakes_give_one_clear_sentence(wrong):
    with pytest.raises(pl_env.InvalidValue, match=next(iter(wrong))):
        DQNConfig(**wrong)
