"""One step, or one beginning, of many episodes in one compiled call. What happens in it is in ``dynamics.py``."""

from __future__ import annotations

from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed, prefetch
from pl_env.online.arrays import (
    AGENT,
    ARRIVED,
    BEFORE,
    CHOICES,
    DEMAND,
    EVICTION,
    FORGOTTEN,
    LAST,
    LEGAL,
    N_USERS,
    NOW,
    Bools,
    Episode,
    Floats,
    Ints,
    Tables,
)
from pl_env.online.arrivals import Draws, draw_users
from pl_env.online.dynamics import begin, decide_inlined, serve_inlined, wait
from pl_env.online.observing import observe, observe_inlined, show_nothing

_AHEAD = 2
"""Episodes between the one that steps and the one whose rows are fetched into the cache."""

_LINE_BYTES, _PENDING_BYTES, _PENDING_AT_ONCE = 64, 24, 32

REFUSED, WAITED, RAN = range(3)
"""What came of an action."""


@inlined
def act(t: Tables, e: Episode, n: int, action: int, preferred: int) -> int:
    """Take an action if it is legal, and go on to the next decision; a refused one ends the episode.

    Args:
        t: The library.
        e: The episodes.
        n: Which of them.
        action: model · b_cap + size - 1, or I · b_cap to wait.
        preferred: Model whose blocks leave first; -1 for none.
    """
    batch_cap, came = e.cap[0], REFUSED
    waits = t.models.shape[1] * batch_cap
    model, size = action // batch_cap, action % batch_cap + 1
    if e.state[n, CHOICES] > 0:
        if action == waits:
            if e.state[n, ARRIVED] < e.state[n, LAST]:
                wait(e, n)
                came = WAITED
        elif 0 <= action < waits and size <= e.models[n, LEGAL, model]:
            rule = t.options[EVICTION]
            serve_inlined(t, e, n, model, size, DEMAND if rule == AGENT else rule, preferred)
            came = RAN
    if came == REFUSED:
        e.state[n, CHOICES] = 0
        e.state[n, BEFORE] = e.state[n, NOW]
    else:
        decide_inlined(t, e, n)
    return came


@compiled
def begin_one(t: Tables, e: Episode, n_users: int, n_before: int, resident: Bools, last_used: Ints) -> None:
    """Begin the episode of row 0 with the users who stand there, and observe if it is observed."""
    t, e = borrowed(t), borrowed(e)
    begin(t, e, 0, n_users, n_before, resident, last_used)
    if e.observation.shape[1] > 0:
        show_nothing(e, 0)
        observe(t, e, 0)


@compiled
def step_one(t: Tables, e: Episode, action: int, preferred: int) -> int:
    """Take an action in row 0, and observe."""
    t, e = borrowed(t), borrowed(e)
    came = act(t, e, 0, action, preferred)
    observe_inlined(t, e, 0)
    return came


@compiled
def draw_many(t: Tables, e: Episode, d: Draws, generators: Ints, which: Ints, model_of_rank: Ints) -> None:
    """Draw and begin episodes, each from its own generator; nothing is resident."""
    t, e = borrowed(t), borrowed(e)
    nothing, never = e.resident[0].copy(), e.last_used[0].copy()
    nothing[:] = False
    never[:] = 0
    for n in which:
        n_users = draw_users(generators[n, 0], generators[n, 1], d, model_of_rank, e.users[n])
        begin(t, e, n, n_users, 0, nothing, never)
        show_nothing(e, n)
        observe(t, e, n)


@inlined
def _prefetch(e: Episode, n: int) -> None:
    """Fetch into the cache what the step of episode n will read; a thousand of them do not fit at once."""
    n_models, pending = e.models.shape[2], e.pending.ctypes.data + n * e.pending.shape[1] * _PENDING_BYTES
    models = e.models.ctypes.data + 8 * n * e.models.shape[1] * n_models
    for line in range(0, 8 * e.models.shape[1] * n_models, _LINE_BYTES):
        prefetch(models + line)
    for line in range(0, _PENDING_AT_ONCE * _PENDING_BYTES, _LINE_BYTES):
        prefetch(pending + line)
    shown = e.observation.ctypes.data + 4 * n * e.observation.shape[1]
    for line in range(0, 4 * e.observation.shape[1], _LINE_BYTES):
        prefetch(shown + line)
    windows = e.windows.ctypes.data + n * e.windows.shape[1] * 16
    for line in range(0, _PENDING_AT_ONCE * 16, _LINE_BYTES):
        prefetch(windows + line)
    used = e.last_used.ctypes.data + 8 * n * e.last_used.shape[1]
    for line in range(0, 8 * e.last_used.shape[1], _LINE_BYTES):
        prefetch(used + line)
    prefetch(e.resident.ctypes.data + n * e.resident.shape[1])
    prefetch(e.resident.ctypes.data + n * e.resident.shape[1] + _LINE_BYTES)
    for line in range(0, e.mask.shape[1], _LINE_BYTES):
        prefetch(e.mask.ctypes.data + n * e.mask.shape[1] + line)
    users = e.users.ctypes.data + 40 * n * e.users.shape[1]
    prefetch(users + 40 * e.state[n, ARRIVED])
    prefetch(users + 40 * e.state[n, ARRIVED] + _LINE_BYTES)
    prefetch(users + 40 * e.state[n, FORGOTTEN])
    prefetch(e.finish.ctypes.data + 8 * n * e.finish.shape[1] + 8 * e.state[n, ARRIVED] - 40)
    ahead = min(n + 2, len(e.state) - 1)
    prefetch(e.state.ctypes.data + 8 * ahead * e.state.shape[1])
    prefetch(e.state.ctypes.data + 8 * ahead * e.state.shape[1] + _LINE_BYTES)


@compiled
def step_many(
    t: Tables, e: Episode, actions: Ints, preferred: Ints, skipped: Bools, came: Ints, rewards: Floats
) -> None:
    """One step of every episode but those to skip.

    Args:
        t: The library.
        e: The episodes.
        actions: int64 (N,).
        preferred: int64 (N,), models whose blocks leave first; -1 for none.
        skipped: bool (N,), episodes to leave alone.
        came: int64 (N,), out: `REFUSED`, `WAITED` or `RAN`.
        rewards: float64 (N,), out: users served by the step / K.
    """
    t, e = borrowed(t), borrowed(e)
    batch_cap = e.cap[0]
    for n in range(len(actions)):
        if n + _AHEAD < len(actions):
            _prefetch(e, n + _AHEAD)
        rewards[n] = 0.0
        if skipped[n]:
            continue
        came[n] = act(t, e, n, actions[n], preferred[n])
        observe_inlined(t, e, n)
        if came[n] == RAN:
            rewards[n] = (actions[n] % batch_cap + 1) / e.state[n, N_USERS]
