"""How time and memory grow, and how far a step is from what memory allows: ``python -m benchmarks.scaling``."""

from __future__ import annotations

import gc
import multiprocessing
import resource
import sys
import time
import tracemalloc

import gymnasium
import numpy as np

import baselines
import pl_env
from benchmarks.measuring import (
    REPETITIONS,
    describe_machine,
    keep_to_one_core,
    median_seconds,
    print_table,
    single,
    steps_per_second,
    vector,
)

MODELS = (10, 50, 100, 500)
BLOCKS = (100, 1000, 5000)
N_ENVS = 1024
LARGE_FILL_BYTES = 256 * 2**20  # far more than the caches hold


def _vector_env(n_envs: int = N_ENVS, **overrides):
    return gymnasium.make_vec("PartialLoading-v0", num_envs=n_envs, copy=False, **overrides)


def growth() -> None:
    """Cost of a step with the number of models; ten times the models may cost at most twelve times as much."""
    runs = {}
    for n_models in MODELS:
        runs[f"single {n_models}"] = single(gymnasium.make("PartialLoading-v0", n_models=n_models))
        runs[f"vector {n_models}"] = vector(_vector_env(n_models=n_models))
    cost_ns = {name: 1e9 / rate for name, rate in steps_per_second(runs).items()}
    cap = pl_env.Scenario().max_batch_size
    rows = []
    for n_models in MODELS:
        cells = [f"{cost_ns[f'{kind} {n_models}']:,.0f}" for kind in ("single", "vector")]
        cells.append(f"{cost_ns[f'vector {n_models}'] / (n_models * cap):.2f}")
        rows.append([f"I = {n_models}", n_models * cap, *cells])
    print(f"Cost of a step in ns, sampling and resets included; vector: {N_ENVS:,} environments.\n")
    print_table(["models", "I · b_cap", "single", "vector", "vector, per cell"], rows)
    rows = [
        [
            f"I = {few} to {many}",
            *(f"{cost_ns[f'{kind} {many}'] / cost_ns[f'{kind} {few}']:.1f}" for kind in ("single", "vector")),
        ]
        for few, many in ((10, 100), (50, 500))
    ]
    print_table(["cost of ten times the models", "single", "vector"], rows)


def growth_online() -> None:
    """The same of PartialLoadingOnline: with models, and with blocks, of which 50 times as many may cost 4 times."""
    runs = {}
    for n_models in MODELS:
        runs[f"I = {n_models}"] = vector(_online_env(n_models=n_models))
        runs[f"single, I = {n_models}"] = single(gymnasium.make("PartialLoadingOnline-v0", n_models=n_models))
    for n_blocks in BLOCKS:
        library = _library_of(n_blocks)
        runs[f"J = {n_blocks}"] = vector(_online_env(library=library))
        runs[f"single, J = {n_blocks}"] = single(gymnasium.make("PartialLoadingOnline-v0", library=library))
    cost_ns = {name: 1e9 / rate for name, rate in steps_per_second(runs).items()}
    sizes = [name for name in runs if not name.startswith("single")]
    print("PartialLoadingOnline: cost of a step in ns, sampling and resets included; vector: 64 environments.\n")
    print_table(
        ["size", "single", "vector"],
        [[size, f"{cost_ns[f'single, {size}']:,.0f}", f"{cost_ns[size]:,.0f}"] for size in sizes],
    )


def _online_env(**overrides):
    return gymnasium.make_vec("PartialLoadingOnline-v0", num_envs=64, copy=False, **overrides)


