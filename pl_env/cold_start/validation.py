"""An independent judge of plans: everything recomputed from the instance in plain Python integers, without tolerance.

It shares no code with ``dynamics.py``, so that an error there cannot hide here.
"""

from __future__ import annotations

import numpy as np

from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.errors import InfeasibleSchedule


def check(plan: Plan, instance: Instance) -> None:
    """Accept a plan that the instance allows: devices, layers, memory, and when it is done.

    A plan may place the first layers alone, as one of an episode under way does.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and by which stage.
    """
    _check_form(plan, instance)
    devices, counts = plan.devices.tolist(), plan.counts.tolist()
    layer, finish, previous = 0, instance.ready_ns, instance.previous
    for stage, (device, count) in enumerate(zip(devices, counts, strict=True), start=1):
        where = f"plan: stage {stage}"
        if not 0 <= device < len(instance.memory_bytes):
            raise InfeasibleSchedule(f"{where}: there is no device {device + 1}")
        if device in devices[: stage - 1]:
            raise InfeasibleSchedule(f"{where}: {instance.names[device]} has layers already")
        if count < 1:
            raise InfeasibleSchedule(f"{where}: {instance.names[device]} has {count} layers")
        if layer + count > len(instance.weight_bytes):
            raise InfeasibleSchedule(f"{where}: there are no more than {len(instance.weight_bytes)} layers")
        own = range(layer, layer + count)
        needed = max(int(instance.activation_bytes[n]) for n in own) + sum(int(instance.weight_bytes[n]) for n in own)
        memory = int(instance.memory_bytes[device])
        if needed > memory:
            raise InfeasibleSchedule(
                f"{where}: layers {layer + 1} to {layer + count} take {needed} bytes, "
                f"{instance.names[device]} has {memory}"
            )
        loaded = sum(int(instance.load_ns[device, n]) for n in own)
        start = loaded if loaded > finish else finish
        if previous != -1:
            start += int(instance.transfer_ns[layer, previous, device])
        finish = start + sum(int(instance.compute_ns[device, n]) for n in own)
        layer, previous = layer + count, device
    if plan.finish_ns != finish:
        raise InfeasibleSchedule(f"plan: says that it is done after {plan.finish_ns} ns; that is {finish}")
    _check_claims(plan, layer == len(instance.weight_bytes), finish)


def _check_form(plan: Plan, instance: Instance) -> None:
    for name in ("devices", "counts"):
        array = getattr(plan, name)
        if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.ndim != 1:
            raise InfeasibleSchedule(f"plan: its {name} are not an int64 array of one dimension")
    if len(plan.devices) != len(plan.counts):
        raise InfeasibleSchedule(f"plan: {len(plan.devices)} devices and {len(plan.counts)} counts of layers")
    if plan.n_layers != instance.n_layers:
        raise InfeasibleSchedule(f"plan: is for {plan.n_layers} layers, the instance has {instance.n_layers}")


def _check_claims(plan: Plan, is_whole: bool, finish_ns: int) -> None:
    """A plan is not done before its bound, and an optimal one is done at it."""
    if plan.status not in ("optimal", "feasible"):
        raise InfeasibleSchedule(f"plan: its status is {plan.status!r}, neither 'optimal' nor 'feasible'")
    if not is_whole:
        return
    if not plan.bound <= finish_ns / 1e9:
        raise InfeasibleSchedule(f"plan: is done after {finish_ns} ns, before its bound of {plan.bound} s")
    if plan.status == "optimal" and plan.bound != finish_ns / 1e9:
        raise InfeasibleSchedule(f"plan: is called optimal, {finish_ns} ns, and its bound is {plan.bound} s")
