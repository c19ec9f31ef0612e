"""Drawing a stream: devices and links as the cold start draws them, which model is asked for, and when."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.dynamics import (
    BASE_DBM,
    PEAK,
    READ,
    SATURATION,
    TX_DBM,
    UTILISATION,
    Draws,
    rate_bps,
    whole_ns,
)
from pl_env.cold_start_stream.dynamics import Tables
from pl_env.compiling import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def draw_models(n_prompts: int, n_models: int, skew: float, drift: float, rng: np.random.Generator) -> Ints:
    """The model of each prompt, int64 (N,): Zipf over ranks, of which two may be swapped before each prompt."""
    ranks = rng.permutation(n_models)
    model = np.empty(n_prompts, dtype=np.int64)
    for n in range(n_prompts):
        if rng.random() < drift:
            i, j = rng.integers(n_models, size=2)
            ranks[[i, j]] = ranks[[j, i]]
        weight = (1.0 + ranks) ** -skew
        model[n] = np.searchsorted(np.cumsum(weight), rng.random() * weight.sum(), side="right")
    return np.minimum(model, n_models - 1)


def draw_tokens(n_prompts: int, low: int, high: int, rng: np.random.Generator) -> Ints:
    """Tokens of each prompt, log-uniform, int64 (N,)."""
    return np.floor(low * (high / low) ** rng.random(n_prompts) + 0.5).astype(np.int64)


@compiled
def fill(draws: Draws, devices: Floats, flop: Ints, width: Ints, tokens: Ints, t: Tables) -> None:
    """Times of loading, computing and sending, equations (8) to (12) and (19) to (21).

    Args:
        draws: Radio and links; what else it holds is not needed.
        devices: float64 (K, 8), see `pl_env.cold_start.dynamics`.
        flop: int64 (M, 3), work of a layer, of t to the power of the column.
        width: int64 (M,), bytes of an activation a token.
        tokens: int64 (N,).
        t: Out: ``load_ns``, ``compute_ns``, ``transfer_ns`` and ``activation_bytes``; the models are given.
    """
    n_devices = len(t.memory_bytes)
    for k in range(n_devices):
        for model in range(len(t.n_layers)):
            t.load_ns[k, model] = whole_ns(t.weight_bytes[model] / devices[k, READ])
    rates = _rates(draws, devices, n_devices)
    for n in range(len(tokens)):
        model, long = t.model[n], float(tokens[n])
        work = flop[model, 0] + long * (flop[model, 1] + long * flop[model, 2])
        t.activation_bytes[n] = tokens[n] * width[model]
        for k in range(n_devices):
            flops = devices[k, PEAK] * devices[k, UTILISATION] * -math.expm1(-devices[k, SATURATION] * tokens[n])
            t.compute_ns[n, k] = whole_ns(work / flops)
            for p in range(n_devices):
                t.transfer_ns[n, p, k] = 0 if p == k else whole_ns(8.0 * t.activation_bytes[n] / rates[p, k])


@compiled
def _rates(draws: Draws, devices: Floats, n_devices: int) -> Floats:
    """Bit/s from device to device."""
    if len(draws.links_bps):
        return draws.links_bps[:n_devices, :n_devices].copy()
    rates = np.empty((n_devices, n_devices))
    for p in range(n_devices):
        up = rate_bps(draws.radio, devices[p, TX_DBM], devices[p])
        for k in range(n_devices):
            rates[p, k] = min(up, rate_bps(draws.radio, draws.radio[BASE_DBM], devices[k]))
    return rates


def arrivals(t: Tables, spacing: float, rng: np.random.Generator) -> Ints:
    """Times at which prompts arrive, int64 (N,), the first at 0: a Poisson process.

    Its mean gap is ``spacing`` times the mean over prompts of T0 = 1 / sum of 1 / (load + computation of the model).
    """
    whole = (t.load_ns[:, t.model].T + t.compute_ns) * t.n_layers[t.model][:, None]
    unit = 1.0 / (1.0 / np.maximum(whole, 1)).sum(axis=1)
    gaps = rng.exponential(spacing * unit.mean(), size=len(unit)) if len(unit) else np.zeros(0)
    gaps[:1] = 0.0
    return np.cumsum(np.round(gaps)).astype(np.int64)
