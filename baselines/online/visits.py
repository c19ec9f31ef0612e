"""What a model earns at prices of server time and memory, compiled: a dynamic program over its visits.

A visit is the start of a forward pass, with all of the model's blocks in memory. `relaxation` says what for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEVER = -1e18

KEPT, LOADED = range(2)
"""How a visit comes: the model's own blocks are still there, or one of them at least was loaded for it."""

# Rows of a model's data: bytes of its own blocks, of the smallest of them, and of those that are missing at the start;
# its share of the others' bytes, and of those missing at the start; seconds of a pass apart from the users, of a pass
# for one user, and until its smallest own block is loaded.
OWN, SMALLEST, OWN_MISSING, SHARED, SHARED_MISSING, PER_BATCH, ALONE, LOAD = range(8)

# Rows of a model's lengths in slots, rounded up but for LOAD_SLOTS: of the longest load, a pass apart from the users, a
# pass for one user, and until its smallest own block is loaded.
LONGEST_LOAD_SLOTS, PER_BATCH_SLOTS, ALONE_SLOTS, LOAD_SLOTS = range(4)

# Rows of what a model pays for a visit in each slot, and of the slots at whose prices.
PASS, LOADING, MEMORY_OF_LOAD, MEMORY_OF_PASS = range(4)


class Relaxed(NamedTuple):
    """An instance as the kernels take it: I models, K users who could be served alone, by model and then first slot."""

    slot_seconds: float
    seconds_per_byte: float
    overhead: float
    start: Ints  # (I + 1,) where each model's users begin
    users: Ints  # (4, K) first and last slot in which a pass may start; first and last slot of the whole window
    work: Floats  # (K,) seconds of the upload and of the user's part of the pass
    models: Floats  # (8, I)
    lengths: Ints  # (4, I)


@compiled
def most_earned(q: Relaxed, pi: Floats, nu: Floats, paid: Floats, paid_for_shares: Floats) -> float:
    """The most that all models together can earn at given prices.

    Args:
        q: The instance.
        pi: Price of server time in each slot, users a second.
        nu: Price of memory in each slot, users a byte and second.
        paid: float64 (2, slots), out: seconds, and byte-seconds, that they then pay for in each slot.
        paid_for_shares: float64 (I,), out: what each model pays for a byte of blocks that others hold, too.
    """
    n_slots = len(pi)
    total = np.zeros(n_slots + 1)
    for t in range(n_slots):
        total[t + 1] = total[t] + nu[t] * q.slot_seconds
    costs, places = np.zeros((4, n_slots)), np.zeros((4, n_slots), dtype=np.int64)
    value, before = np.empty((n_slots, 2)), np.empty((n_slots, 2), dtype=np.int64)
    largest = np.empty(n_slots)
    earned = 0.0
    for i in range(q.models.shape[1]):
        a, b = q.start[i], q.start[i + 1]
        if a == b:
            continue
        worth, cheapest = np.empty(b - a), np.empty(b - a, dtype=np.int64)
        for k in range(a, b):
            at = _least(pi, q.users[2, k], q.users[3, k] + 1)
            worth[k - a] = max(0.0, 1 - q.work[k] * pi[at])
            cheapest[k - a] = at
        _set_costs(q, i, pi, nu, costs, places)
        best, last = _best_visits(q, i, worth, pi, total, costs, value, before, largest)
        earned += best
        _pay(q, i, worth, cheapest, pi, total, costs, places, before, last, paid, paid_for_shares)
    return earned


@inlined
def _least(price: Floats, begin: int, end: int) -> int:
    """Where a price is least in some slots, from the first that there is to the last."""
    at = max(0, begin)
    for t in range(at + 1, min(end, len(price))):
        if price[t] < price[at]:
            at = t
    return int(at)


@inlined
def _set_costs(q: Relaxed, i: int, pi: Floats, nu: Floats, costs: Floats, places: Ints) -> None:
    """What a visit costs in each slot, at the least price of the slots that it may extend to."""
    before, passes, alone = q.lengths[LONGEST_LOAD_SLOTS, i], q.lengths[PER_BATCH_SLOTS, i], q.lengths[ALONE_SLOTS, i]
    for t in range(len(pi)):
        at = _least(pi, t, t + passes + 1)
        places[PASS, t] = at
        costs[PASS, t] = q.models[PER_BATCH, i] * pi[at]
        at = _least(pi, t - before, t + 1)
        places[LOADING, t] = at
        costs[LOADING, t] = pi[at]
        at = _least(nu, t - before, t + 1)
        places[MEMORY_OF_LOAD, t] = at
        costs[MEMORY_OF_LOAD, t] = q.models[SMALLEST, i] * q.models[LOAD, i] * nu[at]
        at = _least(nu, t, t + alone + 1)
        places[MEMORY_OF_PASS, t] = at
        costs[MEMORY_OF_PASS, t] = q.models[SMALLEST, i] * q.models[ALONE, i] * nu[at]


@inlined
def _own_cost(q: Relaxed, i: int, kept: float, t: int, earlier: int, how: int, costs: Floats) -> float:
    """What a model pays for its own blocks between two visits.

    Args:
        q: The instance.
        i: The model.
        kept: The price of a byte that is kept in between.
        t: Slot of the later visit.
        earlier: Slot of the earlier one.
        how: `KEPT` or `LOADED`.
        costs: Costs of visits.
    """
    if how == KEPT:
        return float(q.models[OWN, i] * kept)
    loaded = q.seconds_per_byte * costs[LOADING, t]
    own = q.models[OWN, i] * min(kept, loaded) + q.models[SMALLEST, i] * max(0.0, loaded - kept)
    overhead = q.overhead * costs[LOADING, t] if q.models[SMALLEST, i] > 0 else 0.0
    return float(own + overhead + costs[MEMORY_OF_LOAD, t] + costs[MEMORY_OF_PASS, earlier])


