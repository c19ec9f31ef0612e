"""The physics, compiled: who is there, which batches are in time, what a batch does. The only place where it is written.

Equations are those of ``docs/online.md``. Kernels work on row n of the arrays of N episodes; a policy in compiled code
goes ``begin``, then ``serve`` or ``wait`` and ``decide`` for as long as there are ``CHOICES``.
"""

from __future__ import annotations

from pl_env.compiling import compiled
from pl_env.online.arrays import (
    ARRIVED,
    BEFORE,
    CHOICES,
    COMPUTE_NS,
    DEADLINE,
    EXPIRED,
    FIRST,
    FORGOTTEN,
    FORGOTTEN_BEFORE,
    H_COMPUTE,
    H_EVICTED_END,
    H_FINISH,
    H_LOAD,
    H_MODEL,
    H_PREFERRED,
    H_SIZE,
    H_START,
    H_UPLOAD,
    H_WAITS,
    HEAD,
    LAST,
    LAST_END,
    LEGAL,
    LOADED_BYTES,
    LOADING_NS,
    MAX_BATCH,
    MISSING_BYTES,
    MISSING_NS,
    MODEL,
    N_BATCHES,
    N_BEFORE,
    N_EVICTED,
    N_USERS,
    N_WAITS,
    NOT_SERVED,
    NOW,
    OVERHEAD,
    OVERLAPS,
    PER_BATCH,
    PER_SAMPLE,
    READY,
    RECENT,
    SERVED,
    SHOWN,
    TAIL,
    UPLOAD,
    UPLOAD_NS,
    UPLOADS,
    Bools,
    Episode,
    Ints,
    Tables,
)
from pl_env.online.eviction import fetch, set_memory
from pl_env.online.instance import MEMORY_NS

NEVER = -(2**62)
"""When the last batch of a model ended that had none."""


@compiled
def load_ns(t: Tables, e: Episode, n: int, model: int) -> int:
    """L_i(R), equation (O1); blocks that load in no time cost no c0."""
    missing = e.models[n, model, MISSING_NS]
    return int(missing + t.options[OVERHEAD] if missing > 0 else 0)


@compiled
def batch_ns(t: Tables, model: int, size: int, upload: int, load: int) -> int:
    """t of a batch, equation (O2)."""
    first = max(upload, load) if t.options[OVERLAPS] else upload + load
    return int(first + t.models[model, PER_SAMPLE] * size + t.models[model, PER_BATCH])


# ---------------------------------------------------------------- who is there


@compiled
def begin(t: Tables, e: Episode, n: int, n_users: int, n_before: int, resident: Bools, last_used: Ints) -> None:
    """Start an episode, whose users and users before stand in their rows, and go on to the first decision."""
    row = min(n, len(e.users) - 1)
    e.state[n, :] = 0
    e.state[n, LAST] = n_users
    e.state[n, N_USERS] = n_users
    e.state[n, N_BEFORE] = n_before
    for i in range(len(t.models)):
        e.models[n, i, HEAD] = 0
        e.models[n, i, RECENT] = 0
        e.models[n, i, LAST_END] = NEVER
        e.models[n, i, LEGAL] = 0
    for k in range(n_users):
        e.models[n, e.users[row, k, MODEL], HEAD] += 1
    start = 0
    for i in range(len(t.models)):
        count = e.models[n, i, HEAD]
        e.models[n, i, HEAD] = start
        e.models[n, i, TAIL] = start
        start += count
    for k in range(min(n_users, e.finish.shape[1])):
        e.finish[n, k] = NOT_SERVED
    for p in range(n_before):
        e.models[n, e.before[row, p, MODEL], RECENT] += 1
    set_memory(t, e, n, resident, last_used)
    decide(t, e, n)
    e.state[n, BEFORE] = e.state[n, NOW]


