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
    print_table,
    vector,
)
from benchmarks.sampling import legal_actions
from pl_env.online import dynamics as online_dynamics
from pl_env.online import observing as online_observing
from pl_env.online import stepping as online_stepping
from pl_env.partial_loading import dynamics, stepping
from pl_env.partial_loading.arrays import episodes_at
from pl_env.partial_loading.dynamics import ELAPSED, N_BATCHES, N_SERVED, RESIDENT

N_ENVS = 1024
STEPS = 100


@numba.njit(error_model="numpy")
def _draw_uniforms(addresses, unloaded_ns, count):
    e = episodes_at(addresses, unloaded_ns)
    for n in range(len(e.state)):
        dynamics.draw_uniforms(e, n, count)


@numba.njit(error_model="numpy")
def _draw(addresses, unloaded_ns, uniforms, requested, upload):
    e = episodes_at(addresses, unloaded_ns)
    for n in range(len(e.state)):
        scratch, radio = e.uniforms[0].reshape(3, -1), e.radio
        scratch[:] = uniforms[n]
        dynamics.draw_users(
            scratch,
            e.request_cumulative,
            radio[0],
            radio[1],
            radio[2],
            e.unit_upload_ns[n],
            requested[n],
            e.mean_snr[0],
            upload[n],
        )


@numba.njit(error_model="numpy")
def _sort(addresses, unloaded_ns, requested, upload):
    e = episodes_at(addresses, unloaded_ns)
    for n in range(len(e.state)):
        dynamics.sort_users(requested[n], upload[n], e.first_user[n], e.users[0], e.sorted_upload[n])


@numba.njit(error_model="numpy")
def _begin(addresses, unloaded_ns, requested, upload):
    e = episodes_at(addresses, unloaded_ns)
    for n in range(len(e.state)):
        e.requested_model[0], e.upload_ns[0] = requested[n], upload[n]
        dynamics.begin_episode(e, n, -1)


@numba.njit(error_model="numpy")
def _observe(addresses, unloaded_ns):
    e = episodes_at(addresses, unloaded_ns)
    for n in range(len(e.state)):
        e.any_legal[n] = dynamics.observe(e, n, False)


@numba.njit(error_model="numpy")
def _serve_and_undo(addresses, unloaded_ns, actions):
    e = episodes_at(addresses, unloaded_ns)
    for n in range(len(actions)):
        elapsed, resident = e.state[n, ELAPSED], e.state[n, RESIDENT]
        n_batches, n_served = e.state[n, N_BATCHES], e.state[n, N_SERVED]
        model, size = actions[n] // e.upload_time.shape[2], actions[n] % e.upload_time.shape[2] + 1
        start = e.next_user[n, model]
        dynamics.serve_batch(e, n, model, size)
        e.next_user[n, model] = start
        e.state[n, ELAPSED], e.state[n, RESIDENT] = elapsed, resident
        e.state[n, N_BATCHES], e.state[n, N_SERVED] = n_batches, n_served


@numba.njit(error_model="numpy")
def _again(t, e, decides, count):
    for _ in range(count):
        for n in range(len(e.state)):
            if decides:
                online_dynamics.decide(t, e, n)
            else:
                online_observing.observe(t, e, n)