@inlined
def _first_cost(q: Relaxed, i: int, t: int, least: float, costs: Floats) -> float:
    """What a model pays for its blocks at its first visit: those that are missing at the start."""
    own, seconds = q.models[OWN_MISSING, i], q.seconds_per_byte
    cost = seconds * (own * costs[LOADING, t] + q.models[SHARED_MISSING, i] * least)
    return float(cost + (q.overhead * costs[LOADING, t] + costs[MEMORY_OF_LOAD, t] if own > 0 else 0.0))


@inlined
def _best_visits(
    q: Relaxed,
    i: int,
    worth: Floats,
    pi: Floats,
    total: Floats,
    costs: Floats,
    value: Floats,
    before: Ints,
    largest: Floats,
) -> tuple[float, int]:
    """The most that a model can earn, and its last visit, as 2 · slot + how it comes; -1 for none.

    A user counts at the first visit in its window. ``value[t, how]`` is the most with the last visit in slot t, and
    ``before`` the visit that it follows; ``largest[t]`` the most of all up to t.
    """
    a, n, load = q.start[i], len(worth), q.lengths[LOAD_SLOTS, i]
    best, last, there, least = 0.0, -1, 0, pi[0]
    for t in range(len(pi)):
        value[t, KEPT] = value[t, LOADED] = _NEVER
        least = min(least, pi[t])
        while there < n and q.users[0, a + there] <= t:
            there += 1
        for how in range(2):
            delay, gain = load * how, 0.0
            for k in range(there):
                if q.users[1, a + k] >= t and q.users[0, a + k] + delay <= t:
                    gain += worth[k]
            if gain == 0.0:
                continue
            most, follows = _NEVER, -1
            if how == LOADED or q.models[OWN_MISSING, i] == 0:
                most = gain - _first_cost(q, i, t, least, costs)
            place = [there - 1, there - 1]
            gains, cheapest = [0.0, 0.0], pi[t]
            for s in range(t - 1, -1, -1):
                for other in range(2):
                    while place[other] >= 0 and q.users[0, a + place[other]] + load * other > s:
                        k = place[other]
                        if q.users[1, a + k] >= t and q.users[0, a + k] + delay <= t:
                            gains[other] += worth[k]
                        place[other] -= 1
                cheapest = min(cheapest, pi[s])
                if how == LOADED and t - s < load:
                    continue
                kept = total[t] - total[s + 1]
                cost = _own_cost(q, i, kept, t, s, how, costs)
                if largest[s] + gain - (cost if how == KEPT else 0.0) <= most:
                    break
                cost += q.models[SHARED, i] * min(kept, q.seconds_per_byte * cheapest)
                for other in range(2):
                    if value[s, other] > _NEVER and value[s, other] + gains[other] - cost > most:
                        most, follows = value[s, other] + gains[other] - cost, 2 * s + other
            if most > _NEVER:
                value[t, how] = most - costs[PASS, t]
                before[t, how] = follows
                if value[t, how] - costs[MEMORY_OF_PASS, t] > best:
                    best, last = value[t, how] - costs[MEMORY_OF_PASS, t], 2 * t + how
        largest[t] = max(value[t, KEPT], value[t, LOADED], largest[t - 1] if t > 0 else _NEVER)
    return best, last


@inlined
def _pay(
    q: Relaxed,
    i: int,
    worth: Floats,
    cheapest: Ints,
    pi: Floats,
    total: Floats,
    costs: Floats,
    places: Ints,
    before: Ints,
    last: int,
    paid: Floats,
    paid_for_shares: Floats,
) -> None:
    """Note what a model pays for on its best way, where."""
    a, load, seconds = q.start[i], q.lengths[LOAD_SLOTS, i], q.seconds_per_byte
    if last >= 0:
        paid[1, places[MEMORY_OF_PASS, last // 2]] += q.models[SMALLEST, i] * q.models[ALONE, i]
    while last >= 0:
        t, how = last // 2, last % 2
        last = before[t, how]
        s, other = (last // 2, last % 2) if last >= 0 else (-1, KEPT)
        paid[0, places[PASS, t]] += q.models[PER_BATCH, i]
        for k in range(len(worth)):
            begin = q.users[0, a + k]
            if begin + load * how <= t <= q.users[1, a + k] and begin + load * other > s and worth[k] > 0:
                paid[0, cheapest[k]] += q.work[k]
        at = _least(pi, s, t + 1)
        own, of_others = q.models[OWN, i], q.models[SHARED, i]
        kept = total[t] - total[s + 1]
        if how == LOADED and q.models[SMALLEST, i] > 0:
            paid[0, places[LOADING, t]] += q.overhead
            paid[1, places[MEMORY_OF_LOAD, t]] += q.models[SMALLEST, i] * q.models[LOAD, i]
        if s < 0:
            paid[0, places[LOADING, t]] += seconds * q.models[OWN_MISSING, i]
            paid[0, at] += seconds * q.models[SHARED_MISSING, i]
            paid_for_shares[i] += seconds * pi[at]
            continue
        keeps = own
        if how == LOADED:
            paid[1, places[MEMORY_OF_PASS, s]] += q.models[SMALLEST, i] * q.models[ALONE, i]
            keeps = own - q.models[SMALLEST, i] if kept < seconds * costs[LOADING, t] else 0.0
        paid[0, places[LOADING, t]] += seconds * (own - keeps)
        if kept < seconds * pi[at]:
            keeps += of_others
        else:
            paid[0, at] += seconds * of_others
        paid_for_shares[i] += min(kept, seconds * pi[at])
        for between in range(s + 1, t):
            paid[1, between] += keeps * q.slot_seconds