def _library_of(n_blocks: int) -> pl_env.ModelLibrary:
    """50 models of about 80 MB, each with a block of its own; the others are in each model with probability 0.05."""
    rng, n_models = np.random.default_rng(0), 50
    shared = rng.random((n_models, n_blocks - n_models)) < 0.05
    nobody = np.flatnonzero(~shared.any(axis=0))
    shared[rng.integers(n_models, size=len(nobody)), nobody] = True
    has_block = np.hstack([np.eye(n_models, dtype=bool), shared])
    return pl_env.ModelLibrary(has_block, np.full(n_blocks, 1_700_000_000 // n_blocks), ("resnet50",) * n_models)


def memory() -> None:
    """Bytes of an environment at the default preset, generators, spaces and all else included."""

    def traced(n_envs: int) -> tuple[object, int]:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        env = _vector_env(n_envs)
        env.reset(seed=0)
        gc.collect()
        return env, tracemalloc.get_traced_memory()[0] - before

    traced(2)  # tables of the scenario, lazily made parts of libraries
    tracemalloc.start()
    _, few = traced(2)
    env, many = traced(N_ENVS + 2)
    inner = env.unwrapped
    in_arrays = sum(array.nbytes for array in inner.episodes.arrays) / N_ENVS
    spaces = sum(
        array.nbytes
        for box in env.observation_space.values()
        for array in (box.low, box.high, box.bounded_below, box.bounded_above)
    )
    before = tracemalloc.get_traced_memory()[0]
    generators = [np.random.default_rng(i) for i in range(N_ENVS)]
    of_generators = (tracemalloc.get_traced_memory()[0] - before) / len(generators)
    tracemalloc.stop()
    total = (many - few) / N_ENVS
    print("Memory of an environment in bytes, by tracemalloc.\n")
    print_table(
        ["part", "bytes"],
        [
            ["all", f"{total:,.0f}"],
            ["its own arrays", f"{in_arrays:,.0f}"],
            ["its random generator", f"{of_generators:,.0f}"],
            ["bounds of the batched observation space", f"{spaces / N_ENVS:,.0f}"],
        ],
    )


def physical_limit() -> None:
    """Bytes of observation and mask of a step, against how fast this machine fills memory."""
    env = _vector_env()
    observations, info = env.reset(seed=0)
    n_bytes = sum(value.nbytes for value in observations.values()) + info["action_mask"].nbytes
    near, far = np.zeros(n_bytes, dtype=np.uint8), np.zeros(LARGE_FILL_BYTES, dtype=np.uint8)
    near_source, far_source = np.ones_like(near), np.ones_like(far)
    repeats = 100

    def fill_near() -> None:
        for _ in range(repeats):
            near.fill(1)

    def copy_near() -> None:
        for _ in range(repeats):
            near[:] = near_source

    seconds = {
        "fill, as large as the observations": median_seconds(fill_near) / (repeats * n_bytes),
        "copy, as large as the observations": median_seconds(copy_near) / (repeats * n_bytes),
        "fill, 256 MiB": median_seconds(lambda: far.fill(1)) / len(far),
        "copy, 256 MiB": median_seconds(lambda: np.copyto(far, far_source)) / len(far),
    }
    rate = steps_per_second({"vector": vector(env)})["vector"]
    a_step = n_bytes / N_ENVS
    print(f"{a_step:,.0f} bytes of observation and mask in a step; {N_ENVS:,} environments: {rate:,.0f} steps/s.\n")
    rows = []
    for name, per_byte in seconds.items():
        limit = 1 / (per_byte * a_step)
        rows.append(
            [
                name,
                f"{1e-9 / per_byte:.1f}",
                f"{per_byte * a_step * 1e9:.0f}",
                f"{limit:,.0f}",
                f"{100 * rate / limit:.1f} %",
            ]
        )
    print_table(["memory", "GB/s", "ns a step", "steps/s if nothing else", "reached"], rows)


def _solve(n_users: int, n_models: int, deadline: float, answers) -> None:
    """Time of `optimal-dp` and the peak memory of this process, which does nothing else."""
    scenario = pl_env.Scenario.preset("bls", n_users=n_users, n_models=n_models, deadline=deadline)
    instance = scenario.sample(np.random.default_rng(0))
    schedule = baselines.solve(instance, "optimal-dp")
    times = []
    for _ in range(REPETITIONS if n_users > 1000 else 2000):
        start = time.perf_counter()
        baselines.solve(instance, "optimal-dp")
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    answers.put((float(np.median(times)), peak, schedule.served))


def optimal_dp() -> None:
    """Time and memory of the exact planner at two sizes, each in a process of its own."""
    processes = multiprocessing.get_context("spawn")
    rows = []
    for n_users, n_models, deadline in ((100, 50, 0.7), (10_000, 1_000, 10.0), (10_000, 1_000, 30.0)):
        answers = processes.Queue()
        process = processes.Process(target=_solve, args=(n_users, n_models, deadline, answers))
        process.start()
        seconds, peak, served = answers.get()
        process.join()
        size = f"K = {n_users:,}, I = {n_models:,}, deadline {deadline:g} s"
        rows.append([size, f"{served:,}", f"{seconds * 1e6:,.0f} µs", f"{peak / 1e6:,.0f} MB"])
    print("`optimal-dp`; the memory is the whole process's, Python and compiler included.\n")
    print_table(["size", "served", "time", "peak memory"], rows)


def main() -> None:
    """Measure all of it."""
    keep_to_one_core()
    describe_machine()
    optimal_dp()  # first, as a process is born with the peak memory of its parent
    growth()
    growth_online()
    memory()
    physical_limit()


if __name__ == "__main__":
    main()