def parts_online() -> None:
    """PartialLoadingOnline: a vector step, and of it what can be done again without a change: observe, and decide."""
    rows = []
    for n_envs in (64, N_ENVS):
        env = gymnasium.make_vec("PartialLoadingOnline-v0", num_envs=n_envs, copy=False)
        inner, rng = env.unwrapped, np.random.default_rng(0)
        _, info = env.reset(seed=0)
        latest, spent = [info], [0.0]
        step_many = online_stepping.step_many

        def timed(*arguments, kernel=step_many, spent=spent):
            start = time.perf_counter()
            kernel(*arguments)
            spent[0] += time.perf_counter() - start

        def steps(count, n_envs=n_envs, env=env, latest=latest, rng=rng):
            for _ in range(count):
                latest[0] = env.step(legal_actions(latest[0]["action_mask"], rng.random(n_envs)))[4]

        steps(200)
        count = 100 * N_ENVS // n_envs
        online_stepping.step_many = timed
        start = time.perf_counter()
        steps(count)
        whole = time.perf_counter() - start
        online_stepping.step_many = step_many
        tables, e = inner._tables, inner._episodes
        cells = [f"{1e9 * seconds / (count * n_envs):,.0f}" for seconds in (whole, spent[0])]
        for decides in (False, True):
            _again(tables, e, decides, 1)
            start = time.perf_counter()
            _again(tables, e, decides, count)
            cells.append(f"{1e9 * (time.perf_counter() - start) / (count * n_envs):,.0f}")
        rows.append([f"{n_envs:,}", *cells])
    print("PartialLoadingOnline: ns of an environment's step, random legal actions.\n")
    print_table(["environments", "all", "compiled", "observe, again", "decide, again"], rows)


def parts() -> None:
    """Time the compiled parts; users are drawn anew before each, as the processor learns to guess a repeated order."""
    env = gymnasium.make_vec("PartialLoading-v0", num_envs=N_ENVS, copy=False).unwrapped
    k = env.scenario.most_users
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    for _ in range(3):  # environments in the midst of their episodes
        _, _, _, _, info = env.step(legal_actions(info["action_mask"], rng.random(N_ENVS)))
    actions = legal_actions(info["action_mask"], rng.random(N_ENVS))
    requested, upload = np.empty((N_ENVS, k), dtype=np.int64), np.empty((N_ENVS, k), dtype=np.int64)
    arrays = (env.episodes.addresses, env.episodes.arrays.unloaded_ns)

    def draw_again() -> tuple:
        uniforms = rng.random((N_ENVS, 3, k))
        _draw(*arrays, uniforms, requested, upload)
        return (uniforms,)

    calls = {
        "step: serve a batch": lambda _: _serve_and_undo(*arrays, actions),
        "step: observe what a batch changed": lambda _: _observe(*arrays),
        "legal action from the mask (not the environment's)": lambda _: legal_actions(
            info["action_mask"], rng.random(N_ENVS)
        ),
        f"reset: {3 * k} uniform numbers": lambda _: _draw_uniforms(*arrays, 3 * k),
        "reset: requests, places, channels of all users": lambda uniforms: _draw(*arrays, uniforms, requested, upload),
        "reset: sort the users": lambda _: _sort(*arrays, requested, upload),
        "reset: sort the users and observe everything": lambda _: _begin(*arrays, requested, upload),
    }
    rows = []
    for name, call in calls.items():
        times = []
        for _ in range(20 * REPETITIONS):
            drawn = draw_again()
            start = time.perf_counter()
            call(*drawn)
            times.append(time.perf_counter() - start)
        rows.append([name, f"{np.median(times) / N_ENVS * 1e9:,.0f}"])
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
    original = stepping.step_many
    clock.watch(stepping, "step_many", "kernel")
    clock.watch(env, "_infos", "infos")
    clock.watch(env, "step", "step()")
    rounds = STEPS * max(1, 1024 // n_envs)
    repetitions = []
    for _ in range(REPETITIONS):
        clock.reset()
        start = time.perf_counter()
        steps = run(rounds)
        repetitions.append(_shares(clock.seconds, time.perf_counter() - start))
    stepping.step_many = original
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
    return {
        "kernel: steps, resets, reports": seconds["kernel"],
        "infos": seconds["infos"],
        "rest of step(), Python": seconds["step()"] - seconds["kernel"] - seconds["infos"],
        "drawing the action, loop": whole - seconds["step()"],
        "all": whole,
    }


def main() -> None:
    """Print the tables."""
    keep_to_one_core()
    describe_machine()
    parts()
    parts_online()
    for n_envs in (64, 1024):
        vector_step(n_envs)


if __name__ == "__main__":
    main()
