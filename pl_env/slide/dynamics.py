"""The physics of one user and one model, compiled: draws, frequency, times, least shares. ``edf.py`` shares the band.

Symbols are those of ``docs/slide.md``. All times are int64 nanoseconds, all frequencies whole Hz, and every division is
rounded so that nothing is accepted which the physics would not allow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.times import LONGEST_UPLOAD_NS, NS_PER_SECOND
from pl_env.wireless import draw_distance_m, draw_fading_power, mean_snr_at, spectral_efficiency

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WHOLE_BAND = 1_000_000
"""Shares of the band are whole millionths, W of them."""

# Columns of the users.
RATE, SPEED, DEADLINE, ENERGY, REQUEST, ARRIVAL = range(6)
USER_COLUMNS = 6

# Rows of the layers: 8e9 · bytes of the first layers, which is nanoseconds at 1 bit/s; FLOP · 1e6 of each layer.
BIT_NS, WORK = range(2)

# Entries of the device.
LOWEST_HZ, HIGHEST_HZ, POWER_NW = range(3)

# What is known of a pair of a user and a model; all 0 where the pair is out.
FREQUENCY, DOWNLOAD, COMPUTE, SHARE, DAI_SHARE, N_STEPS = range(6)
PAIR_COLUMNS = 6


class Tables(NamedTuple):
    """The library (I models, J requests, L layers in all) and the device."""

    start: Ints  # (I + 1,) where each model's layers begin
    layers: Ints  # (2, L) rows BIT_NS, WORK
    accepted: NDArray[np.bool_]  # (J, I)
    device: Ints  # (3,)


class Draws(NamedTuple):
    """What users are drawn from; of pairs, the first and the difference to the second."""

    radio: Floats  # (4,) radius in m, P / N0 in Hz, alpha, B in Hz
    speed: Floats  # (2,) FLOP in a million cycles
    deadline: Floats  # (2,) as multiples of the nominal time
    energy_nj: Floats  # (2,) nanojoules for each second of the nominal time
    nominal_seconds: Floats  # (J,) of each request
    window_ns: float


@compiled
def draw_users(uniforms: Floats, draws: Draws, users: Ints) -> None:
    """Fill the users, int64 (K, 6), from uniform numbers in [0, 1).

    Args:
        uniforms: float64 (7, K): distance, fading, deadline, speed, energy, request, arrival; of these the arrivals
            alone are sorted.
        draws: What they are drawn from.
        users: int64 (K, 6), out.
    """
    radius_m, tx_to_noise, exponent, bandwidth_hz = draws.radio
    arrival = np.sort(uniforms[6])
    for k in range(len(users)):
        snr = mean_snr_at(draw_distance_m(uniforms[0, k], radius_m), tx_to_noise, exponent)
        request = int(uniforms[5, k] * len(draws.nominal_seconds))
        nominal = draws.nominal_seconds[request]
        factor = draws.deadline[0] + draws.deadline[1] * uniforms[2, k]
        users[k, RATE] = int(bandwidth_hz * spectral_efficiency(snr * draw_fading_power(uniforms[1, k])))
        users[k, SPEED] = int(draws.speed[0] + draws.speed[1] * uniforms[3, k])
        users[k, DEADLINE] = math.floor(factor * nominal * NS_PER_SECOND + 0.5)
        users[k, ENERGY] = int((draws.energy_nj[0] + draws.energy_nj[1] * uniforms[4, k]) * nominal)
        users[k, REQUEST] = request
        users[k, ARRIVAL] = math.floor(arrival[k] * draws.window_ns + 0.5)


# ---------------------------------------------------------------- frequency


@compiled
def largest_frequency(cycles: int, energy_nj: int, device: Ints) -> int:
    """The highest frequency of the device at which so many cycles stay within the energy; 0 where none does.

    Energy in nJ is power · f² · cycles / f_max³, rounded up. A square root in floating point tells f unless it is all
    but whole; then integers do.
    """
    low, high, power = device[LOWEST_HZ], device[HIGHEST_HZ], device[POWER_NW]
    if cycles == 0:
        return int(high)
    guess = high * math.sqrt(float(energy_nj) / float(power) * float(high) / float(cycles))
    if guess >= high + 1.0:
        return int(high)
    frequency = int(guess)
    nearest = int(guess + 0.5)
    if abs(guess - nearest) < 1e-3:
        fits = _is_at_most((power, cycles, nearest, nearest), (energy_nj, high, high, high))
        frequency = nearest if fits else nearest - 1
    frequency = min(frequency, high)
    return int(frequency) if frequency >= low else 0


@compiled
def is_within_energy(frequency: int, cycles: int, energy_nj: int, device: Ints) -> bool:
    """Whether so many cycles stay within the energy at a frequency."""
    high = device[HIGHEST_HZ]
    return _is_at_most((device[POWER_NW], cycles, frequency, frequency), (energy_nj, high, high, high))


@compiled
def _is_at_most(left: tuple[int, int, int, int], right: tuple[int, int, int, int]) -> bool:
    """Whether one product is at most another; factors are below 2^47, products take up to 192 bits."""
    first, second = _product(left), _product(right)
    for n in range(len(first) - 1, -1, -1):
        if first[n] != second[n]:
            return bool(first[n] < second[n])
    return True


@compiled
def _product(factors: tuple[int, int, int, int]) -> Ints:
    """Digits to the base 2^16, the lowest first, of a product."""
    digits = np.zeros(12, dtype=np.int64)
    digits[0] = 1
    for factor in factors:
        carry = 0
        for n in range(len(digits)):
            carry += digits[n] * factor
            digits[n] = carry & 0xFFFF
            carry >>= 16
    return digits


# ---------------------------------------------------------------- times and shares


@compiled
def divided_up(number: int, divisor: int, inverse: float) -> int:
    """``number / divisor`` rounded up, where that is at most 10^14; ``inverse`` is 1 / divisor.

    The product is off by less than 1, which the remainder tells; it takes a fraction of the time of a division.
    """
    quotient = int(number * inverse)
    rest = number - quotient * divisor
    return quotient + (rest > 0) + (rest > divisor) - (rest <= -divisor)


@compiled
def time_pair(tables: Tables, user: Ints, model: int, frequency: int, download: Ints, due: Ints) -> int:
    """Fill a_l and d_l = T - G_l of a user and a model; return the frequency, or 0 where the energy allows none.

    Args:
        tables: The library and the device.
        user: int64 (6,), the user.
        model: The model.
        frequency: Compute at that many Hz; 0 for the highest frequency that stays within the energy.
        download: int64 (L or more,), out: nanoseconds to receive the first layers alone on the band.
        due: int64 (L or more,), out: nanoseconds after the arrival by which they must be there.
    """
    start, n_layers = tables.start[model], tables.start[model + 1] - tables.start[model]
    rate, speed = user[RATE], user[SPEED]
    inverse, total = 1.0 / speed, 0
    for n in range(n_layers):
        due[n] = divided_up(tables.layers[WORK, start + n], speed, inverse)
        total += due[n]
    if frequency == 0:
        frequency = largest_frequency(total, user[ENERGY], tables.device)
    elif not is_within_energy(frequency, total, user[ENERGY], tables.device):
        frequency = 0
    if frequency == 0:
        return 0
    inverse, left = 1.0 / frequency, user[DEADLINE]
    for n in range(n_layers - 1, -1, -1):
        left -= divided_up(due[n] * NS_PER_SECOND, frequency, inverse)
        due[n] = left
    inverse = 1.0 / rate if rate > 0 else 0.0
    for n in range(n_layers):
        bit_ns = tables.layers[BIT_NS, start + n]
        if bit_ns >= rate * float(LONGEST_UPLOAD_NS):
            download[n] = LONGEST_UPLOAD_NS if bit_ns > 0 else 0
        else:
            download[n] = divided_up(bit_ns, rate, inverse)
    return int(frequency)


@compiled
def least_share(download: Ints, due: Ints, n_layers: int) -> int:
    """w_min = max of 1 and ceil(a_l · W / d_l) over all layers; 0 where the user cannot be served alone."""
    share = 1
    for n in range(n_layers):
        if download[n] > due[n]:
            return 0
        if download[n] * WHOLE_BAND > share * due[n]:
            share = -(-download[n] * WHOLE_BAND // due[n])
    return share


@compiled
def least_dai_share(download: Ints, due: Ints, n_layers: int) -> int:
    """Likewise for a device that computes after the whole download: ceil(a_L · W / d_1)."""
    whole = download[n_layers - 1]
    if whole > due[0]:
        return 0
    return max(1, -(-whole * WHOLE_BAND // due[0])) if whole > 0 else 1


@compiled
def describe_pairs(tables: Tables, users: Ints, frequency: int, pairs: Ints) -> None:
    """Fill what is known of every pair but N_STEPS; zeros where it is out, SHARE 0 where it cannot be served alone.

    Args:
        tables: The library and the device.
        users: int64 (K, 6).
        frequency: As in `time_pair`.
        pairs: int64 (K, I, 6), out.
    """
    n_models = len(tables.start) - 1
    most = np.diff(tables.start).max()
    download, due = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    for k in range(len(users)):
        for i in range(n_models):
            pairs[k, i] = 0
            if tables.accepted[users[k, REQUEST], i]:
                _describe(tables, users[k], i, frequency, download, due, pairs[k, i])


@compiled
def _describe(tables: Tables, user: Ints, model: int, frequency: int, download: Ints, due: Ints, pair: Ints) -> int:
    """Fill the description of one pair; return its number of layers, 0 where it is out."""
    frequency = time_pair(tables, user, model, frequency, download, due)
    if frequency == 0:
        return 0
    n_layers = tables.start[model + 1] - tables.start[model]
    pair[FREQUENCY] = frequency
    pair[DOWNLOAD] = download[n_layers - 1]
    pair[COMPUTE] = user[DEADLINE] - due[0]
    pair[SHARE] = least_share(download, due, n_layers)
    pair[DAI_SHARE] = least_dai_share(download, due, n_layers)
    return int(n_layers)


@compiled
def describe_steps(tables: Tables, users: Ints, pairs: Ints, steps: Ints) -> None:
    """Fill what is known of every pair, and what it asks of the band step by step.

    Args:
        tables: The library and the device.
        users: int64 (K, 6).
        pairs: int64 (K, I, 6), out.
        steps: int64 (K, I, 2, L), out: of each pair that can be served alone, ``N_STEPS`` due times since the start,
            ascending, and nanoseconds on the whole band that become due then. Equal due times are one step; a layer
            without bytes is none.
    """
    download, due = np.empty(steps.shape[3], dtype=np.int64), np.empty(steps.shape[3], dtype=np.int64)
    for k in range(len(users)):
        for i in range(steps.shape[1]):
            pairs[k, i] = 0
            if not tables.accepted[users[k, REQUEST], i]:
                continue
            n_layers = _describe(tables, users[k], i, 0, download, due, pairs[k, i])
            if n_layers == 0 or pairs[k, i, SHARE] == 0:
                continue
            n, sent = 0, 0
            for layer in range(n_layers):
                size = download[layer] - sent
                if size == 0:
                    continue
                when = users[k, ARRIVAL] + due[layer]
                if n > 0 and steps[k, i, 0, n - 1] == when:
                    steps[k, i, 1, n - 1] += size
                else:
                    steps[k, i, 0, n], steps[k, i, 1, n] = when, size
                    n += 1
                sent = download[layer]
            pairs[k, i, N_STEPS] = n
