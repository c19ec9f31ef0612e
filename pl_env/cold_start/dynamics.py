"""The physics, compiled: links and times of layers, what fits where, and when a stage ends. Equations of 2508.11287.

All times are int64 nanoseconds. A layer's load and computation, and a transfer, are rounded up, then summed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.times import LONGEST_NS, NS_PER_SECOND
from pl_env.wireless import draw_distance_m, draw_fading_power, spectral_efficiency

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of the devices: FLOP/s, a, b a token, byte/s, byte, dBm, metres, |h|².
PEAK, UTILISATION, SATURATION, READ, MEMORY, TX_DBM, DISTANCE, FADING = range(8)
DEVICE_COLUMNS = 8

# Entries of the radio: mu, B in Hz, dBm of the base station, N0 in dBm/Hz, beta0 in dB, d0 in m, zeta.
SHARE, BANDWIDTH, BASE_DBM, NOISE_DBM, GAIN_DB, NEAR, EXPONENT = range(7)

# Rows of the ranges: low and high of what is drawn, and of the radius the second only.
R_TOKENS, R_PEAK, R_UTILISATION, R_SATURATION, R_READ, R_TX, R_RADIUS, R_SPREAD, R_FACTOR = range(9)
RANGES = 9

COMMON_DRAWS, DRAWS_PER_DEVICE = 3, 8
"""Uniform numbers: of devices, tokens, memory in all; and of each device."""


class Draws(NamedTuple):
    """What an instance of L layers is drawn from."""

    weight_bytes: Ints  # (L,)
    flop: Ints  # (3, L), of t to the power of the row
    activation_bytes: Ints  # (L,) a token
    n_devices: Ints  # (2,) fewest, most
    ranges: Floats  # (9, 2)
    radio: Floats  # (7,)
    fading: bool
    given: Floats  # (F, 8) devices; none where they are drawn
    links_bps: Floats  # (F, F); (0, 0) where they follow from the radio


class Tables(NamedTuple):
    """An instance of K devices and L layers; there may be room for more of both."""

    load_ns: Ints  # (K, L)
    compute_ns: Ints  # (K, L)
    transfer_ns: Ints  # (L, K, K): before layer l, from, to; before the first layer, from what went before
    weight_bytes: Ints  # (L,)
    activation_bytes: Ints  # (L,)
    memory_bytes: Ints  # (K,)


class Problem(NamedTuple):
    """What follows from the tables, for n_devices and n_layers of them."""

    load_sum: Ints  # (K, L + 1) of the first layers
    compute_sum: Ints  # (K, L + 1)
    lowest: Ints  # (K, L + 1): the least i such that layers i .. e - 1 fit into the device
    transfer_ns: Ints  # (L, K, K)


# ---------------------------------------------------------------- drawing


@compiled
def whole_ns(seconds: float) -> int:
    """Nanoseconds, rounded up but for floating-point noise, an hour at most."""
    ns = min(seconds * NS_PER_SECOND, float(LONGEST_NS))
    nearest = math.floor(ns + 0.5)
    return int(nearest) if abs(ns - nearest) < 5e-4 else math.ceil(ns)


@compiled
def _between(ranges: Floats, row: int, uniform: float) -> float:
    """Log-uniform in the range."""
    low, high = ranges[row]
    return float(low * math.exp(uniform * math.log(high / low)))


@compiled
def draw(uniforms: Floats, draws: Draws, devices: Floats, tables: Tables) -> tuple[int, int]:
    """Fill an instance from uniform numbers in [0, 1).

    Args:
        uniforms: float64 (3 + 8 K,).
        draws: What it is drawn from.
        devices: float64 (K, 8), out.
        tables: Out.

    Returns:
        Devices and tokens.
    """
    fewest, most = draws.n_devices
    n_devices = fewest + int(uniforms[0] * (most - fewest + 1))
    tokens = int(_between(draws.ranges, R_TOKENS, uniforms[1]) + 0.5)
    if len(draws.given):
        n_devices = len(draws.given)
        devices[:n_devices] = draws.given
    else:
        _draw_devices(uniforms, draws, devices, n_devices)
    for layer in range(len(draws.weight_bytes)):
        tables.weight_bytes[layer] = draws.weight_bytes[layer]
        tables.activation_bytes[layer] = tokens * draws.activation_bytes[layer]
    _time_layers(draws, devices, n_devices, tokens, tables)
    _time_links(draws, devices, n_devices, tables)
    if len(draws.given):
        for k in range(n_devices):
            tables.memory_bytes[k] = int(devices[k, MEMORY])
    else:
        factor = draws.ranges[R_FACTOR]
        _share_memory(factor[0] + uniforms[2] * (factor[1] - factor[0]), devices, n_devices, tables)
    return n_devices, tokens


@compiled
def _draw_devices(uniforms: Floats, draws: Draws, devices: Floats, n_devices: int) -> None:
    ranges = draws.ranges
    for k in range(n_devices):
        u = uniforms[COMMON_DRAWS + DRAWS_PER_DEVICE * k :]
        devices[k, PEAK] = _between(ranges, R_PEAK, u[0])
        devices[k, UTILISATION] = ranges[R_UTILISATION, 0] + u[1] * (
            ranges[R_UTILISATION, 1] - ranges[R_UTILISATION, 0]
        )
        devices[k, SATURATION] = _between(ranges, R_SATURATION, u[2])
        devices[k, READ] = _between(ranges, R_READ, u[3])
        devices[k, TX_DBM] = ranges[R_TX, 0] + u[4] * (ranges[R_TX, 1] - ranges[R_TX, 0])
        devices[k, DISTANCE] = draw_distance_m(u[5], ranges[R_RADIUS, 1])
        devices[k, FADING] = draw_fading_power(u[6]) if draws.fading else 1.0
        devices[k, MEMORY] = _between(ranges, R_SPREAD, u[7])


@compiled
def _time_layers(draws: Draws, devices: Floats, n_devices: int, tokens: int, tables: Tables) -> None:
    """Equations (8), (9), (19), (20), layer by layer."""
    for k in range(n_devices):
        peak, used, saturation, read = devices[k, :4]
        flops = peak * used * -math.expm1(-saturation * tokens)
        for layer in range(len(draws.weight_bytes)):
            work = draws.flop[0, layer] + float(tokens) * (draws.flop[1, layer] + float(tokens) * draws.flop[2, layer])
            same = (
                layer > 0
                and draws.weight_bytes[layer] == draws.weight_bytes[layer - 1]
                and (draws.flop[:, layer] == draws.flop[:, layer - 1]).all()
            )
            if same:
                tables.load_ns[k, layer] = tables.load_ns[k, layer - 1]
                tables.compute_ns[k, layer] = tables.compute_ns[k, layer - 1]
            else:
                tables.load_ns[k, layer] = whole_ns(draws.weight_bytes[layer] / read)
                tables.compute_ns[k, layer] = whole_ns(work / flops)


@compiled
def rate_bps(radio: Floats, tx_dbm: float, device: Floats) -> float:
    """Bit/s between a device and the base station, equations (10) and (11), sent with so much power."""
    gain = 10.0 ** (radio[GAIN_DB] / 10.0) * (device[DISTANCE] / radio[NEAR]) ** -radio[EXPONENT] * device[FADING]
    noise = 10.0 ** (radio[NOISE_DBM] / 10.0) * radio[BANDWIDTH]
    snr = 10.0 ** (tx_dbm / 10.0) * gain / noise
    return float(radio[SHARE] * radio[BANDWIDTH] * spectral_efficiency(snr))


@compiled
def _time_links(draws: Draws, devices: Floats, n_devices: int, tables: Tables) -> None:
    """Equations (12) and (21): from every device to every other, at every cut."""
    star = len(draws.links_bps) == 0
    up, down = np.zeros(n_devices), np.zeros(n_devices)
    if star:
        for k in range(n_devices):
            up[k] = rate_bps(draws.radio, devices[k, TX_DBM], devices[k])
            down[k] = rate_bps(draws.radio, draws.radio[BASE_DBM], devices[k])
    tables.transfer_ns[0, :n_devices, :n_devices] = 0
    for cut in range(1, len(draws.weight_bytes)):
        activation = tables.activation_bytes[cut - 1]
        if cut > 1 and activation == tables.activation_bytes[cut - 2]:
            tables.transfer_ns[cut, :n_devices, :n_devices] = tables.transfer_ns[cut - 1, :n_devices, :n_devices]
            continue
        for p in range(n_devices):
            for k in range(n_devices):
                rate = min(up[p], down[k]) if star else draws.links_bps[p, k]
                tables.transfer_ns[cut, p, k] = 0 if p == k else whole_ns(8.0 * activation / rate)


@compiled
def _share_memory(factor: float, devices: Floats, n_devices: int, tables: Tables) -> None:
    """Scale the drawn memories to so many times the model in all; 5 % more until it fits, device after device."""
    n_layers = len(tables.weight_bytes)
    scale = factor * tables.weight_bytes.sum() / devices[:n_devices, MEMORY].sum()
    while True:
        layer = 0
        for k in range(n_devices):
            memory = int(scale * devices[k, MEMORY])
            tables.memory_bytes[k] = memory
            weights, largest = 0, 0
            while layer < n_layers:
                weights += tables.weight_bytes[layer]
                largest = max(largest, tables.activation_bytes[layer])
                if weights + largest > memory:
                    break
                layer += 1
        if layer == n_layers:
            return
        scale *= 1.05


# ---------------------------------------------------------------- what follows


@compiled
def prepare(tables: Tables, n_devices: int, n_layers: int, problem: Problem) -> None:
    """Fill the sums and what fits where."""
    for k in range(n_devices):
        problem.load_sum[k, 0] = problem.compute_sum[k, 0] = 0
        for layer in range(n_layers):
            problem.load_sum[k, layer + 1] = problem.load_sum[k, layer] + tables.load_ns[k, layer]
            problem.compute_sum[k, layer + 1] = problem.compute_sum[k, layer] + tables.compute_ns[k, layer]
        _fit(tables, tables.memory_bytes[k], n_layers, problem.lowest[k])


@compiled
def _fit(tables: Tables, memory: int, n_layers: int, lowest: Ints) -> None:
    """Equation (22): the largest activation and all weights of layers lowest[e] .. e - 1 fit, and no more before."""
    first, weights, largest = 0, 0, 0
    lowest[0] = 0
    for layer in range(n_layers):
        weights += tables.weight_bytes[layer]
        largest = max(largest, tables.activation_bytes[layer])
        while first <= layer and weights + largest > memory:
            weights -= tables.weight_bytes[first]
            first += 1
            if tables.activation_bytes[first - 1] == largest:
                largest = 0
                for inside in range(first, layer + 1):
                    largest = max(largest, tables.activation_bytes[inside])
        lowest[layer + 1] = first


@compiled
def stage_end(problem: Problem, device: int, first: int, last: int, previous: int, finish: int) -> int:
    """When layers first .. last - 1 are done on a device, equations (17) and (18).

    Args:
        problem: The problem.
        device: The device.
        first: Its first layer, from 0.
        last: The layer after its last one.
        previous: The device before, -1 for none.
        finish: When that one is done.
    """
    load = problem.load_sum[device, last] - problem.load_sum[device, first]
    transfer = problem.transfer_ns[first, previous, device] if previous >= 0 else 0
    return int(max(load, finish) + transfer + problem.compute_sum[device, last] - problem.compute_sum[device, first])


@compiled
def reach(problem: Problem, n_devices: int, n_layers: int, start: NDArray[np.int32]) -> None:
    """For each set U of devices the least i such that the devices of U can hold layers i .. L - 1; int32 (2^K,)."""
    start[0] = n_layers
    for devices in range(1, 1 << n_devices):
        best = n_layers
        for device in range(n_devices):
            if devices >> device & 1:
                best = min(best, problem.lowest[device, start[devices ^ (1 << device)]])
        start[devices] = best
