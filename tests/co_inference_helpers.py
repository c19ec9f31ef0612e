"""Co-inference: tiny random instances, and brute force in plain Python that shares no code with the library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from pl_env.co_inference import Hardware, Instance, Outlook, SplitTable
from pl_env.co_inference.battery_env import BatteryEnv
from pl_env.co_inference.environments import environment
from pl_env.co_inference.scenario import Scenario

SMALL = SplitTable("small", (0.0, 2e10, 5e10, 2e11), (8e6, 3e6, 5e5, 0.0))


def random_instance(rng: np.random.Generator, *, n_tasks: int | None = None, continuous: bool = False) -> Instance:
    """Up to four tasks on a small model, levels or any fraction, with and without harvest."""
    n = int(rng.integers(0, 5)) if n_tasks is None else n_tasks
    capacity = float(rng.uniform(0.02, 0.5) if continuous else rng.uniform(0.2, 1.0))
    harvests = rng.random() < 0.5
    sun = rng.integers(0, 2, size=n)
    harvest = 0.3 * sun * harvests
    weight = rng.choice([1.0, 5.0], size=n)
    return Instance(
        model=SMALL,
        hardware=Hardware(),
        outlook=Outlook(deadline=(1.0, 4.0), harvest_j=0.3 * harvests),
        deadline=rng.uniform(1.0, 4.0, size=n),
        weight=weight,
        gain=rng.choice([1e-11, 5e-13, 5e-14], size=n) * rng.exponential(size=n),
        harvest=harvest,
        link=rng.integers(0, 3, size=n),
        sun=sun,
        battery_j=float(rng.uniform(0.0, 1.0)) * capacity,
        capacity_j=capacity,
        levels=np.array([1e-3, 1.0]) if continuous else np.array([0.5, 0.75, 1.0]),
        continuous=continuous,
        value_scale=max(1.0, float(weight.sum())),
    )


def scenario_for(given: Instance) -> Scenario:
    """A scenario whose environment can replay the instance."""
    return Scenario(
        n_tasks=max(1, given.n_tasks),
        model=given.model,
        least_kept=float(given.levels[0]),
        n_levels=given.n_levels,
        continuous=given.continuous,
    )


def env_for(given: Instance, **arguments) -> BatteryEnv:
    """An environment that can replay the instance."""
    return environment(scenario_for(given), **arguments)


# ---------------------------------------------------------------- brute force


def energy_of_times(given: Instance, task: int, split: int, kept: float, t1: float, t2: float, t3: float) -> float:
    """Weighted joules of three times, equations (1) to (3); infinite where a limit is broken."""
    hardware, model = given.hardware, given.model
    total = 0.0
    for seconds, flop, per_cycle, coefficient, most, weight in (
        (t1, model.device_flop[split], hardware.device_flop_per_cycle, hardware.device_coefficient,
         hardware.max_device_hz, hardware.device_weight),
        (t3, model.total_flop - model.device_flop[split], hardware.server_flop_per_cycle,
         hardware.server_coefficient, hardware.max_server_hz, hardware.server_weight),
    ):  # fmt: skip
        if flop > 0:
            if seconds <= 0:
                return math.inf
            frequency = kept * flop / per_cycle / seconds
            if frequency > most * (1 + 1e-12):
                return math.inf
            total += weight * coefficient * kept * flop / per_cycle * frequency**2
    bits = model.embedding_bits[split]
    if bits > 0:
        exponent = bits / (hardware.bandwidth_hz * t2) if t2 > 0 else math.inf
        if exponent > 900:
            return math.inf
        noise = hardware.bandwidth_hz * hardware.noise_w_per_hz
        power = noise / float(given.gain[task]) * (2**exponent - 1)
        if power > hardware.max_power_w * (1 + 1e-12):
            return math.inf
        total += hardware.device_weight * power * t2
    return total


_GOLDEN = (math.sqrt(5) - 1) / 2


def least_of(function, low: float, high: float, steps: int = 42) -> float:
    """The least value of a convex function on an interval, by golden sections; infinite values at the ends are fine."""
    if high < low:
        return math.inf
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    best = min(function(low), function(high), at_a, at_b)
    for _ in range(steps):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = function(b)
        best = min(best, at_a, at_b)
    return best


def least_energy(given: Instance, task: int, split: int, kept: float) -> float:
    """Least weighted joules, by golden sections in the times within their limits."""
    hardware, model, deadline = given.hardware, given.model, float(given.deadline[task])
    gain = float(given.gain[task])
    x0 = model.device_flop[split] / hardware.device_flop_per_cycle / hardware.max_device_hz
    y0 = (model.total_flop - model.device_flop[split]) / hardware.server_flop_per_cycle / hardware.max_server_hz
    bits = model.embedding_bits[split]
    shortest = 0.0
    if bits > 0:
        snr = hardware.max_power_w * gain / (hardware.bandwidth_hz * hardware.noise_w_per_hz)
        shortest = bits * math.log(2) / (hardware.bandwidth_hz * math.log1p(snr)) * (1 + 1e-13)
    edge = 1 + 1e-13

    def with_radio(t2: float) -> float:
        left = deadline - t2
        if x0 == 0:
            return energy_of_times(given, task, split, kept, 0.0, t2, left)
        if y0 == 0:
            return energy_of_times(given, task, split, kept, left, t2, 0.0)
        low, high = kept * x0 * edge, left - kept * y0 * edge
        return least_of(lambda t1: energy_of_times(given, task, split, kept, t1, t2, left - t1), low, high)

    if bits == 0:
        return with_radio(0.0)
    return least_of(with_radio, shortest, deadline - kept * (x0 + y0) * edge)


def largest_fraction(given: Instance, task: int, split: int, energy: float, at_least: float = 0.0) -> float:
    """Largest kept fraction within an energy, by bisection; the least that is asked for where it is less."""
    if least_energy(given, task, split, 1.0) <= energy:
        return 1.0
    if at_least > 0 and least_energy(given, task, split, at_least) > energy:
        return at_least
    low, high = at_least, 1.0
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if least_energy(given, task, split, middle) <= energy else (low, middle)
    return low


def quality(kept: float) -> float:
    return kept * (1 - math.log(kept)) if kept > 0 else 0.0


def schedules(given: Instance) -> Iterator[tuple[int, ...]]:
    """All choices of levels, -1 for skipped."""
    return itertools.product(range(-1, given.n_levels), repeat=given.n_tasks)


def brute_force(given: Instance) -> float:
    """The best objective: all schedules of levels; or the largest fraction of one task over the splits."""
    splits = range(given.model.n_splits)
    if given.continuous:
        assert given.n_tasks <= 1
        if given.n_tasks == 0:
            return 0.0
        kept = 0.0
        for split in splits:
            kept = largest_fraction(given, 0, split, given.battery_j, kept)
        return float(given.weight[0]) * quality(kept) / given.value_scale if kept >= given.levels[0] else 0.0
    costs = [
        [min(least_energy(given, task, split, float(level)) for split in splits) for level in given.levels]
        for task in range(given.n_tasks)
    ]
    best = 0.0
    for schedule in schedules(given):
        battery, value = given.battery_j, 0.0
        for task, level in enumerate(schedule):
            cost = costs[task][level] if level >= 0 else 0.0
            if cost > battery:
                break
            battery = min(given.capacity_j, battery - cost + float(given.harvest[task]))
            value += float(given.weight[task]) * quality(float(given.levels[level])) if level >= 0 else 0.0
        else:
            best = max(best, value)
    return best / given.value_scale