@compiled
def _admit(e: Episode, n: int) -> None:
    """Let everybody into the queue who is there now, and let demand forget those who came long ago."""
    row, now = min(n, len(e.users) - 1), e.state[n, NOW]
    k = e.state[n, ARRIVED]
    while k < e.state[n, LAST] and e.users[row, k, READY] <= now:
        model = e.users[row, k, MODEL]
        deadline, upload = e.users[row, k, DEADLINE], e.users[row, k, UPLOAD]
        place = e.models[n, model, TAIL]
        while place > e.models[n, model, HEAD]:
            other = e.queue[n, place - 1]
            its = e.users[row, other, DEADLINE]
            if its < deadline or (its == deadline and e.users[row, other, UPLOAD] <= upload):
                break
            e.queue[n, place] = other
            place -= 1
        e.queue[n, place] = k
        e.models[n, model, TAIL] += 1
        e.models[n, model, RECENT] += 1
        k += 1
    e.state[n, ARRIVED] = k
    k = e.state[n, FORGOTTEN]
    while k < e.state[n, ARRIVED] and e.users[row, k, READY] <= now - MEMORY_NS:
        e.models[n, e.users[row, k, MODEL], RECENT] -= 1
        k += 1
    e.state[n, FORGOTTEN] = k
    k = e.state[n, FORGOTTEN_BEFORE]
    while k < e.state[n, N_BEFORE] and e.before[row, k, READY] <= now - MEMORY_NS:
        e.models[n, e.before[row, k, MODEL], RECENT] -= 1
        k += 1
    e.state[n, FORGOTTEN_BEFORE] = k


# ---------------------------------------------------------------- which batches are in time


@compiled
def _drop_hopeless(t: Tables, e: Episode, n: int, model: int) -> None:
    """Drop users of a model who would be late even with a resident model and alone."""
    row = min(n, len(e.users) - 1)
    least = e.state[n, NOW] + t.models[model, PER_SAMPLE] + t.models[model, PER_BATCH]
    kept = e.models[n, model, TAIL]
    for place in range(e.models[n, model, TAIL] - 1, e.models[n, model, HEAD] - 1, -1):
        k = e.queue[n, place]
        if least + e.users[row, k, UPLOAD] <= e.users[row, k, DEADLINE]:
            kept -= 1
            e.queue[n, kept] = k
    e.state[n, EXPIRED] += kept - e.models[n, model, HEAD]
    e.models[n, model, HEAD] = kept


@compiled
def _find_windows(t: Tables, e: Episode, n: int, model: int) -> int:
    """The most urgent window of each number of users; the largest number that has one.

    A window of b + 1 users that is in time holds one of b, so it begins at the same place or later.
    """
    row = min(n, len(e.users) - 1)
    first, tail = e.models[n, model, HEAD], e.models[n, model, TAIL]
    load, now = load_ns(t, e, n, model), e.state[n, NOW]
    upload, largest = 0, min(tail - first, t.models[model, MAX_BATCH], e.windows.shape[2])
    for b in range(largest):
        if first + b >= tail:
            return b
        upload += e.users[row, e.queue[n, first + b], UPLOAD]
        time = batch_ns(t, model, b + 1, upload, load)
        while now + time > e.users[row, e.queue[n, first], DEADLINE]:
            if first + b + 1 >= tail:
                return b
            upload += e.users[row, e.queue[n, first + b + 1], UPLOAD] - e.users[row, e.queue[n, first], UPLOAD]
            first += 1
            time = batch_ns(t, model, b + 1, upload, load)
        e.windows[n, model, b, FIRST] = first
        e.windows[n, model, b, UPLOADS] = upload
    return int(largest)


@compiled
def decide(t: Tables, e: Episode, n: int) -> bool:
    """Go on from now to the first decision: a time with a legal batch; return whether there is one."""
    while True:
        _admit(e, n)
        choices = 0
        for i in range(len(t.models)):
            legal = 0
            if e.models[n, i, TAIL] > e.models[n, i, HEAD]:
                _drop_hopeless(t, e, n, i)
                legal = _find_windows(t, e, n, i)
            e.models[n, i, LEGAL] = legal
            choices += legal > 0
        e.state[n, CHOICES] = choices
        if choices > 0 or e.state[n, ARRIVED] == e.state[n, LAST]:
            return bool(choices > 0)
        e.state[n, NOW] = next_arrival(e, n)


