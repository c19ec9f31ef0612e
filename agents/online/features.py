"""What the network reads of a decision, compiled: numbers of each model that can run, of each pair, of each batch.

Models are those with a legal batch, in ascending order; where they are many, the dozen of which `urgent-greedy` thinks
most. Of each it is written down what its batch would do to memory:
what leaves by the rule of eviction, and what every other model would then have to load. Long times are in units of
100 ms, short ones of 50 ms, rates in users per 10 ms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.online.rules import eviction_of, urgency
from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    ARRIVED,
    AT_RANK,
    BLOCK_BYTES,
    BLOCK_NS,
    CACHE_BYTES,
    COUNT,
    EVICTION,
    FIRST,
    HEAD,
    LAST_END,
    LEGAL,
    LOAD_NS,
    LRU,
    MISSING_BYTES,
    MISSING_NS,
    N_PENDING,
    NOW,
    OVERHEAD,
    OVERLAPS,
    P_DEADLINE,
    P_UPLOAD,
    PER_BATCH,
    PER_SAMPLE,
    PREVIOUS,
    RANK,
    READY,
    RECENT,
    USED_BYTES,
    Episode,
    Floats,
    Ints,
    Tables,
)
from pl_env.online.dynamics import batch_ns, deadline_of, load_ns, uploads_of
from pl_env.online.eviction import key_of
from pl_env.online.instance import MEMORY_NS

Singles = NDArray[np.float32]

TOKEN, EDGE, ACTION = 20, 4, 16
"""Numbers of a model, of a pair of models, of a batch."""

AHEAD = 12
"""From here on the numbers of a batch are what `looking.look_ahead` writes; 0 without it."""

MOST_MODELS = 12
"""Models of which the network reads."""

_LONG, _SHORT, _RATE = 1e-8, 2e-8, 1e7
_BURST_NS = 250_000_000
_RANKS = 20
"""Bits of a block's rank."""


class Scene(NamedTuple):
    """Scratch: one decision as the network reads it.

    Of the integers of models: MODEL itself, its LARGEST legal batch, what that takes without loading, and until when it
    must be loaded for the LATEST start of its most urgent user.
    """

    model: Ints  # (4, I)
    token: Singles  # (I, TOKEN)
    edge: Singles  # (I, I, EDGE) of a batch of one model and another
    cell: Ints  # (A,) the batches, of which there are counts[1]
    place: Ints  # (A,) place of its model
    action: Singles  # (A, ACTION)
    order: Ints  # (J,) resident blocks, as they leave
    stays: Ints  # (J,) 1 for blocks of the model that is looked at, and 0 again
    change: Ints  # (I,) nanoseconds that a model has to load more
    urgency: Floats  # (I · b_cap,) of each batch, by its number
    best: Floats  # (2, I) of each model's best batch, and scratch to sort it
    counts: Ints  # (4,) models, batches, models before the others were left out, resident blocks


_MODEL, _LARGEST, _REST, _LATEST = range(4)

RESIDENT = 3
"""Place of the number of resident blocks in `Scene.counts`."""


@compiled
def new_scene(n_models: int, n_blocks: int, n_actions: int) -> Scene:
    """Room for a decision."""
    most = min(n_models, MOST_MODELS)
    return Scene(
        np.zeros((4, n_models), dtype=np.int64),
        np.zeros((most, TOKEN), dtype=np.float32),
        np.zeros((most, most, EDGE), dtype=np.float32),
        np.zeros(n_actions, dtype=np.int64),
        np.zeros(n_actions, dtype=np.int64),
        np.zeros((n_actions, ACTION), dtype=np.float32),
        np.zeros(n_blocks, dtype=np.int64),
        np.zeros(n_blocks, dtype=np.int64),
        np.zeros(n_models, dtype=np.int64),
        np.zeros(n_actions),
        np.zeros((2, n_models)),
        np.zeros(4, dtype=np.int64),
    )


