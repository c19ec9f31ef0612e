"""An independent judge of schedules: every constraint, recomputed from the instance in plain Python integers.

It shares no code with ``dynamics.py``, so that an error there cannot hide here.
"""

from __future__ import annotations

from pl_env.errors import InfeasibleSchedule
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule

_SHARE_ROUNDING = 1e-9
"""Bandwidth shares are floating-point numbers; times are integers and compared exactly."""


def check(schedule: Schedule, instance: Instance) -> None:
    """Accept a schedule that the instance allows, and that says of its times and users what is true.

    Under ``fading="batch"`` the channels of later batches are not in the instance: there the schedule's own record of
    upload times is taken, and the first batch's is compared.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and in which batch.
    """
    _require(schedule.n_users == instance.n_users, "", f"is for {schedule.n_users} users, not {instance.n_users}")
    _check_shapes(schedule)
    served: set[int] = set()
    elapsed, resident, start = 0, int(instance.resident), 0
    for n, row in enumerate(schedule.history.tolist()):
        model, size, upload_ns, load_ns, compute_ns, finish_ns = row
        where = f"batch {n}: "
        _require(0 <= model < instance.n_models, where, f"model {model} does not exist")
        _require(size >= 1, where, "serves nobody")
        users = schedule.users[start : start + size].tolist()
        uploads = schedule.user_upload_ns[start : start + size].tolist()
        start += size
        _require(size <= int(instance.max_batch[model]), where, f"{size} users exceed the largest batch (10c)")
        for user, upload in zip(users, uploads, strict=True):
            _require(0 <= user < instance.n_users, where, f"user {user} does not exist")
            _require(user not in served, where, f"user {user} is served twice (3)")
            _require(int(instance.requested_model[user]) == model, where, f"user {user} asks for another model (10d)")
            if instance.fading == "episode" or n == 0:
                _require(upload == int(instance.upload_ns[user]), where, f"upload time of user {user} is wrong")
            served.add(user)
        _check_upload(schedule, n, uploads, upload_ns)
        _require(load_ns == _load_ns(instance, resident, model), where, "loading time is wrong (8)")
        expected = int(instance.compute_ns_per_sample[model]) * size + int(instance.compute_ns_per_batch[model])
        _require(compute_ns == expected, where, "compute time is wrong (9)")
        elapsed += upload_ns + load_ns + compute_ns
        _require(finish_ns == elapsed, where, "finishing time is not the sum of what came before (1)")
        _require(elapsed <= instance.deadline_ns, where, "ends after the deadline (13c)")
        resident = model


def _require(condition: bool, where: str, problem: str) -> None:
    if not condition:
        raise InfeasibleSchedule(f"schedule: {where}{problem}")


def _check_shapes(schedule: Schedule) -> None:
    history = schedule.history
    _require(history.ndim == 2 and history.shape[1] == 6, "", f"history has shape {history.shape}, not (N, 6)")
    sizes = int(history[:, 1].sum())
    _require(len(schedule.users) == sizes, "", f"lists {len(schedule.users)} users, its batches add up to {sizes}")
    _require(len(schedule.user_upload_ns) == sizes, "", "has not one upload time per served user")


def _check_upload(schedule: Schedule, n: int, uploads: list[int], upload_ns: int) -> None:
    where = f"batch {n}: "
    channels = schedule.equal_bandwidth_channels
    if channels:
        _require(len(uploads) <= channels, where, f"{len(uploads)} users do not fit into {channels} channels")
        _require(upload_ns == channels * max(uploads), where, "upload time is not the slowest channel's (16)")
    else:
        _require(upload_ns == sum(uploads), where, "upload time is not the sum of its users' (11)")
    shares = schedule.batches[n].bandwidth_shares
    _require(min(shares) >= 0 and sum(shares) <= 1 + _SHARE_ROUNDING, where, "bandwidth shares exceed the band (5)")
    for share, upload in zip(shares, uploads, strict=True):
        within = upload <= share * upload_ns * (1 + _SHARE_ROUNDING)
        _require(within, where, "a user's bandwidth share is too small for the upload time (11)")


def _load_ns(instance: Instance, resident: int, model: int) -> int:
    if not instance.table.affine:
        return int(instance.load_ns[resident, model])
    wanted = set(instance.has_block[model].nonzero()[0].tolist())
    present = set(instance.has_block[resident].nonzero()[0].tolist()) if resident >= 0 else set()
    missing_ns = sum(int(instance.block_load_ns[block]) for block in wanted - present)
    return missing_ns + (instance.load_overhead_ns if missing_ns > 0 else 0)
