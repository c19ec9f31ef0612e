from __future__ import annotations

import dataclasses

import pytest

import agents
import pl_env
from experiments.partial_loading.agents import comparison as agents_comparison
from experiments.partial_loading.agents.masked_dqn import DQNConfig, train_dqn


def test_every_algorithm_runs_and_is_drawn(tmp_path, monkeypatch, capsys):
    small = {"width": 8, "layers": 1, "heads": 2}
    imitation = agents.ImitationConfig(rounds=1, episodes=4)
    ppo = agents.FineTuningConfig(rounds=1, n_envs=2, rollout_steps=8, minibatch_size=8)
    none = agents.ImitationConfig(rounds=0)
    configs = {
        "imitation": agents.TrainingConfig(**small, imitation=imitation),
        "PPO without masks": agents.TrainingConfig(
            **small, imitation=none, fine_tuning=dataclasses.replace(ppo, masks=False)
        ),
        "masked DQN": DQNConfig(states=40, n_envs=4, minibatch_size=8),
    }
    assert configs.keys() <= agents_comparison.ALGORITHMS.keys()
    monkeypatch.setattr(agents_comparison, "ALGORITHMS", configs)
    arguments = agents_comparison.Arguments("tiny", tuple(configs), (0, 1), 10, tmp_path)
    agents_comparison.main(arguments)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "tensorboard").glob("*/events*"))) == 6
    first = capsys.readouterr().out
    assert all(name in first for name in configs)
    monkeypatch.setattr(agents_comparison, "train_dqn", None)  # nothing runs again
    with monkeypatch.context() as nothing_trains:
        nothing_trains.setattr(agents, "train", None)
        agents_comparison.main(dataclasses.replace(arguments, only=("imitation",)))
        assert capsys.readouterr().out == first  # what was run before is drawn too
        with pytest.raises(TypeError, match="not callable"):  # other episodes are another run
            agents_comparison.main(dataclasses.replace(arguments, episodes=11))


@pytest.mark.parametrize(
    "wrong", [{"only": ("imitatoin",)}, {"scenario": "fading"}, {"scenario": "nowhere"}, {"episodes": 1}]
)
def test_mistakes_give_one_clear_sentence(wrong):
    with pytest.raises(pl_env.InvalidValue, match=next(iter(wrong))):
        agents_comparison.Arguments(**wrong)


def test_dqn_learns_from_a_memory_that_goes_round(tiny):
    family = agents.Family(tiny)
    seen = []
    config = DQNConfig(states=120, n_envs=8, capacity=50, minibatch_size=16)
    train_dqn(family, config, lambda agent, states: seen.append(states))
    assert seen[-1] >= 120
