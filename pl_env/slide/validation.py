"""An independent judge of plans: everything recomputed from the instance in plain Python integers, without tolerance.

It shares no code with ``dynamics.py`` and ``edf.py``, so that an error there cannot hide here.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from pl_env.errors import InfeasibleSchedule
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan

_WHOLE_BAND = 1_000_000
_NEVER = 10**14


def check(plan: Plan, instance: Instance) -> None:
    """Accept a plan that the instance allows: who is served, energy, the band, and the recursion of every task.

    A plan may decide on the first users alone, as one of an episode under way does.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and for which user.
    """
    _check_form(plan, instance)
    models, frequencies = plan.models.tolist(), plan.frequency_hz.tolist()
    served = [user for user, model in enumerate(models) if model >= 0]
    if any(model < -1 for model in models):
        raise InfeasibleSchedule(f"plan: there is no model {min(models)}; refused is -1")
    for user in served:
        if models[user] >= instance.n_models:
            raise InfeasibleSchedule(f"plan: user {user}: there is no model {models[user]}")
        if not instance.library.accepted[instance.request[user], models[user]]:
            raise InfeasibleSchedule(f"plan: user {user}: model {models[user]} does not answer the request")
    received = (_by_shares if plan.shares is not None else _by_slices)(plan, instance, served)
    for user in served:
        _check_task(plan, instance, user, models[user], frequencies[user], received[user])


def _check_form(plan: Plan, instance: Instance) -> None:
    n_users = instance.n_users
    if plan.n_users != n_users:
        raise InfeasibleSchedule(f"plan: is for {plan.n_users} users, the instance has {n_users}")
    if (plan.shares is None) == (plan.slices is None):
        raise InfeasibleSchedule("plan: it must have either shares or slices of the band")
    arrays = {"models": (plan.models, 1), "frequency_hz": (plan.frequency_hz, 1)}
    arrays |= {"shares": (plan.shares, 1)} if plan.shares is not None else {"slices": (plan.slices, 2)}  # type: ignore[dict-item]
    for name, (array, ndim) in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InfeasibleSchedule(f"plan: its {name} is a {type(array).__name__}, not an array")
        if array.dtype != np.int64 or array.ndim != ndim:
            raise InfeasibleSchedule(
                f"plan: its {name} is {array.dtype} of {array.ndim} dimensions, not int64 of {ndim}"
            )
        if name != "slices" and not len(array) == len(plan.models) <= n_users:
            raise InfeasibleSchedule(f"plan: its {name} has {len(array)} entries for {n_users} users")
    if plan.slices is not None and plan.slices.shape[1] != 3:
        raise InfeasibleSchedule(f"plan: its slices have shape {plan.slices.shape}, not (S, 3)")


def _download_ns(instance: Instance, user: int, model: int) -> list[int]:
    """a_l of every layer."""
    sizes, rate = instance.library.layer_bytes[instance.library.layers(model)].tolist(), int(instance.rate_bps[user])
    if rate == 0:
        return [_NEVER if size else 0 for size in accumulate(sizes)]
    return [min(_NEVER, -(-8_000_000_000 * size // rate)) for size in accumulate(sizes)]


def _by_shares(plan: Plan, instance: Instance, served: list[int]) -> dict[int, list[int]]:
    """When each served user's layers are there, after the arrival; the shares must be a division of the band."""
    assert plan.shares is not None
    shares = plan.shares.tolist()
    if min(shares, default=0) < 0 or sum(shares) > _WHOLE_BAND:
        raise InfeasibleSchedule(f"plan: its shares add up to {sum(shares)} millionths of the band, or one is negative")
    if len(instance.committed_due_ns):
        raise InfeasibleSchedule("plan: constant shares leave no room for what was committed before")
    for user in served:
        if shares[user] == 0:
            raise InfeasibleSchedule(f"plan: user {user}: is served without a share of the band")
    return {
        user: [-(-time * _WHOLE_BAND // shares[user]) for time in _download_ns(instance, user, int(plan.models[user]))]
        for user in served
    }


def _by_slices(plan: Plan, instance: Instance, served: list[int]) -> dict[int, list[int]]:
    """Likewise from slices, which must not overlap, and must bring what was committed before in time."""
    assert plan.slices is not None
    own: dict[int, list[tuple[int, int]]] = {user: [] for user in [-1, *served]}
    free_from = 0
    for user, start, end in plan.slices.tolist():
        if user not in own:
            raise InfeasibleSchedule(f"plan: user {user}: has a slice of the band and is not served")
        if not free_from <= start <= end:
            raise InfeasibleSchedule(f"plan: user {user}: its slice from {start} to {end} overlaps another, or is none")
        if user >= 0 and start < int(instance.arrival_ns[user]):
            raise InfeasibleSchedule(f"plan: user {user}: has a slice of the band before arriving")
        own[user].append((start, end))
        free_from = end
    total = 0
    dues = zip(instance.committed_due_ns.tolist(), instance.committed_rest_ns.tolist(), strict=True)
    for due, rest in dues:
        total += rest
        if _sent(own[-1], [total])[0] > due:
            raise InfeasibleSchedule(f"plan: what was committed for {due} ns is late")
    received = {}
    for user in served:
        times = _sent(own[user], _download_ns(instance, user, int(plan.models[user])))
        arrival = int(instance.arrival_ns[user])
        received[user] = [max(0, time - arrival) for time in times]
    return received


def _sent(slices: list[tuple[int, int]], amounts: list[int]) -> list[int]:
    """When slices have added up to each of some amounts, ascending; 0 for nothing, `_NEVER` for too much."""
    times, sent, place = [], 0, 0
    for amount in amounts:
        while place < len(slices) and sent + slices[place][1] - slices[place][0] < amount:
            sent += slices[place][1] - slices[place][0]
            place += 1
        if amount == 0:
            times.append(0)
        else:
            times.append(slices[place][0] + amount - sent if place < len(slices) else _NEVER)
    return times


def _check_task(plan: Plan, instance: Instance, user: int, model: int, frequency: int, received: list[int]) -> None:
    """Energy and deadline, by the recursion F_l = max(D_l, F_{l-1}) + c_l."""
    device = instance.device
    if not device.min_frequency_hz <= frequency <= device.max_frequency_hz:
        raise InfeasibleSchedule(f"plan: user {user}: its device cannot run at {frequency} Hz")
    work = instance.library.layer_flop[instance.library.layers(model)].tolist()
    speed, deadline = int(instance.speed[user]), int(instance.deadline_ns[user])
    cycles = [-(-flop * 1_000_000 // speed) for flop in work]
    energy_nj = -(-device.power_nw * frequency**2 * sum(cycles) // device.max_frequency_hz**3)
    if energy_nj > instance.energy_nj[user]:
        raise InfeasibleSchedule(f"plan: user {user}: computing takes {energy_nj} nJ, more than its energy")
    finish = 0
    for there, count in zip(received if plan.streams else received[-1:] * len(received), cycles, strict=True):
        finish = (there if there > finish else finish) - (-count * 1_000_000_000 // frequency)
    if finish > deadline:
        raise InfeasibleSchedule(f"plan: user {user}: its task is done {finish - deadline} ns after the deadline")
