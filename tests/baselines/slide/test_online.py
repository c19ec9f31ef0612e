"""Rules and rollouts as policies: they play in the environment what they are as solvers."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.slide import online
from baselines.slide.online import BACKLOG, THRESHOLD, Rollout, Rule
from pl_env.seeds import ROLLOUT_STREAM
from pl_env.slide import Scenario, SlideEnv
from tests import slide_helpers as helpers
from tests.contract import slide as case


def played(policy, env, **options):
    observation, info = env.reset(**options)
    while env.any_legal:
        observation, _, _, _, info = env.step(policy.act(observation, info, env))
    return env.plan


@pytest.mark.parametrize(
    ("rule", "solver"),
    [
        (Rule(np.inf), online.accept_all),
        (Rule(THRESHOLD), online.threshold),
        (Rule(*BACKLOG), online.backlog),
    ],
)
def test_a_rule_plays_what_it_plans(rule, solver):
    for seed in range(4):
        env = SlideEnv("default")
        plan = played(rule, env, seed=seed)
        assert plan.models.tolist() == solver(env.instance).models.tolist()


def test_rules_by_hand():
    """Three users of one byte a nanosecond, who need 4, 3 and 2 ns; two of them fit."""
    instance = helpers.instance([([4], [0]), ([3], [0]), ([2], [0])], [6, 6, 6], request=[0, 1, 2])
    assert online.accept_all(instance).models.tolist() == [0, -1, 2]
    assert online.threshold(instance, seconds=3.5e-9).models.tolist() == [-1, 1, 2]
    assert online.threshold(instance, seconds=2e-9).models.tolist() == [-1, -1, 2]
    # 2 ns, and 2 more while less than 1 ns is promised, or at the very end
    assert online.backlog(instance, p0=2e-9, p1=2.0, p2=1e-9, p3=0).models.tolist() == [0, -1, 2]
    assert online.backlog(instance, p0=1e-9, p1=0, p2=0, p3=1e-9).models.tolist() == [-1, -1, 2]


def test_the_model_of_least_download_is_taken_and_ties_go_to_the_first():
    models = [([3], [0]), ([2], [0]), ([2], [0])]
    instance = helpers.instance(models, [9], accepted=np.ones((3, 3)))
    assert online.accept_all(instance).models.tolist() == [1]


def test_a_rollout_plays_what_it_plans():
    scenario = Scenario.preset("default", n_users=10)
    instance = scenario.sample(np.random.default_rng(3))
    rng = np.random.default_rng((ROLLOUT_STREAM, 0))
    plan = played(Rollout(rng, 10), SlideEnv(scenario), options={"instance": instance})
    assert plan.models.tolist() == online.rollout(instance, futures=10).models.tolist()


def test_rollouts_see_no_further_than_the_present_user():
    """Another future of the episode changes nothing of the first decision."""
    scenario = Scenario.preset("default", n_users=12)
    first = scenario.sample(np.random.default_rng(3)).users.copy()
    other = scenario.sample(np.random.default_rng(4)).users
    mixed = np.concatenate([first[:1], other[1:]])
    mixed[1:, 5] = np.maximum(mixed[1:, 5], first[0, 5])
    values = []
    for users in (first, mixed):
        env = SlideEnv(scenario)
        env.reset(options={"instance": scenario.instance(users)})
        values.append(Rollout(np.random.default_rng(0), 20).values(env))
    assert values[0] == values[1]
    assert len(values[0]) > 1


def test_values_are_averages_over_futures_in_plain_python():
    """Every future played in an environment of its own, with `backlog`."""
    scenario = Scenario.preset("default", n_users=6)
    env = SlideEnv(scenario)
    env.reset(seed=1)
    env.step(0)
    user, now = 1, int(env.instance.arrival_ns[1])
    found = Rollout(np.random.default_rng(0), 5).values(env)
    uniforms = np.random.default_rng(0).random((5, 7, 4))
    expected = dict.fromkeys(found, 0)
    from pl_env.slide.dynamics import ARRIVAL, draw_users

    for future in uniforms:
        users = np.empty((4, 6), dtype=np.int64)
        draw_users(future, scenario.draws(2e9 - now), users)
        users[:, ARRIVAL] += now
        whole = scenario.instance(np.concatenate([env.instance.users[: user + 1], users]))
        for action in found:
            imagined = SlideEnv(scenario)
            imagined.reset(options={"instance": whole})
            imagined.step(0)
            imagined.step(action)
            while imagined.any_legal:
                imagined.step(Rule(*BACKLOG).act({}, {}, imagined))
            expected[action] += imagined.plan.served
    assert found == expected


def test_ties_go_to_admitting():
    """Nobody is to come, so admitting is worth 1 and refusing 0; the lesser download goes before the other."""
    instance, _ = case.tiny()
    env = SlideEnv("tiny")
    env.reset(options={"instance": env.scenario.instance(instance.users[:1])})
    policy = Rollout(np.random.default_rng(0), 3)
    assert policy.values(env) == {0: 0, 1: 3, 2: 3}
    assert policy.act({}, {}, env) == 1