@compiled
def next_arrival(e: Episode, n: int) -> int:
    """When the next user comes; there must be one."""
    return int(e.users[min(n, len(e.users) - 1), e.state[n, ARRIVED], READY])


# ---------------------------------------------------------------- what a decision does


@compiled
def wait(e: Episode, n: int) -> None:
    """Let time pass until the next user comes; `decide` goes on from there."""
    e.state[n, BEFORE] = e.state[n, NOW]
    e.state[n, NOW] = next_arrival(e, n)
    e.state[n, N_WAITS] += 1


@compiled
def serve(t: Tables, e: Episode, n: int, model: int, size: int, rule: int, preferred: int) -> None:
    """Run the window of so many users of a model, which must be legal; `decide` goes on from there.

    Args:
        t: The library.
        e: The episodes.
        n: Which of them.
        model: The model.
        size: Users, from 1 to ``LEGAL`` of the model.
        rule: Which blocks leave, as in `eviction.fetch`.
        preferred: Model whose blocks leave first; -1 for none.
    """
    start = e.state[n, NOW]
    upload, load = e.windows[n, model, size - 1, UPLOADS], load_ns(t, e, n, model)
    finish = start + batch_ns(t, model, size, upload, load)
    e.state[n, LOADED_BYTES] += e.models[n, model, MISSING_BYTES]
    fetch(t, e, n, model, rule, preferred)
    e.state[n, BEFORE] = start
    e.state[n, NOW] = finish
    e.state[n, UPLOAD_NS] = upload
    e.state[n, LOADING_NS] = load
    e.state[n, COMPUTE_NS] = t.models[model, PER_SAMPLE] * size + t.models[model, PER_BATCH]
    e.models[n, model, LAST_END] = finish
    if e.history.shape[1] > 0:
        _record(e, n, model, size, start, finish, preferred)
    _take(e, n, model, size, finish)
    e.state[n, N_BATCHES] += 1
    e.state[n, N_WAITS] = 0
    e.state[n, SERVED] += size


@compiled
def _record(e: Episode, n: int, model: int, size: int, start: int, finish: int, preferred: int) -> None:
    """Write the batch's row of the history."""
    row = e.history[n, e.state[n, N_BATCHES]]
    row[H_MODEL] = model
    row[H_SIZE] = size
    row[H_START] = start
    row[H_UPLOAD] = e.state[n, UPLOAD_NS]
    row[H_LOAD] = e.state[n, LOADING_NS]
    row[H_COMPUTE] = e.state[n, COMPUTE_NS]
    row[H_FINISH] = finish
    row[H_WAITS] = e.state[n, N_WAITS]
    row[H_PREFERRED] = preferred
    row[H_EVICTED_END] = e.state[n, N_EVICTED]


@compiled
def _take(e: Episode, n: int, model: int, size: int, finish: int) -> None:
    """Take the window's users out of the queue; those before it move up."""
    first, head, served = e.windows[n, model, size - 1, FIRST], e.models[n, model, HEAD], e.state[n, SERVED]
    for b in range(size):
        k = e.queue[n, first + b]
        if e.finish.shape[1] > 0:
            e.finish[n, k] = finish
        if e.served.shape[1] > 0:
            e.served[n, served + b] = k
    for place in range(first - 1, head - 1, -1):
        e.queue[n, place + size] = e.queue[n, place]
    e.models[n, model, HEAD] = head + size


@compiled
def copy_episode(e: Episode, n: int, to: Episode, m: int) -> None:
    """Copy the state of an episode, but for what is kept of it and what is observed; its users are those of ``to``."""
    to.state[m] = e.state[n]
    to.models[m] = e.models[n]
    to.resident[m] = e.resident[n]
    to.last_used[m] = e.last_used[n]
    for i in range(e.models.shape[1]):
        for place in range(e.models[n, i, HEAD], e.models[n, i, TAIL]):
            to.queue[m, place] = e.queue[n, place]
        for b in range(e.models[n, i, LEGAL]):
            to.windows[m, i, b, FIRST] = e.windows[n, i, b, FIRST]
            to.windows[m, i, b, UPLOADS] = e.windows[n, i, b, UPLOADS]
        to.models[m, i, SHOWN] = 0
