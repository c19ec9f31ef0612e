"""The physics of an episode, compiled: draws, what a task takes with given resources, and the battery.

The least energy of a task is in ``least_energy.py``. Equation numbers are those of ``docs/co-inference.md``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pl_env.co_inference.least_energy import (
    BANDWIDTH,
    BITS,
    K1,
    K3,
    MAX_DEVICE_HZ,
    MAX_SERVER_HZ,
    NOISE,
    RADIO_WEIGHT,
    X0,
    Y0,
    Floats,
    computing,
    radio_energy,
)
from pl_env.compiling import compiled
from pl_env.wireless import draw_fading_power

# Columns of the tasks.
DEADLINE, WEIGHT, GAIN, HARVEST, LINK, SUN = range(6)
TASK_COLUMNS = 6

LINK_STATES = 3
STATIONARY_LINK = (0.25, 0.5, 0.25)
DRAWS_PER_TASK = 5

# Columns of the decisions: split -1 where the task is skipped, all else 0 then. Energy is weighted joules.
SPLIT, KEPT, POWER, DEVICE_HZ, SERVER_HZ, DEVICE_S, RADIO_S, SERVER_S, ENERGY, VALUE = range(10)
DECISION_COLUMNS = 10

_BISECTIONS = 80


class Draws(NamedTuple):
    """What tasks are drawn from; of ranges, the low end and the width."""

    deadline: Floats  # (2,) seconds
    weight: Floats  # (3,) the usual, the high one and its probability
    link_gain: Floats  # (3,) mean gain of each state of the link
    stay: Floats  # (2,) probability that link and sun stay as they are
    harvest: float  # joules of a task during which the sun is on


@compiled
def draw_tasks(uniforms: Floats, draws: Draws, tasks: Floats) -> None:
    """Fill the tasks, float64 (N, 6), from uniform numbers in [0, 1).

    Args:
        uniforms: float64 (5, N): deadline, weight, fading, link, sun. The chains start stationary.
        draws: What they are drawn from.
        tasks: float64 (N, 6), out.
    """
    link, sun = 0, 0
    for n in range(len(tasks)):
        if n == 0:
            link = 0 if uniforms[3, 0] < 0.25 else 1 if uniforms[3, 0] < 0.75 else 2
            sun = 1 if uniforms[4, 0] < 0.5 else 0
        else:
            link = _moved_link(link, uniforms[3, n], draws.stay[0])
            sun = sun if uniforms[4, n] < draws.stay[1] else 1 - sun
        tasks[n, DEADLINE] = draws.deadline[0] + draws.deadline[1] * uniforms[0, n]
        tasks[n, WEIGHT] = draws.weight[1] if uniforms[1, n] < draws.weight[2] else draws.weight[0]
        tasks[n, GAIN] = draws.link_gain[link] * draw_fading_power(uniforms[2, n])
        tasks[n, HARVEST] = draws.harvest * sun
        tasks[n, LINK] = link
        tasks[n, SUN] = sun


@compiled
def _moved_link(link: int, uniform: float, stay: float) -> int:
    """The next state of the link: it stays, or goes to a neighbour, from the middle to either alike."""
    if uniform < stay:
        return link
    if link != 1:
        return 1
    return 0 if uniform < stay + 0.5 * (1.0 - stay) else 2


@compiled
def quality(kept: float) -> float:
    """Q(r) = r (1 - ln r), equation (5); 0 at 0."""
    return kept * (1.0 - math.log(kept)) if kept > 0.0 else 0.0


@compiled
def next_battery(battery: float, energy: float, harvest: float, capacity: float) -> float:
    """Joules after a task: less its energy, plus what is harvested, at most the capacity."""
    return min(capacity, battery - energy + harvest)


# ---------------------------------------------------------------- resources of one task


@compiled
def use_least_energy(
    split: Floats, hardware: Floats, task: Floats, kept: float, seconds: float, decision: Floats
) -> None:
    """Fill a decision's resources from the kept fraction and the seconds on the radio that `least_energy` found."""
    gain, tau = task[GAIN], (task[DEADLINE] - seconds) / kept
    x, energy, _, _ = computing(split, tau)
    device = kept * x if split[X0] > 0.0 else 0.0
    on_radio = radio_energy(hardware, gain, split[BITS], seconds)
    _fill(split, hardware, kept, device, seconds, on_radio, task[DEADLINE] - seconds - device, decision)
    decision[ENERGY] = hardware[RADIO_WEIGHT] * on_radio + kept * energy


