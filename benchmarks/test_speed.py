"""Speed of the environment and of the planners, compile time excluded: ``make bench``."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import baselines
import pl_env
import pl_env.systems
from benchmarks.sampling import legal_action, legal_actions
from pl_env.co_inference.instance import menus_of
from pl_env.co_inference.least_energy import BITS, Tables, least_energy, shortest_radio
from pl_env.compiling import compiled

STEPS = 5_000


def _random_steps(env: gymnasium.Env) -> int:
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    for _ in range(STEPS):
        _, _, terminated, _, info = env.step(legal_action(info["action_mask"], rng.random()))
        if terminated:
            _, info = env.reset()
    return STEPS


@pytest.mark.parametrize(
    "name",
    [
        "PartialLoading-v0",
        "PartialLoadingGeneral-v0",
        "PartialLoadingFading-v0",
        "Slide-v0",
        "ColdStart-v0",
        "ColdStartStream-v0",
        "CoInference-v0",
    ],
)
def test_environment_5000_steps(benchmark, name):
    """Random legal actions through ``gym.make``, resets included; target: 60,000 steps/s, 83 ms for 5,000."""
    env = gymnasium.make(name)
    _random_steps(env)
    benchmark.pedantic(_random_steps, args=(env,), rounds=9)
    benchmark.extra_info["steps_per_second"] = round(STEPS / benchmark.stats.stats.median)
    print(f"\n{name}: {benchmark.extra_info['steps_per_second']:,} steps/s (median)")


@pytest.mark.parametrize("n_envs", [64, 1024])
def test_vector_environment_100_calls(benchmark, n_envs):
    """Random legal actions through ``gym.make_vec``, resets included; a turn that a reset takes counts as no step."""
    env = gymnasium.make_vec("PartialLoading-v0", num_envs=n_envs, copy=False)
    rng = np.random.default_rng(0)
    latest = [env.reset(seed=0)[1]["action_mask"]]
    ended = []

    def calls() -> None:
        for _ in range(100):
            _, _, terminated, _, info = env.step(legal_actions(latest[0], rng.random(n_envs)))
            latest[0] = info["action_mask"]
            ended.append(np.count_nonzero(terminated))

    benchmark.pedantic(calls, rounds=9, warmup_rounds=1)
    steps = 100 * (n_envs - np.mean(ended))
    benchmark.extra_info["steps_per_second"] = round(steps / benchmark.stats.stats.median)
    print(f"\n{n_envs} environments: {benchmark.extra_info['steps_per_second']:,} steps/s (median)")


def _cartpole_steps(env: gymnasium.Env) -> None:
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(int(rng.random() * 2))
        if terminated or truncated:
            env.reset()


def test_cartpole_5000_steps(benchmark):
    """Gymnasium's CartPole-v1 in the same loop, to compare with on a noisy machine."""
    env = gymnasium.make("CartPole-v1")
    benchmark.pedantic(_cartpole_steps, args=(env,), rounds=9, warmup_rounds=1)
    print(f"\nCartPole-v1: {round(STEPS / benchmark.stats.stats.median):,} steps/s (median)")


@pytest.mark.parametrize("solver", [name for name in baselines.solvers() if name != "exhaustive"])
def test_solver_default_setting(benchmark, solver):
    """K = 100, I = 50; `optimal-dp` has a target of 100 µs, finished and checked Schedule included."""
    instance = pl_env.Scenario.preset("bls", n_users=100).sample(np.random.default_rng(0))
    benchmark.pedantic(baselines.solve, args=(instance, solver), rounds=500, warmup_rounds=20)


@pytest.mark.parametrize("solver", ["optimal-dp", "greedy", "independent"])
def test_solver_large(benchmark, solver):
    """K = 2,000, I = 500, T_bar long enough for most; `optimal-dp` has a target of 20 ms."""
    scenario = pl_env.Scenario.preset("bls", n_users=2000, n_models=500, deadline=10.0)
    instance = scenario.sample(np.random.default_rng(0))
    schedule = baselines.solve(instance, solver)
    print(f"\n{schedule}")
    benchmark.pedantic(baselines.solve, args=(instance, solver), rounds=20, warmup_rounds=2)


def test_slide_static_large(benchmark):
    """K = 1,000, five models; the target is 5 ms, checked plan included."""
    instance = (
        pl_env.systems.scenario_named("slide/zoo").override(n_users=1000, window=0.0).sample(np.random.default_rng(0))
    )
    benchmark(baselines.solve, instance, "static")


@pytest.mark.parametrize("preset", ["slide/paper", "slide/default"])
def test_slide_exact(benchmark, preset):
    """K = 40, another instance each time; the target is 0.1 s in the median."""
    scenario = pl_env.systems.scenario_named(preset)
    instances = iter(scenario.sample(np.random.default_rng(seed)) for seed in range(41))
    benchmark.pedantic(lambda: baselines.solve(next(instances), "exact"), rounds=40, warmup_rounds=1)


@pytest.mark.parametrize(("n_devices", "rounds"), [(8, 40), (12, 5), (16, 2)])
def test_cold_start_optimal_dp(benchmark, n_devices, rounds):
    """L = 40, another instance each time; the targets are 3 ms with 8 devices, 3 s with 16."""
    scenario = pl_env.systems.scenario_named("cold_start/default").override(n_devices=n_devices)
    instances = iter(scenario.sample(np.random.default_rng(seed)) for seed in range(rounds + 1))
    benchmark.pedantic(lambda: baselines.solve(next(instances), "optimal-dp"), rounds=rounds, warmup_rounds=1)


@compiled
def _many_least_energies(tables: Tables, gain: np.ndarray, deadline: np.ndarray) -> float:
    total = 0.0
    for n in range(len(gain)):
        split = tables.splits[n % 3]
        least_seconds = shortest_radio(tables.hardware, gain[n]) * split[BITS]
        kept = tables.levels[n % len(tables.levels)]
        energy, _ = least_energy(split, tables.hardware, gain[n], least_seconds, deadline[n], kept, 0.0)
        total += min(1.0, energy)
    return total


def test_co_inference_1000_least_energies(benchmark):
    """Splits 0, 1 and 40 of BLIP-2 in turn, all levels; the target is 1 ms."""
    instance = pl_env.systems.scenario_named("co_inference/default").override(n_tasks=1000)
    instance = instance.sample(np.random.default_rng(0))
    benchmark.pedantic(
        _many_least_energies, args=(instance.tables, instance.gain, instance.deadline), rounds=50, warmup_rounds=2
    )


def test_co_inference_1000_menus(benchmark):
    """11 levels over the four useful splits each; the target is 30 ms."""
    instance = pl_env.systems.scenario_named("co_inference/default").override(n_tasks=1000)
    instance = instance.sample(np.random.default_rng(0))
    benchmark.pedantic(menus_of, args=(instance.tables, instance.tasks), rounds=50, warmup_rounds=2)


@pytest.mark.parametrize("solver", ["exact", "offline", "online-dp"])
def test_co_inference_solvers(benchmark, solver):
    """40 tasks, another instance each time; `online-dp` with its tables at hand."""
    scenario = pl_env.systems.scenario_named("co_inference/default")
    instances = iter(scenario.sample(np.random.default_rng(seed)) for seed in range(41))
    benchmark.pedantic(lambda: baselines.solve(next(instances), solver), rounds=40, warmup_rounds=1)
