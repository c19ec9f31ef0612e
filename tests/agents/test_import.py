"""What works without the extra ``agents``."""

from __future__ import annotations

import pytest

import agents
from tests import helpers


def test_evaluation_works_and_a_network_says_what_to_install():
    code = (
        helpers.WITHOUT_TORCH
        + """
import agents, baselines, pl_env
assert agents.evaluate is baselines.evaluate
schedule, instance = agents.play_episode("greedy", "bls")
pl_env.check(schedule, instance)
assert isinstance(agents.evaluate({"greedy": "greedy"}, "bls-100", episodes=2), agents.Evaluation)
for name in agents.__all__:
    try:
        getattr(agents, name)
    except pl_env.MissingPackage as error:
        print(name, error)
"""
    )
    lines = helpers.run_python(code).strip().splitlines()
    missing = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert {"Agent", "BestOf", "load", "train", "PartialLoadingVecEnv"} <= set(missing)
    assert not {"Evaluation", "PolicyResult", "evaluate", "play_episode"} & set(missing)
    assert missing["load"] == "this needs torch; install it with: pip install 'pl-env[agents]'"


def test_importing_loads_no_network():
    code = """
import sys
import agents
heavy = {"torch", "stable_baselines3", "sb3_contrib", "safetensors"} & set(sys.modules)
assert not heavy, heavy
agents.load("bls")
assert "torch" in sys.modules
"""
    helpers.run_python(code)


@pytest.mark.parametrize("name", agents.__all__)
def test_every_public_name_exists(name):
    assert getattr(agents, name) is not None


def test_names_that_do_not_exist():
    with pytest.raises(AttributeError, match="module 'agents' has no attribute 'magic'"):
        agents.magic  # noqa: B018