@compiled
def use_all_resources(
    split: Floats,
    hardware: Floats,
    task: Floats,
    kept: float,
    power: float,
    device_hz: float,
    server_hz: float,
    decision: Floats,
) -> None:
    """Fill a decision's resources as given, equations (1) to (3), whether or not limits are kept."""
    seconds = radio_seconds(split, hardware, task[GAIN], power)
    device = kept * split[X0] * hardware[MAX_DEVICE_HZ] / device_hz if split[X0] > 0.0 else 0.0
    server = kept * split[Y0] * hardware[MAX_SERVER_HZ] / server_hz if split[Y0] > 0.0 else 0.0
    _fill(split, hardware, kept, device, seconds, power * seconds, server, decision)
    decision[ENERGY] = hardware[RADIO_WEIGHT] * power * seconds
    decision[ENERGY] += split[K1] * kept**3 / device**2 if device > 0.0 else 0.0
    decision[ENERGY] += split[K3] * kept**3 / server**2 if server > 0.0 else 0.0


@compiled
def radio_seconds(split: Floats, hardware: Floats, gain: float, power: float) -> float:
    """t2 of equation (2); 0 where there is nothing to send."""
    if split[BITS] == 0.0:
        return 0.0
    nats = math.log1p(power * gain / hardware[NOISE])
    return float(split[BITS] * math.log(2.0) / (hardware[BANDWIDTH] * nats))


@compiled
def use_resources(
    split: Floats,
    hardware: Floats,
    task: Floats,
    asked: float,
    power: float,
    hertz: float,
    available: float,
    decision: Floats,
) -> float:
    """Fill a decision's resources where power and the device's frequency are given.

    The server is as slow as the deadline allows; where it has nothing to do, the device is as fast as the deadline
    needs. The kept fraction falls to what time and energy allow.

    Args:
        split: float64 (7,).
        hardware: float64 (6,).
        task: float64 (6,).
        asked: Kept fraction r that is asked for.
        power: Transmit power p in watts, above 0.
        hertz: The device's frequency f, above 0.
        available: Weighted joules that may be spent.
        decision: float64 (10,), out.

    Returns:
        The kept fraction; 0 where the radio alone takes too long or too much, and the decision is not filled then.
    """
    seconds = radio_seconds(split, hardware, task[GAIN], power)
    left, on_radio = task[DEADLINE] - seconds, power * seconds
    x = split[X0] * hardware[MAX_DEVICE_HZ] / hertz
    alone = split[Y0] == 0.0
    needed = split[X0] if alone else x + split[Y0]
    kept = min(asked, left / needed) if needed > 0.0 else asked
    if not (left >= 0.0 and kept > 0.0 and hardware[RADIO_WEIGHT] * on_radio <= available):
        return 0.0
    if _energy_with(split, hardware, kept, x, left, on_radio) > available:
        low, high = 0.0, kept
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if not low < middle < high:
                break
            if _energy_with(split, hardware, middle, x, left, on_radio) <= available:
                low = middle
            else:
                high = middle
        kept = low
    if kept > 0.0:
        device = min(left, kept * x) if alone else kept * x
        _fill(split, hardware, kept, device, seconds, on_radio, left - device, decision)
        decision[ENERGY] = _energy_with(split, hardware, kept, x, left, on_radio)
    return kept


@compiled
def _energy_with(split: Floats, hardware: Floats, kept: float, x: float, left: float, on_radio: float) -> float:
    """Weighted joules of a kept fraction where the device takes x seconds at r = 1, or fewer if it is alone."""
    energy = hardware[RADIO_WEIGHT] * on_radio
    device = min(left, kept * x) if split[Y0] == 0.0 else kept * x
    if split[X0] > 0.0:
        energy += split[K1] * kept**3 / device**2
    if split[Y0] > 0.0:
        energy += split[K3] * kept**3 / (left - device) ** 2
    return float(energy)


@compiled
def _fill(
    split: Floats,
    hardware: Floats,
    kept: float,
    device: float,
    seconds: float,
    on_radio: float,
    server: float,
    decision: Floats,
) -> None:
    """Times, and the frequencies and the power that they imply; 0 for stages with nothing to do."""
    decision[KEPT] = kept
    decision[RADIO_S] = seconds
    decision[POWER] = on_radio / seconds if split[BITS] > 0.0 else 0.0
    decision[DEVICE_S] = device if split[X0] > 0.0 else 0.0
    decision[DEVICE_HZ] = hardware[MAX_DEVICE_HZ] * kept * split[X0] / device if split[X0] > 0.0 else 0.0
    decision[SERVER_S] = server if split[Y0] > 0.0 else 0.0
    decision[SERVER_HZ] = hardware[MAX_SERVER_HZ] * kept * split[Y0] / server if split[Y0] > 0.0 else 0.0
