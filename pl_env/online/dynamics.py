"""The physics, compiled: who is there, which batches are in time, what a batch does; the only place where it is so.

Equations are those of ``docs/online.md``. Kernels work on row n of the arrays of N episodes; a policy in compiled code
goes ``begin``, then ``serve`` or ``wait`` and ``decide`` for as long as there are ``CHOICES``.
"""

from __future__ import annotations

from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    ARRIVED,
    BEFORE,
    CHOICES,
    COMPUTE_NS,
    COUNT,
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
    N_PENDING,
    N_USERS,
    N_WAITS,
    NOT_SERVED,
    NOW,
    OVERHEAD,
    OVERLAPS,
    P_DEADLINE,
    P_UPLOAD,
    P_USER,
    PER_BATCH,
    PER_SAMPLE,
    READY,
    RECENT,
    SERVED,
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


@inlined
def load_ns(missing_ns: int, overhead_ns: int) -> int:
    """L_i(R), equation (O1), from the sum over the missing blocks; blocks that load in no time cost no c0."""
    return missing_ns + overhead_ns if missing_ns > 0 else 0


@inlined
def batch_ns(upload: int, load: int, compute: int, overlaps: int) -> int:
    """T of a batch, equation (O2)."""
    return (max(upload, load) if overlaps else upload + load) + compute


# ---------------------------------------------------------------- who is there


@compiled
def begin(t: Tables, e: Episode, n: int, n_users: int, n_before: int, resident: Bools, last_used: Ints) -> None:
    """Start an episode, whose users and users before stand in their rows, and go on to the first decision."""
    t, e = borrowed(t), borrowed(e)
    row = min(n, len(e.users) - 1)
    for entry in range(e.state.shape[1]):
        e.state[n, entry] = 0
    e.state[n, LAST] = n_users
    e.state[n, N_USERS] = n_users
    e.state[n, N_BEFORE] = n_before
    for i in range(t.models.shape[1]):
        e.models[n, HEAD, i] = 0
        e.models[n, COUNT, i] = 0
        e.models[n, RECENT, i] = 0
        e.models[n, LAST_END, i] = NEVER
        e.models[n, LEGAL, i] = 0
    for k in range(min(n_users, e.finish.shape[1])):
        e.finish[n, k] = NOT_SERVED
    for p in range(n_before):
        e.models[n, RECENT, e.before[row, p, MODEL]] += 1
    set_memory(t, e, n, resident, last_used)
    decide(t, e, n)
    e.state[n, BEFORE] = e.state[n, NOW]


@inlined
def _admit(e: Episode, n: int) -> None:
    """Let everybody in who is there now, and let demand forget those who came long ago."""
    row, now = min(n, len(e.users) - 1), e.state[n, NOW]
    k = e.state[n, ARRIVED]
    while k < e.state[n, LAST] and e.users[row, k, READY] <= now:
        _insert(e, n, k, e.users[row, k, MODEL], e.users[row, k, DEADLINE], e.users[row, k, UPLOAD])
        e.models[n, RECENT, e.users[row, k, MODEL]] += 1
        k += 1
    e.state[n, ARRIVED] = k
    k = e.state[n, FORGOTTEN]
    while k < e.state[n, ARRIVED] and e.users[row, k, READY] <= now - MEMORY_NS:
        e.models[n, RECENT, e.users[row, k, MODEL]] -= 1
        k += 1
    e.state[n, FORGOTTEN] = k
    k = e.state[n, FORGOTTEN_BEFORE]
    while k < e.state[n, N_BEFORE] and e.before[row, k, READY] <= now - MEMORY_NS:
        e.models[n, RECENT, e.before[row, k, MODEL]] -= 1
        k += 1
    e.state[n, FORGOTTEN_BEFORE] = k


