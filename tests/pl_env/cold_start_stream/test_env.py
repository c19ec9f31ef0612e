"""The environment: the hand-worked stream, masks without dead ends, illegal actions, equality with ColdStart-v0."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pl_env
from pl_env import cold_start
from pl_env.cold_start_stream import Instance, Plan, Scenario, check, gantt, text_gantt
from pl_env.cold_start_stream.dynamics import PLACED, PROMPT, USED
from pl_env.cold_start_stream.env import ColdStartStreamEnv
from tests import cold_start_stream_helpers as helpers

MS = helpers.MS


def play(env, rng, **reset):
    """Random legal actions to the end; yields before each of them."""
    observation, info = env.reset(**reset)
    while env.any_legal:
        yield observation, info
        observation, _, _, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))


def test_by_hand():
    """The plan of `tests.contract.cold_start_stream.tiny`, step by step: which layers load, what leaves."""
    given_ = helpers.by_hand([0, 1, 0], [0, 5, 10])
    env = helpers.env_for(given_)
    env.reset(options={"instance": given_})
    seen = []
    for device, count in ((0, 2), (1, 1), (0, 1), (0, 2)):
        _, reward, over, _, info = env.step(np.int64((device * 2 + count - 1) * 3))
        seen.append((info["loaded"], round(-reward * 3 * env.reward_unit * 1e3, 6), over))
    assert seen == [(2, 8.0, False), (1, 8.0, False), (1, 3.0, False), (0, 8.0, True)]
    assert (env.plan.finish_ns / MS).tolist() == [8, 16, 18]
    assert env.plan.objective == pytest.approx(0.009)
    assert env.memory.used_at[:, :, :2].tolist() == [[[3, 3], [0, 2]], [[0, 0], [2, 0]]]


def test_what_leaves_first():
    """Device 1 holds model 1; model 2's two layers need room for one: its highest layer, whoever is named or not."""
    given_ = helpers.by_hand([0, 1, 1], [0, 0, 0])
    for victim in (-1, 0):
        plan = Plan.of(given_, [(0, 2, -1), (0, 2, victim), (0, 2, -1)])
        check(plan, given_)
        assert (plan.finish_ns / MS).tolist() == [8, 16, 18]
    env = helpers.env_for(given_)
    env.reset(options={"instance": given_})
    env.step(np.int64(3))
    mask = env.action_masks().reshape(2, 2, 3)
    assert mask[0].tolist() == [[True, False, False], [True, True, False]]  # nothing leaves for a single layer
    assert mask[1].tolist() == [[True, False, False]] * 2
    env.step(np.int64(4))
    assert env.memory.used_at[0].tolist() == [[1, 0], [2, 2]]


def can_finish(instance: Instance, prompt: int, layer: int, free: frozenset[int]) -> bool:
    """Whether the layers from one on can be placed on free devices, in plain Python."""
    model = int(instance.model[prompt])
    if layer == int(instance.n_layers[model]):
        return True
    for device in free:
        room = int(instance.memory_bytes[device]) - int(instance.activation_bytes[prompt])
        for last in range(layer + 1, int(instance.n_layers[model]) + 1):
            fits = (last - layer) * int(instance.weight_bytes[model]) <= room
            if fits and can_finish(instance, prompt, last, free - {device}):
                return True
    return False


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_mask_is_exactly_what_does_not_end_in_a_dead_end(seed, going_on):
    rng = np.random.default_rng(seed)
    instance = helpers.placeable(rng, n_prompts=3, going_on=going_on)
    env = helpers.env_for(instance)
    for _, info in play(env, rng, options={"instance": instance}):
        state = env.memory.state
        prompt, layer = int(state[PROMPT]), int(state[PLACED])
        free = frozenset(k for k in range(instance.n_devices) if not int(state[USED]) >> k & 1)
        mask = info["action_mask"].reshape(2, env.most_layers, 3)
        for device, count in np.ndindex(2, env.most_layers):
            last = layer + count + 1
            room = int(instance.memory_bytes[device]) - int(instance.activation_bytes[prompt])
            model = int(instance.model[prompt])
            fits = (
                device in free
                and last <= instance.n_layers[model]
                and (count + 1) * int(instance.weight_bytes[model]) <= room
                and can_finish(instance, prompt, last, free - {device})
            )
            assert mask[device, count, 0] == fits
            assert fits or not mask[device, count].any()
    check(env.plan, instance)


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_one_prompt_on_cold_devices_is_a_cold_start(seed):
    """The same masks, the same finish for the same actions, and the same plans of the exact solver."""
    import baselines

    rng = np.random.default_rng(seed)
    scenario = Scenario(n_prompts=1, prompt_tokens=(1024, 1024))
    stream = scenario.sample(rng)
    single = stream.first_prompt()
    site = scenario.site.override(prompt_tokens=1024)
    one, other = cold_start.ColdStartEnv(site), ColdStartStreamEnv(scenario)
    _, info = one.reset(options={"instance": single})
    _, found = other.reset(options={"instance": stream})
    while one.any_legal:
        mask = info["action_mask"].reshape(5, 40)
        assert (found["action_mask"].reshape(5, 40, 4)[:, :, 0] == mask).all()
        action = int(rng.choice(np.flatnonzero(mask.reshape(-1))))
        *_, info = one.step(np.int64(action))
        *_, over, _, found = other.step(np.int64(action * 4))
        assert info["finish_seconds"] == pytest.approx(found["latency_seconds"]) or not over
    assert other.plan.objective == one.plan.objective
    assert baselines.solve(stream).objective == baselines.solve(single).objective


