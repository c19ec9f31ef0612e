"""Rules that choose a batch by what is known now, compiled, so that a whole episode is one call.

Only models with a legal batch count. Ties go to the greatest b / t, then to the lowest index.
"""

from __future__ import annotations

import math

import numpy as np

from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    AGENT,
    CHOICES,
    COUNT,
    DEADLINE,
    DEMAND,
    EVICTION,
    HEAD,
    LEGAL,
    MISSING_NS,
    N_BATCHES,
    N_EVICTED,
    NOW,
    OVERHEAD,
    OVERLAPS,
    P_DEADLINE,
    P_UPLOAD,
    P_USER,
    PER_BATCH,
    PER_SAMPLE,
    READY,
    Episode,
    Floats,
    Tables,
)
from pl_env.online.dynamics import batch_ns, deadline_of, decide_inlined, load_ns, serve_inlined, uploads_of

RULES = (*("fifo", "edf", "greedy", "max-overlap", "largest-queue", "clockwork", "urgent-greedy", "random-model"),)
FIFO, EDF, GREEDY, MAX_OVERLAP, LARGEST_QUEUE, CLOCKWORK, URGENT_GREEDY, RANDOM_MODEL = range(len(RULES))

URGENT_GREEDY_DEMAND = (1.0, 2.0, 0.37)
URGENT_GREEDY_LRU = (0.72, 0.54, 0.52)
"""A, C, P of `urgent-greedy`, tuned on other seeds."""

MARGIN_NS = 100_000_000
"""Margins count in units of this."""

NO_PARAMETERS = np.zeros(0)


@compiled
def choose(t: Tables, e: Episode, n: int, rule: int, parameters: Floats) -> int:
    """The rule's batch, as model · b_cap + size - 1; some batch must be legal.

    Args:
        t: The library.
        e: The episodes.
        n: Which of them.
        rule: Its number in `RULES`.
        parameters: A, C, P of `urgent-greedy`; uniform numbers for `random-model`, one for each batch of the episode.
    """
    t, e = borrowed(t), borrowed(e)
    if rule == RANDOM_MODEL:
        return _random_model(e, n, parameters)
    only_resident = rule == CLOCKWORK and _any_resident(t, e, n)
    if rule == CLOCKWORK and not only_resident:
        rule = LARGEST_QUEUE
    best, best_value, best_rate = -1, -math.inf, -math.inf
    batch_cap = e.cap[0]
    for i in range(t.models.shape[1]):
        largest = e.models[n, LEGAL, i]
        if largest == 0:
            continue
        load = load_ns(e.models[n, MISSING_NS, i], t.options[OVERHEAD])
        if only_resident and load > 0:
            continue
        smallest = 1 if rule in (GREEDY, URGENT_GREEDY) else largest
        for size in range(smallest, largest + 1):
            compute = t.models[PER_SAMPLE, i] * size + t.models[PER_BATCH, i]
            time = batch_ns(uploads_of(e, n, i, size), load, compute, t.options[OVERLAPS])
            rate = size / time if time > 0 else math.inf
            value = _value(t, e, n, rule, parameters, i, size, time, load, rate)
            if value > best_value or (value == best_value and rate > best_rate):
                best, best_value, best_rate = i * batch_cap + size - 1, value, rate
    return best


@inlined
def _value(
    t: Tables, e: Episode, n: int, rule: int, parameters: Floats, i: int, size: int, time: int, load: int, rate: float
) -> float:
    """What a rule makes of a batch; it takes the largest."""
    if rule == GREEDY:
        return rate
    if rule == MAX_OVERLAP:
        return float(-load)
    if rule == LARGEST_QUEUE:
        return float(e.models[n, COUNT, i])
    if rule == FIFO:
        return float(-_first_in_time_alone(t, e, n, i, load, READY))
    if rule == EDF:
        return float(-_first_in_time_alone(t, e, n, i, load, DEADLINE))
    if rule == CLOCKWORK:
        return float(time - deadline_of(e, n, i, size))
    return urgency(e, n, parameters, i, size, time, load)


@inlined
def urgency(e: Episode, n: int, parameters: Floats, i: int, size: int, time: int, load: int) -> float:
    """What `urgent-greedy` makes of a batch.

    Users per time, the load counted as shared with those who stay behind, times a factor that falls with the time that
    is left after the end of the batch.
    """
    a, c, p = parameters[0], parameters[1], parameters[2]
    waiting = e.models[n, COUNT, i]
    effort = time - load + a * load * size / (size + p * (waiting - size))
    margin = deadline_of(e, n, i, size) - e.state[n, NOW] - time
    return float(size / effort * math.exp(-c * margin / MARGIN_NS)) if effort > 0 else math.inf


@inlined
def _first_in_time_alone(t: Tables, e: Episode, n: int, i: int, load: int, column: int) -> int:
    """The least arrival or deadline of a model's users who are in time if they are served now and alone."""
    row, now, head, least = min(n, len(e.users) - 1), e.state[n, NOW], e.models[n, HEAD, i], 2**62
    compute = t.models[PER_SAMPLE, i] + t.models[PER_BATCH, i]
    for place in range(head, head + e.models[n, COUNT, i]):
        if (
            now + batch_ns(e.pending[n, place, P_UPLOAD], load, compute, t.options[OVERLAPS])
            <= e.pending[n, place, P_DEADLINE]
        ):
            least = min(least, e.users[row, e.pending[n, place, P_USER], column])
    return least


@inlined
def _any_resident(t: Tables, e: Episode, n: int) -> bool:
    """Whether a model with a legal batch has nothing to load."""
    found = False
    for i in range(t.models.shape[1]):
        found |= e.models[n, LEGAL, i] > 0 and e.models[n, MISSING_NS, i] == 0
    return found


@inlined
def _random_model(e: Episode, n: int, uniforms: Floats) -> int:
    """One of the models with a legal batch, all equally likely, and its largest legal batch."""
    uniform = uniforms[e.state[n, N_BATCHES]]
    left = int(uniform * e.state[n, CHOICES])
    for i in range(e.models.shape[2]):
        if e.models[n, LEGAL, i] > 0:
            if left == 0:
                return int(i * e.cap[0] + e.models[n, LEGAL, i] - 1)
            left -= 1
    return -1


@inlined
def eviction_of(t: Tables) -> int:
    """The rule of eviction where no agent names a model."""
    return int(DEMAND if t.options[EVICTION] == AGENT else t.options[EVICTION])


@compiled
def run(t: Tables, e: Episode, n: int, action: int, preferred: int = -1) -> None:
    """Run a legal batch, before which the blocks of a preferred model leave first, and go on to the next decision."""
    t, e = borrowed(t), borrowed(e)
    batch_cap = e.cap[0]
    serve_inlined(t, e, n, action // batch_cap, action % batch_cap + 1, eviction_of(t), preferred)
    decide_inlined(t, e, n)


@compiled
def play(t: Tables, e: Episode, n: int, rule: int, parameters: Floats) -> bool:
    """Let a rule play on to the end, or until there is no room to note what is evicted; whether it is the end."""
    t, e = borrowed(t), borrowed(e)
    while e.state[n, CHOICES] > 0:
        if 0 < e.evicted.shape[1] < e.state[n, N_EVICTED] + len(e.keys):
            return False
        run(t, e, n, choose(t, e, n, rule, parameters))
    return True
