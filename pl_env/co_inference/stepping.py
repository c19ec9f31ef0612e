"""The environments' step, compiled: decide on a task, let the battery charge, look at the next task."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.co_inference.dynamics import (
    DEADLINE,
    ENERGY,
    GAIN,
    HARVEST,
    LINK,
    SPLIT,
    SUN,
    VALUE,
    WEIGHT,
    next_battery,
    quality,
    use_least_energy,
    use_resources,
)
from pl_env.co_inference.least_energy import (
    BITS,
    Floats,
    Ints,
    Tables,
    fill_menu,
    least_energy,
    shortest_radio,
)
from pl_env.compiling import compiled

# Entries of the state. TASK is the one to decide on, N after the last; WASTED is what overflowed with the last task.
TASK, BATTERY, SERVED, QUALITY, WASTED = range(5)
STATE_ENTRIES = 5

# Entries of the limits.
CAPACITY, VALUE_SCALE, LOW_DEADLINE, DEADLINE_WIDTH, HIGH_WEIGHT = range(5)

# Places in the observation.
SEEN_BATTERY, SEEN_LEFT, SEEN_LINK, SEEN_SUN, SEEN_DEADLINE, SEEN_GAIN, SEEN_WEIGHT, SEEN_ENERGY = (
    0,
    1,
    2,
    5,
    7,
    8,
    9,
    10,
)

LOWEST_GAIN_DB, GAIN_RANGE_DB = -150.0, 50.0


class Episode(NamedTuple):
    """What a step reads and writes (N tasks, K levels)."""

    tables: Tables
    numbers: Ints  # (S',) which split each row of the tables is
    limits: Floats  # (5,)
    tasks: Floats  # (N, 6)
    state: Floats  # (5,)
    costs: Floats  # (K,) least energy of the present task at each level
    splits: Ints  # (K,) and the row of its split
    decisions: Floats  # (N, 10)
    observation: NDArray[np.float32]  # (10 + K,)
    mask: NDArray[np.int8]  # (1 + K,)


@compiled
def begin(e: Episode, battery: float) -> None:
    """Start an episode."""
    e.state[:] = 0.0
    e.state[BATTERY] = battery
    e.decisions[:] = 0.0
    e.decisions[:, SPLIT] = -1.0
    _look(e)


@compiled
def decide(e: Episode, action: int) -> bool:
    """Skip the present task, action 0, or serve it at level ``action - 1``; then on to the next.

    Returns:
        Whether the action was legal; if not, nothing has changed.
    """
    task = int(e.state[TASK])
    if task >= len(e.tasks) or not e.mask[action]:
        return False
    if action > 0:
        kept, row = e.tables.levels[action - 1], e.splits[action - 1]
        split, hardware, gain = e.tables.splits[row], e.tables.hardware, e.tasks[task, GAIN]
        least_seconds = shortest_radio(hardware, gain) * split[BITS] if split[BITS] > 0.0 else 0.0
        _, seconds = least_energy(split, hardware, gain, least_seconds, e.tasks[task, DEADLINE], kept, 0.0)
        use_least_energy(split, hardware, e.tasks[task], kept, seconds, e.decisions[task])
        e.decisions[task, ENERGY] = e.costs[action - 1]
        _serve(e, task, kept, row)
    _go_on(e, task)
    return True


@compiled
def decide_freely(e: Episode, row: int, asked: float, power: float, hertz: float) -> bool:
    """Serve the present task with given resources, or skip it where that leaves too little; then on to the next.

    Args:
        e: The episode.
        row: Row of the split.
        asked: Kept fraction that is asked for; 0 skips.
        power: Transmit power in watts.
        hertz: The device's frequency.

    Returns:
        False where there is no task left, and nothing has changed.
    """
    task = int(e.state[TASK])
    if task >= len(e.tasks):
        return False
    if asked > 0.0:
        decision, tables = e.decisions[task], e.tables
        kept = use_resources(
            tables.splits[row], tables.hardware, e.tasks[task], asked, power, hertz, e.state[BATTERY], decision
        )
        if kept >= tables.levels[0]:
            _serve(e, task, kept, row)
        else:
            decision[:] = 0.0
            decision[SPLIT] = -1.0
    _go_on(e, task)
    return True


@compiled
def _serve(e: Episode, task: int, kept: float, row: int) -> None:
    e.decisions[task, SPLIT] = e.numbers[row]
    e.decisions[task, VALUE] = e.tasks[task, WEIGHT] * quality(kept) / e.limits[VALUE_SCALE]
    e.state[SERVED] += 1.0
    e.state[QUALITY] += quality(kept)


@compiled
def _go_on(e: Episode, task: int) -> None:
    """Pay for a task and harvest."""
    before, energy, harvest = e.state[BATTERY], e.decisions[task, ENERGY], e.tasks[task, HARVEST]
    e.state[BATTERY] = next_battery(before, energy, harvest, e.limits[CAPACITY])
    e.state[WASTED] = max(0.0, before - energy + harvest - e.limits[CAPACITY])
    e.state[TASK] = task + 1
    _look(e)


@compiled
def _look(e: Episode) -> None:
    """Find the present task's menu and observe."""
    task, n_tasks, battery = int(e.state[TASK]), len(e.tasks), e.state[BATTERY]
    seen, capacity = e.observation, e.limits[CAPACITY]
    seen[:] = 0.0
    seen[SEEN_BATTERY] = battery / capacity if capacity > 0.0 else 0.0
    if task >= n_tasks:
        e.mask[:] = 1
        return
    now = e.tasks[task]
    seen[SEEN_LEFT] = (n_tasks - task) / n_tasks
    seen[SEEN_LINK + int(now[LINK])] = 1.0
    seen[SEEN_SUN + int(now[SUN])] = 1.0
    if e.limits[DEADLINE_WIDTH] > 0.0:
        seen[SEEN_DEADLINE] = _clipped((now[DEADLINE] - e.limits[LOW_DEADLINE]) / e.limits[DEADLINE_WIDTH])
    if now[GAIN] > 0.0:
        seen[SEEN_GAIN] = _clipped((10.0 * math.log10(now[GAIN]) - LOWEST_GAIN_DB) / GAIN_RANGE_DB)
    seen[SEEN_WEIGHT] = _clipped(now[WEIGHT] / e.limits[HIGH_WEIGHT])
    fill_menu(e.tables, now[GAIN], now[DEADLINE], e.costs, e.splits)
    e.mask[0] = 1
    for k in range(len(e.costs)):
        e.mask[1 + k] = e.costs[k] <= battery
        seen[SEEN_ENERGY + k] = min(1.0, e.costs[k] / capacity) if capacity > 0.0 else 1.0


@compiled
def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))
