"""The physics of a batch, compiled. The only place where it is written; environments and planners call it.

Equation numbers are those of arXiv 2503.22982, read as ``docs/model.md`` explains. All times are int64 nanoseconds.
Kernels write into arrays that the caller owns.

The users of an episode are kept sorted by model and, within a model, by upload time: ``users`` (K,) holds their
indices, ``sorted_upload`` (K,) their upload times, and ``first_user`` (I + 1,) where each model begins. ``next_user``
(I,) points at each model's cheapest pending user; a batch always takes the cheapest (Theorem 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined
from pl_env.low_level import prefetch as _prefetch
from pl_env.wireless import (
    draw_distance_m,
    draw_fading_power,
    mean_snr_at,
    spectral_efficiency,
    upload_time_ns,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of an episode's history, one row per batch.
MODEL, SIZE, UPLOAD, LOAD, COMPUTE, FINISH = range(6)
HISTORY_COLUMNS = 6

# Entries of an episode's state.
ELAPSED, RESIDENT, N_BATCHES, N_SERVED = range(4)
STATE_ENTRIES = 4

_INSERTION_SORT_LIMIT = 32

prefetch: Callable[..., None] = _prefetch  # type checkers see numba's own first argument too

# Environments between the one that steps and the one whose rows are fetched into the cache.
_AHEAD = 6


# ---------------------------------------------------------------- users and channels


@compiled
def draw_users(
    uniforms: Floats,  # (3, K): model, place, fading
    request_cumulative: Floats,  # (I,) cumulative request probabilities
    radius_m: float,
    tx_to_noise: float,
    path_loss_exponent: float,
    unit_upload_ns: float,
    requested_model: Ints,  # (K,) out
    mean_snr: Floats,  # (K,) out
    upload_ns: Ints,  # (K,) out
) -> None:
    """Place users, give each a request and a channel: uniform in the disc, Rayleigh fading, inverse-CDF requests."""
    for k in range(len(requested_model)):
        requested_model[k] = _requested(request_cumulative, uniforms[0, k])
        mean_snr[k] = mean_snr_at(draw_distance_m(uniforms[1, k], radius_m), tx_to_noise, path_loss_exponent)
    draw_channels(uniforms[2], mean_snr, unit_upload_ns, upload_ns)


@compiled
def _requested(cumulative: Floats, uniform: float) -> int:
    """Index of the first cumulative probability above ``uniform``; guessed, then searched for."""
    guess = int(uniform * len(cumulative))  # right, or nearly so, where all models are equally likely
    if cumulative[guess] > uniform and (guess == 0 or cumulative[guess - 1] <= uniform):
        return guess
    return min(len(cumulative) - 1, int(np.searchsorted(cumulative, uniform, side="right")))


@compiled
def draw_channels(uniforms: Floats, mean_snr: Floats, unit_upload_ns: float, upload_ns: Ints) -> None:
    """Draw each user's fading and set the upload time p_k / B that follows."""
    for k in range(len(upload_ns)):
        snr = mean_snr[k] * draw_fading_power(uniforms[k])
        upload_ns[k] = upload_time_ns(unit_upload_ns, spectral_efficiency(snr))


@compiled
def sort_users(requested_model: Ints, upload_ns: Ints, first_user: Ints, users: Ints, sorted_upload: Ints) -> None:
    """Fill ``first_user``, ``users`` and ``sorted_upload``: by model, then upload time, ties by user index."""
    n_models = len(first_user) - 1
    first_user[:] = 0
    for k in range(len(requested_model)):
        first_user[requested_model[k] + 1] += 1
    for i in range(n_models):
        first_user[i + 1] += first_user[i]
    place = first_user[:-1].copy()
    for k in range(len(requested_model)):
        model, time = requested_model[k], upload_ns[k]
        m = place[model]
        place[model] += 1
        if first_user[model + 1] - first_user[model] <= _INSERTION_SORT_LIMIT:
            while m > first_user[model] and sorted_upload[m - 1] > time:
                users[m], sorted_upload[m] = users[m - 1], sorted_upload[m - 1]
                m -= 1
        users[m], sorted_upload[m] = k, time
    for i in range(n_models):
        if first_user[i + 1] - first_user[i] > _INSERTION_SORT_LIMIT:
            _sort_group(users[first_user[i] : first_user[i + 1]], sorted_upload[first_user[i] : first_user[i + 1]])


