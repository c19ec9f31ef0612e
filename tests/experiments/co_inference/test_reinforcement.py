"""Learning from rewards alone, for a few states."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from experiments.co_inference.agents import reinforcement
from experiments.co_inference.agents.reinforcement import Arguments, main, policy_of, train
from pl_env.co_inference import Scenario
from pl_env.co_inference.continuous_env import CoInferenceContinuousEnv
from pl_env.errors import InvalidValue


@pytest.fixture(autouse=True)
def few_evaluations(monkeypatch):
    monkeypatch.setattr(reinforcement, "EVALUATIONS", 2)


def test_a_tiny_run_of_both(tmp_path, capsys):
    main(Arguments(states=640, episodes=3, out=tmp_path))
    printed = capsys.readouterr().out
    for name in ("ppo", "sac"):
        curve = list(csv.DictReader((tmp_path / f"{name}-0" / "curve.csv").open()))
        assert float(curve[-1]["states"]) >= 640
        assert all(0 <= float(point["quality"]) <= 1 for point in curve)
        assert (tmp_path / f"{name}-0" / "model.zip").stat().st_size > 1000
        text = (tmp_path / f"{name}-0" / "table.md").read_text()
        assert text.startswith(f"### {name}, 3 episodes")
        for other in ("imitated agent", "online-dp", "battery-price"):
            assert f"| {other} |" in text
        assert text in printed
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_the_same_seed_learns_the_same_policy():
    policies = [policy_of(train("ppo", 2560, seed)[0]) for seed in (1, 1, 2)]
    env = CoInferenceContinuousEnv(Scenario.preset("continuous"))
    observation, info = env.reset(seed=0)
    first, second, third = (policy(observation, info) for policy in policies)
    assert first.shape == (7,)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"only": ("dqn",)}, "only is 'dqn'; it must be one of 'ppo', 'sac'"),
        ({"states": 1}, "states is 1; it must be an integer from 2 to 1000000000"),
        ({"seed": -1}, "seed is -1; it must be an integer from 0 to 2147483648"),
        ({"episodes": 1}, "episodes is 1; it must be an integer of at least 2"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(InvalidValue) as caught:
        Arguments(**wrong)
    assert str(caught.value) == message
