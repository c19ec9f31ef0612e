"""The environment: observations in plain Python, masks without dead ends, illegal actions, instances, pictures."""

from __future__ import annotations

import copy

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pl_env
from pl_env.cold_start import Plan, Scenario, check, gantt, text_gantt
from pl_env.cold_start.env import ColdStartEnv
from tests import cold_start_helpers as helpers


def play(env, rng, **reset):
    """Random legal actions to the end; yields before each of them."""
    observation, info = env.reset(**reset)
    while env.any_legal:
        yield observation, info
        observation, _, _, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))


def can_finish(instance, position: int, free: frozenset[int]) -> bool:
    """Whether the layers from a position on can be placed on free devices, in plain Python."""
    if position == instance.n_layers:
        return True
    for device in free:
        for last in range(position + 1, instance.n_layers + 1):
            own = slice(position, last)
            needed = instance.activation_bytes[own].max() + instance.weight_bytes[own].sum()
            if needed <= instance.memory_bytes[device] and can_finish(instance, last, free - {device}):
                return True
    return False


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_mask_is_exactly_what_does_not_end_in_a_dead_end(seed, equal, going_on):
    rng = np.random.default_rng(seed)
    instance = helpers.placeable(rng, equal=equal, going_on=going_on, most=4, most_layers=5)
    env = helpers.env_for(instance)
    room = env.most_layers
    for _, info in play(env, rng, options={"instance": instance}):
        left = env.remaining()
        free = frozenset(int(k) for k in np.flatnonzero(left.memory_bytes))
        for action, is_legal in enumerate(info["action_mask"]):
            device, count = action // room, action % room + 1
            own = slice(0, count)
            fits = (
                device in free
                and count <= left.n_layers
                and left.activation_bytes[own].max() + left.weight_bytes[own].sum() <= left.memory_bytes[device]
                and can_finish(left, count, free - {device})
            )
            assert is_legal == fits
    check(env.plan, instance)


@pytest.mark.parametrize("preset", ["default", "tight", "roomy", "paper", "tiny"])
def test_observations_in_plain_python(preset):
    env, rng = ColdStartEnv(preset), np.random.default_rng(0)
    most, room = env.scenario.most_devices, env.scenario.n_layers
    for seed in range(5):
        position, finish, last, used = 0, 0, -1, set()
        for observation, info in play(env, rng, seed=seed):
            instance = env.instance
            unit = 1 / sum(1 / (instance.load_ns[k].sum() + instance.compute_ns[k].sum())
                           for k in range(instance.n_devices))  # fmt: skip

            def squashed(ns, unit=unit):
                return ns / (ns + unit)

            if env.plan.devices.size:
                stage = env.plan.stages(instance)[-1]
                position, finish, last = stage.first + stage.count, stage.finish_ns, stage.device
                used.add(last)
            assert info["unit_seconds"] == pytest.approx(unit / 1e9)
            assert info["finish_seconds"] == finish / 1e9
            assert info["layers"] == position
            assert observation["progress"][0] == pytest.approx(position / instance.n_layers)
            assert observation["finish"][0] == pytest.approx(squashed(finish))
            ends = np.ones((most, room))
            for k in range(most):
                there = k < instance.n_devices
                assert observation["unused"][k] == (there and k not in used)
                assert observation["last"][k] == (k == last)
                for key, table in (("load_time", instance.load_ns), ("compute_time", instance.compute_ns)):
                    expected = squashed(table[k, position:].sum()) if there else 0
                    assert observation[key][k] == pytest.approx(expected, rel=1e-5)
                for p in range(most):
                    seen = there and p < instance.n_devices and 0 < position < instance.n_layers
                    expected = squashed(instance.transfer_ns[position, p, k]) if seen else 0
                    assert observation["transfer_time"][p, k] == pytest.approx(expected, rel=1e-5)
                for n in range(1, room + 1):
                    if info["action_mask"][k * room + n - 1]:
                        stages = [*zip(env.plan.devices, env.plan.counts, strict=True), (k, n)]
                        ends[k, n - 1] = squashed(Plan.of(instance, stages).finish_ns)
                if there and k not in used:
                    own = [n for n in range(instance.n_layers - position + 1)
                           if n == 0 or instance.activation_bytes[position] + n * instance.weight_bytes[position]
                           <= instance.memory_bytes[k]]  # fmt: skip
                    assert observation["capacity"][k] == pytest.approx(max(own) / instance.n_layers)
                else:
                    assert observation["capacity"][k] == 0
            np.testing.assert_allclose(observation["finish_time"], ends, rtol=1e-5)
        check(env.plan, env.instance)


