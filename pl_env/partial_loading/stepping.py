"""One step, or one beginning, of many episodes in one compiled call. What happens in it is in ``dynamics.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined
from pl_env.low_level import prefetch
from pl_env.partial_loading.arrays import EpisodeArrays, episodes_at
from pl_env.partial_loading.dynamics import (
    COMPUTE,
    ELAPSED,
    LOAD,
    N_BATCHES,
    N_SERVED,
    UPLOAD,
    begin_episode,
    draw_episode,
    observe,
    redraw_channels,
    serve_batch,
)
from pl_env.times import NS_PER_SECOND

Ints = NDArray[np.int64]

# Rows of what is reported of a step: numbers, counts and flags. RETURN and LENGTH are those of the episode so far; the
# seconds but the elapsed ones are those of the step's batch.
REWARD, RETURN, ELAPSED_SECONDS, UPLOAD_SECONDS, LOAD_SECONDS, COMPUTE_SECONDS = range(6)
SERVED, LENGTH = range(2)
TERMINATED, INVALID, RAN = range(3)
REPORTED_NUMBERS, REPORTED_COUNTS, REPORTED_FLAGS = 6, 2, 3

# Episodes between the one that steps and the one whose rows are fetched into the cache.
_AHEAD = 6


@compiled
def first_outside(actions: Ints, n_actions: int) -> int:
    """The first environment whose action is outside the action space; -1 where there is none."""
    for n in range(len(actions)):
        if not 0 <= actions[n] < n_actions:
            return n
    return -1


@compiled
def begin_many(
    addresses: Ints,  # of `addresses_of`
    unloaded_ns: NDArray[Any],  # the array, for its type
    which: Ints,  # (M,) episodes to begin
    drawn: bool,  # users are drawn from the episodes' generators; else those given are taken
    resident: int,
) -> None:
    """Begin episodes."""
    e = episodes_at(addresses, unloaded_ns)
    for n in which:
        if drawn:
            draw_episode(e, n)
        begin_episode(e, n, resident)
        _report(e, n, 0, False, False)


@compiled
def step_many(
    addresses: Ints,  # of `addresses_of`
    unloaded_ns: NDArray[Any],  # the array, for its type
    actions: Ints,  # (N,)
    resetting: NDArray[np.bool_],  # (N,) episodes to draw and begin instead, as in Gymnasium's NEXT_STEP
) -> None:
    """One step of every episode: serve a batch, draw channels, observe, report.

    The mask says what is legal: at most the pending users and b_i (10c), finished within the deadline (13c). A refused
    action draws nothing and ends the episode; its mask is all ones, as in every terminal state.
    """
    e = episodes_at(addresses, unloaded_ns)
    batch_cap = e.upload_time.shape[2]
    for n in range(len(actions)):
        if n + _AHEAD < len(actions):
            _prefetch_step(e, n + _AHEAD, actions[n + _AHEAD])
        if resetting[n]:
            draw_episode(e, n)
            begin_episode(e, n, -1)
            _report(e, n, 0, False, False)
            continue
        action = actions[n]
        accepted = e.any_legal[n] and 0 <= action < e.mask.shape[1] and e.mask[n, action] == 1
        if accepted:
            serve_batch(e, n, action // batch_cap, action % batch_cap + 1)
            if e.redraws[n]:
                redraw_channels(e, n)
            e.any_legal[n] = observe(e, n, e.redraws[n])
        else:
            e.mask[n] = 1
            e.any_legal[n] = False
        _report(e, n, action % batch_cap + 1, True, accepted)


@inlined
def _report(e: EpisodeArrays, n: int, size: int, stepped: bool, accepted: bool) -> None:
    """What Gymnasium wants to know of a step, or of a reset, besides the observation."""
    terminated = stepped and not e.any_legal[n]
    row = e.history[n, min(max(0, e.state[n, N_BATCHES] - 1), e.history.shape[1] - 1)]
    e.flags[TERMINATED, n] = terminated
    e.flags[INVALID, n] = stepped and not accepted
    e.flags[RAN, n] = accepted
    e.counts[SERVED, n] = e.state[n, N_SERVED]
    e.counts[LENGTH, n] = e.state[n, N_BATCHES] + (1 if stepped and not accepted else 0)
    e.numbers[RETURN, n] = e.state[n, N_SERVED] / max(1, e.n_users[n])
    e.numbers[REWARD, n] = size / e.n_users[n] if accepted else 0.0
    e.numbers[ELAPSED_SECONDS, n] = e.state[n, ELAPSED] / NS_PER_SECOND
    e.numbers[UPLOAD_SECONDS, n] = row[UPLOAD] / NS_PER_SECOND if accepted else 0.0
    e.numbers[LOAD_SECONDS, n] = row[LOAD] / NS_PER_SECOND if accepted else 0.0
    e.numbers[COMPUTE_SECONDS, n] = row[COMPUTE] / NS_PER_SECOND if accepted else 0.0


@inlined
def _prefetch_step(e: EpisodeArrays, n: int, action: int) -> None:
    """Fetch into the cache what the step of episode n will read first; a thousand of them do not fit at once."""
    if not 0 <= action < e.mask.shape[1]:
        return
    cell = n * e.mask.shape[1] + action
    model = n * e.next_user.shape[1] + action // e.upload_time.shape[2]
    prefetch(e.mask.ctypes.data + cell)
    prefetch(e.next_user.ctypes.data + e.next_user.itemsize * model)
    prefetch(e.first_user.ctypes.data + e.first_user.itemsize * (model + n))
    prefetch(e.unloaded_ns.ctypes.data + e.unloaded_ns.itemsize * cell)
    prefetch(e.upload_time.ctypes.data + e.upload_time.itemsize * cell)