@compiled
def _sort_group(users: Ints, upload: Ints) -> None:
    """Sort one model's users, which stand in order of index, by upload time; stable."""
    if len(users) > _INSERTION_SORT_LIMIT:
        order = np.argsort(upload, kind="mergesort")
        users[:] = users[order]
        upload[:] = upload[order]
        return
    for n in range(1, len(users)):
        user, time = users[n], upload[n]
        m = n - 1
        while m >= 0 and upload[m] > time:
            users[m + 1], upload[m + 1] = users[m], upload[m]
            m -= 1
        users[m + 1], upload[m + 1] = user, time


@compiled
def redraw_pending(
    uniforms: Floats,  # (K,) one per user of the episode, served or not
    mean_snr: Floats,
    unit_upload_ns: float,
    upload_ns: Ints,
    first_user: Ints,
    next_user: Ints,
    users: Ints,
    sorted_upload: Ints,
) -> None:
    """Draw the channels of all pending users anew, and sort them again within their models."""
    draw_channels(uniforms, mean_snr, unit_upload_ns, upload_ns)
    for i in range(len(next_user)):
        pending = users[next_user[i] : first_user[i + 1]]
        pending.sort()  # back to the order of indices, so that ties fall as in `sort_users`
        for n in range(len(pending)):
            sorted_upload[next_user[i] + n] = upload_ns[pending[n]]
        _sort_group(pending, sorted_upload[next_user[i] : first_user[i + 1]])


# ---------------------------------------------------------------- what a batch takes


@compiled
def affine_load_ns(has_block: NDArray[np.bool_], block_load_ns: Ints, load_overhead_ns: int) -> Ints:
    """Loading times (I + 1, I) of model i (column) when model a (row) is resident; the last row is the empty GPU.

    Equations (8) and (23): V of the blocks of J_i that are not in J_a, V(s) = c0·[s > 0] + s / rate. The paper's (8)
    also subtracts blocks that disappear; it means the set difference.
    """
    n_models, n_blocks = has_block.shape
    load_ns = np.zeros((n_models + 1, n_models), dtype=np.int64)
    for a in range(n_models + 1):
        for i in range(n_models):
            for j in range(n_blocks):
                if has_block[i, j] and not (a < n_models and has_block[a, j]):
                    load_ns[a, i] += block_load_ns[j]
            if load_ns[a, i] > 0:
                load_ns[a, i] += load_overhead_ns
    return load_ns


@compiled
def batch_upload_ns(upload: Ints, equal_bandwidth_channels: int) -> int:
    """Upload time of a batch of users, from each one's time alone on the whole band.

    With the optimal shares all finish together after the sum, equation (11). With the band cut into r equal channels
    (``equal_bandwidth_channels`` = r > 0) the slowest user decides: r · max, the form of equation (16).
    """
    total = 0
    if equal_bandwidth_channels == 0:
        for time in upload:
            total += time
    else:
        for time in upload:
            total = max(total, equal_bandwidth_channels * time)
    return int(total)


@compiled
def batch_compute_ns(per_sample: Ints, per_batch: Ints, model: int, size: int) -> int:
    """t_comp = mu_i · b + beta_i, equation (9)."""
    return int(per_sample[model] * size + per_batch[model])


@inlined
def record_batch(
    load: int,
    per_sample: Ints,
    per_batch: Ints,
    elapsed: int,
    model: int,
    upload: Ints,  # (b,)
    equal_bandwidth_channels: int,
    row: Ints,  # (HISTORY_COLUMNS,) out
) -> None:
    """Write one batch's row of the history: t_n = t_up + t_load + t_comp, equation (1)."""
    row[MODEL] = model
    row[SIZE] = len(upload)
    row[UPLOAD] = batch_upload_ns(upload, equal_bandwidth_channels)
    row[LOAD] = load
    row[COMPUTE] = batch_compute_ns(per_sample, per_batch, model, len(upload))
    row[FINISH] = elapsed + row[UPLOAD] + row[LOAD] + row[COMPUTE]


@compiled
def timeline(
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    resident: int,
    models: Ints,  # (N,)
    batch_start: Ints,  # (N + 1,) where each batch begins in user_upload_ns
    user_upload_ns: Ints,  # (served,)
    equal_bandwidth_channels: int,
) -> Ints:
    """History (N, HISTORY_COLUMNS) of a given sequence of batches, one starting when the one before it ends."""
    history = np.empty((len(models), HISTORY_COLUMNS), dtype=np.int64)
    elapsed = 0
    for n in range(len(models)):
        upload = user_upload_ns[batch_start[n] : batch_start[n + 1]]
        load = load_ns[resident, models[n]]
        record_batch(load, per_sample, per_batch, elapsed, models[n], upload, equal_bandwidth_channels, history[n])
        resident = models[n]
        elapsed = history[n, FINISH]
    return history


