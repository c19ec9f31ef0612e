"""One step, or one beginning, of many episodes in one compiled call. What happens in it is in ``dynamics.py``."""

from __future__ import annotations

from pl_env.compiling import compiled
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    AGENT,
    ARRIVED,
    BEFORE,
    CHOICES,
    DEMAND,
    EVICTION,
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
from pl_env.online.dynamics import begin, decide, serve, wait
from pl_env.online.observing import observe, show_nothing

REFUSED, WAITED, RAN = range(3)
"""What came of an action."""


@compiled
def act(t: Tables, e: Episode, n: int, action: int, preferred: int) -> int:
    """Take an action if it is legal, and go on to the next decision; a refused one ends the episode.

    Args:
        t: The library.
        e: The episodes.
        n: Which of them.
        action: model · b_cap + size - 1, or I · b_cap to wait.
        preferred: Model whose blocks leave first; -1 for none.
    """
    t, e = borrowed(t), borrowed(e)
    batch_cap = e.cap[0]
    waits = t.models.shape[1] * batch_cap
    if e.state[n, CHOICES] > 0 and action == waits and e.state[n, ARRIVED] < e.state[n, LAST]:
        wait(e, n)
        decide(t, e, n)
        return WAITED
    model, size = action // batch_cap, action % batch_cap + 1
    if e.state[n, CHOICES] == 0 or not 0 <= action < waits or size > e.models[n, LEGAL, model]:
        e.state[n, CHOICES] = 0
        e.state[n, BEFORE] = e.state[n, NOW]
        return REFUSED
    rule = t.options[EVICTION]
    serve(t, e, n, model, size, DEMAND if rule == AGENT else rule, preferred)
    decide(t, e, n)
    return RAN


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
    observe(t, e, 0)
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
        rewards[n] = 0.0
        if skipped[n]:
            continue
        came[n] = act(t, e, n, actions[n], preferred[n])
        observe(t, e, n)
        if came[n] == RAN:
            rewards[n] = (actions[n] % batch_cap + 1) / e.state[n, N_USERS]
