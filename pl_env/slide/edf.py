"""Shares that vary over time, compiled: the whole band to the earliest due time (EDF).

The state is a queue of what was promised, int64 (3, C): due times, ascending, nanoseconds on the whole band that each
still needs, and whose they are. It holds the entries from ``head`` to ``tail``. Time drains the earliest. A user fits
iff, with its steps merged in, every prefix sum of what is left is at most due - now.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.slide.dynamics import ARRIVAL, DOWNLOAD, N_STEPS, SHARE

Ints = NDArray[np.int64]

# Rows of the queue; of a pair's steps, the first two.
DUE, REST, OWNER = range(3)

COMMITTED = -1
"""Owner of what was promised before the episode."""


@compiled
def fits(queue: Ints, head: int, tail: int, now: int, steps: Ints, n_steps: int) -> bool:
    """Whether a user's steps, int64 (2, L), fit in with all that was promised."""
    due, n = now, head
    for s in range(n_steps):
        while n < tail and queue[DUE, n] <= steps[DUE, s]:
            due += queue[REST, n]
            if due > queue[DUE, n]:
                return False
            n += 1
        due += steps[REST, s]
        if due > steps[DUE, s]:
            return False
    while n < tail:
        due += queue[REST, n]
        if due > queue[DUE, n]:
            return False
        n += 1
    return True


@compiled
def merge(queue: Ints, head: int, tail: int, steps: Ints, n_steps: int, owner: int) -> int:
    """Put a user's steps into the queue; return the new tail."""
    n, s = tail - 1, n_steps - 1
    while s >= 0:
        place = n + s + 1
        if n >= head and queue[DUE, n] > steps[DUE, s]:
            queue[DUE, place], queue[REST, place] = queue[DUE, n], queue[REST, n]
            queue[OWNER, place] = queue[OWNER, n]
            n -= 1
        else:
            queue[DUE, place], queue[REST, place], queue[OWNER, place] = steps[DUE, s], steps[REST, s], owner
            s -= 1
    return tail + n_steps


@compiled
def drain(queue: Ints, head: int, tail: int, start: int, end: int) -> int:
    """Send from ``start`` to ``end``, the earliest first; return the new head."""
    while head < tail and start < end:
        part = min(queue[REST, head], end - start)
        queue[REST, head] -= part
        start += part
        if queue[REST, head] == 0:
            head += 1
    return head


@compiled
def _drain_into(queue: Ints, head: int, tail: int, start: int, end: int, slices: Ints, n_slices: int) -> int:
    """What `drain` sends, as slices (owner, start, end); return how many there are now. The queue is not changed."""
    while head < tail and start < end:
        part, owner = min(queue[REST, head], end - start), queue[OWNER, head]
        if n_slices > 0 and slices[n_slices - 1, 0] == owner and slices[n_slices - 1, 2] == start:
            slices[n_slices - 1, 2] += part
        else:
            slices[n_slices, 0], slices[n_slices, 1], slices[n_slices, 2] = owner, start, start + part
            n_slices += 1
        start += part
        head += 1
    return n_slices


@compiled
def backlog(queue: Ints, head: int, tail: int) -> int:
    """Nanoseconds of the whole band that are promised."""
    total = 0
    for n in range(head, tail):
        total += queue[REST, n]
    return total


@compiled
def slices_of(arrival: Ints, steps: Ints, n_steps: Ints, committed_due: Ints, committed_rest: Ints) -> tuple[Ints, int]:
    """Share the band among users, the earliest due time first.

    Args:
        arrival: int64 (K,), ascending.
        steps: int64 (K, 2, L), due times and sizes of each user's steps.
        n_steps: int64 (K,), how many steps; -1 for nobody to serve.
        committed_due: int64 (C,), what was promised before.
        committed_rest: int64 (C,).

    Returns:
        Slices int64 (N, 3), owner, start and end, and the first user who did not fit, or K.
    """
    n_committed = len(committed_due)
    capacity = n_committed + np.maximum(n_steps, 0).sum()
    queue = np.empty((3, capacity), dtype=np.int64)
    queue[DUE, :n_committed], queue[REST, :n_committed] = committed_due, committed_rest
    queue[OWNER, :n_committed] = COMMITTED
    slices = np.empty((capacity + len(arrival) + 1, 3), dtype=np.int64)
    head, tail, now, n_slices = 0, n_committed, 0, 0
    for k in range(len(arrival)):
        if n_steps[k] < 0:
            continue
        n_slices = _drain_into(queue, head, tail, now, arrival[k], slices, n_slices)
        head = drain(queue, head, tail, now, arrival[k])
        now = arrival[k]
        if not fits(queue, head, tail, now, steps[k], n_steps[k]):
            return slices[:n_slices], k
        tail = merge(queue, head, tail, steps[k], n_steps[k], k)
    n_slices = _drain_into(queue, head, tail, now, 2**62, slices, n_slices)
    return slices[:n_slices], len(arrival)


@compiled
def play_rule(
    users: Ints,
    pairs: Ints,
    steps: Ints,
    first: int,
    queue: Ints,
    head: int,
    tail: int,
    now: int,
    n_total: int,
    rule: NDArray[np.float64],
    models: Ints,
) -> int:
    """Admit users one by one, each with the legal model of least download, where that is within the rule's limit.

    Args:
        users: int64 (K, 6).
        pairs: int64 (K, I, 6).
        steps: int64 (K, I, 2, L).
        first: The first user who is decided on.
        queue: int64 (3, C) with room for all of them; changed.
        head: Where the queue begins.
        tail: Where it ends.
        now: Nanoseconds since the start.
        n_total: Users of the whole episode, of whom these are the last.
        rule: float64 (4,).
        models: int64 (K,), out: each user's model from the first on, -1 for refused.

    Returns:
        How many users were admitted.
    """
    served, n_users = 0, len(users)
    for k in range(first, n_users):
        head = drain(queue, head, tail, now, users[k, ARRIVAL])
        now = users[k, ARRIVAL]
        limit = rule_limit(rule, backlog(queue, head, tail), (n_users - 1 - k) / n_total)
        models[k] = least_download(pairs[k], steps[k], queue, head, tail, now, limit)
        if models[k] >= 0:
            tail = merge(queue, head, tail, steps[k, models[k]], pairs[k, models[k], N_STEPS], k)
            served += 1
    return served


@compiled
def rule_limit(rule: NDArray[np.float64], backlog_ns: int, to_come: float) -> float:
    """Seconds that a download may take: p0 + p1 · max(0, p2 - backlog) + p3 · max(0, 1 - 4 · to_come)."""
    return float(rule[0] + rule[1] * max(0.0, rule[2] - 1e-9 * backlog_ns) + rule[3] * max(0.0, 1.0 - 4.0 * to_come))


@compiled
def least_download(pairs: Ints, steps: Ints, queue: Ints, head: int, tail: int, now: int, limit_seconds: float) -> int:
    """A user's legal model of least download, if that is within the limit, else -1."""
    best = -1
    for i in range(len(pairs)):
        is_less = best < 0 or pairs[i, DOWNLOAD] < pairs[best, DOWNLOAD]
        if pairs[i, SHARE] > 0 and is_less and fits(queue, head, tail, now, steps[i], pairs[i, N_STEPS]):
            best = i
    return best if best >= 0 and 1e-9 * pairs[best, DOWNLOAD] <= limit_seconds else -1