def test_the_end_of_an_episode():
    env, rng = ColdStartEnv("default"), np.random.default_rng(0)
    steps = [len([None for _ in play(env, rng, seed=seed)]) for seed in range(50)]
    assert min(steps) >= 2
    assert max(steps) <= 8
    info = env._info(False)
    assert info["action_mask"].all()
    assert env.plan.is_whole
    assert env.remaining().n_layers == 0
    other = ColdStartEnv("default")
    other.reset(options={"instance": env.remaining()})
    assert not other.any_legal
    assert other.plan.objective == env.plan.objective


def test_rewards_and_infos_of_test_a():
    """Device 2 is done after 10, device 1 after 14: it waits 4, receives 2 and computes 2; T0 is 80/9."""
    instance = helpers.test_a()
    env = helpers.env_for(instance)
    env.reset(options={"instance": instance})
    _, reward, over, _, info = env.step(1 * 4 + 1)
    assert (reward, over) == (pytest.approx(-10 / (80 / 9)), False)
    assert env.reward_unit == pytest.approx(80 / 9 * 1e-9)
    _, reward, over, truncated, info = env.step(0 * 4 + 1)
    assert (reward, over, truncated) == (pytest.approx(-4 / (80 / 9)), True, False)
    assert [info[f"{part}_seconds"] for part in ("load", "transfer", "compute", "idle")] == [6e-9, 2e-9, 2e-9, 4e-9]
    assert info["finish_seconds"] == 14e-9


def test_what_remains_goes_on_alike():
    rng = np.random.default_rng(0)
    for preset in ("default", "tight"):
        for seed in range(8):
            env = ColdStartEnv(preset)
            for step, _ in enumerate(play(env, rng, seed=seed)):
                if step < 2:
                    continue
                rest, twin = ColdStartEnv(preset), copy.deepcopy(env)
                rest.reset(options={"instance": env.remaining()})
                while rest.any_legal:
                    np.testing.assert_array_equal(rest.action_masks(), twin.action_masks())
                    action = int(rng.choice(np.flatnonzero(rest.action_masks())))
                    rest.step(action)
                    twin.step(action)
                check(rest.plan, rest.instance)
                assert rest.plan.finish_ns == twin.plan.finish_ns
                break


def test_the_environment_draws_what_the_scenario_samples():
    for preset in ("default", "paper", "tiny"):
        env = ColdStartEnv(preset)
        env.reset(seed=5)
        assert env.instance == env.scenario.sample(np.random.default_rng(5))


def test_many_environments():
    """Gymnasium's own vector of single environments, masks in the infos."""
    envs = gym.make_vec("ColdStart-v0", num_envs=3)
    _, infos = envs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = [int(rng.choice(np.flatnonzero(mask))) for mask in infos["action_mask"]]
        _, rewards, _, truncated, infos = envs.step(np.array(actions))
        assert not infos["invalid_action"].any()
        assert not truncated.any()
        assert (rewards <= 0).all()
    single = ColdStartEnv("default")
    for n in range(3):
        assert (single.reset(seed=n)[0]["finish_time"] == envs.reset(seed=0)[0]["finish_time"][n]).all()


def test_an_instance_outlives_its_episode():
    env = ColdStartEnv("default")
    env.reset(seed=1)
    first, content = env.instance, env.instance.load_ns.copy()
    env.reset(seed=2)
    assert (first.load_ns == content).all()
    assert env.instance != first


# ---------------------------------------------------------------- illegal actions and arguments


def test_an_illegal_action_costs_as_much_as_the_worst_plan():
    instance = helpers.test_a()
    env = helpers.env_for(instance)
    env.reset(options={"instance": instance})
    _, first, _, _, _ = env.step(1 * 4 + 1)
    _, second, over, _, info = env.step(0)
    assert over
    assert info["invalid_action"]
    assert first + second == pytest.approx(-instance.worst_ns / (80 / 9))
    assert env.plan.objective == instance.worst_ns / 1e9


@pytest.mark.parametrize(
    ("before", "action", "message"),
    [
        ([], 8, "action is 8; it must be from 0 to 7"),
        ([], -1, "action is -1; it must be from 0 to 7"),
        ([], "x", "action is 'x'; it must be an integer"),
        ([], 2, "action is 2, 3 layers on device 1; they do not fit into its memory"),
        ([], 0, "action is 0, 1 layers on device 1; the rest would not fit into the other devices"),
        ([1], 1, "action is 1, 2 layers on device 1; it has layers already"),
        ([1], 7, "action is 7, 4 layers on device 2; there are only 2 left"),
        ([1, 5], 5, "action is 5; all layers are placed"),
    ],
)
def test_why_an_action_is_illegal(before, action, message):
    env = helpers.env_for(helpers.test_a(), invalid_action="raise")
    env.reset(options={"instance": helpers.test_a()})
    for legal in before:
        env.step(legal)
    with pytest.raises(pl_env.InvalidAction) as caught:
        env.step(action)
    assert str(caught.value) == message


