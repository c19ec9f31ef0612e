"""What the benchmark scripts share: one core, medians of five interleaved repetitions, tables as Markdown."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.sampling import legal_action, legal_actions

REPETITIONS = 5
SECONDS = 0.5
"""Length of one repetition."""

Run = Callable[[int], float]
"""Does so many rounds of a loop and returns the steps that were done; a step is one environment's."""

_SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


def keep_to_one_core() -> None:
    """Pin this process to one core and its libraries to one thread; starts Python anew, as these read it at import."""
    if all(os.environ.get(name) == value for name, value in _SINGLE_THREAD.items()):
        return
    os.environ.update(_SINGLE_THREAD)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)


def describe_machine() -> None:
    """Print what the numbers that follow were measured on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = f", load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    print(f"{name}, Python {platform.python_version()}, NumPy {np.__version__}, one core{load}\n")


def steps_per_second(runs: dict[str, Run], repetitions: int = REPETITIONS) -> dict[str, float]:
    """Median steps/s of each loop.

    The repetitions of the loops take turns, so that a change in the machine's mood touches all of them.

    Args:
        runs: The loops by name.
        repetitions: How often each is measured.

    Returns:
        Steps per second by name.
    """
    rounds = {}
    for name, run in runs.items():
        rounds[name] = 1
        run(1)  # compiles
        while (took := _time(run, rounds[name])[1]) < SECONDS / 4:
            rounds[name] *= 2
        rounds[name] = max(1, round(rounds[name] * SECONDS / took))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            steps, took = _time(run, rounds[name])
            rates[name].append(steps / took)
    return {name: float(np.median(values)) for name, values in rates.items()}


def _time(run: Run, rounds: int) -> tuple[float, float]:
    start = time.perf_counter()
    steps = run(rounds)
    return steps, time.perf_counter() - start


def median_seconds(function: Callable[[], object], repetitions: int = REPETITIONS) -> float:
    """Median time of a call that takes a millisecond or more; it is called once before."""
    function()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def single(env) -> Run:
    """Random steps of a single environment, resets included; legal ones where the info holds a mask."""
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    n_actions = int(env.action_space.n)
    has_mask = "action_mask" in info

    def run(rounds: int) -> float:
        _, info = env.reset()
        for _ in range(rounds):
            uniform = rng.random()
            action = legal_action(info["action_mask"], uniform) if has_mask else int(uniform * n_actions)
            _, _, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                _, info = env.reset()
        return rounds

    return run


def vector(env) -> Run:
    """Random steps of a vector environment in autoreset mode NEXT_STEP; a turn that a reset takes counts as no step."""
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    n_envs, n_actions = env.num_envs, int(env.single_action_space.n)
    has_mask = "action_mask" in info
    latest = [info]

    def run(rounds: int) -> float:
        info, resets = latest[0], 0
        for _ in range(rounds):
            uniforms = rng.random(n_envs)
            if has_mask:
                actions = legal_actions(info["action_mask"], uniforms)
            else:
                actions = (uniforms * n_actions).astype(np.int64)
            _, _, terminated, truncated, info = env.step(actions)
            resets += np.count_nonzero(terminated | truncated)
        latest[0] = info
        return rounds * n_envs - resets

    return run


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table; the first column is text, the others are numbers."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[c]) for row in cells) for c in range(len(head))]

    def line(row: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if c else cell.ljust(width)
            for c, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(aligned) + " |"

    print(line(cells[0]))
    print("|" + "|".join("-" * (w + 2) if c == 0 else "-" * (w + 1) + ":" for c, w in enumerate(widths)) + "|")
    for row in cells[1:]:
        print(line(row))
    print(flush=True)
