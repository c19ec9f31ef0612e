"""An independent judge of plans: (O1) to (O4) recomputed from the instance in integers, without tolerance.

It shares no code with ``dynamics.py`` and ``eviction.py``, so that an error there cannot hide here. Which users are in
a batch, and which blocks leave, is the plan's choice; it must only be possible. With eviction "previous" all must leave
that the next model does not hold.

No sum can leave int64: a batch has at most 1,024 users (the table's bound), whose uploads take at most 1.02e17 ns, a
load at most 3.6e15 ns, compute 3.7e15 ns, and a batch ends by a deadline or is refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.errors import InfeasibleSchedule, shown
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_PROBLEMS = (
    "",
    "its model does not exist",
    "it serves nobody",
    "it has more users than its model's largest batch",
    "user {who} does not exist",
    "user {who} is served twice (O3)",
    "user {who} asks for another model",
    "user {who} is not there when it starts (O3)",
    "user {who} is served after the deadline (O3)",
    "the upload time of user {who} is not the instance's (O2)",
    "it starts before the batch before it has ended (O3)",
    "block {who} is evicted, which does not exist, is not resident or belongs to its model (O4)",
    "its blocks take {who} bytes of memory too many (O4)",
    "block {who} stays, and its model does not hold it; with eviction 'previous' it must leave (O4)",
    "its upload time is not the sum of its users' (O2)",
    "its loading time is not that of the blocks that are missing (O1)",
    "its compute time is not mu · b + beta (O2)",
    "it does not end when its parts say (O2)",
)
_OK, _MODEL, _NOBODY, _TOO_LARGE, _USER, _TWICE, _OTHER_MODEL, _ABSENT, _LATE, _UPLOAD_OF = range(10)
_OVERLAP, _EVICTED, _MEMORY, _STAYS, _UPLOAD, _LOAD, _COMPUTE, _FINISH = range(10, 18)

_ARRAYS = ("history", "users", "upload_ns", "evicted", "evicted_start", "waits", "preferred")


def check(plan: Plan, instance: Instance) -> None:
    """Accept a plan that the instance allows, and that says of its times and users what is true.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and in which batch.
    """
    _check_form(plan, instance)
    problem, batch, who = _first_problem(
        plan.history,
        plan.users,
        plan.upload_ns,
        plan.evicted,
        plan.evicted_start,
        instance.requested_model,
        instance.ready_ns,
        instance.deadline_ns,
        instance.upload_ns,
        instance.has_block,
        instance.block_bytes,
        instance.table.block_load_ns,
        instance.table.load_overhead_ns,
        instance.table.compute_ns_per_sample,
        instance.table.compute_ns_per_batch,
        instance.table.max_batch,
        instance.resident_blocks,
        instance.cache_bytes,
        instance.eviction == "previous",
        instance.overlap == "upload",
    )
    if problem != _OK:
        raise InfeasibleSchedule(f"plan: batch {batch}: {_PROBLEMS[problem].format(who=who)}")
    if plan.status not in ("optimal", "feasible"):
        raise InfeasibleSchedule(f"plan: its status is {shown(plan.status)}, neither 'optimal' nor 'feasible'")
    if not plan.goodput <= plan.bound <= 1.0:
        raise InfeasibleSchedule(f"plan: its bound is {shown(plan.bound)}, its goodput {plan.goodput}")
    if plan.status == "optimal" and plan.bound != plan.goodput:
        raise InfeasibleSchedule(f"plan: it is 'optimal', its bound is {plan.bound} and its goodput {plan.goodput}")


def _check_form(plan: Plan, instance: Instance) -> None:
    if plan.n_users != instance.n_users:
        raise InfeasibleSchedule(f"plan: is for {plan.n_users} users, the instance has {instance.n_users}")
    for name in _ARRAYS:
        array, ndim = getattr(plan, name), 2 if name == "history" else 1
        if not isinstance(array, np.ndarray):
            raise InfeasibleSchedule(f"plan: its {name} is a {type(array).__name__}, not an array")
        if array.dtype != np.int64 or array.ndim != ndim:
            raise InfeasibleSchedule(
                f"plan: its {name} is {array.dtype} of {array.ndim} dimensions, not int64 of {ndim}"
            )
    if plan.history.shape[1] != 7:
        raise InfeasibleSchedule(f"plan: its history has shape {plan.history.shape}, not (N, 7)")
    n, start = len(plan.history), plan.evicted_start
    sizes = plan.history[:, 1]
    total = sum(sizes.tolist()) if (sizes >= 0).all() else -1
    if not len(plan.users) == len(plan.upload_ns) == total:
        raise InfeasibleSchedule(
            f"plan: its batches add up to {total} users, it lists {len(plan.users)} with {len(plan.upload_ns)} uploads"
        )
    good = len(start) == n + 1 and start[0] == 0 and start[-1] == len(plan.evicted) and (np.diff(start) >= 0).all()
    if not good:
        raise InfeasibleSchedule(f"plan: its evicted_start does not cut {len(plan.evicted)} blocks into {n} batches")
    if len(plan.waits) != n + 1 or len(plan.preferred) != n:
        raise InfeasibleSchedule(f"plan: it has {len(plan.waits)} waits and {len(plan.preferred)} preferred for {n}")


@compiled
def _first_problem(
    history: Ints,
    users: Ints,
    uploads: Ints,
    evicted: Ints,
    evicted_start: Ints,
    requested_model: Ints,
    ready_ns: Ints,
    deadline_ns: Ints,
    upload_ns: Ints,
    has_block: Bools,
    block_bytes: Ints,
    block_load_ns: Ints,
    overhead_ns: int,
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    at_start: Bools,
    cache_bytes: int,
    previous: bool,
    overlaps: bool,
) -> tuple[int, int, int]:
    """The first broken constraint: its number in `_PROBLEMS`, the batch, and the user or block at fault."""
    n_models, n_blocks = has_block.shape
    resident, is_served = at_start.copy(), np.zeros(len(requested_model), dtype=np.bool_)
    position, end_of_last = 0, history[0, 2] if len(history) > 0 else 0
    if end_of_last < 0:
        return _OVERLAP, 0, -1
    for n in range(len(history)):
        model, size, start, finish = history[n, 0], history[n, 1], history[n, 2], history[n, 6]
        if not 0 <= model < n_models:
            return _MODEL, n, -1
        if size < 1:
            return _NOBODY, n, -1
        if size > max_batch[model]:
            return _TOO_LARGE, n, -1
        if start < end_of_last:
            return _OVERLAP, n, -1
        upload = 0
        for place in range(position, position + size):
            user = users[place]
            if not 0 <= user < len(requested_model):
                return _USER, n, user
            if is_served[user]:
                return _TWICE, n, user
            if requested_model[user] != model:
                return _OTHER_MODEL, n, user
            if ready_ns[user] > start:
                return _ABSENT, n, user
            if finish > deadline_ns[user]:
                return _LATE, n, user
            if uploads[place] != upload_ns[user]:
                return _UPLOAD_OF, n, user
            is_served[user] = True
            upload += upload_ns[user]
        position += size
        load = 0
        for j in range(n_blocks):
            if has_block[model, j] and not resident[j]:
                load += block_load_ns[j]
        if load > 0:
            load += overhead_ns
        for place in range(evicted_start[n], evicted_start[n + 1]):
            block = evicted[place]
            if not 0 <= block < n_blocks or not resident[block] or has_block[model, block]:
                return _EVICTED, n, block
            resident[block] = False
        used = 0
        for j in range(n_blocks):
            if resident[j] and previous and not has_block[model, j]:
                return _STAYS, n, j
            if has_block[model, j]:
                resident[j] = True
            if resident[j]:
                used += block_bytes[j]
        if used > cache_bytes and not previous:
            return _MEMORY, n, used - cache_bytes
        compute = size * per_sample[model] + per_batch[model]
        if history[n, 3] != upload:
            return _UPLOAD, n, -1
        if history[n, 4] != load:
            return _LOAD, n, -1
        if history[n, 5] != compute:
            return _COMPUTE, n, -1
        before = max(upload, load) if overlaps else upload + load
        if finish != start + before + compute:
            return _FINISH, n, -1
        end_of_last = finish
    return _OK, -1, -1