def test_a_stream_has_the_numbers_of_the_cold_start():
    """The devices, links and layers that `ColdStart-v0` draws from the same numbers."""
    scenario = Scenario(models=("qwen3-14b",), n_prompts=1, prompt_tokens=(700, 700))
    found = scenario.sample(np.random.default_rng(3)).first_prompt()
    expected = scenario.site.override(prompt_tokens=700).sample(np.random.default_rng(3))
    for name in ("load_ns", "compute_ns", "transfer_ns", "weight_bytes", "activation_bytes", "memory_bytes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_illegal_actions_end_with_the_worst_return():
    env = gym.make("ColdStartStream-v0", scenario="tiny").unwrapped
    _, info = env.reset(seed=0)
    _, reward, over, _, info = env.step(np.int64(np.flatnonzero(info["action_mask"] == 0)[0]))
    assert over
    assert info["invalid_action"]
    assert -reward * env.reward_unit == pytest.approx(env.instance.worst_latency_ns / 1e9 / 4)
    assert env.plan.objective == pytest.approx(-reward * env.reward_unit)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([6, 6], "it has layers of this prompt already"),
        ([1], "of model 1 nothing has to leave, or can"),
        ([3, 3, 3, 3, 3], "all prompts are done"),
    ],
)
def test_illegal_actions_are_explained(actions, message):
    given_ = helpers.by_hand([0, 1, 0, 1], [0, 5, 10, 15])
    env = helpers.env_for(given_, invalid_action="raise")
    env.reset(options={"instance": given_})
    for action in actions[:-1]:
        env.step(np.int64(action))
    with pytest.raises(pl_env.InvalidAction, match=message):
        env.step(np.int64(actions[-1]))


def test_instances_that_do_not_fit_are_refused():
    env = ColdStartStreamEnv("tiny")
    with pytest.raises(pl_env.InvalidValue, match=r"instance.n_devices is .*; it must be at most 2"):
        env.reset(options={"instance": Scenario(n_prompts=2).sample(np.random.default_rng(0))})
    small = helpers.by_hand([0], [0])
    starved = Instance(*(small.tables._replace(memory_bytes=np.array([3_000_000, 33_000_000]))))
    with pytest.raises(pl_env.InvalidValue, match="model 1 does not fit: prompt 1 has 2 layers, the devices hold 1"):
        env.reset(options={"instance": starved})


def test_observations_in_plain_python():
    given_ = helpers.by_hand([0, 1, 0], [0, 5, 10])
    env = helpers.env_for(given_)
    env.reset(options={"instance": given_})
    env.step(np.int64(3))
    observation, *_ = env.step(np.int64((2 + 0) * 3))  # prompt 2: a layer on device 2
    unit = env.reward_unit * 1e3  # 1 / (1/6 + 1/2) = 1.5 ms
    assert unit == pytest.approx(1.5)

    def share(ms):
        return pytest.approx(ms / (ms + 1.5))

    assert observation["prompts"] == pytest.approx(1 / 3)
    assert observation["progress"] == 0.5
    assert observation["waited"] == share(3)
    assert observation["elapsed"] == share(5)
    assert observation["model"].tolist() == [0, 1]
    assert observation["queue"].tolist() == [0, 0]  # the third arrives at 10, the second began at 8
    assert observation["asked"].tolist() == [0.5, 0.5]
    assert observation["unused"].tolist() == [1, 0]
    assert observation["last"].tolist() == [0, 1]
    assert observation["resident"].tolist() == [[1, 0], [0, 0.5]]
    assert observation["warm"].tolist() == [[0, 0], [1, 0]]
    assert observation["load_time"].tolist() == [share(3), share(1)]
    assert observation["compute_time"].tolist() == [share(1), share(4)]
    assert observation["finish_time"][0].tolist() == [share(8), 1]


def test_pictures():
    given_ = helpers.by_hand([0, 1, 0], [0, 5, 10])
    plan = Plan.of(given_, [(0, 2, -1), (1, 1, -1), (0, 1, -1), (0, 2, -1)])
    assert "     2      2       2  1-1            1   0.001   0.000   0.004      0.008      0.013" in text_gantt(
        plan, given_
    )
    assert gantt(plan, given_).axes[0].get_title() == str(plan)