@compiled
def describe(t: Tables, e: Episode, n: int, parameters: Floats, s: Scene) -> None:
    """Write a decision down.

    Args:
        t: The library.
        e: The episodes.
        n: Which of them; it must have a legal batch.
        parameters: A, C, P of the `urgent-greedy` whose urgency is shown.
        s: Where to.
    """
    t, e, s = borrowed(t), borrowed(e), borrowed(s)
    _choose_models(t, e, n, parameters, s)
    _describe_models(t, e, n, s)
    s.counts[RESIDENT] = _order(t, e, n, s)
    for c in range(s.counts[0]):
        _describe_memory(t, e, n, s, c)
    _describe_all(t, e, n, s)
    s.counts[1] = _describe_actions(t, e, n, s)


@inlined
def _choose_models(t: Tables, e: Episode, n: int, parameters: Floats, s: Scene) -> None:
    """Write down which models there are, and how urgent their batches."""
    count, overlaps = 0, t.options[OVERLAPS]
    for i in range(t.models.shape[1]):
        if e.models[n, LEGAL, i] == 0:
            continue
        load, best = load_ns(e.models[n, MISSING_NS, i], t.options[OVERHEAD]), -np.inf
        for size in range(1, e.models[n, LEGAL, i] + 1):
            compute = t.models[PER_SAMPLE, i] * size + t.models[PER_BATCH, i]
            time = batch_ns(uploads_of(e, n, i, size), load, compute, overlaps)
            value = urgency(e, n, parameters, i, size, time, load)
            s.urgency[i * e.cap[0] + size - 1] = value
            best = max(best, value)
        s.model[_MODEL, count], s.best[0, count] = i, best
        count += 1
    s.counts[0] = s.counts[2] = count
    if count > len(s.token):
        s.best[1, :count] = s.best[0, :count]
        s.best[1, :count].sort()
        least, kept = s.best[1, count - len(s.token)], 0
        for c in range(count):
            if s.best[0, c] >= least and kept < len(s.token):
                s.model[_MODEL, kept] = s.model[_MODEL, c]
                kept += 1
        s.counts[0] = kept


@inlined
def _describe_models(t: Tables, e: Episode, n: int, s: Scene) -> None:
    now, overlaps = e.state[n, NOW], t.options[OVERLAPS]
    for c in range(s.counts[0]):
        i = s.model[_MODEL, c]
        largest, head = e.models[n, LEGAL, i], e.models[n, HEAD, i]
        load, upload = load_ns(e.models[n, MISSING_NS, i], t.options[OVERHEAD]), uploads_of(e, n, i, largest)
        compute = t.models[PER_SAMPLE, i] * largest + t.models[PER_BATCH, i]
        time, deadline = batch_ns(upload, load, compute, overlaps), e.pending[n, head, P_DEADLINE]
        s.model[_LARGEST, c] = largest
        s.model[_REST, c] = upload + compute
        s.model[_LATEST, c] = _latest_start(t, e, n, i, now + load)
        s.token[c, 0] = e.models[n, COUNT, i] / 4
        s.token[c, 1] = load * _SHORT
        s.token[c, 2] = load_ns(t.models[LOAD_NS, i], t.options[OVERHEAD]) * _SHORT
        s.token[c, 3] = largest / 4
        s.token[c, 4] = min(8.0, (deadline - now) * _LONG)
        s.token[c, 5] = min(8.0, (deadline_of(e, n, i, largest) - now - time) * _LONG)
        s.token[c, 6] = np.log(largest * _RATE / max(1, time))
        s.token[c, 7] = np.log(1.0 + e.models[n, RECENT, i]) / 2
        s.token[c, 8] = min(1.0, (now - e.models[n, LAST_END, i]) / MEMORY_NS)


@inlined
def _latest_start(t: Tables, e: Episode, n: int, i: int, loaded: int) -> int:
    """Until when the most urgent user of a model who can be in time must upload; it has a legal batch."""
    place = e.models[n, HEAD, i]
    alone, latest = t.models[PER_SAMPLE, i] + t.models[PER_BATCH, i], -1
    while latest < loaded:
        latest = e.pending[n, place, P_DEADLINE] - e.pending[n, place, P_UPLOAD] - alone
        place += 1
    return latest


