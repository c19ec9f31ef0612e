"""What a step and a reset cost, part by part: ``python -m benchmarks.kernels``.

Two views. The compiled parts one by one, each in a compiled loop over the states of many environments. And a vector
step from outside: how much of the random loop is spent in compiled calls, how much in Python.
"""

from __future__ import annotations

import time

import gymnasium
import numba
import numpy as np

import pl_env  # noqa: F401 - registers
from benchmarks.measuring import (
    REPETITIONS,
    describe_machine,
    keep_to_one_core,
    median_seconds,
    print_table,
    vector,
)
from benchmarks.sampling import legal_actions
from pl_env.partial_loading import dynamics, vector_env
from pl_env.partial_loading.dynamics import ELAPSED, N_BATCHES, N_SERVED, RESIDENT

N_ENVS = 1024
STEPS = 100


@numba.njit(error_model="numpy")
def _draw(uniforms, cumulative, radius, tx_to_noise, exponent, unit_upload_ns, requested, mean_snr, upload):
    for n in range(len(uniforms)):
        dynamics.draw_users(
            uniforms[n], cumulative, radius, tx_to_noise, exponent, unit_upload_ns, requested[n], mean_snr, upload[n]
        )


@numba.njit(error_model="numpy")
def _sort(requested, upload, first_user, users, sorted_upload):
    for n in range(len(requested)):
        dynamics.sort_users(requested[n], upload[n], first_user[n], users[n], sorted_upload[n])


@numba.njit(error_model="numpy")
def _observe(
    everything, n_users, per_sample, per_batch, max_batch, load_cells, load_fraction, blocks, deadline_ns,
    first_user, next_user, sorted_upload, state, any_legal,
    unloaded_ns, budget, resident_blocks, load_time, pending, upload_time, batch_time, mask,
):  # fmt: skip
    for n in range(len(state)):
        any_legal[n] = dynamics.observe(
            n, 0, n_users[n], per_sample, per_batch, max_batch, load_cells, load_fraction, blocks, deadline_ns,
            first_user, next_user, sorted_upload, state, everything,
            unloaded_ns, budget, resident_blocks, load_time, pending, upload_time, batch_time, mask,
        )  # fmt: skip


@numba.njit(error_model="numpy")
def _serve_and_undo(
    actions, batch_cap, load_ns, per_sample, per_batch, next_user, users, sorted_upload, state, history, none
):
    for n in range(len(actions)):
        elapsed, resident = state[n, ELAPSED], state[n, RESIDENT]
        n_batches, n_served = state[n, N_BATCHES], state[n, N_SERVED]
        model, size = actions[n] // batch_cap, actions[n] % batch_cap + 1
        start = next_user[n, model]
        dynamics._serve_batch(
            n, 0, load_ns, per_sample, per_batch, model, size,
            next_user, users, sorted_upload, state, history, none, none,
        )  # fmt: skip
        next_user[n, model] = start
        state[n, ELAPSED], state[n, RESIDENT] = elapsed, resident
        state[n, N_BATCHES], state[n, N_SERVED] = n_batches, n_served


def parts() -> None:
    """Time the compiled parts."""
    env = gymnasium.make_vec("PartialLoading-v0", num_envs=N_ENVS, copy=False).unwrapped
    scenario, k = env.scenario, env.scenario.most_users
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    for _ in range(3):  # environments in the midst of their episodes
        _, _, _, _, info = env.step(legal_actions(info["action_mask"], rng.random(N_ENVS)))
    uniforms = np.empty((N_ENVS, 3, k))
    requested, upload = np.empty((N_ENVS, k), dtype=np.int64), np.empty((N_ENVS, k), dtype=np.int64)
    drawing = (uniforms, scenario.request_cumulative, *scenario.radio, requested, np.empty(k), upload)
    sorting = (requested, upload, *(np.empty_like(x) for x in (env._first_user, env._users, env._sorted_upload)))
    observing = (
        env._n_users,
        *env._tables[1:],
        env._deadline_ns,
        env._first_user,
        env._next_user,
        env._sorted_upload,
        env._state,
        env._any_legal,
        env._unloaded_ns,
        *env._observations.values(),
        env._mask,
    )
    actions = legal_actions(env._mask, rng.random(N_ENVS))
    serving = (
        actions,
        scenario.max_batch_size,
        *env._tables[:3],
        env._next_user,
        env._users,
        env._sorted_upload,
        env._state,
        env._history,
        env._served_users,
    )

    def fill() -> None:
        for generator, row in zip(env._generators, uniforms, strict=True):
            generator.random(out=row)

    calls = {
        f"reset: {3 * k} uniform numbers from the environment's generator": fill,
        "reset: requests, places, channels of all users": lambda: _draw(*drawing),
        "reset: sort the users": lambda: _sort(*sorting),
        "reset: observe everything": lambda: _observe(True, *observing),
        "step: serve a batch": lambda: _serve_and_undo(*serving),
        "step: observe what a batch changed": lambda: _observe(False, *observing),
        "legal action from the mask (not the environment's)": lambda: legal_actions(env._mask, rng.random(N_ENVS)),
    }
    repeats = 20
    rows = []
    for name, call in calls.items():

        def repeated(call=call) -> None:
            for _ in range(repeats):
                call()

        rows.append([name, f"{median_seconds(repeated) / (repeats * N_ENVS) * 1e9:,.0f}"])
    print(f"Each part in a loop over {N_ENVS:,} environments.\n")
    print_table(["part", "ns an environment"], rows)


