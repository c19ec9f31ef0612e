"""What the small network reads of a state, compiled: numbers of each pending model, of each pair, of each action.

Models are those that are pending and of which a batch of one still ends in time, in ascending order. Times are in
tenths of the deadline; rates in users per 1/80 of the deadline. "Now" is with the resident model, "later" are uploads
as in `later_upload_ns` where channels are drawn anew, and today's where they stay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined
from pl_env.partial_loading.arrays import EpisodeArrays
from pl_env.partial_loading.dynamics import ELAPSED, RESIDENT

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

TOKEN, EDGE, ACTION = 16, 3, 12
"""Numbers of a model, of a pair of models, of an action."""

_TIMES, _RATES = 10.0, 80.0


class Scene(NamedTuple):
    """Scratch: one state as the network reads it; models and actions along the last axis, for vector instructions."""

    model: Ints  # (I,) the models, of which there are counts[0]
    users: Singles  # (I,) users of its next batch, were it as large as can be
    later: Singles  # (I,) what that batch takes without loading, uploads being later ones
    token: Singles  # (TOKEN, I)
    edge: Singles  # (EDGE, I, I) of a batch of one model, the last axis, and another, the one before it
    cell: Ints  # (A,) the actions, of which there are counts[1]
    place: Ints  # (A,) place of its model
    action: Singles  # (ACTION, A)
    counts: Ints  # (2,)


@compiled
def new_scene(n_models: int, n_actions: int) -> Scene:
    """Room for a state."""
    return Scene(
        np.zeros(n_models, dtype=np.int64),
        np.zeros(n_models, dtype=np.float32),
        np.zeros(n_models, dtype=np.float32),
        np.zeros((TOKEN, n_models), dtype=np.float32),
        np.zeros((EDGE, n_models, n_models), dtype=np.float32),
        np.zeros(n_actions, dtype=np.int64),
        np.zeros(n_actions, dtype=np.int64),
        np.zeros((ACTION, n_actions), dtype=np.float32),
        np.zeros(2, dtype=np.int64),
    )


@inlined
def describe(e: EpisodeArrays, n: int, later_ns: Ints, s: Scene) -> None:
    """Write a state down; later_ns is by user, empty for today's uploads."""
    t, resident, deadline = e.library[n], e.state[n, RESIDENT], float(max(1, e.deadline_ns[n]))
    n_models, batch_cap = e.upload_time.shape[1], e.upload_time.shape[2]
    left = float(max(1, e.deadline_ns[n] - e.state[n, ELAPSED]))
    users_row, unit = min(n, len(e.users) - 1), _TIMES / deadline
    count, demand, waiting = 0, 0.0, 0
    for model in range(n_models):
        if not e.mask[n, model * batch_cap]:
            continue
        first = e.next_user[n, model]
        pending = e.first_user[n, model + 1] - first
        largest = min(pending, batch_cap, e.max_batch[t, model])
        later = float(e.per_batch[t, model] + largest * e.per_sample[t, model])
        for place in range(first, first + largest):
            later += later_ns[e.users[users_row, place]] if len(later_ns) > 0 else e.sorted_upload[n, place]
        now = float(e.load_ns[t, resident, model])
        rate = largest * deadline / (_RATES * (now + later))
        s.model[count], s.users[count], s.later[count] = model, largest, later * unit
        s.token[0, count] = pending / 4
        s.token[1, count] = now * unit
        s.token[2, count] = e.load_ns[t, -1, model] * unit
        s.token[3, count] = later * unit
        s.token[4, count] = np.log(rate)
        s.token[5, count] = rate
        s.token[6, count] = min(2.0, (now + later) / left)
        s.token[7, count] = left / deadline
        s.token[8, count] = 1.0 if model == resident else 0.0
        s.token[9, count] = deadline / (_RATES * (now + e.unloaded_ns[n, model * batch_cap]))
        demand += now + later
        waiting += pending
        count += 1
    s.counts[0] = count
    s.token[10, :count] = np.log(max(1.0, demand) / left)
    s.token[11, :count] = waiting / max(1, e.n_users[n])
    loads, scale = e.load_ns[t], np.float32(unit)
    for other in range(count):
        reverse, after, rate = s.edge[0, other], s.edge[1, other], s.edge[2, other]
        row, column = loads[s.model[other]], loads[:, s.model[other]]
        for own in range(count):
            reverse[own] = np.float32(row[s.model[own]]) * scale
            after[own] = np.float32(column[s.model[own]]) * scale
        users, later = s.users[other] * np.float32(_TIMES / _RATES), s.later[other]
        for own in range(count):
            rate[own] = users / (after[own] + later)
    _describe_neighbours(s, count)
    s.counts[1] = _describe_actions(e, n, later_ns, s, left, deadline, demand)


