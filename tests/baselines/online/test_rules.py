"""Rules and replan against their definitions in plain Python; options; levels of the specification (slow)."""

from __future__ import annotations

import math

import numpy as np
import pytest

import baselines
from baselines.online.policies import RandomModel, Rule
from baselines.online.replan import Replan
from pl_env.errors import UnknownName, UnsupportedInstance
from pl_env.online import Scenario, check
from pl_env.online.env import PartialLoadingOnlineEnv
from tests import online_helpers as helpers

NAMES = ("fifo", "edf", "greedy", "max-overlap", "largest-queue", "clockwork", "urgent-greedy")


def choice_by_definition(plain: helpers.PlainEpisode, name: str, parameters=(1, 2, 0.37)) -> int:
    """The action of a rule, from a plain episode."""
    given, cap = plain.given, plain.batch_cap
    models = [i for i in range(given.n_models) if plain.sizes(i)]
    resident = [i for i in models if plain.load(i) == 0]
    if name == "clockwork" and not resident:
        name = "largest-queue"
    found = []
    for i in resident if name == "clockwork" else models:
        sizes = plain.sizes(i)
        for size in sizes if name in ("greedy", "urgent-greedy") else sizes[-1:]:
            users = plain.window(i, size)
            time, load, waiting = plain.time(i, users), plain.load(i), len(plain.pending(i))
            rate = size / time if time else math.inf
            first = int(given.deadline_ns[users[0]])
            alone = [k for k in plain.pending(i) if plain.now + plain.time(i, [k]) <= given.deadline_ns[k]]
            if name == "greedy":
                value = rate
            elif name == "max-overlap":
                value = -load
            elif name == "largest-queue":
                value = waiting
            elif name == "fifo":
                value = -min(given.ready_ns[k] for k in alone)
            elif name == "edf":
                value = -min(given.deadline_ns[k] for k in alone)
            elif name == "clockwork":
                value = -(first - time)
            else:
                a, c, p = parameters
                effort = time - load + a * load * size / (size + p * (waiting - size))
                late = math.exp(-c * (first - plain.now - time) / 100_000_000)
                value = size / effort * late if effort > 0 else math.inf
            found.append((value, rate, -(i * cap + size - 1)))
    return -max(found)[2]


@pytest.mark.parametrize("name", NAMES)
def test_rules_are_what_they_are_said_to_be(name):
    rng, n_decisions = np.random.default_rng(0), 0
    parameters = (1, 2, 0.37) if name == "urgent-greedy" else None
    for _ in range(100):
        instance = helpers.random_instance(rng, most_users=12)
        env = helpers.env_for(instance)
        plain = helpers.PlainEpisode(instance, env.scenario.max_batch_size)
        observation, info = env.reset(options={"instance": instance})
        rule = Rule(name, parameters)
        while env.any_legal:
            action = rule.act(observation, info, env)
            assert action == choice_by_definition(plain, name)
            plain.step(action)
            observation, _, _, _, info = env.step(action)
            n_decisions += 1
        plan = baselines.solve(instance, name)
        if name != "urgent-greedy" or instance.eviction == "demand":
            assert plan.actions(env) == env.plan.actions(env)
    assert n_decisions > 150


def replan_by_definition(plain: helpers.PlainEpisode, parameters) -> int:
    """Each model's best and largest batch, the eight best; what urgent-greedy makes of those there after each."""
    import copy

    given, cap = plain.given, plain.batch_cap
    candidates = []
    for i in range(given.n_models):
        values = []
        for size in plain.sizes(i):
            users = plain.window(i, size)
            time, load, waiting = plain.time(i, users), plain.load(i), len(plain.pending(i))
            a, c, p = parameters
            effort = time - load + a * load * size / (size + p * (waiting - size))
            margin = int(given.deadline_ns[users[0]]) - plain.now - time
            values.append(size / effort * math.exp(-c * margin / 100_000_000) if effort > 0 else math.inf)
        if values:
            best = int(np.argmax(values))
            candidates.append((values[best], i * cap + best))
            if best < len(values) - 1:
                candidates.append((values[-1], i * cap + len(values) - 1))
    candidates.sort(key=lambda pair: -pair[0])
    ranked = []
    for place, (_, action) in enumerate(candidates[:8]):
        twin = copy.deepcopy(plain)
        keep = [k for k in range(given.n_users) if given.ready_ns[k] <= plain.now]
        twin.to_come = lambda: []
        twin.hidden = keep
        served = twin.step(action)
        while any(twin.sizes(i) for i in range(given.n_models)):
            served += twin.step(choice_by_definition(twin, "urgent-greedy", parameters))
        ranked.append((served, -twin.now, -place, action))
    return max(ranked)[3]


class Hiding(helpers.PlainEpisode):
    """A plain episode in which those who come later than ``hidden`` never do."""

    hidden: list[int] | None = None

    def pending(self, model=None):
        users = super().pending(model)
        return users if self.hidden is None else [k for k in users if k in self.hidden]


def test_replan_is_what_it_is_said_to_be():
    rng, n_decisions = np.random.default_rng(1), 0
    parameters = (1.0, 2.0, 0.37)
    for _ in range(60):
        instance = helpers.random_instance(rng, most_users=12)
        env = helpers.env_for(instance)
        plain = Hiding(instance, env.scenario.max_batch_size)
        observation, info = env.reset(options={"instance": instance})
        policy = Replan(parameters)
        while env.any_legal:
            action = policy.act(observation, info, env)
            assert action == replan_by_definition(plain, parameters)
            plain.step(action)
            observation, _, _, _, info = env.step(action)
            n_decisions += 1
    assert n_decisions > 80


