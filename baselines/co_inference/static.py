"""One task: the largest kept fraction within a deadline and an energy limit. The optimum, and the paper's benchmarks.

At a fixed split the problem is convex (``docs/co-inference.md``), so `largest_fraction` is its optimum, and the largest
over the splits is the global one. A plan that skips the task is what fails: its distortion counts as 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pl_env.co_inference.dynamics import radio_seconds
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.least_energy import (
    BITS,
    K1,
    K3,
    MAX_POWER,
    RADIO_WEIGHT,
    X0,
    Y0,
    computing,
    largest_fraction,
)
from pl_env.co_inference.plan import Plan
from pl_env.ranges import require_integer
from pl_env.seeds import RANDOM_POLICY_STREAM

Floats = NDArray[np.float64]

POWERS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Fractions of the highest power that `max_frequency` tries."""

_DRAWS = 400
_BISECTIONS = 100


def optimal(instance: Instance) -> Plan:
    """The global optimum: the largest fraction over all useful splits."""
    plan = _best(instance, instance.useful_splits)
    return replace(plan, status="optimal", bound=plan.objective)


def on_server(instance: Instance) -> Plan:
    """Everything on the server."""
    return _best(instance, [0])


def on_device(instance: Instance) -> Plan:
    """Everything on the device."""
    return _best(instance, [instance.model.n_splits - 1])


def fixed_split(instance: Instance, *, split: int = 1) -> Plan:
    """The optimum at one split.

    Args:
        instance: The instance.
        split: Blocks that the device runs.

    Raises:
        InvalidValue: The model has no such split.
    """
    require_integer("split", split, 0, instance.model.n_splits - 1)
    return _best(instance, [split])


def no_pruning(instance: Instance) -> Plan:
    """The whole model, or nothing."""
    plan = optimal(instance)
    return Plan.from_fractions(instance, [1.0]) if plan.kept[0] == 1.0 else skipped(instance)


def max_frequency(instance: Instance) -> Plan:
    """Device and server at their highest frequencies, the best of a few powers and of the splits, equation (10)."""
    best, found = 0.0, skipped(instance)
    hardware, task = instance.tables.hardware, instance.tasks[0]
    for row, split in zip(instance.tables.splits, instance.useful_splits, strict=True):
        computing_seconds = float(row[X0] + row[Y0])
        joules = sum(row[k] / row[x] ** 2 for k, x in ((K1, X0), (K3, Y0)) if row[x] > 0)
        for fraction in POWERS:
            power = fraction * instance.hardware.max_power_w
            seconds = radio_seconds(row, hardware, float(instance.gain[0]), power)
            left = instance.battery_j - hardware[RADIO_WEIGHT] * power * seconds
            kept = min(1.0, (task[0] - seconds) / computing_seconds, left / joules if joules > 0 else math.inf)
            if kept > best:
                best = kept
                limits = instance.hardware.max_device_hz, instance.hardware.max_server_hz
                found = Plan.from_resources(instance, int(split), kept, power, *limits)
    return or_skipped(instance, found)


def max_power(instance: Instance) -> Plan:
    """The highest power, the rest as is best; the best split."""
    hardware = instance.tables.hardware
    best, found = 0.0, skipped(instance)
    for row, split in zip(instance.tables.splits, instance.useful_splits, strict=True):
        seconds = radio_seconds(row, hardware, float(instance.gain[0]), float(hardware[MAX_POWER]))
        radio_joules = float(hardware[RADIO_WEIGHT] * hardware[MAX_POWER]) * seconds
        left, energy = float(instance.deadline[0]) - seconds, instance.battery_j - radio_joules
        kept = _largest(partial(_computing_energy, row, left), energy, _time_limit(row, left))
        if kept > best:
            best = kept
            x = computing(row, left / kept)[0]
            device, server = kept * x, left - kept * x
            found = _at_times(instance, row, int(split), kept, float(hardware[MAX_POWER]), device, server)
    return or_skipped(instance, found)


def equal_time(instance: Instance) -> Plan:
    """A third of the deadline for each stage, whether or not there is something to do; the best split."""
    third = float(instance.deadline[0]) / 3
    hardware, best, found = instance.tables.hardware, 0.0, skipped(instance)
    for row, split in zip(instance.tables.splits, instance.useful_splits, strict=True):
        power = _power_for(instance, float(row[BITS]), third)
        energy = instance.battery_j - float(hardware[RADIO_WEIGHT]) * power * third * float(row[BITS] > 0)
        cubed = float(row[K1] + row[K3]) / third**2
        kept = min(1.0, *(third / float(seconds) for seconds in (row[X0], row[Y0]) if seconds > 0))
        if power <= hardware[MAX_POWER] and energy >= 0:
            kept = min(kept, math.cbrt(energy / cubed) if cubed > 0 else 1.0)
            if kept > best:
                best = kept
                found = _at_times(instance, row, int(split), kept, power, third, third)
    return or_skipped(instance, found)


