"""The default training, whole: some four minutes on one core."""

from __future__ import annotations

import pytest

import agents
import pl_env


@pytest.mark.slow
def test_the_default_agent_beats_the_papers_greedy_and_independent_loading(tmp_path):
    scenario = pl_env.Scenario()
    agent = agents.train(scenario, agents.TrainingConfig(), tmp_path, progress=False).agent
    policies = {"agent": agent} | {name: name for name in ("greedy", "paper-greedy", "independent", "random")}
    result = agents.evaluate(policies, scenario, episodes=300, seed=1)
    for name in ("greedy", "paper-greedy", "independent", "random"):
        assert result["agent"].low > result[name].high, name
