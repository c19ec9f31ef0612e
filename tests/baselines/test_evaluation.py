from __future__ import annotations

import json

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO

import baselines
import pl_env
from baselines import evaluation, optima
from baselines.evaluation import Evaluation, PolicyResult
from baselines.statistics import interquartile_mean


def test_the_optimum_has_no_gap_and_the_others_have(tiny):
    result = baselines.evaluate(
        {"optimal": "optimal-dp", "greedy": "greedy", "random": "random"}, tiny, episodes=40, seed=1
    )
    assert result["optimal"].gap == 0
    assert result["random"].gap > 0
    assert np.all(result["greedy"].objective <= result["optimal"].objective)


def test_numbers_are_those_of_the_instances():
    """Episode n of seed s is drawn from the generator (7, s, n), the same for every policy."""
    scenario = pl_env.Scenario.preset("bls")
    result = baselines.evaluate({"greedy": "greedy"}, scenario, episodes=5, seed=3)["greedy"]
    instances = [scenario.sample(np.random.default_rng((7, 3, n))) for n in range(5)]
    expected = [baselines.solve(instance, "greedy").served_ratio for instance in instances]
    assert result.objective.tolist() == expected
    assert result.mean == pytest.approx(np.mean(expected))
    assert min(expected) <= result.low < result.mean < result.high <= max(expected)
    optimum = [baselines.solve(instance, "optimal-dp").served_ratio for instance in instances]
    assert result.gap == pytest.approx(1 - np.mean(expected) / np.mean(optimum))


@pytest.mark.parametrize("preset", ["bls", "fading"])
def test_the_same_policy_twice_plays_the_same_episodes(preset):
    """Channel draws within an episode included."""
    scenario = pl_env.Scenario.preset(preset, n_users=30)
    result = baselines.evaluate(
        {"one": baselines.Planner("greedy"), "two": baselines.Planner("greedy")}, scenario, episodes=6
    )
    assert result["one"].objective.tolist() == result["two"].objective.tolist()
    again = baselines.evaluate({"one": baselines.Planner("greedy")}, scenario, episodes=6)
    assert again["one"].objective.tolist() == result["one"].objective.tolist()


def test_no_optimum_is_claimed_where_none_is_proven():
    for preset in ("fading", "general-hard"):
        result = baselines.evaluate({"greedy": "greedy"}, pl_env.Scenario.preset(preset, n_users=10), episodes=2)
        assert result["greedy"].gap is None
        assert "–" in str(result)


def test_an_agent_plays_and_the_table_names_everything(agent):
    result = baselines.evaluate({"agent": agent, "random": "random"}, "bls", episodes=3)
    assert 0 < result["agent"].mean < 1
    assert result["agent"].decision_seconds > 0
    text = str(result)
    for word in ("agent", "random", "objective", "95 % interval", "middle half", "gap to optimum", "decision (ms)"):
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
    first = baselines.evaluate(policies, tiny, episodes=3, optimum="exhaustive", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(optima, "solve", lambda *_: pytest.fail("was solved again"))
    for seed, file in enumerate(sorted(tmp_path.iterdir())):
        instance = tiny.sample(np.random.default_rng((7, 0, seed)))
        assert optima.optimum_of(instance, "exhaustive", tmp_path).objective > 0
        assert json.loads(file.read_text())["solver"] == "exhaustive"
    monkeypatch.undo()
    assert baselines.evaluate(policies, tiny, episodes=3)["greedy"].gap == first["greedy"].gap
    damaged = next(tmp_path.iterdir())
    damaged.write_text("{")
    again = baselines.evaluate(policies, tiny, episodes=3, optimum="exhaustive", cache=tmp_path)
    assert again["greedy"].gap == first["greedy"].gap


def test_the_middle_half_leaves_out_the_ends():
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 3.0, 100.0, -50.0, 2.0, 2.0])) == 1.75


