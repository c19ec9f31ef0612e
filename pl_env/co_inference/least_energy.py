"""The static problem at a fixed split, compiled: the least energy of a kept fraction, and the reverse.

Equation numbers are those of ``docs/co-inference.md``. At a fixed split the problem is convex, equations (6) and (7);
of its four variables one dimension is left, the seconds on the radio, equation (9).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of the splits. At r = 1: x0, y0 are the seconds of device and server at their highest frequencies; k1 / t1²
# and k3 / t3² the energies of computing for t1 and t3 seconds, in weighted joules; q1, q3 the cube roots of k1, k3.
X0, Y0, K1, K3, Q1, Q3, BITS = range(7)
SPLIT_COLUMNS = 7

# Entries of the hardware.
BANDWIDTH, NOISE, MAX_POWER, RADIO_WEIGHT, MAX_DEVICE_HZ, MAX_SERVER_HZ = range(6)
HARDWARE_ENTRIES = 6

_NEWTON_STEPS, _BISECTIONS = 60, 80
_CLOSE = 1e-7
"""Newton's relative step after which the next one would be below rounding."""


class Tables(NamedTuple):
    """What all tasks of an instance have in common (S' splits, K levels)."""

    splits: Floats  # (S', 7)
    hardware: Floats  # (6,) B in Hz, N0 B in W, p_max in W, w_d, f_max and f~_max in Hz
    levels: Floats  # (K,) kept fractions, ascending


@inlined
def computing(split: Floats, tau: float) -> tuple[float, float, float, float]:
    """Divide tau seconds, at r = 1, between device and server, equation (8).

    The clamps must not fire by rounding: y < y0 only counts where the device's time costs energy, x < x0 only where the
    server's does.

    Returns:
        x, and eps with its first and second derivative.
    """
    k1, k3, q = split[K1], split[K3], split[Q1] + split[Q3]
    if q == 0.0:
        return split[X0], 0.0, 0.0, 0.0
    x = tau * (split[Q1] / q)
    y = tau - x
    if k3 > 0.0 and x < split[X0]:
        x = split[X0]
        y = tau - x
        rest = k3 / (y * y)
        return x, (k1 / (x * x) if k1 > 0.0 else 0.0) + rest, -2.0 * rest / y, 6.0 * rest / (y * y)
    if k1 > 0.0 and y < split[Y0]:
        x = tau - split[Y0]
        rest = k1 / (x * x)
        return x, rest + (k3 / (split[Y0] * split[Y0]) if k3 > 0.0 else 0.0), -2.0 * rest / x, 6.0 * rest / (x * x)
    energy = q * q * q / (tau * tau)
    return x, energy, -2.0 * energy / tau, 6.0 * energy / (tau * tau)


@compiled
def shortest_radio(hardware: Floats, gain: float) -> float:
    """Seconds that a bit takes at full power: ln 2 / (B ln(1 + p_max g / (B N0)))."""
    return float(math.log(2.0) / (hardware[BANDWIDTH] * math.log1p(hardware[MAX_POWER] * gain / hardware[NOISE])))


@inlined
def radio_energy(hardware: Floats, gain: float, bits: float, seconds: float) -> float:
    """e2(t) of equation (6) in joules, not weighted."""
    if bits == 0.0:
        return 0.0
    exponent = bits * math.log(2.0) / (hardware[BANDWIDTH] * seconds)
    return float(seconds * (hardware[NOISE] / gain) * math.expm1(exponent))


@compiled
def least_energy(
    split: Floats, hardware: Floats, gain: float, least_seconds: float, deadline: float, kept: float, guess: float
) -> tuple[float, float]:
    """Emin(r) of a split, equation (9), by a safeguarded Newton iteration on the seconds on the radio.

    Args:
        split: float64 (7,).
        hardware: float64 (6,).
        gain: Channel power gain g.
        least_seconds: t2min, on the radio.
        deadline: T in seconds.
        kept: Kept fraction r, above 0.
        guess: Seconds on the radio to start from; 0 for none.

    Returns:
        Weighted joules, infinite where the deadline is too short; seconds on the radio.
    """
    low, high = least_seconds, deadline - kept * (split[X0] + split[Y0])
    if not low <= high:
        return math.inf, 0.0
    if split[BITS] == 0.0:
        return kept * computing(split, deadline / kept)[1], 0.0
    weight, scale = hardware[RADIO_WEIGHT], hardware[NOISE] / gain
    nats = split[BITS] * math.log(2.0) / hardware[BANDWIDTH]
    seconds = guess if low <= guess <= high else low
    lowest, highest = low, high
    for _ in range(_NEWTON_STEPS):
        u = nats / seconds
        growth = math.exp(u)
        slope, curvature = computing(split, (deadline - seconds) / kept)[2:]
        value = weight * scale * (growth - 1.0 - u * growth) - slope
        if (value >= 0.0 and seconds == lowest) or (value <= 0.0 and seconds == highest):
            break
        if value > 0.0:
            high = seconds
        else:
            low = seconds
        step = value / (weight * scale * u * u * growth / seconds + curvature / kept)
        new = seconds - step
        if new >= high:
            new = highest if high == highest else 0.5 * (low + high)
        elif not new > low:
            new = lowest if low == lowest else 0.5 * (low + high)
        is_close = abs(new - seconds) <= _CLOSE * seconds
        seconds = new
        if is_close:
            break
    energy = weight * radio_energy(hardware, gain, split[BITS], seconds)
    return energy + kept * computing(split, (deadline - seconds) / kept)[1], seconds


@compiled
def fill_menu(tables: Tables, gain: float, deadline: float, costs: Floats, splits: Ints) -> None:
    """Least energy of every level over the splits, and which split that is.

    Args:
        tables: What all tasks have in common.
        gain: Channel power gain g.
        deadline: T in seconds.
        costs: float64 (K,), out: weighted joules, infinite where the deadline is too short.
        splits: int64 (K,), out: rows of the splits.
    """
    costs[:] = math.inf
    splits[:] = 0
    per_bit = shortest_radio(tables.hardware, gain)
    for s in range(len(tables.splits)):
        split = tables.splits[s]
        least_seconds = per_bit * split[BITS] if split[BITS] > 0.0 else 0.0
        seconds = 0.0
        for k in range(len(tables.levels)):
            kept = tables.levels[k]
            energy, seconds = least_energy(split, tables.hardware, gain, least_seconds, deadline, kept, seconds)
            if energy < costs[k]:
                costs[k] = energy
                splits[k] = s
            if energy == math.inf:
                break


@compiled
def largest_fraction(split: Floats, hardware: Floats, gain: float, deadline: float, energy: float) -> float:
    """Largest r <= 1 of a split within an energy, by bisection on Emin(r) <= E; 0 where there is none.

    Args:
        split: float64 (7,).
        hardware: float64 (6,).
        gain: Channel power gain g.
        deadline: T in seconds.
        energy: Weighted joules E.
    """
    least_seconds = shortest_radio(hardware, gain) * split[BITS] if split[BITS] > 0.0 else 0.0
    computing_seconds = split[X0] + split[Y0]
    low, high = 0.0, 1.0
    if deadline - least_seconds < computing_seconds:
        high = (deadline - least_seconds) / computing_seconds
    if not high > 0.0:
        return 0.0
    least, seconds = least_energy(split, hardware, gain, least_seconds, deadline, high, 0.0)
    if least <= energy:
        return high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        least, seconds = least_energy(split, hardware, gain, least_seconds, deadline, middle, seconds)
        if least <= energy:
            low = middle
        else:
            high = middle
    return low