def random_draws(instance: Instance, *, seed: int = 0) -> Plan:
    """A random split that sends something, and the mean fraction of the feasible of 400 uniform (r, p, f, f~).

    The mean is attained with least energy: it is at most the largest fraction of the split.

    Args:
        instance: The instance.
        seed: Seed; the instance's own numbers are part of it.
    """
    rng = generator_of(instance, seed)
    sending = [int(split) for split in instance.useful_splits if instance.model.embedding_bits[split] > 0]
    split = int(rng.choice(sending or [instance.model.n_splits - 1]))
    row = instance.tables_at(np.array([split])).splits[0]
    hardware = instance.hardware
    kept, power, device, server = rng.random((4, _DRAWS))
    noise = hardware.bandwidth_hz * hardware.noise_w_per_hz
    nats = np.log1p(power * hardware.max_power_w * instance.gain[0] / noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = row[BITS] * math.log(2) / (hardware.bandwidth_hz * nats) if row[BITS] > 0 else np.zeros(_DRAWS)
        times = kept * row[X0] / device + seconds + kept * row[Y0] / server
        energy = hardware.device_weight * power * hardware.max_power_w * seconds
    for k, x, speed in ((K1, X0, device), (K3, Y0, server)):
        energy = energy + (kept * row[k] * (speed / row[x]) ** 2 if row[x] > 0 else 0.0)
    feasible = kept[(times <= instance.deadline[0]) & (energy <= instance.battery_j)]
    if len(feasible) == 0:
        return skipped(instance)
    return or_skipped(instance, Plan.from_fractions(instance, [feasible.mean()], [split]))


# ---------------------------------------------------------------- parts


def generator_of(instance: Instance, seed: int) -> np.random.Generator:
    """A generator of an instance's own, so that different instances see different draws."""
    return np.random.default_rng((RANDOM_POLICY_STREAM, seed, int(instance.content_hash()[:12], 16)))


def _best(instance: Instance, splits: Iterable[int] | NDArray[np.int64]) -> Plan:
    """The largest fraction over some splits."""
    splits = np.array(list(splits))
    tables = instance.tables_at(splits)
    numbers = float(instance.gain[0]), float(instance.deadline[0]), instance.battery_j
    kept = [largest_fraction(row, tables.hardware, *numbers) for row in tables.splits]
    best = int(np.argmax(kept))
    if kept[best] < instance.levels[0]:
        return skipped(instance)
    return Plan.from_fractions(instance, [kept[best]], [splits[best]])


def skipped(instance: Instance) -> Plan:
    """The plan that skips the task."""
    return Plan.from_fractions(instance, [0.0])


def or_skipped(instance: Instance, plan: Plan) -> Plan:
    """The plan, unless it keeps less than the instance allows."""
    return plan if plan.kept[0] >= instance.levels[0] else skipped(instance)


def _time_limit(row: Floats, left: float) -> float:
    """Largest fraction that device and server compute in the time left at their highest frequencies."""
    return min(1.0, left / float(row[X0] + row[Y0])) if row[X0] + row[Y0] > 0 else 1.0


def _computing_energy(row: Floats, left: float, kept: float) -> float:
    """Weighted joules of device and server at a kept fraction, in the time left."""
    return float(kept * computing(row, left / kept)[1])


def _largest(energy_of: Callable[[float], float], energy: float, high: float) -> float:
    """Largest fraction of an increasing energy within a limit, by bisection; 0 where there is none."""
    if high <= 0 or energy < 0:
        return 0.0
    if energy_of(high) <= energy:
        return high
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        low, high = (middle, high) if energy_of(middle) <= energy else (low, middle)
    return low


def _power_for(instance: Instance, bits: float, seconds: float) -> float:
    """Watts that send so many bits in so many seconds."""
    if bits == 0:
        return 0.0
    exponent = bits * math.log(2) / (instance.hardware.bandwidth_hz * seconds)
    noise = instance.hardware.bandwidth_hz * instance.hardware.noise_w_per_hz
    gain = float(instance.gain[0])
    return noise / gain * math.expm1(exponent) if gain > 0 and exponent < 700 else math.inf


def _at_times(
    instance: Instance, row: Floats, split: int, kept: float, power: float, device: float, server: float
) -> Plan:
    """The plan with a power and computing times."""
    hardware = instance.hardware
    device_hz = hardware.max_device_hz * kept * float(row[X0]) / device if row[X0] > 0 else 0.0
    server_hz = hardware.max_server_hz * kept * float(row[Y0]) / server if row[Y0] > 0 else 0.0
    return Plan.from_resources(instance, split, kept, power, device_hz, server_hz)