@inlined
def _describe_all(t: Tables, e: Episode, n: int, s: Scene) -> None:
    """What is the same for all models: who is there, who came lately, what memory is worth."""
    row, now, count = min(n, len(e.users) - 1), e.state[n, NOW], s.counts[0]
    burst, k = 0, e.state[n, ARRIVED] - 1
    while k >= 0 and e.users[row, k, READY] > now - _BURST_NS:
        burst += 1
        k -= 1
    recent, load = 0, 0.0
    for i in range(t.models.shape[1]):
        recent += e.models[n, RECENT, i]
        load += e.models[n, RECENT, i] * float(e.models[n, MISSING_NS, i])
    work = 0
    for c in range(count):
        work += s.model[_REST, c] + load_ns(e.models[n, MISSING_NS, s.model[_MODEL, c]], t.options[OVERHEAD])
    s.token[:count, 12] = np.log(1.0 + e.state[n, N_PENDING]) / 2
    s.token[:count, 13] = s.counts[2] / 16
    s.token[:count, 14] = np.log(1.0 + recent) / 4
    s.token[:count, 15] = np.log(1.0 + burst) / 2
    s.token[:count, 16] = np.log(1.0 + work * _LONG)
    s.token[:count, 17] = 1.0 if t.options[EVICTION] == LRU else 0.0
    s.token[:count, 18] = load / max(1, recent) * _SHORT
    s.token[:count, 19] = e.state[n, USED_BYTES] / max(1, t.options[CACHE_BYTES])


# ---------------------------------------------------------------- what a batch does to memory


@inlined
def _order(t: Tables, e: Episode, n: int, s: Scene) -> int:
    """Put the resident blocks in the order in which the rule lets them leave; how many there are."""
    size, rule = 0, eviction_of(t)
    for block in range(len(t.blocks)):
        if e.resident[n, block]:
            key = key_of(t, e, n, block, rule) if rule != PREVIOUS else 0
            s.order[size] = key << _RANKS | t.blocks[block, RANK]
            size += 1
    s.order[:size].sort()
    for k in range(size):
        s.order[k] = t.blocks[s.order[k] & ((1 << _RANKS) - 1), AT_RANK]
    return size


@inlined
def _describe_memory(t: Tables, e: Episode, n: int, s: Scene, c: int) -> None:
    """What all models would have to load after a batch of model c, and what the change is worth to who may come."""
    i, overhead, now = s.model[_MODEL, c], t.options[OVERHEAD], e.state[n, NOW]
    load = load_ns(e.models[n, MISSING_NS, i], overhead)
    s.change[:] = 0
    if e.models[n, MISSING_BYTES, i] > 0 or eviction_of(t) == PREVIOUS:
        _change_memory(t, e, n, s, i)
    lost, gained, recent = 0.0, 0.0, 0
    for j in range(t.models.shape[1]):
        came = e.models[n, RECENT, j]
        recent += came
        lost += came * max(0.0, float(s.change[j]))
        gained += came * max(0.0, -float(s.change[j]))
    s.token[c, 9] = lost / max(1, recent) * _SHORT
    s.token[c, 10] = gained / max(1, recent) * _SHORT
    s.token[c, 11] = e.models[n, MISSING_BYTES, i] / max(1, t.options[CACHE_BYTES])
    finish = now + load + s.model[_REST, c]
    for d in range(s.counts[0]):
        j = s.model[_MODEL, d]
        before = load_ns(e.models[n, MISSING_NS, j], overhead)
        after = load_ns(e.models[n, MISSING_NS, j] + s.change[j], overhead)
        s.edge[c, d, 0] = after * _SHORT
        s.edge[c, d, 1] = (after - before) * _SHORT
        s.edge[c, d, 2] = max(-2.0, min(4.0, (s.model[_LATEST, d] - finish - after) * _LONG))
        s.edge[c, d, 3] = s.model[_LARGEST, d] * _RATE / (after + s.model[_REST, d] + 1)


