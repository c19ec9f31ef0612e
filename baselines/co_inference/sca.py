"""Successive convex approximation in the authors' style: at each split, convex problems around the last solution.

Around a point (r', f', p', f~') products are bounded from above by the inequality of arithmetic and geometric means,

    r/f <= (a r² + 1/(a f²)) / 2,   a = 1/(r' f');      r f² <= (b r² + f⁴/b) / 2,   b = f'²/r',              (11)

likewise for the server, and the radio's energy, concave in p, by its tangent at p'. What the bounds allow, the problem
allows, so every solution is feasible and none is worse than the one before. Each convex problem is solved by bisection
on r; for a given r, on the price of time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from baselines.co_inference.static import or_skipped, skipped
from pl_env.co_inference.dynamics import radio_seconds
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.least_energy import (
    BANDWIDTH,
    BITS,
    K1,
    K3,
    MAX_POWER,
    NOISE,
    RADIO_WEIGHT,
    X0,
    Y0,
)
from pl_env.co_inference.plan import Plan
from pl_env.compiling import compiled

Floats = NDArray[np.float64]

# A point: kept fraction, frequency of device and server and power as fractions of their limits.
_KEPT, _DEVICE, _SERVER, _POWER = range(4)

_BISECTIONS = 60
_CLOSE = 1e-10


def sca(instance: Instance, *, iterations: int = 60, seed: int = 0) -> Plan:
    """The best of all useful splits, each from one start.

    Args:
        instance: The instance.
        iterations: Convex problems for a split, at most.
        seed: 0 starts in the middle of what is feasible, others at random.
    """
    rng = np.random.default_rng(seed) if seed else None
    best, found = 0.0, skipped(instance)
    for row, split in zip(instance.tables.splits, instance.useful_splits, strict=True):
        point = _start(instance, row, rng)
        if point is None:
            continue
        point = _iterate(instance, row, point, iterations)
        if point[_KEPT] > best:
            best = float(point[_KEPT])
            hardware = instance.hardware
            found = Plan.from_resources(
                instance,
                int(split),
                best,
                float(point[_POWER]) * hardware.max_power_w,
                float(point[_DEVICE]) * hardware.max_device_hz,
                float(point[_SERVER]) * hardware.max_server_hz,
            )
    return or_skipped(instance, found)


def _start(instance: Instance, row: Floats, rng: np.random.Generator | None) -> Floats | None:
    """A feasible point; None where the radio alone takes too long or too much."""
    power, device, server, kept = rng.random(4) if rng else (0.5, 1.0, 1.0, 0.5)
    hardware, gain = instance.tables.hardware, float(instance.gain[0])
    deadline, energy = float(instance.deadline[0]), instance.battery_j
    highest, weight = float(hardware[MAX_POWER]), float(hardware[RADIO_WEIGHT])
    seconds, watts = 0.0, 0.0
    if row[BITS] > 0:
        fractions = np.geomspace(1e-9, 1.0, 600)
        times = np.array([radio_seconds(row, hardware, gain, highest * each) for each in fractions])
        feasible = fractions[(times < deadline) & (weight * highest * fractions * times < energy)]
        if len(feasible) == 0:
            return None
        watts = float(feasible[int(power * len(feasible))])
        seconds = radio_seconds(row, hardware, gain, highest * watts)
    device, server = max(device, 0.05), max(server, 0.05)
    time = float(row[X0] / device + row[Y0] / server)
    joules = sum(
        float(row[k] * (speed / row[x]) ** 2) for k, x, speed in ((K1, X0, device), (K3, Y0, server)) if row[x] > 0
    )
    left = energy - weight * highest * watts * seconds
    most = min(1.0, (deadline - seconds) / time, left / joules if joules > 0 else 1.0)
    return np.array([most * max(kept, 0.01), device, server, watts])


def _iterate(instance: Instance, row: Floats, point: Floats, iterations: int) -> Floats:
    """Convex problems until the fraction moves no more."""
    numbers = float(instance.gain[0]), float(instance.deadline[0]), instance.battery_j
    for _ in range(iterations):
        new = _solve_convex(row, instance.tables.hardware, *numbers, point)
        moved = new[_KEPT] - point[_KEPT]
        if moved <= 0:
            break
        point = new
        if moved <= _CLOSE * point[_KEPT]:
            break
    return point


@compiled
def _solve_convex(row: Floats, hardware: Floats, gain: float, deadline: float, energy: float, near: Floats) -> Floats:
    """The convex problem around a point, to the last feasible fraction of a bisection."""
    best = near.copy()
    low, high = near[_KEPT], 1.0
    point = near.copy()
    point[_KEPT] = 1.0
    if _spend_least(row, hardware, gain, deadline, near, point) <= energy:
        return point
    for _ in range(_BISECTIONS):
        point[_KEPT] = 0.5 * (low + high)
        if _spend_least(row, hardware, gain, deadline, near, point) <= energy:
            low = point[_KEPT]
            best[:] = point
        else:
            high = point[_KEPT]
    return best


@compiled
def _spend_least(row: Floats, hardware: Floats, gain: float, deadline: float, near: Floats, point: Floats) -> float:
    """Fill the point of least bounded energy whose bounded time is within the deadline, at its kept fraction.

    Returns:
        Its bounded energy; infinite where nothing is within the deadline.
    """
    if _respond(row, hardware, gain, near, point, math.inf)[0] > deadline:
        return math.inf
    low, high = -60.0, 60.0  # natural logarithm of the price of time
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _respond(row, hardware, gain, near, point, math.exp(middle))[0] <= deadline:
            high = middle
        else:
            low = middle
    time, energy = _respond(row, hardware, gain, near, point, math.exp(high))
    if time > deadline:
        return math.inf
    return energy


@compiled
def _respond(
    row: Floats, hardware: Floats, gain: float, near: Floats, point: Floats, price: float
) -> tuple[float, float]:
    """Fill frequencies and power that are best at a price of time in joules a second.

    Returns:
        Bounded time and bounded energy.
    """
    kept, time, energy = point[_KEPT], 0.0, 0.0
    for k, x, place in ((K1, X0, _DEVICE), (K3, Y0, _SERVER)):
        if row[x] == 0.0:
            continue
        a, b = 1.0 / (near[_KEPT] * near[place]), near[place] ** 2 / near[_KEPT]
        rate = row[k] / row[x] ** 2  # joules at r = 1 and full speed
        speed = 1.0
        if price < math.inf and rate > 0.0:
            speed = min(1.0, (price * row[x] * b / (2.0 * rate * a)) ** (1.0 / 6.0))
        point[place] = speed
        time += row[x] * 0.5 * (a * kept**2 + 1.0 / (a * speed**2))
        energy += rate * 0.5 * (b * kept**2 + speed**4 / b)
    if row[BITS] > 0.0:
        scale = row[BITS] * math.log(2.0) / hardware[BANDWIDTH]
        highest = hardware[MAX_POWER]
        snr = highest * gain / hardware[NOISE]  # at full power
        nats = math.log1p(snr * near[_POWER])
        at, slope = near[_POWER] / nats, (nats - near[_POWER] * snr / (1.0 + snr * near[_POWER])) / nats**2
        cost = hardware[RADIO_WEIGHT] * highest * scale  # joules of power / nats
        power = 1.0
        if price < math.inf and cost * slope > 0.0:
            power = min(1.0, _power_at(price * snr / (cost * slope) * scale, snr))
        point[_POWER] = power
        time += scale / math.log1p(snr * power)
        energy += cost * (at + slope * (power - near[_POWER]))
    return time, energy


@compiled
def _power_at(target: float, snr: float) -> float:
    """The power, as a fraction of the highest, at which e^y y² is the target, y = ln(1 + snr · power)."""
    y, goal = 1.0, math.log(target)
    if goal < 0.0:
        y = math.exp(0.5 * goal)
    for _ in range(60):
        step = (y + 2.0 * math.log(y) - goal) / (1.0 + 2.0 / y)
        new = y - step
        y = new if new > 0.0 else 0.5 * y
        if abs(step) <= 1e-13 * y:
            break
    return math.expm1(y) / snr