def test_results_are_shown_on_one_line_and_as_a_table(tiny):
    evaluation = baselines.evaluate({"<greedy>": "greedy", "random": "random"}, tiny, episodes=3)
    greedy = evaluation["<greedy>"]
    mean, random = f"{greedy.mean:.4f}", f"{evaluation['random'].mean:.4f}"
    assert repr(evaluation) == f"<Evaluation of 3 episodes: <greedy> {mean}, random {random}>"
    interval = f"({greedy.low:.4f} … {greedy.high:.4f})"
    assert repr(greedy) == f"<PolicyResult: {mean} {interval} in 3 episodes, gap {100 * greedy.gap:.2f} %>"
    html = evaluation._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == 3
    assert f"<td>&lt;greedy&gt;</td><td>{mean}</td>" in html
    assert len(repr(baselines.evaluate({"x" * 500: "greedy"}, tiny, episodes=2))) <= 200


def test_play_episode_is_the_first_evaluation_episode(tiny):
    schedule, instance = baselines.play_episode("optimal-dp", tiny, seed=4)
    pl_env.check(schedule, instance)
    assert baselines.play_episode("greedy", "bls-100")[1] == pl_env.benchmark("bls-100").instances[0]
    evaluated = baselines.evaluate({"optimal-dp": "optimal-dp"}, tiny, episodes=1, seed=4)
    assert evaluated["optimal-dp"].objective[0] == schedule.served_ratio


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policies": {"x": "magic"}}, "there is no solver 'magic'; known are: exact, exhaustive"),
        ({"policies": {}}, "policies is {}; it must be at least one policy"),
        ({"scenario": "nowhere"}, "there is no preset or benchmark set 'nowhere'; known are: bls, bls-100"),
        ({"episodes": 0}, "episodes is 0; it must be an integer of at least 1"),
        ({"seed": -1}, "seed is -1; it must be an integer of at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        baselines.evaluate(**({"policies": {"greedy": "greedy"}, "scenario": "tiny"} | arguments))
    assert message in str(caught.value)


def test_illegal_actions_are_an_error_and_not_a_result(tiny):
    class Stubborn:
        def act(self, observation, info, env):
            return int(info["action_mask"].argmin())

    with pytest.raises(pl_env.InvalidAction):
        baselines.evaluate({"stubborn": Stubborn()}, tiny, episodes=5)


def test_there_is_no_optimum_where_channels_are_drawn_anew():
    with pytest.raises(pl_env.InvalidValue, match="optimum is 'optimal-dp'; it must be None where channels"):
        baselines.evaluate({"greedy": "greedy"}, "fading", episodes=2, optimum="optimal-dp")


def test_what_is_not_proven_is_counted_and_not_kept(tiny, tmp_path):
    proven = baselines.evaluate({"greedy": "greedy"}, tiny, episodes=3, optimum="optimal-dp", cache=tmp_path)
    assert proven["greedy"].proven == 1
    assert len(list(tmp_path.iterdir())) == 3
    hard = pl_env.Scenario.preset("general-hard")
    best = baselines.evaluate({"greedy": "greedy"}, hard, episodes=3, optimum="local-search", cache=tmp_path)
    assert best["greedy"].proven == 0
    assert len(list(tmp_path.iterdir())) == 3


# ---------------------------------------------------------------- what plays


def first_legal(observation, info):
    return int(np.argmax(info["action_mask"]))


class Careless:
    """Knows neither masks nor when to stop."""

    def act(self, observation, info, env):
        return int(info["action_mask"].argmin())


def test_everything_that_plays_plays_the_same_episodes(tiny):
    players = {
        "name": "greedy",
        "options": ("local-search", {"iterations": 0}),
        "policy": baselines.Planner("greedy"),
        "function": first_legal,
        "lambda": lambda observation, info: first_legal(observation, info),
    }
    result = baselines.evaluate(players, tiny, episodes=5)
    assert result["function"].objective.tolist() == result["lambda"].objective.tolist()
    assert result["name"].objective.tolist() == result["options"].objective.tolist()  # it begins with greedy's plan
    assert (result["policy"].objective >= result["name"].objective).all()


@pytest.mark.parametrize("wrapper", [None, pl_env.FlatObservation])
def test_models_of_stable_baselines3_with_and_without_masks(tiny, wrapper):
    env = pl_env.PartialLoadingEnv(tiny)
    env = env if wrapper is None else wrapper(env)
    policy = "MultiInputPolicy" if wrapper is None else "MlpPolicy"
    masked = MaskablePPO(policy, env, n_steps=8, batch_size=8, seed=0)
    unmasked = PPO(policy, env, n_steps=8, batch_size=8, seed=0)
    masked.learn(8)
    result = baselines.evaluate({"masked": masked, "unmasked": unmasked}, tiny, episodes=20)
    assert 0 < result["masked"].mean <= 1
    assert result["masked"].illegal == 0
    assert result["unmasked"].illegal > 0
    assert f"unmasked: {result['unmasked'].illegal} of 20 episodes ended with an illegal action" in str(result)
    assert result["unmasked"].mean < result["masked"].mean


def test_a_model_of_other_sizes_is_refused_before_the_first_episode(tiny, monkeypatch):
    monkeypatch.setattr(evaluation, "play", lambda *_, **__: pytest.fail("an episode was played"))
    larger = PPO("MultiInputPolicy", pl_env.PartialLoadingEnv("bls"), n_steps=8, batch_size=8)
    with pytest.raises(pl_env.InvalidValue, match=r"observation space of policies\['ppo'\] is .*; it must be"):
        baselines.evaluate({"ppo": larger}, tiny)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("magic", "there is no solver 'magic'; known are: exact"),
        (("greedy", {"speed": 1}), "there is no option of greedy 'speed'"),
        (("local-search", {"iterations": -1}), "iterations is -1; it must be an integer from 0"),
        (42, "policies['x'] is 42; it must be the name of a solver, a pair"),
        (None, "policies['x'] is None; it must be"),
        (Careless, "policies['x'] is the class Careless; it must be an object of it, or"),
        (lambda observation: 0, "it must be the name of a solver, a pair"),
        ("optimal-dp", "optimal-dp needs bottom-layer sharing"),
        (("paper-dp", {}), "paper-dp needs bottom-layer sharing"),
        (baselines.Planner("optimal-dp"), "optimal-dp needs bottom-layer sharing"),
    ],
)
def test_what_cannot_play_is_refused_before_the_first_episode(monkeypatch, policy, message):
    monkeypatch.setattr(evaluation, "play", lambda *_, **__: pytest.fail("an episode was played"))
    with pytest.raises(pl_env.PlEnvError) as caught:
        baselines.evaluate({"greedy": "greedy", "x": policy}, pl_env.Scenario.preset("general-hard", n_users=10))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_random_draws_depend_on_the_seed_and_the_episode_alone(tiny):
    """Neither on who else plays nor on how many episodes there are."""
    alone = baselines.evaluate({"random": "random"}, tiny, episodes=6, seed=2)["random"].objective
    others = baselines.evaluate({"first": first_legal, "r": "random"}, tiny, episodes=4, seed=2)["r"].objective
    assert alone[:4].tolist() == others.tolist()
    assert alone.tolist() != baselines.evaluate({"r": "random"}, tiny, episodes=6, seed=3)["r"].objective.tolist()