@inlined
def _change_memory(t: Tables, e: Episode, n: int, s: Scene, i: int) -> None:
    """Write into ``change`` what every model has to load more after a batch of model i."""
    for place in range(t.block_start[i], t.block_start[i + 1]):
        block = t.block_of[place]
        s.stays[block] = 1
        if not e.resident[n, block]:
            for holder in range(t.holder_start[block], t.holder_start[block + 1]):
                s.change[t.holder_of[holder]] -= t.blocks[block, BLOCK_NS]
    need, k = e.state[n, USED_BYTES] + e.models[n, MISSING_BYTES, i] - t.options[CACHE_BYTES], 0
    all_leave = eviction_of(t) == PREVIOUS
    while k < s.counts[RESIDENT] and (need > 0 or all_leave):
        block = s.order[k]
        k += 1
        if s.stays[block]:
            continue
        need -= t.blocks[block, BLOCK_BYTES]
        for holder in range(t.holder_start[block], t.holder_start[block + 1]):
            s.change[t.holder_of[holder]] += t.blocks[block, BLOCK_NS]
    for place in range(t.block_start[i], t.block_start[i + 1]):
        s.stays[t.block_of[place]] = 0


# ---------------------------------------------------------------- the batches


@inlined
def _describe_actions(t: Tables, e: Episode, n: int, s: Scene) -> int:
    now, batch_cap, overlaps, count = e.state[n, NOW], e.cap[0], t.options[OVERLAPS], 0
    for c in range(s.counts[0]):
        i = s.model[_MODEL, c]
        load, head = load_ns(e.models[n, MISSING_NS, i], t.options[OVERHEAD]), e.models[n, HEAD, i]
        waiting = e.models[n, COUNT, i]
        alone = t.models[PER_SAMPLE, i] + t.models[PER_BATCH, i]
        for size in range(1, s.model[_LARGEST, c] + 1):
            upload, first = uploads_of(e, n, i, size), e.windows[n, head + size - 1, FIRST]
            compute = t.models[PER_SAMPLE, i] * size + t.models[PER_BATCH, i]
            time = batch_ns(upload, load, compute, overlaps)
            finish, late, next_deadline = now + time, 0, 2**62
            for place in range(head, head + waiting):
                if place < first or place >= first + size:
                    late += e.pending[n, place, P_DEADLINE] < finish + e.pending[n, place, P_UPLOAD] + alone
                    next_deadline = min(next_deadline, e.pending[n, place, P_DEADLINE])
            urgent = 0
            for d in range(s.counts[0]):
                after = load_ns(e.models[n, MISSING_NS, s.model[_MODEL, d]], t.options[OVERHEAD])
                urgent += d != c and s.model[_LATEST, d] - after < finish
            s.cell[count], s.place[count] = i * batch_cap + size - 1, c
            s.action[count, 0] = np.log(s.urgency[i * batch_cap + size - 1] * _RATE)
            s.action[count, 1] = size / 4
            s.action[count, 2] = (waiting - size) / 4
            s.action[count, 3] = min(8.0, (e.pending[n, first, P_DEADLINE] - finish) * _LONG)
            s.action[count, 4] = time * _SHORT
            s.action[count, 5] = upload * _SHORT
            s.action[count, 6] = np.log(size * _RATE / max(1, time))
            s.action[count, 7] = 1.0 if size == s.model[_LARGEST, c] else 0.0
            s.action[count, 8] = 1.0 if size == waiting else 0.0
            s.action[count, 9] = late / 4
            s.action[count, 10] = urgent / 4
            s.action[count, 11] = min(4.0, (next_deadline - finish) * _LONG)
            s.action[count, AHEAD:] = 0.0
            count += 1
    return count