class _Clock:
    """Adds up the time spent in some functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def reset(self) -> None:
        """Begin at zero."""
        self.seconds = dict.fromkeys(self.seconds, 0.0)

    def watch(self, owner: object, attribute: str, name: str) -> None:
        """Count the time of a function from now on."""
        function = getattr(owner, attribute)
        self.seconds[name] = 0.0

        def timed(*args):
            start = time.perf_counter()
            result = function(*args)
            self.seconds[name] += time.perf_counter() - start
            return result

        setattr(owner, attribute, timed)


def vector_step(n_envs: int) -> None:
    """Where the time of the random loop goes, from outside."""
    env = gymnasium.make_vec("PartialLoading-v0", num_envs=n_envs, copy=False).unwrapped
    run = vector(env)
    run(STEPS)
    clock = _Clock()
    watched = [(vector_env, "_step_many"), (vector_env, "_reset_many"), (vector_env, "_draw_many")]
    originals = [getattr(*each) for each in watched]
    for (owner, attribute), name in zip(watched, ("step kernel", "reset kernel", "draw kernel"), strict=True):
        clock.watch(owner, attribute, name)
    clock.watch(env, "_start", "all of the resets")
    clock.watch(env, "_infos", "infos")
    clock.watch(env, "step", "step()")
    rounds = STEPS * max(1, 1024 // n_envs)
    repetitions = []
    for _ in range(REPETITIONS):
        clock.reset()
        start = time.perf_counter()
        steps = run(rounds)
        repetitions.append(_shares(clock.seconds, time.perf_counter() - start))
    for (owner, attribute), original in zip(watched, originals, strict=True):
        setattr(owner, attribute, original)
    shares = {name: float(np.median([each[name] for each in repetitions])) for name in repetitions[0]}
    rows = [
        [
            name,
            f"{value / steps * 1e9:,.0f}",
            f"{value / rounds * 1e6:,.1f}",
            f"{100 * value / shares['all']:.0f} %",
        ]
        for name, value in shares.items()
    ]
    resets = (rounds * n_envs - steps) / steps
    print(f"{n_envs:,} environments, {steps:,} steps, one reset in {1 / resets:.1f} steps.\n")
    print_table(["part", "ns a step of an environment", "µs a call of step()", "share"], rows)


def _shares(seconds: dict[str, float], whole: float) -> dict[str, float]:
    """Seconds of each part, none counted twice."""
    draw, begin, resets = seconds["draw kernel"], seconds["reset kernel"], seconds["all of the resets"]
    return {
        "step kernel": seconds["step kernel"],
        "resets: draw kernel": draw,
        "resets: sort and observe": begin,
        "resets: uniform numbers, Python": resets - draw - begin,
        "infos": seconds["infos"],
        "rest of step(), Python": seconds["step()"] - seconds["step kernel"] - resets - seconds["infos"],
        "drawing the action, loop": whole - seconds["step()"],
        "all": whole,
    }


def main() -> None:
    """Print the tables."""
    keep_to_one_core()
    describe_machine()
    parts()
    for n_envs in (64, 1024):
        vector_step(n_envs)


if __name__ == "__main__":
    main()