# ---------------------------------------------------------------- environments

# These work on N environments at once; row n of each array belongs to environment n, and a single environment is N = 1.
# Tables have a row for each environment where libraries differ, else one row for all (t is the row to use). They index
# whole arrays instead of handing rows to each other: a row costs two atomic operations, which a step has no time for.


def observation_tables(
    load_ns: Ints, has_block: NDArray[np.bool_], deadline_ns: int, batch_cap: int, n_blocks: int
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
    """What `observe` looks up by the resident model (row; the last row is the empty GPU).

    Args:
        load_ns: int64 (I + 1, I), loading times.
        has_block: bool (I, J).
        deadline_ns: Deadline of the episode.
        batch_cap: Largest batch b_cap of the action space.
        n_blocks: Length of the observation ``resident``, J or more.

    Returns:
        Loading nanoseconds for each cell (I + 1, I · b_cap), cut off just past the deadline and int32 where that
        fits; loading times as fractions of the deadline, float32 (I + 1, I); resident blocks, float32
        (I + 1, n_blocks).
    """
    kind = np.int32 if deadline_ns < 2**30 else np.int64  # twice the deadline must fit
    load_cells = np.repeat(np.minimum(load_ns, deadline_ns + 1), batch_cap, axis=1).astype(kind)
    load_fraction = np.minimum(1.0, load_ns * (1.0 / max(1, deadline_ns))).astype(np.float32)
    blocks = np.zeros((len(load_ns), n_blocks), dtype=np.float32)
    blocks[:-1, : has_block.shape[1]] = has_block
    return load_cells, load_fraction, blocks


@compiled
def reset_many(
    which: Ints,  # (M,) environments to reset
    resident: int,
    n_users: Ints,  # (N,)
    requested_model: Ints,  # (M, K)
    initial_upload: Ints,  # (M, K)
    per_sample: Ints,  # (N or 1, I), as are the tables that follow
    per_batch: Ints,
    max_batch: Ints,
    load_cells: NDArray[Any],  # the three of `observation_tables`
    load_fraction: NDArray[np.float32],
    blocks: NDArray[np.float32],
    deadline_ns: int,
    first_user: Ints,  # (N, I + 1) out, as are all that follow
    next_user: Ints,  # (N, I)
    users: Ints,  # (N, K)
    sorted_upload: Ints,  # (N, K)
    state: Ints,  # (N, STATE_ENTRIES)
    any_legal: NDArray[np.bool_],  # (N,)
    unloaded_ns: NDArray[Any],
    budget: NDArray[np.float32],
    resident_blocks: NDArray[np.float32],
    load_time: NDArray[np.float32],
    pending: NDArray[np.float32],
    upload_time: NDArray[np.float32],
    batch_time: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> None:
    """Start episodes with the given users: sort them, empty the history, observe."""
    for m in range(len(which)):
        n = which[m]
        k, t = n_users[n], min(n, len(load_cells) - 1)
        sort_users(requested_model[m, :k], initial_upload[m, :k], first_user[n], users[n, :k], sorted_upload[n, :k])
        next_user[n] = first_user[n, :-1]
        state[n, ELAPSED] = 0
        state[n, RESIDENT] = resident
        state[n, N_BATCHES] = 0
        state[n, N_SERVED] = 0
        any_legal[n] = observe(
            n, t, k, per_sample, per_batch, max_batch, load_cells, load_fraction, blocks, deadline_ns,
            first_user, next_user, sorted_upload, state, True,
            unloaded_ns, budget, resident_blocks, load_time, pending, upload_time, batch_time, mask,
        )  # fmt: skip


@compiled
def draw_many(
    which: Ints,  # (M,) environments to draw users for
    n_users: Ints,  # (N,)
    uniforms: Floats,  # (M, 3 · K)
    request_cumulative: Floats,
    radius_m: float,
    tx_to_noise: float,
    path_loss_exponent: float,
    unit_upload_ns: float,
    requested_model: Ints,  # (M, K) out
    mean_snr: Floats,  # (N, K) out, or (1, K) where channels are not drawn anew
    initial_upload: Ints,  # (M, K) out
) -> None:
    """`draw_users` for many environments."""
    for m in range(len(which)):
        k = n_users[which[m]]
        draw_users(
            uniforms[m, : 3 * k].reshape((3, k)), request_cumulative, radius_m, tx_to_noise, path_loss_exponent,
            unit_upload_ns, requested_model[m, :k], mean_snr[min(which[m], len(mean_snr) - 1), :k],
            initial_upload[m, :k],
        )  # fmt: skip


@compiled
def step_many(
    actions: Ints,  # (N,)
    skip: NDArray[np.bool_],  # (N,) environments to leave alone
    n_users: Ints,
    load_ns: Ints,  # (N or 1, I + 1, I)
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    load_cells: NDArray[Any],
    load_fraction: NDArray[np.float32],
    blocks: NDArray[np.float32],
    deadline_ns: int,
    first_user: Ints,  # (N, I + 1)
    next_user: Ints,  # in and out, as are all that follow
    users: Ints,
    sorted_upload: Ints,
    state: Ints,
    history: Ints,  # (N, K, HISTORY_COLUMNS), or (N, 1, …) to keep the last batch only
    served_users: Ints,  # (N, K), or (N, 0) to keep none
    served_upload: Ints,  # likewise
    uniforms: Floats,  # (N, K) to draw the pending users' channels anew, or (N, 0)
    mean_snr: Floats,
    unit_upload_ns: float,
    upload_ns: Ints,  # (N, K) out, or (1, K) for scratch
    accepted: NDArray[np.bool_],  # (N,) out
    any_legal: NDArray[np.bool_],  # (N,)
    unloaded_ns: NDArray[Any],
    budget: NDArray[np.float32],
    resident_blocks: NDArray[np.float32],
    load_time: NDArray[np.float32],
    pending: NDArray[np.float32],
    upload_time: NDArray[np.float32],
    batch_time: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> None:
    """One step of every environment: serve a batch, draw channels, observe.

    The mask says what is legal: at most the pending users and b_i (10c), finished within the deadline (13c). A refused
    action ends the episode; its mask is all ones, as in every terminal state.
    """
    batch_cap = upload_time.shape[2]
    redraws = uniforms.shape[1] > 0
    for n in range(len(actions)):
        if n + _AHEAD < len(actions):
            _prefetch_step(
                n + _AHEAD, actions[n + _AHEAD], first_user, next_user, unloaded_ns, upload_time, mask,
            )  # fmt: skip
        if skip[n]:
            continue
        action, k, t = actions[n], n_users[n], min(n, len(load_ns) - 1)
        accepted[n] = any_legal[n] and 0 <= action < mask.shape[1] and mask[n, action] == 1
        if not accepted[n]:
            mask[n] = 1
            any_legal[n] = False
            continue
        _serve_batch(
            n, t, load_ns, per_sample, per_batch, action // batch_cap, action % batch_cap + 1,
            next_user, users, sorted_upload, state, history, served_users, served_upload,
        )  # fmt: skip
        if redraws:
            redraw_pending(
                uniforms[n, :k], mean_snr[n, :k], unit_upload_ns, upload_ns[min(n, len(upload_ns) - 1), :k],
                first_user[n], next_user[n], users[n, :k], sorted_upload[n, :k],
            )  # fmt: skip
        any_legal[n] = observe(
            n, t, k, per_sample, per_batch, max_batch, load_cells, load_fraction, blocks, deadline_ns,
            first_user, next_user, sorted_upload, state, redraws,
            unloaded_ns, budget, resident_blocks, load_time, pending, upload_time, batch_time, mask,
        )  # fmt: skip


@inlined
def _prefetch_step(
    n: int,
    action: int,
    first_user: Ints,
    next_user: Ints,
    unloaded_ns: NDArray[Any],
    upload_time: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> None:
    """Fetch into the cache what the step of environment n will read first; a thousand of them do not fit at once."""
    n_models, n_actions = next_user.shape[1], mask.shape[1]
    if not 0 <= action < n_actions:
        return
    cell = n * n_actions + action
    model = n * n_models + action // upload_time.shape[2]
    prefetch(mask.ctypes.data + cell)
    prefetch(next_user.ctypes.data + 8 * model)
    prefetch(first_user.ctypes.data + 8 * (model + n))
    prefetch(unloaded_ns.ctypes.data + unloaded_ns.itemsize * cell)
    prefetch(upload_time.ctypes.data + 4 * cell)


@inlined
def _serve_batch(
    n: int,
    t: int,
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    model: int,
    size: int,
    next_user: Ints,
    users: Ints,
    sorted_upload: Ints,
    state: Ints,
    history: Ints,
    served_users: Ints,
    served_upload: Ints,
) -> None:
    """Serve the ``size`` cheapest pending users of ``model`` (Theorem 2)."""
    start, served = next_user[n, model], state[n, N_SERVED]
    row = history[n, min(state[n, N_BATCHES], history.shape[1] - 1)]
    record_batch(
        load_ns[t, state[n, RESIDENT], model],
        per_sample[t],
        per_batch[t],
        state[n, ELAPSED],
        model,
        sorted_upload[n, start : start + size],
        0,
        row,
    )
    if served_users.shape[1] > 0:
        for b in range(size):
            served_users[n, served + b] = users[n, start + b]
            served_upload[n, served + b] = sorted_upload[n, start + b]
    next_user[n, model] += size
    state[n, ELAPSED] = row[FINISH]
    state[n, RESIDENT] = model
    state[n, N_BATCHES] += 1
    state[n, N_SERVED] += size


@inlined
def observe(
    n: int,
    t: int,
    n_users: int,
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    load_cells: NDArray[Any],
    load_fraction: NDArray[np.float32],
    blocks: NDArray[np.float32],
    deadline_ns: int,
    first_user: Ints,
    next_user: Ints,
    sorted_upload: Ints,
    state: Ints,
    everything: bool,
    unloaded_ns: NDArray[Any],  # (N, I · b_cap) in and out: upload and compute of a batch; past the deadline if none
    budget: NDArray[np.float32],  # (N, 1) out, as are all that follow
    resident_blocks: NDArray[np.float32],  # (N, J or more)
    load_time: NDArray[np.float32],  # (N, I)
    pending: NDArray[np.float32],  # (N, I) in and out
    upload_time: NDArray[np.float32],  # (N, I, b_cap) in and out
    batch_time: NDArray[np.float32],  # (N, I, b_cap)
    mask: NDArray[np.int8],  # (N, I · b_cap)
) -> bool:
    """Write the observation and the action mask of the present state; return whether any action is legal.

    Times are fractions of the deadline, clipped at 1; cells of batches that cannot exist (too few users pending, or
    larger than b_i) hold 1. The mask of a state without a legal action is all ones.

    A batch changes the pending users of one model only. Unless ``everything`` is to be written, the arrays marked "in"
    must hold the state before the last batch, under the same channels. What depends on the resident model and on the
    time left is one pass over all cells without a branch, which the compiler turns into vector instructions.
    """
    resident = state[n, RESIDENT]
    left = deadline_ns - state[n, ELAPSED]
    n_models, batch_cap = upload_time.shape[1], upload_time.shape[2]
    scale = 1.0 / max(1, deadline_ns)
    if everything:
        for c in range(n_models * batch_cap):
            unloaded_ns[n, c] = deadline_ns + 1
        upload_time[n] = 1.0
    for i in range(0 if everything else resident, n_models if everything else resident + 1):
        start = next_user[n, i]
        n_pending = first_user[n, i + 1] - start
        pending[n, i] = n_pending / max(1, n_users)
        possible = min(n_pending, max_batch[t, i], batch_cap)
        upload = 0
        for b in range(possible):
            upload += sorted_upload[n, start + b]
            time = upload + batch_compute_ns(per_sample[t], per_batch[t], i, b + 1)
            unloaded_ns[n, i * batch_cap + b] = min(time, deadline_ns + 1)
            upload_time[n, i, b] = min(1.0, upload * scale)
        for b in range(possible, batch_cap if not everything else possible):
            unloaded_ns[n, i * batch_cap + b] = deadline_ns + 1
            upload_time[n, i, b] = 1.0
    budget[n, 0] = left * scale
    for j in range(resident_blocks.shape[1]):
        resident_blocks[n, j] = blocks[t, resident, j]
    for i in range(n_models):
        load_time[n, i] = load_fraction[t, resident, i]
    kind = unloaded_ns.dtype.type
    limit, single_scale, one = kind(left), np.float32(scale), np.float32(1.0)
    fractions = batch_time[n].reshape(-1)
    n_legal = 0
    for c in range(mask.shape[1]):
        time = kind(unloaded_ns[n, c] + load_cells[t, resident, c])
        fraction = np.float32(time) * single_scale
        fractions[c] = fraction if fraction < one else one
        is_legal = time <= limit
        mask[n, c] = is_legal
        n_legal += is_legal
    if n_legal == 0:
        mask[n] = 1
    return n_legal > 0
