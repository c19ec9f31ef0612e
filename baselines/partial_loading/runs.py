"""What the planners share: an instance prepared for planning, and a plan turned into a `Schedule`.

A planner chooses runs (`pl_env.partial_loading.runs`); what a run takes is tabulated here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.runs import Queue, Times, queue_of, run_timeline, times_of
from pl_env.partial_loading.schedule import Schedule

Ints = NDArray[np.int64]

NEVER = 2**60
"""Nanoseconds that stand for infinity; any time can be added to it without overflow."""


class RunTable(NamedTuple):
    """What the kernels of most planners take."""

    load_ns: Ints  # (I + 1, I) row = resident model, last row = empty GPU
    first_user: Ints  # (I + 1,) of `Problem`
    run_ns: Ints  # (K,) of `Problem`
    resident: int  # model in GPU memory at the start, or -1
    deadline_ns: int


@dataclass(frozen=True)
class Problem:
    """An instance prepared for planning.

    Attributes:
        instance: The instance.
        first_user: int64 (I + 1,), where each model's users begin in the three arrays that follow.
        users: int64 (K,), users by model, then upload time, ties by index.
        sorted_upload: int64 (K,), their upload times.
        run_ns: int64 (K,), upload and compute nanoseconds of the run that ends with this user: entry
            ``first_user[i] + k - 1`` is for the k cheapest users of model i. `NEVER` where the model does not fit.
        batch_limit: int64 (I,), largest batch of each model.
        equal_bandwidth_channels: r where the band is cut into r equal channels, else 0.
    """

    instance: Instance
    first_user: Ints
    users: Ints
    sorted_upload: Ints
    run_ns: Ints
    batch_limit: Ints
    equal_bandwidth_channels: int

    @property
    def run_table(self) -> RunTable:
        """The arrays and numbers that kernels take."""
        instance = self.instance
        return RunTable(instance.load_ns, self.first_user, self.run_ns, instance.resident, instance.deadline_ns)


@dataclass(frozen=True)
class Plan:
    """What a planner found.

    Attributes:
        models: int64 (R,), model of each run, in order.
        counts: int64 (R,), users that each run serves.
        upper_bound: No schedule serves more users than this.
    """

    models: Ints
    counts: Ints
    upper_bound: int


def planned(
    name: str, planner: Callable[..., Plan], instance: Instance, *, equal_bandwidth_channels: int = 0, **options: Any
) -> Schedule:
    """The schedule of a planner that takes a `Problem`."""
    start = time.perf_counter()
    problem = prepare(instance, equal_bandwidth_channels)
    plan = planner(problem, **options)
    return to_schedule(problem, plan, name, time.perf_counter() - start)


def prepare(instance: Instance, equal_bandwidth_channels: int = 0) -> Problem:
    """Sort the users and tabulate the runs of an instance."""
    times = times_of(instance, equal_bandwidth_channels)
    queue, run_ns = _prepare(times, instance.requested_model, instance.upload_ns, equal_bandwidth_channels)
    return Problem(instance, *queue, run_ns, times.batch_limit, equal_bandwidth_channels)


@compiled
def _prepare(times: Times, requested_model: Ints, upload_ns: Ints, channels: int) -> tuple[Queue, Ints]:
    """Both parts of `prepare` in one call, as a call takes as long as its work."""
    queue = queue_of(len(times.batch_limit), requested_model, upload_ns)
    return queue, run_times(times, queue, channels)


@compiled
def run_times(times: Times, queue: Queue, channels: int) -> Ints:
    """`Problem.run_ns`."""
    _, per_sample, per_batch, batch_limit = times
    first_user, _, sorted_upload = queue
    run_ns = np.empty(len(sorted_upload), dtype=np.int64)
    for i in range(len(batch_limit)):
        own = slice(first_user[i], first_user[i + 1])
        tabulate_runs(sorted_upload[own], per_sample[i], per_batch[i], batch_limit[i], channels, run_ns[own])
    return run_ns


@inlined
def tabulate_runs(upload: Ints, per_sample: int, per_batch: int, limit: int, channels: int, run_ns: Ints) -> None:
    """Write what one model's runs of 1, 2, ... users take; `NEVER` where no batch is possible.

    For optimal shares it makes no difference which batch is not full, as each user takes as long as alone. For equal
    channels, where a batch takes as long as its slowest user, it is that of the cheapest users: the k cheapest are the
    k - b cheapest and a full batch of b more, of which the last is the slowest.

    Args:
        upload: int64 (k,), upload times of the model's users, ascending.
        per_sample: Compute nanoseconds of the model.
        per_batch: Compute nanoseconds of the model.
        limit: Its largest batch.
        channels: r where the band is cut into r equal channels, else 0.
        run_ns: int64 (k,) out, upload and compute nanoseconds.
    """
    total, room = 0, 0
    for n in range(len(upload)):
        if limit == 0:
            total = NEVER
        elif channels == 0:
            if room == 0:
                total, room = total + per_batch, limit
            total, room = min(NEVER, total + upload[n] + per_sample), room - 1
        else:
            size = min(n + 1, limit)
            before = run_ns[n - size] if n >= size else 0
            total = min(NEVER, before + channels * upload[n] + per_sample * size + per_batch)
        run_ns[n] = total


def to_schedule(problem: Problem, plan: Plan, solver: str, elapsed: float) -> Schedule:
    """Cut the runs into batches and compute the timeline, with the users sorted already.

    `Schedule.from_runs` does the same for runs that need checking.
    """
    instance, channels = problem.instance, problem.equal_bandwidth_channels
    history, users, user_upload_ns = run_timeline(
        times_of(instance, channels),
        Queue(problem.first_user, problem.users, problem.sorted_upload),
        plan.models,
        plan.counts,
        instance.resident,
        channels,
    )
    return Schedule(
        history=history,
        users=users,
        user_upload_ns=user_upload_ns,
        n_users=instance.n_users,
        equal_bandwidth_channels=channels,
        solver=solver,
        status="optimal" if len(users) == plan.upper_bound else "feasible",
        upper_bound=plan.upper_bound,
        elapsed=elapsed,
    )


def needs_clusters(solver: str, instance: Instance) -> str | None:
    """Why a planner for bottom-layer sharing does not cover an instance; None where it does."""
    return require_clusters_message(solver) if instance.table.clusters is None else None


def require_clusters_message(solver: str) -> str:
    """Why a planner for bottom-layer sharing refuses an instance."""
    return (
        f"{solver} needs bottom-layer sharing (within a cluster, what two models share is all that one of them shares) "
        f"and affine loading times; use 'greedy', or 'exhaustive' for a few models"
    )


@compiled
def usable_users(first_user: Ints, run_ns: Ints, deadline_ns: int) -> Ints:
    """How many users of each model could be served if nothing had to be loaded, int64 (I,)."""
    usable = np.zeros(len(first_user) - 1, dtype=np.int64)
    for i in range(len(usable)):
        while first_user[i] + usable[i] < first_user[i + 1] and run_ns[first_user[i] + usable[i]] <= deadline_ns:
            usable[i] += 1
    return usable
