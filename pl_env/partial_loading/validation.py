"""An independent judge of schedules: every constraint, recomputed from the instance in integers, without tolerance.

It shares no code with ``dynamics.py``, so that an error there cannot hide here. It is compiled, at 3 µs a schedule,
so that every solver's result passes through it.

No sum here can leave int64. A batch has at most `LARGEST_BATCH` users (the table's bound, 10c) and a schedule as many
channels. So an upload takes at most 1,024 · `LONGEST_UPLOAD_NS` = 1.02e17 ns, a load `LONGEST_LOAD_NS` = 3.6e15 ns and
compute 1,025 · `LONGEST_NS` = 3.7e15 ns, and they are added to an end that was not past the deadline.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.errors import InfeasibleSchedule, shown
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.serving_table import LARGEST_BATCH
from pl_env.times import LONGEST_UPLOAD_NS

_PROBLEMS = (
    "",
    "its model does not exist",
    "it serves nobody",
    "it has more users than its model's largest batch (10c)",
    "user {user} does not exist",
    "user {user} is served twice (3)",
    "user {user} asks for another model (10d)",
    "the upload time of user {user} alone on the band is not the instance's, or out of range",
    "it has more users than there are channels (5)",
    "its upload time is not what its users and their bandwidth shares need (11), (16)",
    "its loading time is not that of the blocks that are missing (8)",
    "its compute time is not mu · b + beta (9)",
    "its finishing time is not the sum of all times up to it (1)",
    "it ends after the deadline (13c)",
    "its loading time is not that of the whole model, which the schedule says that it loads",
)
_OK, _MODEL, _NOBODY, _TOO_LARGE, _USER, _TWICE, _OTHER_MODEL = range(7)
_USER_UPLOAD, _CHANNELS, _UPLOAD, _LOAD, _COMPUTE, _FINISH, _DEADLINE, _WHOLE_LOAD, _LENGTHS = range(7, 16)
_MANY = 2**61  # users that no array holds; three times as many are still an int64


def check(schedule: Schedule, instance: Instance) -> None:
    """Accept a schedule that the instance allows, and that says of its times and users what is true.

    Its status and upper bound must agree with the users it serves; whether they are true takes a solver to know.

    Under ``fading="batch"`` the channels of later batches are not in the instance: there the schedule's own record of
    upload times is taken, and the first batch's is compared.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and in which batch.
    """
    history, users, uploads = schedule.history, schedule.users, schedule.user_upload_ns
    if schedule.n_users != instance.n_users:
        raise InfeasibleSchedule(f"schedule: is for {schedule.n_users} users, the instance has {instance.n_users}")
    for name, array, ndim in (("history", history, 2), ("users", users, 1), ("user_upload_ns", uploads, 1)):
        if not isinstance(array, np.ndarray):
            raise InfeasibleSchedule(f"schedule: its {name} is a {type(array).__name__}, not an array")
        if array.dtype != np.int64 or array.ndim != ndim:
            found = f"{array.dtype} of {array.ndim} dimensions"
            raise InfeasibleSchedule(f"schedule: its {name} is {found}, not int64 of {ndim}")
    if history.shape[1] != 6:
        raise InfeasibleSchedule(f"schedule: its history has shape {history.shape}, not (N, 6)")
    channels = schedule.equal_bandwidth_channels
    if not _is_integer(channels) or not 0 <= channels <= LARGEST_BATCH:
        raise InfeasibleSchedule(
            f"schedule: it has {shown(channels)} channels (5); at most {LARGEST_BATCH} are possible"
        )
    problem, batch, user = _first_problem(
        history,
        users,
        uploads,
        int(channels),
        instance.requested_model,
        instance.upload_ns,
        instance.has_block,
        instance.block_load_ns,
        instance.load_overhead_ns,
        instance.load_ns,
        instance.table.affine,
        instance.compute_ns_per_sample,
        instance.compute_ns_per_batch,
        instance.max_batch,
        instance.deadline_ns,
        instance.resident,
        instance.fading == "batch",
        bool(schedule.loads_in_full),
    )
    if problem == _LENGTHS:
        raise InfeasibleSchedule(
            f"schedule: its batches add up to {user} users, it lists {len(users)} with {len(uploads)} upload times"
        )
    if problem != _OK:
        raise InfeasibleSchedule(f"schedule: batch {batch}: {_PROBLEMS[problem].format(user=user)}")
    _check_claims(schedule)


def _check_claims(schedule: Schedule) -> None:
    """Refuse a status or an upper bound that the users served contradict."""
    status, bound, served = schedule.status, schedule.upper_bound, len(schedule.users)
    if not isinstance(status, str) or status not in ("optimal", "feasible"):
        raise InfeasibleSchedule(f"schedule: its status is {shown(status)}, neither 'optimal' nor 'feasible'")
    if not _is_integer(bound) or bound < served:
        raise InfeasibleSchedule(f"schedule: its upper bound is {shown(bound)}, it serves {served} users")
    if status == "optimal" and bound != served:
        raise InfeasibleSchedule(f"schedule: it is 'optimal', serves {served} users, and its upper bound is {bound}")


def _is_integer(value: object) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))  # the first is quick


@compiled
def _first_problem(
    history: NDArray[np.int64],
    users: NDArray[np.int64],
    uploads: NDArray[np.int64],
    channels: int,
    requested_model: NDArray[np.int64],
    upload_ns: NDArray[np.int64],
    has_block: NDArray[np.bool_],
    block_load_ns: NDArray[np.int64],
    load_overhead_ns: int,
    measured_load_ns: NDArray[np.int64],
    affine: bool,
    compute_ns_per_sample: NDArray[np.int64],
    compute_ns_per_batch: NDArray[np.int64],
    max_batch: NDArray[np.int64],
    deadline_ns: int,
    resident: int,
    redrawn: bool,
    in_full: bool,
) -> tuple[int, int, int]:
    """The first broken constraint: its number in `_PROBLEMS`, the batch, and the user where one is at fault.

    Where the batches do not add up to the users listed: `_LENGTHS`, -1, and what they add up to.
    """
    total = 0
    for n in range(len(history)):
        total = min(total + min(max(0, history[n, 1]), _MANY), _MANY)
    if len(users) != total or len(uploads) != total:
        return _LENGTHS, -1, total
    n_models, n_blocks = has_block.shape
    is_served = np.zeros(len(requested_model), dtype=np.bool_)
    end_of_last, position = 0, 0
    for n in range(len(history)):
        model, size = history[n, 0], history[n, 1]
        if not 0 <= model < n_models:
            return _MODEL, n, -1
        if size < 1:
            return _NOBODY, n, -1
        if size > max_batch[model]:
            return _TOO_LARGE, n, -1
        if channels > 0 and size > channels:
            return _CHANNELS, n, -1
        band_time, slowest = 0, 0
        for place in range(position, position + size):
            user = users[place]
            if not 0 <= user < len(requested_model):
                return _USER, n, user
            if is_served[user]:
                return _TWICE, n, user
            if requested_model[user] != model:
                return _OTHER_MODEL, n, user
            known = n == 0 or not redrawn
            if not 0 <= uploads[place] <= LONGEST_UPLOAD_NS or (known and uploads[place] != upload_ns[user]):
                return _USER_UPLOAD, n, user
            is_served[user] = True
            band_time += uploads[place]
            slowest = max(slowest, uploads[place])
        position += size
        if history[n, 2] != (channels * slowest if channels > 0 else band_time):
            return _UPLOAD, n, -1
        missing = 0
        for j in range(n_blocks):
            if has_block[model, j] and (resident < 0 or in_full or not has_block[resident, j]):
                missing += block_load_ns[j]
        expected = missing + load_overhead_ns if missing > 0 else 0
        if not affine:
            expected = measured_load_ns[resident, model]
            if in_full:
                expected = measured_load_ns[:, model].max()
        if in_full and resident == model:
            expected = 0
        if history[n, 3] != expected:
            return (_WHOLE_LOAD if in_full else _LOAD), n, -1
        if history[n, 4] != size * compute_ns_per_sample[model] + compute_ns_per_batch[model]:
            return _COMPUTE, n, -1
        end_of_last += history[n, 2] + history[n, 3] + history[n, 4]
        if history[n, 5] != end_of_last:
            return _FINISH, n, -1
        if end_of_last > deadline_ns:
            return _DEADLINE, n, -1
        resident = model
    return _OK, -1, -1