def test_devices_that_an_instance_does_not_have():
    env = ColdStartEnv(helpers.scenario_for(3, 4), invalid_action="raise")
    env.reset(options={"instance": helpers.test_a()})
    with pytest.raises(pl_env.InvalidAction, match="on device 3; there are 2 devices"):
        env.step(2 * 4)


def test_bad_arguments():
    for arguments, message in (
        ({"scenario": "bls"}, "there is no preset 'bls'"),
        ({"invalid_action": "ignore"}, "invalid_action is 'ignore'"),
        ({"render_mode": "svg"}, "render_mode is 'svg'"),
        ({"n_devices": 17}, "the largest number of devices, .* is 17; it must be an integer from 1 to 16"),
    ):
        with pytest.raises(pl_env.PlEnvError, match=message):
            ColdStartEnv(**arguments)
    env = ColdStartEnv("tiny")
    for ask in (lambda: env.instance, lambda: env.step(0), env.remaining, env.action_masks, lambda: env.plan):
        with pytest.raises(gym.error.ResetNeeded):
            ask()
    for options, message in (
        ({"devices": 3}, "options is"),
        ({"instance": 3}, "must be an Instance"),
        ({"instance": Scenario().sample(np.random.default_rng(0))}, "instance.n_devices is 7; it must be at most 2"),
        ({"instance": helpers.test_b()}, "instance.n_devices is 3"),
    ):
        with pytest.raises(pl_env.InvalidValue, match=message):
            env.reset(options=options)


def test_models_that_do_not_fit_are_refused():
    small = Scenario.preset("tiny").devices[:1]
    env = ColdStartEnv("tiny", devices=small, links_bps=())
    with pytest.raises(pl_env.InvalidValue, match="the model does not fit: 4 layers need 120000000 bytes"):
        env.reset(seed=0)
    env = ColdStartEnv("tiny")
    instance = Scenario.preset("tiny", devices=small, links_bps=()).sample(np.random.default_rng(0))
    with pytest.raises(pl_env.InvalidValue, match="one that fits its devices; the model does not fit"):
        env.reset(options={"instance": instance})


# ---------------------------------------------------------------- rendering


def test_rendering():
    text = ColdStartEnv("paper", render_mode="ansi")
    for _ in play(text, np.random.default_rng(0), seed=0):
        assert "of 40 layers" in text.render()
    assert "█" in text.render()
    frames = ColdStartEnv("tiny", render_mode="rgb_array")
    frames.reset(seed=0)
    before = frames.render()
    frames.step(1)
    after = frames.render()
    assert before.shape == after.shape
    assert (before != after).any()
    frames.close()


def test_a_window_is_drawn_at_every_step(monkeypatch):
    import matplotlib.pyplot as plt

    drawn: list[float] = []
    monkeypatch.setattr(plt, "pause", lambda seconds: drawn.append(seconds))
    with plt.rc_context({"backend": "agg"}):
        env = ColdStartEnv("tiny", render_mode="human")
        for _ in play(env, np.random.default_rng(0), seed=0):
            pass
        env.close()
    assert len(drawn) == 3


def test_the_chart_of_test_a():
    instance = Scenario.preset("tiny").sample(np.random.default_rng(0))
    plan = Plan.parse("2:2 1:2", instance)
    lines = text_gantt(plan, instance).splitlines()
    assert lines[1].split()[:8] == ["device", "2", "1-2", "0.002", "0.000", "0.000", "0.008", "0.010"]
    assert lines[2].split()[:8] == ["device", "1", "3-4", "0.006", "0.004", "0.002", "0.002", "0.014"]
    assert {mark: lines[2].count(mark) for mark in "░·▒█"} == {"░": 25, "·": 17, "▒": 9, "█": 9}
    [axes] = gantt(plan, instance, title="chart").axes
    assert axes.get_title() == "chart"
    widths = [round(bar.get_width(), 9) for bar in axes.patches]
    assert widths == [0.002, 0, 0, 0.008, 0.006, 0.004, 0.002, 0.002]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "device 2\nlayers 1 to 2",
        "device 1\nlayers 3 to 4",
    ]
