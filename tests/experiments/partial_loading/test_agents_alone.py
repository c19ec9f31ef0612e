"""The studies of reinforcement alone and of what there is to win under fading."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

import pl_env
from agents.evolution import EvolutionConfig
from agents.partial_loading.compiled.improving import ImprovementConfig
from agents.partial_loading.compiled.training import CompiledTrainingConfig
from baselines.partial_loading.action_values import action_values
from experiments.partial_loading.agents import own_play
from experiments.partial_loading.agents.clairvoyant import bound, clairvoyant, play, upload_times


@pytest.fixture(scope="module")
def fading():
    scenario = pl_env.Scenario.preset("fading", n_users=15, deadline=0.2)
    rng = np.random.default_rng(4)
    return scenario, [scenario.sample(rng) for _ in range(6)], rng.random((6, 15, 15))


def test_upload_times_are_those_of_the_environment(fading):
    scenario, _, _ = fading
    env = pl_env.PartialLoadingEnv(scenario)
    _, info = env.reset(seed=3)
    instance, uniforms = env.instance, []
    for step in range(3):
        state = env.np_random.bit_generator.state
        uniforms.append(env.np_random.random(15))
        env.np_random.bit_generator.state = state
        _, _, _, _, info = env.step(int(info["action_mask"].argmax()))
        expected = upload_times(instance, np.array(uniforms))[step + 1]
        np.testing.assert_array_equal(env.remaining().upload_ns, expected[env.pending_users])


def test_the_clairvoyant_is_below_the_bound_and_a_wider_beam_not_worse_in_the_mean(fading):
    _, instances, uniforms = fading
    each = list(zip(instances, uniforms, strict=True))
    narrow, wide = ([clairvoyant(*one, width, 8) for one in each] for width in (1, 24))
    most = [bound(*one) for one in each]
    assert all(a <= b for a, b in zip(wide, most, strict=True))
    assert np.mean(wide) >= np.mean(narrow)
    policy = play(instances, uniforms, 8, lambda episodes, later_ns: action_values(episodes, later_ns, fractional=True))
    assert np.mean(wide) >= policy.mean()
    assert (policy <= most).all()


def test_curves_of_own_play(tmp_path, monkeypatch):
    """Kept, so that a second call trains nothing; ended where its time is up."""
    quick = CompiledTrainingConfig(
        message=4,
        hidden=4,
        improvement=ImprovementConfig(rounds=2, updates=1, episodes=2),
        evolution=EvolutionConfig(rounds=0),
    )
    evolved = replace(quick, improvement=ImprovementConfig(rounds=0), evolution=EvolutionConfig(rounds=9, pairs=1))
    monkeypatch.setattr(own_play, "WAYS", {"own play": quick, "evolution": evolved})
    arguments = own_play.Arguments(seeds=(0,), minutes=1e-9, episodes=2, out=tmp_path)
    own_play.main(arguments)
    rows = list(csv.DictReader((tmp_path / "own_play.csv").read_text().splitlines()))
    assert [(row["way"], row["round"]) for row in rows] == [("own play", "1"), ("evolution", "1")]
    assert all(0 < float(row["share"]) <= 1 for row in rows)
    before = (tmp_path / "own_play.csv").read_bytes()
    own_play.main(arguments)
    assert (tmp_path / "own_play.csv").read_bytes() == before
    assert (tmp_path / "own_play.png").exists()