@inlined
def _describe_neighbours(s: Scene, count: int) -> None:
    """Write down of each model what its neighbours make of it.

    That is the best rate that can follow it; the least loading to it, after another model or from an empty GPU, and
    the mean after another; and the least loading of another after it.
    """
    exit_rate, entry, mean_entry, exit_load = s.token[12], s.token[13], s.token[14], s.token[15]
    for own in range(count):
        exit_rate[own], mean_entry[own] = np.float32(0.0), np.float32(0.0)
        entry[own] = s.token[2, own]
        exit_load[own] = np.float32(_TIMES)  # a whole deadline, where there is no other
    share = np.float32(1 / max(1, count - 1))
    for other in range(count):
        reverse, after, rate = s.edge[0, other], s.edge[1, other], s.edge[2, other]
        for own in range(count):
            if own != other:
                exit_rate[own] = max(exit_rate[own], rate[own])
                entry[own] = min(entry[own], reverse[own])
                exit_load[own] = min(exit_load[own], after[own])
                mean_entry[own] += share * reverse[own]


@inlined
def _describe_actions(
    e: EpisodeArrays, n: int, later_ns: Ints, s: Scene, left: float, deadline: float, demand: float
) -> int:
    t, resident, row = e.library[n], e.state[n, RESIDENT], min(n, len(e.users) - 1)
    batch_cap, unit = e.upload_time.shape[2], _TIMES / deadline
    count = 0
    for place in range(s.counts[0]):
        model = s.model[place]
        first = e.next_user[n, model]
        pending = e.first_user[n, model + 1] - first
        now = e.load_ns[t, resident, model]
        upload, later = 0, 0
        for b in range(int(s.users[place])):
            cell = model * batch_cap + b
            if not e.mask[n, cell]:
                break
            today = e.sorted_upload[n, first + b]
            upload += today
            later += later_ns[e.users[row, first + b]] if len(later_ns) > 0 else today
            time = float(now + e.unloaded_ns[n, cell])
            s.cell[count], s.place[count] = cell, place
            s.action[0, count] = np.log((b + 1) * deadline / (_RATES * time))
            s.action[1, count] = (b + 1) / 4
            s.action[2, count] = (pending - b - 1) / 4
            s.action[3, count] = time / left
            s.action[4, count] = (left - time) / deadline
            s.action[5, count] = time * unit
            s.action[6, count] = e.unloaded_ns[n, cell] * unit
            s.action[7, count] = (later - upload) * unit
            s.action[8, count] = 1.0 if b + 1 == pending else 0.0
            rest = max(1.0, demand - now - s.later[place] / unit)
            s.action[9, count] = max(-4.0, min(4.0, np.log(rest / max(1.0, left - time))))
            s.action[10, count] = today * unit
            s.action[11, count] = min(10.0, e.sorted_upload[n, first + b + 1] * unit) if b + 1 < pending else 0.0
            count += 1
    return count


@inlined
def leftover(e: EpisodeArrays, n: int) -> float:
    """At the end of an episode: the part that is left of the time that one user more would take, below 1."""
    t, resident, batch_cap = e.library[n], e.state[n, RESIDENT], e.upload_time.shape[2]
    shortest = float(e.deadline_ns[n] + 1)
    any_pending = False
    for model in range(e.upload_time.shape[1]):
        if e.first_user[n, model + 1] > e.next_user[n, model]:
            any_pending = True
            shortest = min(shortest, float(e.load_ns[t, resident, model] + e.unloaded_ns[n, model * batch_cap]))
    left = e.deadline_ns[n] - e.state[n, ELAPSED]
    return min(0.999, left / max(1.0, shortest)) if any_pending else 0.999
