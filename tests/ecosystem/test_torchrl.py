"""TorchRL: its environments made by id, and its masks. ``make ecosystem`` installs it."""

from __future__ import annotations

import math

import pytest

import pl_env

pytest.importorskip("torchrl")


def test_an_environment_by_its_id():
    from torchrl.envs import GymEnv
    from torchrl.envs.utils import check_env_specs

    env = GymEnv("PartialLoading-v0")
    check_env_specs(env)
    rollout = env.rollout(5, break_when_any_done=True)
    assert rollout["next", "reward"].shape[0] >= 1
    assert rollout["batch_time"].shape[1:] == (50, 8)


def test_masked_actions_are_legal():
    import gymnasium as gym
    from torchrl.envs import GymWrapper, TransformedEnv
    from torchrl.envs.transforms import ActionMask

    masked = pl_env.MaskedObservation(gym.make("PartialLoading-v0"))
    env = TransformedEnv(GymWrapper(masked, categorical_action_encoding=True), ActionMask())
    env.set_seed(0)
    rollout = env.rollout(40, break_when_any_done=True)
    served = rollout["next", "reward"].sum().item()
    assert 0.1 < served < 1  # an illegal action would have ended the episode with nothing
    assert len(rollout) > 5


@pytest.mark.parametrize("name", ["Slide-v0", "ColdStart-v0"])
def test_the_example_learns_without_an_illegal_action(name, capsys):
    from examples import torchrl_masks

    returns = torchrl_masks.train(torchrl_masks.Arguments(name, iterations=2, steps=150, epochs=1))
    assert len(returns) == 2
    assert all(math.isfinite(value) for value in returns)
    assert "iteration 2: mean return" in capsys.readouterr().out
    env = torchrl_masks.masked(name)
    env.set_seed(3)
    actor, _ = torchrl_masks.networks(env)
    played = env.rollout(100, actor, break_when_any_done=False)
    assert played["action_mask"].gather(1, played["action"][:, None]).all()
