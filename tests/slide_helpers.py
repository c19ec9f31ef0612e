"""Slide: tiny random instances, and brute force in plain Python that shares no code with the library."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from math import isqrt

import numpy as np

from pl_env.slide import Device, Instance, Library, Model, Scenario
from pl_env.slide.env import SlideEnv

RATE = 8_000_000_000  # bit/s: a byte takes a nanosecond on the whole band
SPEED = 1_000_000  # FLOP in a million cycles: at 1 GHz one takes a nanosecond
PLENTY = 10**9
DEVICE = Device(500_000_000, 1_000_000_000, 1_000_000_000)  # 1 W at 1 GHz: a nanosecond of it is 1 nJ


def library(models: list[tuple[list[int], list[int]]], accepted: list[list[int]] | None = None) -> Library:
    """Models as bytes and FLOP of each layer; each answers requests for itself unless told otherwise."""
    sizes, work = zip(*models, strict=True)
    return Library(
        names=tuple(f"m{i}" for i in range(len(models))),
        layer_start=np.cumsum([0, *map(len, sizes)]),
        layer_bytes=np.concatenate(sizes),
        layer_flop=np.concatenate(work),
        accepted=np.array(np.eye(len(models)) if accepted is None else accepted, dtype=bool),
    )


def instance(models, deadlines, *, accepted=None, request=None, arrival=None, rate=None, energy=None, **fields):
    """An instance where times in nanoseconds are bytes and FLOP, unless a rate or energy is given."""
    n = len(deadlines)
    return Instance(
        library(models, accepted),
        DEVICE,
        rate_bps=np.full(n, RATE) if rate is None else np.array(rate, dtype=np.int64),
        speed=np.full(n, SPEED),
        deadline_ns=np.array(deadlines, dtype=np.int64),
        energy_nj=np.full(n, PLENTY) if energy is None else np.array(energy, dtype=np.int64),
        request=np.zeros(n, dtype=np.int64) if request is None else np.array(request, dtype=np.int64),
        arrival_ns=np.zeros(n, dtype=np.int64) if arrival is None else np.array(arrival, dtype=np.int64),
        **fields,
    )


def random_instance(
    rng: np.random.Generator, *, arrivals=False, committed=False, most_users=4, most_models=3
) -> Instance:
    """A handful of users with small times, so that ties and tight deadlines are common; nobody at all among them."""
    n_users, n_models = int(rng.integers(0, most_users + 1)), int(rng.integers(1, most_models + 1))
    models = [(rng.integers(0, 5, size=n).tolist(), rng.integers(0, 4, size=n).tolist())
              for n in rng.integers(1, 5, size=n_models)]  # fmt: skip
    accepted = rng.random((n_models, n_models)) < 0.5
    np.fill_diagonal(accepted, rng.random() < 0.9)
    slots = [(3, 2), (5, 1), (9, 4)][: int(rng.integers(0, 4))] if committed else []
    return instance(
        models,
        rng.integers(0, 30, size=n_users),
        accepted=accepted,
        request=rng.integers(0, n_models, size=n_users),
        arrival=np.sort(rng.integers(0, 12, size=n_users)) if arrivals else None,
        rate=RATE // rng.integers(1, 4, size=n_users),
        energy=rng.integers(0, 20, size=n_users),
        committed_due_ns=np.array([due for due, _ in slots], dtype=np.int64),
        committed_rest_ns=np.array([rest for _, rest in slots], dtype=np.int64),
    )


def crowded_instance(rng: np.random.Generator, *, arrivals=False, committed=False) -> Instance:
    """More users than the band is enough for, with energy enough, so that whom to serve matters."""
    n_users, n_models = 6, 3
    models = [(rng.integers(0, 20, size=3).tolist(), rng.integers(0, 40, size=3).tolist()) for _ in range(n_models)]
    slots = [(20, 10), (50, 8)] if committed else []
    return instance(
        models,
        rng.integers(60, 150, size=n_users),
        accepted=np.eye(n_models) + (rng.random((n_models, n_models)) < 0.3),
        request=rng.integers(0, n_models, size=n_users),
        arrival=np.sort(rng.integers(0, 41, size=n_users)) if arrivals else None,
        rate=RATE // rng.integers(1, 5, size=n_users),
        committed_due_ns=np.array([due for due, _ in slots], dtype=np.int64),
        committed_rest_ns=np.array([rest for _, rest in slots], dtype=np.int64),
    )


def env_for(given: Instance, **arguments) -> SlideEnv:
    """An environment that can replay the instance."""
    models = tuple(Model(f"m{i}", (1,), (1,)) for i in range(given.n_models))
    return SlideEnv(Scenario(models=models, n_users=max(1, given.n_users), samples=1), **arguments)


# ---------------------------------------------------------------- brute force


def up(number: int, divisor: int) -> int:
    return -(-number // divisor)


def frequency_of(given: Instance, user: int, cycles: int) -> int:
    """The highest whole frequency within the energy, by an integer square root; 0 for none."""
    device, energy = given.device, int(given.energy_nj[user])
    high = device.max_frequency_hz
    best = high if cycles == 0 else min(high, isqrt(energy * high**3 // (device.power_nw * cycles)))
    return best if best >= device.min_frequency_hz else 0


def pair_of(given: Instance, user: int, model: int) -> tuple[list[int], list[int], int] | None:
    """a_l, c_l and the frequency; None where the pair is out."""
    if not given.accepted[user, model]:
        return None
    layers = given.library.layers(model)
    cycles = [up(int(flop) * 10**6, int(given.speed[user])) for flop in given.library.layer_flop[layers]]
    frequency = frequency_of(given, user, sum(cycles))
    if frequency == 0:
        return None
    received = np.cumsum(given.library.layer_bytes[layers]).tolist()
    rate = int(given.rate_bps[user])
    download = [min(10**14, up(8 * 10**9 * size, rate) if rate else 10**14 * (size > 0)) for size in received]
    return download, [up(count * 10**9, frequency) for count in cycles], frequency


def due_of(compute: list[int], deadline: int) -> list[int]:
    """d_l: the deadline less what is still to be computed from layer l on."""
    return [deadline - sum(compute[layer:]) for layer in range(len(compute))]


def recursion(received: list[int], compute: list[int]) -> int:
    finish = 0
    for there, duration in zip(received, compute, strict=True):
        finish = max(there, finish) + duration
    return finish


def jobs_of(given: Instance, models) -> list[tuple[int, list[int], list[int]]] | None:
    """Arrival, due times and prefix downloads of all to be served, and of commitments; None if a pair is out."""
    jobs = [(0, [int(due)], [int(rest)])
            for due, rest in zip(given.committed_due_ns, given.committed_rest_ns, strict=True)]  # fmt: skip
    for user, model in enumerate(models):
        if model >= 0:
            pair = pair_of(given, user, model)
            if pair is None:
                return None
            arrival = int(given.arrival_ns[user])
            due = [arrival + time for time in due_of(pair[1], int(given.deadline_ns[user]))]
            jobs.append((arrival, due, pair[0]))
    return jobs


def is_servable(jobs: list[tuple[int, list[int], list[int]]]) -> bool:
    """The condition on intervals: what users who arrive at r or later need by t is at most t - r."""
    for arrival, due, download in jobs:
        if any(amount > time - arrival for amount, time in zip(download, due, strict=True)):
            return False
    for r in {arrival for arrival, _, _ in jobs}:
        late = [job for job in jobs if job[0] >= r]
        for t in {time for _, due, _ in late for time in due}:
            need = 0
            for _, due, download in late:
                within = bisect_right(due, t)  # due times ascend, so the largest prefix is the last
                need += download[within - 1] if within else 0
            if need > t - r:
                return False
    return True


def simulate(jobs: list[tuple[int, list[int], list[int]]]) -> bool:
    """Nanosecond by nanosecond, the whole band to who has the earliest due step; whether all is in time."""
    sent = [0] * len(jobs)
    for now in range(max((due[-1] for _, due, _ in jobs), default=0) + 1):
        for n, (_, due, download) in enumerate(jobs):
            if any(time <= now and sent[n] < amount for time, amount in zip(due, download, strict=True)):
                return False
        waiting = []
        for n, (arrival, due, download) in enumerate(jobs):
            left = [time for time, amount in zip(due, download, strict=True) if sent[n] < amount]
            if arrival <= now and left:
                waiting.append((min(left), n))
        if waiting:
            sent[min(waiting)[1]] += 1
    return all(time >= arrival for arrival, due, _ in jobs for time in due)  # else computing alone takes too long


def choices_of(given: Instance):
    """Every choice of a model or none for each user."""
    options = [[-1, *np.flatnonzero(given.accepted[user]).tolist()] for user in range(given.n_users)]
    return itertools.product(*options)


def brute_force_served(given: Instance) -> int:
    """Most users served with shares that vary over time."""
    best = 0
    for models in choices_of(given):
        served = sum(model >= 0 for model in models)
        if served > best:
            jobs = jobs_of(given, models)
            if jobs is not None and is_servable(jobs):
                best = served
    return best


def least_share_by_trial(download: list[int], compute: list[int], deadline: int, streams: bool = True) -> int | None:
    """The least share in millionths that is in time, by bisection on the recursion; None where none is."""

    def in_time(share: int) -> bool:
        received = [up(amount * 1_000_000, share) for amount in download]
        return recursion(received if streams else [received[-1]] * len(received), compute) <= deadline

    if not in_time(1_000_000):
        return None
    low, high = 0, 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if in_time(middle) else (middle, high)
    return high


def brute_force_static(given: Instance, streams: bool = True) -> int:
    """Most users served with constant shares, over all subsets and models."""
    best = 0
    for models in choices_of(given):
        pairs = [(user, pair_of(given, user, model)) for user, model in enumerate(models) if model >= 0]
        if len(pairs) <= best or any(pair is None for _, pair in pairs):
            continue
        shares = [least_share_by_trial(pair[0], pair[1], int(given.deadline_ns[user]), streams) for user, pair in pairs]
        if None not in shares and sum(shares) <= 1_000_000:
            best = len(pairs)
    return best
