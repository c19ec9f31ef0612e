"""What all planners share: users sorted, run times tabulated, and a plan turned into a `Schedule`.

By Theorem 2 a plan is a sequence of *runs*: a model and how many of its users it serves, the cheapest first, in as few
batches as fit. A planner chooses runs; everything else is here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.partial_loading.dynamics import batch_compute_ns, batch_upload_ns, sort_users, timeline
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule

Ints = NDArray[np.int64]

NEVER = 2**60
"""Nanoseconds that stand for infinity; any time can be added to it without overflow."""


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


def prepare(instance: Instance, equal_bandwidth_channels: int = 0) -> Problem:
    """Sort the users and tabulate the runs of an instance."""
    first_user = np.empty(instance.n_models + 1, dtype=np.int64)
    users = np.empty(instance.n_users, dtype=np.int64)
    sorted_upload, run_ns = np.empty_like(users), np.empty_like(users)
    limit = instance.max_batch
    if equal_bandwidth_channels:
        limit = np.minimum(limit, equal_bandwidth_channels)
        limit.setflags(write=False)  # one type for the kernels, one compilation
    _prepare(
        instance.requested_model,
        instance.upload_ns,
        instance.compute_ns_per_sample,
        instance.compute_ns_per_batch,
        limit,
        equal_bandwidth_channels,
        first_user,
        users,
        sorted_upload,
        run_ns,
    )
    return Problem(instance, first_user, users, sorted_upload, run_ns, limit, equal_bandwidth_channels)


@compiled
def _prepare(
    requested_model: Ints,
    upload_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    batch_limit: Ints,
    channels: int,
    first_user: Ints,  # out, as are all that follow
    users: Ints,
    sorted_upload: Ints,
    run_ns: Ints,
) -> None:
    """Both parts of `prepare` in one call, as a call takes as long as its work."""
    sort_users(requested_model, upload_ns, first_user, users, sorted_upload)
    run_ns[:] = run_times(per_sample, per_batch, batch_limit, first_user, sorted_upload, channels)


@compiled
def run_times(
    per_sample: Ints, per_batch: Ints, batch_limit: Ints, first_user: Ints, sorted_upload: Ints, channels: int
) -> Ints:
    """`Problem.run_ns`: the k cheapest users are the k - b cheapest and one batch of b more.

    All batches are full but the one of the very cheapest, which is quickest for equal channels, where a batch takes as
    long as its slowest user; for optimal shares the order makes no difference.
    """
    run_ns = np.full(len(sorted_upload), NEVER, dtype=np.int64)
    for i in range(len(batch_limit)):
        limit = batch_limit[i]
        if limit == 0:
            continue
        start, stop = first_user[i], first_user[i + 1]
        for last in range(start, stop):
            begin = max(start, last + 1 - limit)
            before = run_ns[begin - 1] if begin > start else 0
            upload = batch_upload_ns(sorted_upload[begin : last + 1], channels)
            run_ns[last] = min(NEVER, before + upload + batch_compute_ns(per_sample, per_batch, i, last + 1 - begin))
    return run_ns


def to_schedule(problem: Problem, plan: Plan, solver: str, elapsed: float) -> Schedule:
    """Cut the runs into batches and compute the timeline."""
    instance = problem.instance
    history, users, user_upload_ns = run_timeline(
        plan.models,
        plan.counts,
        problem.first_user,
        problem.users,
        problem.sorted_upload,
        problem.batch_limit,
        instance.load_ns,
        instance.compute_ns_per_sample,
        instance.compute_ns_per_batch,
        instance.resident,
        problem.equal_bandwidth_channels,
    )
    return Schedule(
        history=history,
        users=users,
        user_upload_ns=user_upload_ns,
        n_users=instance.n_users,
        equal_bandwidth_channels=problem.equal_bandwidth_channels,
        solver=solver,
        status="optimal" if len(users) == plan.upper_bound else "feasible",
        upper_bound=plan.upper_bound,
        elapsed=elapsed,
    )


@compiled
def run_timeline(
    run_models: Ints,
    run_counts: Ints,
    first_user: Ints,
    users: Ints,
    sorted_upload: Ints,
    batch_limit: Ints,
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    resident: int,
    channels: int,
) -> tuple[Ints, Ints, Ints]:
    """History, users and their upload times: all that `to_schedule` computes, in one call."""
    models, batch_start, places = _batches(run_models, run_counts, first_user, batch_limit, channels > 0)
    user_upload_ns = sorted_upload[places]
    history = timeline(load_ns, per_sample, per_batch, resident, models, batch_start, user_upload_ns, channels)
    return history, users[places], user_upload_ns


@compiled
def _batches(
    run_models: Ints, run_counts: Ints, first_user: Ints, batch_limit: Ints, partial_first: bool
) -> tuple[Ints, Ints, Ints]:
    """Cut runs into batches: the model of each, where it begins, and the places of its users in the sorted order.

    As in Theorem 2 all batches of a run are full but the last; but the first with ``partial_first``.
    """
    n_batches = 0
    for model, count in zip(run_models, run_counts):  # noqa: B905 - numba has no strict
        n_batches += -(-count // batch_limit[model])
    models = np.empty(n_batches, dtype=np.int64)
    batch_start = np.zeros(n_batches + 1, dtype=np.int64)
    places = np.empty(run_counts.sum(), dtype=np.int64)
    n, place = 0, 0
    for model, count in zip(run_models, run_counts):  # noqa: B905
        limit = batch_limit[model]
        for k in range(count):
            places[place + k] = first_user[model] + k
        left = count
        while left > 0:
            partial = left % limit
            size = partial if partial_first and partial > 0 else min(limit, left)
            models[n] = model
            place += size
            left -= size
            n += 1
            batch_start[n] = place
    return models, batch_start, places


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