@inlined
def _insert(e: Episode, n: int, k: int, model: int, deadline: int, upload: int) -> None:
    """Put a user among the pending ones of a model, behind those of the same deadline and upload, who came before."""
    head, place = e.models[n, HEAD, model], e.state[n, N_PENDING]
    end = head + e.models[n, COUNT, model]
    while place > end:
        _shift(e, n, place - 1, place)
        place -= 1
    while place > head:
        its = e.pending[n, place - 1, P_DEADLINE]
        if its < deadline or (its == deadline and e.pending[n, place - 1, P_UPLOAD] <= upload):
            break
        _shift(e, n, place - 1, place)
        place -= 1
    e.pending[n, place, P_USER] = k
    e.pending[n, place, P_DEADLINE] = deadline
    e.pending[n, place, P_UPLOAD] = upload
    e.state[n, N_PENDING] += 1
    e.models[n, COUNT, model] += 1
    for i in range(model + 1, e.models.shape[2]):
        e.models[n, HEAD, i] += 1


@inlined
def _shift(e: Episode, n: int, place: int, to: int) -> None:
    e.pending[n, to, P_USER] = e.pending[n, place, P_USER]
    e.pending[n, to, P_DEADLINE] = e.pending[n, place, P_DEADLINE]
    e.pending[n, to, P_UPLOAD] = e.pending[n, place, P_UPLOAD]


# ---------------------------------------------------------------- which batches are in time


@inlined
def _look(t: Tables, e: Episode, n: int) -> int:
    """Drop the hopeless, who would be late even with a resident model and alone; find all windows.

    Returns:
        How many models have a legal batch.
    """
    end, choices, now = 0, 0, e.state[n, NOW]
    for i in range(t.models.shape[1]):
        place, count, head = e.models[n, HEAD, i], e.models[n, COUNT, i], end
        e.models[n, HEAD, i] = head
        legal = 0
        if count > 0:
            least = now + t.models[PER_SAMPLE, i] + t.models[PER_BATCH, i]
            for other in range(place, place + count):
                if least + e.pending[n, other, P_UPLOAD] <= e.pending[n, other, P_DEADLINE]:
                    if other != end:
                        _shift(e, n, other, end)
                    end += 1
            e.models[n, COUNT, i] = end - head
            legal = _find_windows(t, e, n, i, head, end, now)
        e.models[n, LEGAL, i] = legal
        choices += legal > 0
    e.state[n, EXPIRED] += e.state[n, N_PENDING] - end
    e.state[n, N_PENDING] = end
    return choices


@inlined
def _find_windows(t: Tables, e: Episode, n: int, model: int, head: int, end: int, now: int) -> int:
    """The most urgent window of each number of users; the largest number that has one.

    A window of b + 1 users that is in time holds one of b, so it begins at the same place or later.
    """
    load, first, last, upload = load_ns(e.models[n, MISSING_NS, model], t.options[OVERHEAD]), head, head, 0
    largest, found, overlaps = min(end - head, t.models[MAX_BATCH, model], e.cap[0]), 0, t.options[OVERLAPS]
    per_sample, compute = t.models[PER_SAMPLE, model], t.models[PER_BATCH, model]
    while found < largest and last < end:
        upload += e.pending[n, last, P_UPLOAD]
        last += 1
        compute += per_sample
        time = batch_ns(upload, load, compute, overlaps)
        while now + time > e.pending[n, first, P_DEADLINE] and last < end:
            upload += e.pending[n, last, P_UPLOAD] - e.pending[n, first, P_UPLOAD]
            first += 1
            last += 1
            time = batch_ns(upload, load, compute, overlaps)
        if now + time > e.pending[n, first, P_DEADLINE]:
            break
        e.windows[n, head + found, FIRST] = first
        e.windows[n, head + found, UPLOADS] = upload
        found += 1
    return found


@compiled
def decide(t: Tables, e: Episode, n: int) -> bool:
    """Go on from now to the first decision: a time with a legal batch; return whether there is one."""
    t, e = borrowed(t), borrowed(e)
    return decide_inlined(t, e, n)


@inlined
def decide_inlined(t: Tables, e: Episode, n: int) -> bool:
    """`decide`, as a part of another kernel."""
    choices = 0
    while True:
        _admit(e, n)
        choices = _look(t, e, n)
        if choices > 0 or e.state[n, ARRIVED] == e.state[n, LAST]:
            break
        e.state[n, NOW] = next_arrival(e, n)
    e.state[n, CHOICES] = choices
    return choices > 0


@inlined
def next_arrival(e: Episode, n: int) -> int:
    """When the next user comes; there must be one."""
    return int(e.users[min(n, len(e.users) - 1), e.state[n, ARRIVED], READY])


