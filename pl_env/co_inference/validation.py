"""An independent judge of plans: everything recomputed from the instance in plain Python, equations (1) to (5).

It shares no code with ``dynamics.py`` and ``least_energy.py``, so that an error there cannot hide here.
"""

from __future__ import annotations

import math

import numpy as np

from pl_env.co_inference.instance import Instance
from pl_env.co_inference.plan import Plan
from pl_env.errors import InfeasibleSchedule

TOLERANCE = 1e-9
"""The one tolerance, relative."""

_FLOATS = (
    *("kept", "power_w", "device_hz", "server_hz"),
    *("device_s", "radio_s", "server_s", "energy_j", "value"),
)


def check(plan: Plan, instance: Instance) -> None:
    """Accept a plan that the instance allows: limits, times, deadlines, energies and the battery, task by task.

    A plan may decide on the first tasks alone, as one of an episode under way does. Powers and fractions are real
    numbers, so there is one tolerance: a number may miss or exceed what it must be by 1e-9 of it; joules in the
    battery by 1e-9 of its capacity.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and for which task.
    """
    _check_form(plan, instance)
    battery = instance.battery_j
    slack = TOLERANCE * instance.capacity_j
    for task in range(len(plan)):
        energy = 0.0
        if plan.split[task] >= 0:
            energy = _check_task(plan, instance, task)
            if energy > battery + slack:
                raise InfeasibleSchedule(f"plan: task {task}: takes {energy:.9g} J, the battery holds {battery:.9g} J")
        else:
            _check_skipped(plan, task)
        battery = min(instance.capacity_j, max(0.0, battery - energy) + float(instance.harvest[task]))


def _check_form(plan: Plan, instance: Instance) -> None:
    if plan.n_tasks != instance.n_tasks:
        raise InfeasibleSchedule(f"plan: is for {plan.n_tasks} tasks, the instance has {instance.n_tasks}")
    for name in ("split", *_FLOATS):
        array, kind = getattr(plan, name), np.int64 if name == "split" else np.float64
        if not isinstance(array, np.ndarray):
            raise InfeasibleSchedule(f"plan: its {name} is a {type(array).__name__}, not an array")
        if array.dtype != kind or array.ndim != 1:
            raise InfeasibleSchedule(f"plan: its {name} is {array.dtype} of {array.ndim} dimensions, not {kind} of 1")
        if not len(array) == len(plan.split) <= instance.n_tasks:
            raise InfeasibleSchedule(f"plan: its {name} has {len(array)} entries for {instance.n_tasks} tasks")
        if name != "split" and not (np.isfinite(array).all() and (array >= 0).all()):
            raise InfeasibleSchedule(f"plan: its {name} has entries that are negative or not finite")


def _check_skipped(plan: Plan, task: int) -> None:
    for name in _FLOATS:
        if getattr(plan, name)[task] != 0:
            raise InfeasibleSchedule(f"plan: task {task}: is skipped, and its {name} is not 0")


def _check_task(plan: Plan, instance: Instance, task: int) -> float:
    """One task that is served; gives its weighted joules."""
    model, hardware, split = instance.model, instance.hardware, int(plan.split[task])
    if split >= model.n_splits:
        raise InfeasibleSchedule(f"plan: task {task}: there is no split {split} of {model.name}")
    kept, power, device_hz, server_hz = (
        float(getattr(plan, name)[task]) for name in ("kept", "power_w", "device_hz", "server_hz")
    )
    _check_kept(instance, task, kept)
    for name, value, most in (
        ("power_w", power, hardware.max_power_w),
        ("device_hz", device_hz, hardware.max_device_hz),
        ("server_hz", server_hz, hardware.max_server_hz),
    ):
        if value > most * (1 + TOLERANCE):
            raise InfeasibleSchedule(f"plan: task {task}: its {name} of {value:.9g} is above {most:.9g}")
    cycles = kept * model.device_flop[split] / hardware.device_flop_per_cycle
    server_cycles = kept * (model.total_flop - model.device_flop[split]) / hardware.server_flop_per_cycle
    noise = hardware.bandwidth_hz * hardware.noise_w_per_hz
    rate = hardware.bandwidth_hz * math.log1p(power * float(instance.gain[task]) / noise) / math.log(2)
    times = (
        _seconds("device_hz", task, cycles, device_hz),
        _seconds("power_w", task, model.embedding_bits[split], rate),
        _seconds("server_hz", task, server_cycles, server_hz),
    )
    for name, seconds in zip(("device_s", "radio_s", "server_s"), times, strict=True):
        _check_same(plan, task, name, seconds)
    if sum(times) > float(instance.deadline[task]) * (1 + TOLERANCE):
        late = f"is done after {sum(times):.9g} s, its deadline is {instance.deadline[task]:.9g} s"
        raise InfeasibleSchedule(f"plan: task {task}: {late}")
    on_device = hardware.device_coefficient * cycles * device_hz**2
    on_server = hardware.server_coefficient * server_cycles * server_hz**2
    energy = hardware.device_weight * (on_device + power * times[1]) + hardware.server_weight * on_server
    _check_same(plan, task, "energy_j", energy)
    _check_same(plan, task, "value", float(instance.weight[task]) * kept * (1 - math.log(kept)) / instance.value_scale)
    return energy


def _check_kept(instance: Instance, task: int, kept: float) -> None:
    levels = instance.levels.tolist()
    if instance.continuous:
        allowed, good = f"from {levels[0]:g} to 1", levels[0] * (1 - TOLERANCE) <= kept <= 1 + TOLERANCE
    else:
        allowed, good = "one of the levels", any(abs(kept - level) <= TOLERANCE for level in levels)
    if not good:
        raise InfeasibleSchedule(f"plan: task {task}: its kept fraction is {kept:.9g}; it must be {allowed}")


def _seconds(name: str, task: int, work: float, speed: float) -> float:
    """Work divided by speed; 0 where there is none."""
    if work == 0:
        return 0.0
    if speed <= 0:
        raise InfeasibleSchedule(f"plan: task {task}: has work, and with this {name} no speed to do it")
    return work / speed


def _check_same(plan: Plan, task: int, name: str, value: float) -> None:
    said = float(getattr(plan, name)[task])
    if abs(said - value) > TOLERANCE * max(abs(said), abs(value)):
        raise InfeasibleSchedule(f"plan: task {task}: its {name} is {said:.12g}; it must be {value:.12g}")
