"""Stage after stage, the device and the number of layers that add least time a layer; and all plans one by one."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb, perm

from pl_env.cold_start.dynamics import stage_end
from pl_env.cold_start.instance import MOST_IN_SETS, Instance
from pl_env.cold_start.plan import Plan

MOST_PLANS = 200_000
"""That `exhaustive` looks at."""

State = tuple[int, int, int, frozenset[int]]
"""Layers placed, when they are done, the last device, and the devices that have none."""


def start_of(instance: Instance) -> State:
    """Nothing placed."""
    return 0, instance.ready_ns, instance.previous, frozenset(instance.usable.tolist())


def next_stages(instance: Instance, state: State) -> Iterator[tuple[int, int]]:
    """Pairs of a device and a number of layers after which all that is left still fits somewhere."""
    position, _, _, free = state
    n_layers, lowest = instance.n_layers, instance.problem.lowest
    for device in sorted(free):
        reach = _reach(instance, free - {device})
        for last in range(position + 1, n_layers + 1):
            if lowest[device, last] > position:
                break
            if last == n_layers or reach <= last:
                yield device, last - position


def _reach(instance: Instance, devices: frozenset[int]) -> int:
    """The least i such that these devices can hold the layers from i on."""
    if instance.equal_layers:
        return max(0, instance.n_layers - sum(int(instance.capacity[device]) for device in devices))
    return int(instance.reach[sum(1 << device for device in devices)])


def after(instance: Instance, state: State, device: int, count: int) -> State:
    """The state after a stage."""
    position, finish, previous, free = state
    done = int(stage_end(instance.problem, device, position, position + count, previous, finish))
    return position + count, done, device, free - {device}


def why_not_stages(instance: Instance) -> str | None:
    """Why stages cannot be chosen one by one; None where they can."""
    if instance.n_devices > MOST_IN_SETS and not instance.equal_layers:
        return f"its layers differ, and {instance.n_devices} devices are more than the {MOST_IN_SETS} that it covers"
    return instance.why_not_placeable


def greedy(instance: Instance) -> Plan:
    """The least time a layer each time; of equal ones more layers, then the lower device."""
    state, stages = start_of(instance), []
    while state[0] < instance.n_layers:
        best = None
        for device, count in next_stages(instance, state):
            added = after(instance, state, device, count)[1] - state[1]
            if best is None or (added * best[1], -count, device) < (best[0] * count, -best[1], best[2]):
                best = added, count, device
        assert best is not None
        stages.append((best[2], best[1]))
        state = after(instance, state, best[2], best[1])
    return Plan.of(instance, stages)


# ---------------------------------------------------------------- all plans


def why_not_exhaustive(instance: Instance) -> str | None:
    """Why there are too many plans; None where there are not."""
    n_devices, n_layers = len(instance.usable), instance.n_layers
    plans = sum(perm(n_devices, n) * comb(n_layers - 1, n - 1) for n in range(1, min(n_devices, n_layers) + 1))
    if plans > MOST_PLANS:
        return f"there are up to {plans} plans; it looks at {MOST_PLANS} at most"
    return why_not_stages(instance)


def exhaustive(instance: Instance) -> Plan:
    """The best of all plans, each looked at to its end."""
    best: tuple[int, list[tuple[int, int]]] | None = None

    def search(state: State, stages: list[tuple[int, int]]) -> None:
        nonlocal best
        if state[0] == instance.n_layers:
            if best is None or state[1] < best[0]:
                best = state[1], stages
            return
        for device, count in next_stages(instance, state):
            search(after(instance, state, device, count), [*stages, (device, count)])

    search(start_of(instance), [])
    assert best is not None
    return Plan.of(instance, best[1], status="optimal", bound=best[0] / 1e9)
