from __future__ import annotations

import json

import numpy as np
import pytest

import agents
import baselines
import pl_env
from baselines import optima
from baselines.evaluation import Evaluation, PolicyResult
from baselines.statistics import interquartile_mean


def test_the_optimum_has_no_gap_and_the_others_have(tiny):
    result = agents.evaluate(
        {"optimal": "optimal-dp", "greedy": "greedy", "random": "random"}, tiny, episodes=40, seed=1
    )
    assert result["optimal"].gap == 0
    assert result["random"].gap > 0
    assert np.all(result["greedy"].served_ratio <= result["optimal"].served_ratio)


def test_numbers_are_those_of_the_instances():
    """Episode n of seed s is drawn from the generator (7, s, n), the same for every policy."""
    scenario = pl_env.Scenario.preset("bls")
    result = agents.evaluate({"greedy": "greedy"}, scenario, episodes=5, seed=3)["greedy"]
    instances = [scenario.sample(np.random.default_rng((7, 3, n))) for n in range(5)]
    expected = [baselines.solve(instance, "greedy").served_ratio for instance in instances]
    assert result.served_ratio.tolist() == expected
    assert result.mean == pytest.approx(np.mean(expected))
    assert min(expected) <= result.low < result.mean < result.high <= max(expected)
    optimum = [baselines.solve(instance, "optimal-dp").served_ratio for instance in instances]
    assert result.gap == pytest.approx(1 - np.mean(expected) / np.mean(optimum))


@pytest.mark.parametrize("preset", ["bls", "fading"])
def test_the_same_policy_twice_plays_the_same_episodes(preset):
    """Channel draws within an episode included."""
    scenario = pl_env.Scenario.preset(preset, n_users=30)
    result = agents.evaluate(
        {"one": baselines.Planner("greedy"), "two": baselines.Planner("greedy")}, scenario, episodes=6
    )
    assert result["one"].served_ratio.tolist() == result["two"].served_ratio.tolist()
    again = agents.evaluate({"one": baselines.Planner("greedy")}, scenario, episodes=6)
    assert again["one"].served_ratio.tolist() == result["one"].served_ratio.tolist()


def test_no_optimum_is_claimed_where_none_is_proven():
    for preset in ("fading", "general-hard"):
        result = agents.evaluate({"greedy": "greedy"}, pl_env.Scenario.preset(preset, n_users=10), episodes=2)
        assert result["greedy"].gap is None
        assert "–" in str(result)


def test_an_agent_plays_and_the_table_names_everything(agent):
    result = agents.evaluate({"agent": agent, "random": "random"}, "bls", episodes=3)
    assert 0 < result["agent"].mean < 1
    assert result["agent"].decision_seconds > 0
    text = str(result)
    for word in ("agent", "random", "served ratio", "95 % interval", "middle half", "gap to optimum", "decision (ms)"):
        assert word in text
    assert result.to_dict()["agent"]["episodes"] == 3


def test_differences_are_paired():
    """Where one policy is better by the same in every episode, the interval of the difference has no width."""
    ratios = np.random.default_rng(0).random(50)
    results = {name: PolicyResult(ratios + gain, None, 0.0) for name, gain in (("good", 0.1), ("bad", 0.0))}
    assert Evaluation(results).difference("good", "bad") == pytest.approx((0.1, 0.1, 0.1))
    assert results["good"].high - results["good"].low > 0.1


def test_optima_are_kept_by_the_hash_of_the_instance(tiny, tmp_path, monkeypatch):
    policies = {"greedy": "greedy"}
    first = agents.evaluate(policies, tiny, episodes=3, optimum="exhaustive", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(optima.baselines, "solve", lambda *_: pytest.fail("was solved again"))
    for seed, file in enumerate(sorted(tmp_path.iterdir())):
        instance = tiny.sample(np.random.default_rng((7, 0, seed)))
        assert optima.optimum_of(instance, "exhaustive", tmp_path).served > 0
        assert json.loads(file.read_text())["solver"] == "exhaustive"
    monkeypatch.undo()
    assert agents.evaluate(policies, tiny, episodes=3)["greedy"].gap == first["greedy"].gap
    damaged = next(tmp_path.iterdir())
    damaged.write_text("{")
    again = agents.evaluate(policies, tiny, episodes=3, optimum="exhaustive", cache=tmp_path)
    assert again["greedy"].gap == first["greedy"].gap


def test_the_middle_half_leaves_out_the_ends():
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 3.0, 100.0, -50.0, 2.0, 2.0])) == 1.75


def test_play_episode_is_the_first_evaluation_episode(tiny):
    schedule, instance = agents.play_episode("optimal-dp", tiny, seed=4)
    pl_env.check(schedule, instance)
    evaluated = agents.evaluate({"optimal-dp": "optimal-dp"}, tiny, episodes=1, seed=4)
    assert evaluated["optimal-dp"].served_ratio[0] == schedule.served_ratio


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policies": {"x": "magic"}}, "there is no solver 'magic'; known are: exact, exhaustive"),
        ({"policies": {}}, "policies is {}; it must be at least one policy"),
        ({"scenario": "nowhere"}, "there is no preset 'nowhere'"),
        ({"episodes": 0}, "episodes is 0; it must be an integer of at least 1"),
        ({"seed": -1}, "seed is -1; it must be an integer of at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        agents.evaluate(**({"policies": {"greedy": "greedy"}, "scenario": "tiny"} | arguments))
    assert message in str(caught.value)


def test_illegal_actions_are_an_error_and_not_a_result(tiny):
    class Stubborn:
        def act(self, observation, info, env):
            return int(info["action_mask"].argmin())

    with pytest.raises(pl_env.InvalidAction):
        agents.evaluate({"stubborn": Stubborn()}, tiny, episodes=5)


def test_there_is_no_optimum_where_channels_are_drawn_anew():
    with pytest.raises(pl_env.InvalidValue, match="optimum is 'optimal-dp'; it must be None where channels"):
        agents.evaluate({"greedy": "greedy"}, "fading", episodes=2, optimum="optimal-dp")


def test_what_is_not_proven_is_counted_and_not_kept(tiny, tmp_path):
    proven = agents.evaluate({"greedy": "greedy"}, tiny, episodes=3, optimum="optimal-dp", cache=tmp_path)
    assert proven["greedy"].proven == 1
    assert len(list(tmp_path.iterdir())) == 3
    hard = pl_env.Scenario.preset("general-hard")
    best = agents.evaluate({"greedy": "greedy"}, hard, episodes=3, optimum="local-search", cache=tmp_path)
    assert best["greedy"].proven == 0
    assert len(list(tmp_path.iterdir())) == 3
