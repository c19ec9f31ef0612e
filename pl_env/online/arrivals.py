"""Who comes when, compiled: arrivals, requests, places, channels, deadlines, and uploads that go before."""

from __future__ import annotations

import math
from typing import NamedTuple

from pl_env.compiling import compiled
from pl_env.low_level import next_double
from pl_env.online.arrays import ARRIVAL, DEADLINE, MODEL, READY, UPLOAD, Floats, Ints
from pl_env.times import NS_PER_SECOND
from pl_env.wireless import draw_distance_m, draw_fading_power, mean_snr_at, spectral_efficiency, upload_time_ns

ARRIVALS = ("bursty", "poisson", "diurnal")
BURSTY, POISSON, DIURNAL = range(len(ARRIVALS))

HIGH_FACTOR, LOW_FACTOR = 2.5, 0.5
HIGH_SECONDS, LOW_SECONDS = 1.0, 3.0
STARTS_HIGH = 0.25
"""Bursty: the rate over lambda, the mean seconds of both states, and how often the first is high."""

SWING = 0.7
"""Diurnal: lambda · (1 + 0.7 sin 2 pi (t / T + phase))."""

MOST_FACTOR = 2.5
"""Episodes with more users than 2.5 · lambda · T, or with none, are drawn anew."""

# What `Draws.numbers` has.
KIND, RATE, SECONDS, DRIFT, LOW_NS, WIDTH_NS, ON_ARRIVAL = range(7)


class Draws(NamedTuple):
    """What an episode is drawn from."""

    radio: Floats  # (4,) radius in m, P / N0, alpha, D / B in ns
    cumulative: Floats  # (I,) cumulative request probabilities, the most popular first
    numbers: Floats  # (7,) kind of arrivals, 1/s, s, 1/s, then ns of d - a: the least and the width; uploads on arrival


@compiled
def draw_users(function: int, state: int, d: Draws, model_of_rank: Ints, users: Ints) -> int:
    """Fill the users from a generator; return how many there are.

    Args:
        function: Address of the generator's ``next_double``, from `low_level.generator_addresses`.
        state: Address of its state.
        d: What they are drawn from.
        model_of_rank: int64 (I,), scratch.
        users: int64 (capacity, 5), out: as `Instance.users`. The capacity is 2.5 · lambda · T, rounded down.
    """
    while True:
        count = _draw_once(function, state, d, model_of_rank, users)
        if 0 < count <= len(users):
            break
    upload_before(d, users[:count])
    return count


@compiled
def _draw_once(function: int, state: int, d: Draws, model_of_rank: Ints, users: Ints) -> int:
    """One try; more users than there is room for are counted, up to one."""
    rate, end, drift = d.numbers[RATE], d.numbers[SECONDS], d.numbers[DRIFT]
    n_models = len(model_of_rank)
    for i in range(n_models):
        model_of_rank[i] = i
    for i in range(n_models - 1, 0, -1):
        _swap(model_of_rank, i, int(next_double(function, state) * (i + 1)))
    kind, high, phase, until, most = int(d.numbers[KIND]), False, 0.0, end, rate
    if kind == BURSTY:
        high = next_double(function, state) < STARTS_HIGH
        until = _exponential(function, state, HIGH_SECONDS if high else LOW_SECONDS)
        most = rate * (HIGH_FACTOR if high else LOW_FACTOR)
    elif kind == DIURNAL:
        phase = next_double(function, state)
        most = rate * (1.0 + SWING)
    swap_at = _exponential(function, state, 1.0 / drift) if drift > 0 else math.inf
    now, count = 0.0, 0
    while True:
        now += _exponential(function, state, 1.0 / most)
        if kind == BURSTY and now > until:  # nobody came before; what comes after does not depend on that
            if until >= end:
                return count
            now, high = until, not high
            until += _exponential(function, state, HIGH_SECONDS if high else LOW_SECONDS)
            most = rate * (HIGH_FACTOR if high else LOW_FACTOR)
            continue
        if now >= end:
            return count
        if kind == DIURNAL:
            wave = 1.0 + SWING * math.sin(2.0 * math.pi * (now / end + phase))
            if next_double(function, state) * (1.0 + SWING) >= wave:
                continue
        while swap_at <= now:
            _drift(function, state, model_of_rank)
            swap_at += _exponential(function, state, 1.0 / drift)
        if count == len(users):
            return count + 1
        _draw_user(function, state, d, model_of_rank, now, users[count])
        count += 1


@compiled
def _exponential(function: int, state: int, mean: float) -> float:
    return -mean * math.log(1.0 - next_double(function, state))


@compiled
def _swap(values: Ints, i: int, j: int) -> None:
    values[i], values[j] = values[j], values[i]


@compiled
def _drift(function: int, state: int, model_of_rank: Ints) -> None:
    """Two models, all pairs equally likely, swap ranks."""
    n_models = len(model_of_rank)
    if n_models > 1:
        one = int(next_double(function, state) * n_models)
        other = int(next_double(function, state) * (n_models - 1))
        _swap(model_of_rank, one, other + (other >= one))


@compiled
def _draw_user(function: int, state: int, d: Draws, model_of_rank: Ints, now: float, user: Ints) -> None:
    """Request, place, channel and deadline of a user who comes now, in seconds."""
    uniform, rank = next_double(function, state), 0
    while rank < len(d.cumulative) - 1 and d.cumulative[rank] <= uniform:
        rank += 1
    distance = draw_distance_m(next_double(function, state), d.radio[0])
    snr = mean_snr_at(distance, d.radio[1], d.radio[2]) * draw_fading_power(next_double(function, state))
    arrival = int(now * NS_PER_SECOND)
    user[MODEL] = model_of_rank[rank]
    user[ARRIVAL] = arrival
    user[READY] = arrival
    user[DEADLINE] = arrival + round(d.numbers[LOW_NS] + d.numbers[WIDTH_NS] * next_double(function, state))
    user[UPLOAD] = upload_time_ns(d.radio[3], spectral_efficiency(snr))


@compiled
def upload_before(d: Draws, users: Ints) -> None:
    """With uploads on arrival: one after the other over the uplink, in the order of arrival.

    Who could not be done with it by the deadline is dropped, and takes no uplink: is there when the uplink is free,
    with the upload still to do.
    """
    if d.numbers[ON_ARRIVAL] == 0:
        return
    free = users[0, ARRIVAL]
    for k in range(len(users)):
        free = max(free, users[k, ARRIVAL])
        if free + users[k, UPLOAD] <= users[k, DEADLINE]:
            free += users[k, UPLOAD]
            users[k, UPLOAD] = 0
        users[k, READY] = free