def test_random_models():
    """One of the models with a legal batch, each as often, and its largest batch."""
    env = PartialLoadingOnlineEnv(episode_seconds=2.0)
    observation, info = env.reset(seed=0)
    policy, places = RandomModel(np.random.default_rng(0)), []
    while env.any_legal:
        mask = info["action_mask"][:-1].reshape(50, 8)
        models = np.flatnonzero(mask.any(axis=1))
        action = policy.act(observation, info, env)
        assert action % 8 == mask[action // 8].sum() - 1
        places.append(np.searchsorted(models, action // 8) / max(1, len(models) - 1))
        observation, _, _, _, info = env.step(action)
    assert np.mean(places) == pytest.approx(0.5, abs=0.12)
    instance = Scenario(episode_seconds=1.0).sample(np.random.default_rng(0))
    plans = [baselines.solve(instance, "random-model", seed=seed) for seed in (0, 0, 1)]
    assert plans[0].actions(env) == plans[1].actions(env) != plans[2].actions(env)


def test_options_and_what_solvers_do_not_cover():
    instance = Scenario(episode_seconds=1.0).sample(np.random.default_rng(0))
    assert baselines.solve(instance, "urgent-greedy", a=1.0, c=2.0, p=0.37).served == baselines.solve(instance).served
    with pytest.raises(UnknownName, match="option of edf"):
        baselines.solve(instance, "edf", a=1.0)
    with pytest.raises(UnsupportedInstance, match="at most 10 are tried in all ways"):
        baselines.solve(instance, "exhaustive-online")
    plan = baselines.solve(instance, "replan", candidates=2)
    check(plan, instance)


@pytest.mark.parametrize("eviction", ["demand", "agent"])
def test_a_clairvoyant_whose_evictions_are_by_demand_can_be_played(eviction):
    scenario = Scenario(episode_seconds=0.5, eviction=eviction)
    instance = scenario.sample(np.random.default_rng(0))
    plan, free = (baselines.solve(instance, "clairvoyant", free_evictions=each) for each in (False, True))
    assert plan.playable
    assert not free.playable
    check(plan, instance)
    env = PartialLoadingOnlineEnv(scenario, invalid_action="raise")
    env.reset(options={"instance": instance})
    for action in plan.actions(env):
        _, _, _, _, info = env.step(action)
    assert info["goodput"] == plan.objective
    np.testing.assert_array_equal(env.plan.evicted, plan.evicted)


def test_evaluate_takes_them():
    found = baselines.evaluate(
        {"edf": "edf", "the same": Rule("edf"), "replan": Replan()}, Scenario(episode_seconds=1.0), episodes=3
    )
    np.testing.assert_array_equal(found["edf"].objective, found["the same"].objective)
    assert found["replan"].mean > 0.5


LEVELS = {
    "random-model": (0.752, 0.650, 0.584, 0.559, 0.374),
    "max-overlap": (0.858, 0.798, 0.764, 0.746, 0.534),
    "fifo": (0.869, 0.814, 0.778, 0.702, 0.521),
    "clockwork": (0.903, 0.858, 0.828, 0.826, 0.660),
    "largest-queue": (0.901, 0.859, 0.833, 0.804, 0.634),
    "greedy": (0.910, 0.871, 0.844, 0.848, 0.718),
    "edf": (0.928, 0.884, 0.860, 0.785, 0.603),
    "urgent-greedy": (0.946, 0.914, 0.894, 0.875, 0.747),
}
"""Goodput without link loss, of a prototype, with other episodes: 80/s, 120/s, 160/s, 120/s under lru and previous."""

PRESET_LEVELS = {
    "random-model": (0.730, 0.648, 0.571, 0.558, 0.377),
    "max-overlap": (0.843, 0.796, 0.749, 0.741, 0.533),
    "fifo": (0.846, 0.800, 0.750, 0.689, 0.513),
    "clockwork": (0.888, 0.845, 0.806, 0.816, 0.652),
    "largest-queue": (0.888, 0.848, 0.814, 0.797, 0.627),
    "greedy": (0.898, 0.863, 0.829, 0.840, 0.710),
    "edf": (0.909, 0.868, 0.832, 0.770, 0.590),
    "urgent-greedy": (0.932, 0.902, 0.873, 0.865, 0.733),
    "replan": (0.940, 0.909, 0.881, 0.879, 0.762),
}
"""The same with the preset's link loss, as measured here: the same episodes, so the same numbers."""

SETTINGS = (
    {"arrival_rate": 80.0},
    {"arrival_rate": 120.0},
    {"arrival_rate": 160.0},
    {"eviction": "lru"},
    {"eviction": "previous"},
)


@pytest.mark.slow
@pytest.mark.parametrize("column", range(len(SETTINGS)))
def test_levels(column):
    """100 episodes each; both have intervals of up to 0.016 (random 0.022), and K differs in the mean."""
    scenario = Scenario(link_loss_db=0.0).override(**SETTINGS[column])
    result = baselines.evaluate({name: name for name in LEVELS}, scenario, episodes=100)
    for name, levels in LEVELS.items():
        assert result[name].mean == pytest.approx(levels[column], abs=0.03 if name == "random-model" else 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("column", range(len(SETTINGS)))
def test_levels_of_the_preset(column):
    scenario = Scenario(**SETTINGS[column])
    result = baselines.evaluate({name: name for name in PRESET_LEVELS}, scenario, episodes=100)
    for name, levels in PRESET_LEVELS.items():
        assert result[name].mean == pytest.approx(levels[column], abs=0.001)