@inlined
def uploads_of(e: Episode, n: int, model: int, size: int) -> int:
    """Uploads of a legal batch, one after the other."""
    return int(e.windows[n, e.models[n, HEAD, model] + size - 1, UPLOADS])


@inlined
def deadline_of(e: Episode, n: int, model: int, size: int) -> int:
    """d_x, the first deadline of the users of a legal batch."""
    return int(e.pending[n, e.windows[n, e.models[n, HEAD, model] + size - 1, FIRST], P_DEADLINE])


# ---------------------------------------------------------------- what a decision does


@inlined
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
    t, e = borrowed(t), borrowed(e)
    serve_inlined(t, e, n, model, size, rule, preferred)


@inlined
def serve_inlined(t: Tables, e: Episode, n: int, model: int, size: int, rule: int, preferred: int) -> None:
    """`serve`, as a part of another kernel."""
    start = e.state[n, NOW]
    upload, load = uploads_of(e, n, model, size), load_ns(e.models[n, MISSING_NS, model], t.options[OVERHEAD])
    compute = t.models[PER_SAMPLE, model] * size + t.models[PER_BATCH, model]
    finish = start + batch_ns(upload, load, compute, t.options[OVERLAPS])
    e.state[n, LOADED_BYTES] += e.models[n, MISSING_BYTES, model]
    fetch(t, e, n, model, rule, preferred)
    e.state[n, BEFORE] = start
    e.state[n, NOW] = finish
    e.state[n, UPLOAD_NS] = upload
    e.state[n, LOADING_NS] = load
    e.state[n, COMPUTE_NS] = compute
    e.models[n, LAST_END, model] = finish
    if e.history.shape[1] > 0:
        _record(e, n, model, size, start, finish, preferred)
    _take(e, n, model, size, finish)
    e.state[n, N_BATCHES] += 1
    e.state[n, N_WAITS] = 0
    e.state[n, SERVED] += size


@inlined
def _record(e: Episode, n: int, model: int, size: int, start: int, finish: int, preferred: int) -> None:
    """Write the batch's row of the history."""
    number = e.state[n, N_BATCHES]
    e.history[n, number, H_MODEL] = model
    e.history[n, number, H_SIZE] = size
    e.history[n, number, H_START] = start
    e.history[n, number, H_UPLOAD] = e.state[n, UPLOAD_NS]
    e.history[n, number, H_LOAD] = e.state[n, LOADING_NS]
    e.history[n, number, H_COMPUTE] = e.state[n, COMPUTE_NS]
    e.history[n, number, H_FINISH] = finish
    e.history[n, number, H_WAITS] = e.state[n, N_WAITS]
    e.history[n, number, H_PREFERRED] = preferred
    e.history[n, number, H_EVICTED_END] = e.state[n, N_EVICTED]


@inlined
def _take(e: Episode, n: int, model: int, size: int, finish: int) -> None:
    """Take the window's users out of the pending ones."""
    first, served = e.windows[n, e.models[n, HEAD, model] + size - 1, FIRST], e.state[n, SERVED]
    for b in range(size):
        k = e.pending[n, first + b, P_USER]
        if e.finish.shape[1] > 0:
            e.finish[n, k] = finish
        if e.served.shape[1] > 0:
            e.served[n, served + b] = k
    for place in range(first + size, e.state[n, N_PENDING]):
        _shift(e, n, place, place - size)
    e.state[n, N_PENDING] -= size
    e.models[n, COUNT, model] -= size
    for i in range(model + 1, e.models.shape[2]):
        e.models[n, HEAD, i] -= size


@compiled
def copy_episode(e: Episode, n: int, to: Episode, m: int) -> None:
    """Copy the state of an episode, but for what is kept of it and what is observed; its users are those of ``to``."""
    e, to = borrowed(e), borrowed(to)
    to.state[m] = e.state[n]
    to.models[m] = e.models[n]
    to.resident[m] = e.resident[n]
    to.last_used[m] = e.last_used[n]
    count = e.state[n, N_PENDING]
    to.pending[m, :count] = e.pending[n, :count]
    to.windows[m, :count] = e.windows[n, :count]
