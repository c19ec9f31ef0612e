"""`clairvoyant`: a beam search that knows all arrivals; a reference from below, as no useful upper bound is known.

From each state it tries `urgent-greedy`'s best batches, each with the eviction by demand and, where it loads, with that
of what is truly needed last (L. A. Belady, A study of replacement algorithms, 1966), and a wait. States are kept by
time: the best few in each slot. A state's value is how many users are lost, so far and when `urgent-greedy` drains what
is pending or comes in the next 100 ms.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from baselines.online.bounds import upper_bound
from baselines.online.policies import tuned
from baselines.online.replan import candidate_batches
from baselines.online.rules import URGENT_GREEDY, choose, run
from pl_env.compiling import compiled
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    ARRIVED,
    CHOICES,
    COUNT,
    DEMAND,
    EVICTION,
    EXPIRED,
    GIVEN,
    LAST,
    MISSING_NS,
    N_EVICTED,
    N_PENDING,
    NOW,
    PREVIOUS,
    READY,
    SERVED,
    Episode,
    Floats,
    Ints,
    Tables,
    allocate,
)
from pl_env.online.dynamics import copy_episode, decide, serve, wait
from pl_env.online.episodes import episode_of, with_room
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.times import LONGEST_NS

STATES, BATCHES = 4, 4
SLOT_NS = 1_500_000
AHEAD_NS = 100_000_000
_MOST_ROWS = 8_192
_NEVER_NS = 2 * LONGEST_NS

# Columns of nodes.
_PARENT, _ACTION, _GIVEN_KEYS = range(3)

# Columns of the states of a slot.
_ROW, _NODE, _VALUE, _TIME, _SERVED_SO_FAR = range(5)


class _Beam(NamedTuple):
    """The states that are kept, and how they came about."""

    slots: Ints  # (slots, states, 5)
    sizes: Ints  # (slots,)
    free: Ints  # (rows,) rows of the pool that are free, the first of them
    nodes: Ints  # (nodes, 3)
    next_ready: Ints  # (K,) when each model's users come, model after model
    model_start: Ints  # (I + 1,)
    counts: Ints  # (2,) free rows, nodes


_FREE, _NODES = range(2)


def clairvoyant(
    instance: Instance, *, states: int = STATES, batches: int = BATCHES, free_evictions: bool = True
) -> Plan:
    """A plan made with all arrivals known; where its evictions are free no actions play it.

    Args:
        instance: The instance.
        states: How many states are kept in each slot of 1.5 ms.
        batches: How many batches are tried from each.
        free_evictions: Try the eviction of what is truly needed last, too; else all are by demand.
    """
    begin = time.perf_counter()
    tables, e = episode_of(instance)
    path = np.zeros((0, 3), dtype=np.int64)
    if instance.n_users and e.state[0, CHOICES] > 0:
        path = _search(tables, e, instance, states, batches, free_evictions)
    batch_cap = int(e.cap[0])
    keys_of = _beam(instance, 1, 1, 1)
    for _, action, given in path.tolist():
        e = with_room(e, int(e.state[0, N_EVICTED]))
        _take(tables, e, 0, action, given, batch_cap, keys_of)
    most = upper_bound(instance)
    return Plan.of_episode(
        instance,
        e,
        playable=instance.eviction == "previous" or (not free_evictions and instance.eviction in ("demand", "agent")),
        solver="clairvoyant",
        status="optimal" if e.state[0, SERVED] == most else "feasible",
        bound=most / instance.n_users if instance.n_users else 0.0,
        elapsed=time.perf_counter() - begin,
    )


def _beam(instance: Instance, n_slots: int, states: int, rows: int) -> _Beam:
    order = np.lexsort((instance.ready_ns, instance.requested_model))
    counts = np.bincount(instance.requested_model, minlength=instance.n_models)
    return _Beam(
        slots=np.zeros((n_slots, states, 5), dtype=np.int64),
        sizes=np.zeros(n_slots, dtype=np.int64),
        free=np.arange(rows, dtype=np.int64),
        nodes=np.zeros((16, 3), dtype=np.int64),
        next_ready=np.ascontiguousarray(instance.ready_ns[order]),
        model_start=np.append(0, np.cumsum(counts)),
        counts=np.array([rows, 0], dtype=np.int64),
    )


def _search(tables: Tables, e: Episode, instance: Instance, states: int, batches: int, free: bool) -> Ints:
    """The nodes of the best path, from the first decision on."""
    horizon = max(int(instance.deadline_ns.max()), int(instance.ready_ns.max()))
    n_slots = horizon // SLOT_NS + 3 + 2 * instance.n_users  # every decision goes on by a slot at least
    rows = min(states * n_slots, _MOST_ROWS) + 1
    beam = _beam(instance, n_slots, states, rows)
    beam = beam._replace(nodes=np.zeros((n_slots * states * (2 * batches + 1) + 2, 3), dtype=np.int64))
    batch_cap, n_users = int(e.cap[0]), instance.n_users
    pool = allocate(tables, batch_cap, n_users, n=rows, has_users=False, keeps_finish=False)
    pool = pool._replace(users=e.users, before=e.before)
    scratch = allocate(tables, batch_cap, n_users, n=2, has_users=False, keeps_finish=False)
    scratch = scratch._replace(users=e.users, before=e.before)
    last = beam_search(tables, e, pool, scratch, beam, tuned(tables), batches, free)
    path = []
    while last > 0:
        path.append(beam.nodes[last])
        last = int(beam.nodes[last, _PARENT])
    return np.array(path[::-1], dtype=np.int64).reshape(-1, 3)


@compiled
def beam_search(
    t: Tables, e: Episode, pool: Episode, scratch: Episode, b: _Beam, parameters: Floats, n_batches: int, free: bool
) -> int:
    """The node at which most users have been served.

    Args:
        t: The library.
        e: The episode at its first decision, in row 0.
        pool: Rows for states.
        scratch: Two more.
        b: The beam, empty.
        parameters: A, C, P of `urgent-greedy`.
        n_batches: How many batches are tried from each state.
        free: Evictions of what is truly needed last are tried, too.
    """
    t, e, pool, scratch, b = borrowed(t), borrowed(e), borrowed(pool), borrowed(scratch), borrowed(b)
    batch_cap, best, best_served = e.cap[0], 0, -1
    b.counts[_NODES] = 1  # node 0 is the first decision
    b.counts[_FREE] -= 1
    first = b.free[b.counts[_FREE]]
    copy_episode(e, 0, pool, first)
    slot = e.state[0, NOW] // SLOT_NS
    b.slots[slot, 0, _ROW] = first
    b.slots[slot, 0, _NODE] = 0
    b.sizes[slot] = 1
    for slot in range(len(b.sizes)):
        for place in range(b.sizes[slot]):
            row, node = b.slots[slot, place, _ROW], b.slots[slot, place, _NODE]
            actions, values = candidate_batches(t, pool, row, parameters)
            order = np.argsort(-values, kind="mergesort")[:n_batches]
            for choice in range(2 * len(order) + 1):
                action, given = t.models.shape[1] * batch_cap, int(choice >= len(order))
                if choice == 2 * len(order):
                    given = 0
                    if pool.state[row, ARRIVED] == pool.state[row, LAST]:
                        continue
                else:
                    action = actions[order[choice % len(order)]]
                    loads = pool.models[row, MISSING_NS, action // batch_cap] > 0
                    if given and (not free or not loads or t.options[EVICTION] == PREVIOUS):
                        continue
                copy_episode(pool, row, scratch, 0)
                _take(t, scratch, 0, action, given, batch_cap, b)
                if scratch.state[0, CHOICES] == 0:
                    if scratch.state[0, SERVED] > best_served:
                        best_served = scratch.state[0, SERVED]
                        best = _new_node(b, node, action, given)
                    continue
                value = _lost(t, scratch, parameters)
                _keep(b, pool, scratch, max(slot + 1, scratch.state[0, NOW] // SLOT_NS), node, action, given, value)
            b.free[b.counts[_FREE]] = row
            b.counts[_FREE] += 1
    return best


@compiled
def _take(t: Tables, e: Episode, n: int, action: int, given: int, batch_cap: int, b: _Beam) -> None:
    """Take an action, evicting by demand or what is truly needed last, and go on to the next decision."""
    t, e, b = borrowed(t), borrowed(e), borrowed(b)
    if action == t.models.shape[1] * batch_cap:
        wait(e, n)
    else:
        rule = PREVIOUS if t.options[EVICTION] == PREVIOUS else DEMAND
        if given:
            _needed_last(t, e, n, b)
            rule = GIVEN
        serve(t, e, n, action // batch_cap, action % batch_cap + 1, rule, -1)
    decide(t, e, n)


@compiled
def _needed_last(t: Tables, e: Episode, n: int, b: _Beam) -> None:
    """Keys of the resident blocks: the later a block is needed, the smaller."""
    t, e, b = borrowed(t), borrowed(e), borrowed(b)
    now = e.state[n, NOW]
    need = np.empty(t.models.shape[1], dtype=np.int64)
    for i in range(len(need)):
        need[i] = now
        if e.models[n, COUNT, i] == 0:
            times = b.next_ready[b.model_start[i] : b.model_start[i + 1]]
            place = np.searchsorted(times, now, side="right")
            need[i] = times[place] if place < len(times) else _NEVER_NS
    for block in range(len(t.blocks)):
        if e.resident[n, block]:
            first = _NEVER_NS
            for place in range(t.holder_start[block], t.holder_start[block + 1]):
                first = min(first, need[t.holder_of[place]])
            e.keys[block] = _NEVER_NS - first


@compiled
def _lost(t: Tables, scratch: Episode, parameters: Floats) -> int:
    """How many users are lost until `urgent-greedy` has drained what is pending or comes soon, from row 0 on."""
    t, scratch = borrowed(t), borrowed(scratch)
    copy_episode(scratch, 0, scratch, 1)
    last, end = scratch.state[1, ARRIVED], scratch.state[1, NOW] + AHEAD_NS
    while last < scratch.state[1, LAST] and scratch.users[0, last, READY] <= end:
        last += 1
    scratch.state[1, LAST] = last
    while scratch.state[1, CHOICES] > 0:
        run(t, scratch, 1, choose(t, scratch, 1, URGENT_GREEDY, parameters))
    return int(scratch.state[1, EXPIRED] + scratch.state[1, N_PENDING])


@compiled
def _keep(
    b: _Beam, pool: Episode, scratch: Episode, slot: int, parent: int, action: int, given: int, value: int
) -> None:
    """Keep the state of scratch row 0, if it is among the best of its slot and not there already."""
    b, pool, scratch = borrowed(b), borrowed(pool), borrowed(scratch)
    now, served, size = scratch.state[0, NOW], scratch.state[0, SERVED], b.sizes[slot]
    worst = 0
    for place in range(size):
        entry = b.slots[slot, place]
        if entry[_VALUE] == value and entry[_TIME] == now and entry[_SERVED_SO_FAR] == served:
            return
        other = b.slots[slot, worst]
        if (entry[_VALUE], entry[_TIME]) > (other[_VALUE], other[_TIME]):
            worst = place
    if size < b.slots.shape[1]:
        if b.counts[_FREE] == 0:
            return
        b.counts[_FREE] -= 1
        worst = size
        b.slots[slot, worst, _ROW] = b.free[b.counts[_FREE]]
        b.sizes[slot] += 1
    elif (value, now) >= (b.slots[slot, worst, _VALUE], b.slots[slot, worst, _TIME]):
        return
    copy_episode(scratch, 0, pool, b.slots[slot, worst, _ROW])
    b.slots[slot, worst, _NODE] = _new_node(b, parent, action, given)
    b.slots[slot, worst, _VALUE] = value
    b.slots[slot, worst, _TIME] = now
    b.slots[slot, worst, _SERVED_SO_FAR] = served


@compiled
def _new_node(b: _Beam, parent: int, action: int, given: int) -> int:
    node = b.counts[_NODES]
    b.counts[_NODES] += 1
    b.nodes[node, _PARENT] = parent
    b.nodes[node, _ACTION] = action
    b.nodes[node, _GIVEN_KEYS] = given
    return int(node)
