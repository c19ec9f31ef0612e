"""The physics: the case that was worked by hand, a plain episode, and the offline problem as a special case."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pl_env
from pl_env.online import Scenario, check
from pl_env.online.env import PartialLoadingOnlineEnv
from pl_env.partial_loading.env import PartialLoadingEnv
from tests import online_helpers as helpers

REQUESTS = [(0, 0), (140, 2), (220, 1), (250, 0)]


@pytest.mark.parametrize(
    ("megabytes", "eviction", "finishes", "loaded"),
    [
        (180, "lru", [131.1, 211.1, 251.1, 282.2], 220),
        (180, "demand", [131.1, 211.1, 251.1, 262.2], 200),
        (200, "lru", [131.1, 211.1, 251.1, 262.2], 200),
    ],
)
def test_the_table_worked_by_hand(megabytes, eviction, finishes, loaded):
    instance = helpers.tiny(REQUESTS, megabytes, eviction)
    env = PartialLoadingOnlineEnv("tiny", cache_bytes=megabytes * 10**6, eviction=eviction)
    _, info = env.reset(options={"instance": instance})
    for model in (0, 2, 1, 0):
        assert info["action_mask"][2 * model]
        _, reward, terminated, _, info = env.step(2 * model)
        assert reward == 0.25
    assert terminated
    assert (env.plan.history[:, 6] / 1e6).tolist() == finishes
    assert info["loaded_bytes"] == loaded * 10**6
    assert info["goodput"] == 1.0
    assert info["served"] == 4
    np.testing.assert_array_equal(info["goodput_per_model"], 1.0)
    responses = np.array(finishes) - [0, 140, 220, 250]
    assert info["response_p50"] == pytest.approx(np.median(responses) / 1e3)
    check(env.plan, instance)


def test_which_blocks_leave_in_the_case_worked_by_hand():
    """At 220 ms, base and head of model 0 and model 2's block are there: 180 of 180 MB; model 1 needs 20 for its head.

    LRU: model 0's blocks are the oldest, base is model 1's own, so the head of model 0 leaves. Demand: model 2's one
    request against one for model 0: the same, as many holders, so the higher index leaves, model 2's block.
    """
    for eviction, leaves in (("lru", 1), ("demand", 3)):
        instance = helpers.tiny(REQUESTS, 180, eviction)
        env = helpers.env_for(instance, batch_cap=2)
        env.reset(options={"instance": instance})
        for model in (0, 2, 1):
            env.step(2 * model)
        assert env.plan.evicted.tolist() == [leaves]
        assert env.plan.evicted_start.tolist() == [0, 0, 0, 1]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_an_episode_equals_a_plain_one(seed, mid):
    rng = np.random.default_rng(seed)
    instance = helpers.random_instance(rng, mid=mid, most_users=10)
    batch_cap = max(1, int(instance.table.max_batch.max()))
    env, plain = helpers.env_for(instance), helpers.PlainEpisode(instance, batch_cap)
    _, info = env.reset(options={"instance": instance})
    while plain.any_legal():
        assert info["action_mask"].tolist() == plain.mask()
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        served = plain.step(action)
        _, reward, terminated, _, info = env.step(action)
        assert reward == pytest.approx(served / instance.n_users)
        assert terminated == (not plain.any_legal())
        assert env.elapsed_seconds == plain.now / 1e9
        assert info["expired"] == len(plain.expired)
        assert set(np.flatnonzero(env.episode.resident[0])) == plain.resident
        for model in range(instance.n_models):
            assert env.episode.models[0, 4, model] == plain.demand(model)
    assert not env.any_legal
    assert info["action_mask"].all()
    plan = env.plan
    check(plan, instance)
    rows = [(row[0], row[2], row[6]) for row in plan.history.tolist()]
    assert rows == [(model, start, finish) for model, _, start, finish in plain.rows]
    assert plan.users.tolist() == [k for _, users, _, _ in plain.rows for k in users]


def test_a_preferred_model_s_blocks_leave_first():
    rng = np.random.default_rng(0)
    n_evicted = 0
    for _ in range(300):
        instance = helpers.random_instance(rng, mid=True, most_users=8, eviction="agent")
        env = helpers.env_for(instance)
        plain = helpers.PlainEpisode(instance, env.scenario.max_batch_size)
        _, info = env.reset(options={"instance": instance})
        while env.any_legal:
            action = int(rng.choice(np.flatnonzero(info["action_mask"])))
            preferred = int(rng.integers(instance.n_models + 1))
            plain.step(action, preferred if preferred < instance.n_models else -1)
            _, _, _, _, info = env.step(np.array([action, preferred]))
            assert set(np.flatnonzero(env.episode.resident[0])) == plain.resident
        check(env.plan, instance)
        n_evicted += len(env.plan.evicted)
        actions = env.plan.actions(env)
        env.reset(options={"instance": instance})
        for action in actions:
            env.step(action)
        assert [a.tolist() for a in env.plan.actions(env)] == [a.tolist() for a in actions]
    assert n_evicted > 50


# ---------------------------------------------------------------- the offline problem is a special case

SCENARIOS = {
    "bls": pl_env.Scenario.preset("bls", n_users=40),
    "bls at 20 MHz": pl_env.Scenario.preset("bls", n_users=40, bandwidth_hz=20e6),
    "general": pl_env.Scenario.preset("general", n_users=40),
    "tiny": pl_env.Scenario.preset("tiny"),
}


def as_online(offline: pl_env.Instance) -> pl_env.online.Instance:
    """All there at 0, one deadline, all leaves that the next model does not hold."""
    nobody = np.zeros(offline.n_users, dtype=np.int64)
    return pl_env.online.Instance(
        table=offline.table,
        requested_model=offline.requested_model,
        arrival_ns=nobody,
        deadline_ns=nobody + offline.deadline_ns,
        upload_ns=offline.upload_ns,
        cache_bytes=0,
        eviction="previous",
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_arrivals_it_is_partial_loading(name):
    """Masks, times and served users over random steps; together 10,000 and more."""
    scenario, rng, n_steps = SCENARIOS[name], np.random.default_rng(1), 0
    offline = PartialLoadingEnv(scenario)
    shared = {"library": pl_env.ModelLibrary(scenario.table.has_block, scenario.table.block_bytes,
                                             ("resnet18",) * scenario.n_models)}  # fmt: skip
    online = PartialLoadingOnlineEnv(
        Scenario(max_batch_size=scenario.max_batch_size, eviction="previous").override(**shared)
    )
    episode = 0
    while n_steps < 2_600:
        _, info = offline.reset(seed=episode)
        _, online_info = online.reset(options={"instance": as_online(offline.instance)})
        while offline.any_legal:
            mask = info["action_mask"]
            assert online_info["action_mask"].tolist() == [*mask.tolist(), 0]
            action = int(rng.choice(np.flatnonzero(mask)))
            _, reward, terminated, _, info = offline.step(action)
            _, online_reward, online_terminated, _, online_info = online.step(action)
            assert (reward, terminated) == (online_reward, online_terminated)
            for key in ("served", "elapsed_seconds", "upload_seconds", "load_seconds", "compute_seconds"):
                assert info[key] == online_info[key]
            n_steps += 1
        np.testing.assert_array_equal(offline.plan.users, online.plan.users)
        check(online.plan, online.instance)
        episode += 1
    assert online_info["action_mask"].all()
