"""The environment's step, compiled: drain, admit, look at the next user."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.slide.dynamics import ARRIVAL, DEADLINE, DOWNLOAD, N_STEPS, SHARE
from pl_env.slide.edf import DUE, OWNER, REST, backlog, drain, fits, merge

Ints = NDArray[np.int64]

HORIZON = 16
"""Points t_h = h · T_max / 16 of the observation."""

# Entries of the state. USER is the one to decide on; K after the last.
USER, NOW, HEAD, TAIL, SERVED, BACKLOG = range(6)
STATE_ENTRIES = 6


class Episode(NamedTuple):
    """What a step reads and writes; times are nanoseconds."""

    users: Ints  # (K, 6)
    pairs: Ints  # (K, I, 6)
    steps: Ints  # (K, I, 2, L)
    scale: Ints  # (2,) the window and T_max
    queue: Ints  # (3, C)
    state: Ints  # (6,)
    models: Ints  # (K,) decided so far: model, or -1
    observation: NDArray[np.float32]  # (2 + 16 + 16 I + I + 1,) time, to_come, load, need, download, deadline
    mask: NDArray[np.int8]  # (1 + I,)


@compiled
def begin(e: Episode, n_committed: int) -> None:
    """Start an episode, with so many entries of the queue committed before."""
    e.state[:] = 0
    e.observation[:] = 1.0
    e.state[TAIL] = n_committed
    e.queue[OWNER, :n_committed] = -1
    _meet(e)


@compiled
def decide(e: Episode, action: int) -> bool:
    """Refuse the present user, action 0, or admit with model ``action - 1``; then on to the next.

    Returns:
        Whether the action was legal; if not, nothing has changed.
    """
    user = e.state[USER]
    if user >= len(e.users) or not 0 <= action < len(e.mask) or not e.mask[action]:
        return False
    model = action - 1
    e.models[user] = model
    if model >= 0:
        tail = merge(e.queue, e.state[HEAD], e.state[TAIL], e.steps[user, model], e.pairs[user, model, N_STEPS], user)
        e.state[TAIL] = tail
        e.state[SERVED] += 1
    e.state[USER] += 1
    _meet(e)
    return True


@compiled
def _meet(e: Episode) -> None:
    """Let time pass until the next user is there, and observe."""
    user, n_users, n_models = e.state[USER], len(e.users), len(e.mask) - 1
    if user < n_users:
        now = e.users[user, ARRIVAL]
        e.state[HEAD] = drain(e.queue, e.state[HEAD], e.state[TAIL], e.state[NOW], now)
        e.state[NOW] = now
    head, tail, now = e.state[HEAD], e.state[TAIL], e.state[NOW]
    e.state[BACKLOG] = backlog(e.queue, head, tail)
    window, longest = e.scale
    e.observation[0] = min(1.0, now / window) if window > 0 else 0.0
    e.observation[1] = max(0, n_users - 1 - user) / max(1, n_users)
    _observe_work(e.queue[DUE, head:tail], e.queue[REST, head:tail], now, longest, e.observation[2 : 2 + HORIZON])
    need = e.observation[2 + HORIZON : 2 + HORIZON * (1 + n_models)].reshape((n_models, HORIZON))
    download = e.observation[2 + HORIZON * (1 + n_models) : -1]
    need[:] = 1.0
    download[:] = 1.0
    if user >= n_users:
        e.mask[:] = 1
        return
    e.observation[-1] = min(1.0, e.users[user, DEADLINE] / longest)
    e.mask[0] = 1
    for i in range(n_models):
        e.mask[1 + i] = 0
        if e.pairs[user, i, SHARE] > 0:
            steps, n_steps = e.steps[user, i], e.pairs[user, i, N_STEPS]
            e.mask[1 + i] = fits(e.queue, head, tail, now, steps, n_steps)
            _observe_work(steps[DUE, :n_steps], steps[REST, :n_steps], now, longest, need[i])
            download[i] = min(1.0, e.pairs[user, i, DOWNLOAD] / longest)


@compiled
def _observe_work(due: Ints, rest: Ints, now: int, longest: int, out: NDArray[np.float32]) -> None:
    """What is due within t_h from now on, as a fraction of t_h, for each h."""
    n, total = 0, 0
    for h in range(1, HORIZON + 1):
        time = longest * h // HORIZON
        while n < len(due) and due[n] <= now + time:
            total += rest[n]
            n += 1
        out[h - 1] = min(1.0, total / time) if time > 0 else 0.0