# ---------------------------------------------------------------- where


@pytest.mark.parametrize("by_name", [True, False])
def test_on_a_benchmark_set_gaps_refer_to_its_own_optima(by_name):
    benchmark = pl_env.benchmark("general-hard-100")
    result = baselines.evaluate({"greedy": "greedy"}, benchmark.name if by_name else benchmark, episodes=7)
    expected = [baselines.solve(instance, "greedy").served_ratio for instance in benchmark.instances[:7]]
    best = [served / instance.n_users for served, instance in zip(benchmark.served, benchmark.instances, strict=True)]
    assert result["greedy"].objective.tolist() == expected
    assert result["greedy"].optimum.tolist() == best[:7]
    assert result["greedy"].gap == pytest.approx(1 - np.mean(expected) / np.mean(best[:7]))
    assert result["greedy"].proven == benchmark.is_optimal[:7].mean()


def test_a_set_is_played_whole_unless_told_otherwise():
    assert len(baselines.evaluate({"greedy": "greedy"}, "partial_loading/large-10")["greedy"].objective) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 101}, "episodes is 101; it must be an integer from 1 to 100"),
        ({"optimum": "exact"}, "optimum is 'exact'; it must be None on a benchmark set, which has its own"),
        ({"scenario": "tetris/easy"}, "there is no system 'tetris'; known are: "),
        ({"scenario": 3}, "scenario is 3; it must be a Scenario, a benchmark set, or the name"),
        ({"workers": -1}, "workers is -1; it must be an integer of at least 0"),
    ],
)
def test_bad_places(arguments, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        baselines.evaluate(**({"policies": {"greedy": "greedy"}, "scenario": "bls-100"} | arguments))
    assert message in str(caught.value)


# ---------------------------------------------------------------- any system, any number of workers


def test_another_system_with_costs_and_box_actions(toy):
    def half_off(observation, info):
        return observation + 0.5

    scenario = toy.Scenario()
    plan = toy.Plan(scenario.sample(np.random.default_rng((7, 0, 0))), (1.75,))
    model = PPO("MlpPolicy", toy.Env(scenario), n_steps=8, batch_size=8)
    policies = {"off": half_off, "plan": baselines.FollowPlan(plan), "model": model}
    result = baselines.evaluate(policies, "toy/tiny", episodes=3)
    assert result["off"].objective == pytest.approx(np.full(3, 1.5))
    assert result["plan"].objective[0] == plan.objective
    assert result["off"].sense == "min"
    assert result["off"].gap is None
    with pytest.raises(pl_env.UnknownName, match="there is no solver 'greedy'; known are: random"):
        baselines.evaluate({"greedy": "greedy"}, scenario)
    on_set = baselines.evaluate({"off": half_off}, "toy/two")
    assert on_set["off"].gap == pytest.approx(0.5)


def test_the_gap_knows_what_is_better():
    assert PolicyResult(np.array([3.0, 1.0]), np.array([1.0, 1.0]), 0.0, sense="min").gap == 1.0
    assert PolicyResult(np.array([3.0, 1.0]), np.array([4.0, 4.0]), 0.0, sense="max").gap == 0.5
    assert PolicyResult(np.array([0.0]), np.array([0.0]), 0.0).gap is None


@pytest.mark.parametrize("scenario", ["fading", "bls-100"])
def test_one_worker_and_two_give_the_same(scenario):
    policies = {"greedy": "greedy", "random": "random", "function": first_legal, "planner": baselines.Planner("greedy")}
    one, two = (baselines.evaluate(policies, scenario, episodes=11, workers=workers) for workers in (1, 2))
    for name in policies:
        assert one[name].objective.tobytes() == two[name].objective.tobytes()


def test_an_illegal_action_in_a_worker_arrives(tiny):
    with pytest.raises(pl_env.InvalidAction, match="action is"):
        baselines.evaluate({"careless": Careless()}, tiny, episodes=4, workers=2)


def test_a_saved_evaluation_says_all_that_it_takes_to_repeat_it(tmp_path):
    scenario = pl_env.Scenario(n_users=12)
    policies = {"search": ("local-search", {"iterations": 3}), "first": first_legal, "random": "random"}
    result = baselines.evaluate(policies, scenario, episodes=3, seed=5)
    result.save(tmp_path / "result.json")
    saved = json.loads((tmp_path / "result.json").read_text())
    numbers = {"episodes": 3, "seed": 5, "stream": 7}
    assert saved["episodes"] == {"preset": None, "scenario": scenario.to_dict()} | numbers
    assert saved["policies"]["search"] == {"solver": "local-search", "options": {"iterations": 3}}
    assert saved["policies"]["first"] == "tests.baselines.test_evaluation:first_legal"
    assert set(saved["versions"]) >= {"python", "pl_env", "numpy", "sources"}
    place = pl_env.Scenario.from_dict(saved["episodes"]["scenario"])
    again = baselines.evaluate({"random": "random"}, place, **numbers)
    assert again["random"].objective.tolist() == saved["results"]["random"]["objective"]
    assert saved["optimum"] == result["random"].optimum.tolist()
    assert saved["results"]["search"]["mean"] == result["search"].mean


def test_a_single_episode_has_no_interval(tiny):
    summary = baselines.evaluate({"greedy": "greedy"}, tiny, episodes=1).to_dict()["greedy"]
    assert (summary["low"], summary["high"], summary["episodes"]) == (None, None, 1)
