"""The physics of a batch, compiled. The only place where it is written; environments and planners call it.

Equation numbers are those of arXiv 2503.22982, read as ``docs/model.md`` explains. All times are int64 nanoseconds.
Kernels work on one episode and write into arrays that the caller owns, so a batch of environments is a loop over
rows.

The users of an episode are kept sorted by model and, within a model, by upload time: ``users`` (K,) holds their
indices, ``sorted_upload`` (K,) their upload times, and ``first_user`` (I + 1,) where each model begins. ``next_user``
(I,) points at each model's cheapest pending user; a batch always takes the cheapest (Theorem 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
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
    last = len(request_cumulative) - 1
    for k in range(len(requested_model)):
        model = np.searchsorted(request_cumulative, uniforms[0, k], side="right")
        requested_model[k] = min(model, last)
        mean_snr[k] = mean_snr_at(draw_distance_m(uniforms[1, k], radius_m), tx_to_noise, path_loss_exponent)
    draw_channels(uniforms[2], mean_snr, unit_upload_ns, upload_ns)


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
        model = requested_model[k]
        users[place[model]] = k
        sorted_upload[place[model]] = upload_ns[k]
        place[model] += 1
    for i in range(n_models):
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


@compiled
def record_batch(
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    resident: int,
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
    row[LOAD] = load_ns[resident, model]
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
        record_batch(
            load_ns, per_sample, per_batch, resident, elapsed, models[n], upload, equal_bandwidth_channels, history[n]
        )
        resident = models[n]
        elapsed = history[n, FINISH]
    return history


# ---------------------------------------------------------------- an environment's step


@compiled
def begin_episode(resident: int, first_user: Ints, next_user: Ints, state: Ints) -> None:
    """Set the state to the start of an episode."""
    next_user[:] = first_user[:-1]
    state[ELAPSED] = 0
    state[RESIDENT] = resident
    state[N_BATCHES] = 0
    state[N_SERVED] = 0


@compiled
def serve_batch(
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    deadline_ns: int,
    model: int,
    size: int,
    first_user: Ints,
    next_user: Ints,
    users: Ints,
    sorted_upload: Ints,
    state: Ints,  # (STATE_ENTRIES,) in and out
    history: Ints,  # (K or 1, HISTORY_COLUMNS) out
    served_users: Ints,  # (K,) out, or empty
    served_upload: Ints,  # (K,) out, or empty
) -> bool:
    """Serve the ``size`` cheapest pending users of ``model``; False, and nothing changed, where that is not legal.

    Legal: at most the pending users and b_i (10c), finished within the deadline (13c).
    """
    start = next_user[model]
    if size > max_batch[model] or size > first_user[model + 1] - start:
        return False
    upload = sorted_upload[start : start + size]
    resident, served = state[RESIDENT], state[N_SERVED]
    # A row beyond the last batch is scratch until the batch is accepted. A history of one row keeps the last batch only.
    row = history[min(state[N_BATCHES], len(history) - 1)]
    record_batch(load_ns, per_sample, per_batch, resident, state[ELAPSED], model, upload, 0, row)
    if row[FINISH] > deadline_ns:
        return False
    if len(served_users) > 0:
        served_users[served : served + size] = users[start : start + size]
        served_upload[served : served + size] = upload
    next_user[model] += size
    state[ELAPSED] = row[FINISH]
    state[RESIDENT] = model
    state[N_BATCHES] += 1
    state[N_SERVED] = served + size
    return True


@compiled
def observe(
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    has_block: NDArray[np.bool_],
    deadline_ns: int,
    first_user: Ints,
    next_user: Ints,
    sorted_upload: Ints,
    state: Ints,
    everything: bool,
    budget: NDArray[np.float32],  # (1,) in and out, as are all that follow
    resident_blocks: NDArray[np.float32],  # (J or more,)
    load_time: NDArray[np.float32],  # (I,)
    pending: NDArray[np.float32],  # (I,)
    upload_time: NDArray[np.float32],  # (I, b_cap)
    batch_time: NDArray[np.float32],  # (I, b_cap)
    mask: NDArray[np.int8],  # (I, b_cap)
) -> bool:
    """Write the observation and the action mask of the present state; return whether any action is legal.

    Times are fractions of the deadline, clipped at 1; cells of batches that cannot exist (too few users pending, or
    larger than b_i) hold 1. The mask of a state without a legal action is all ones.

    Most cells are of that kind and stay as they are from batch to batch. Unless ``everything`` is to be written, the
    arrays must hold the observation of the state before the last batch.
    """
    n_models, batch_cap = upload_time.shape
    scale = 1.0 / max(1, deadline_ns)
    left = deadline_ns - state[ELAPSED]
    resident = state[RESIDENT]
    user_share = 1.0 / max(1, len(sorted_upload))
    budget[0] = left * scale
    if everything:
        resident_blocks[:] = 0.0
        upload_time[:] = 1.0
        batch_time[:] = 1.0
        mask[:] = 0
    else:  # fewer users of the model that has just run are pending
        upload_time[resident] = 1.0
        batch_time[resident] = 1.0
        mask[resident] = 0
    if resident >= 0:
        for j in range(has_block.shape[1]):
            resident_blocks[j] = has_block[resident, j]
    n_legal = 0
    for i in range(n_models):
        load = load_ns[resident, i]
        load_time[i] = min(1.0, load * scale)
        n_pending = first_user[i + 1] - next_user[i]
        pending[i] = n_pending * user_share
        upload = 0
        for b in range(min(n_pending, max_batch[i], batch_cap)):
            upload += sorted_upload[next_user[i] + b]
            time = upload + load + batch_compute_ns(per_sample, per_batch, i, b + 1)
            upload_time[i, b] = min(1.0, upload * scale)
            batch_time[i, b] = min(1.0, time * scale)
            is_legal = time <= left
            mask[i, b] = is_legal
            n_legal += is_legal
    if n_legal == 0:
        mask[:] = 1
    return n_legal > 0


@compiled
def step(
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    has_block: NDArray[np.bool_],
    deadline_ns: int,
    model: int,
    size: int,
    first_user: Ints,
    next_user: Ints,
    users: Ints,
    sorted_upload: Ints,
    state: Ints,
    history: Ints,
    served_users: Ints,
    served_upload: Ints,
    uniforms: Floats,  # (K,) to draw the pending users' channels anew, or empty
    mean_snr: Floats,
    unit_upload_ns: float,
    upload_ns: Ints,
    budget: NDArray[np.float32],
    resident_blocks: NDArray[np.float32],
    load_time: NDArray[np.float32],
    pending: NDArray[np.float32],
    upload_time: NDArray[np.float32],
    batch_time: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> tuple[bool, bool]:
    """One step of an environment: serve a batch, draw channels, observe. One call, as each call from Python costs 1 µs.

    Returns:
        Whether the batch was legal (else nothing changed), and whether any action is legal now.
    """
    if not serve_batch(
        load_ns, per_sample, per_batch, max_batch, deadline_ns, model, size,
        first_user, next_user, users, sorted_upload, state, history, served_users, served_upload,
    ):  # fmt: skip
        return False, False
    if len(uniforms) > 0:
        redraw_pending(uniforms, mean_snr, unit_upload_ns, upload_ns, first_user, next_user, users, sorted_upload)
    any_legal = observe(
        load_ns, per_sample, per_batch, max_batch, has_block, deadline_ns, first_user, next_user, sorted_upload, state,
        False, budget, resident_blocks, load_time, pending, upload_time, batch_time, mask,
    )  # fmt: skip
    return True, any_legal


# ---------------------------------------------------------------- many environments at once


@compiled
def reset_many(
    which: Ints,  # (M,) environments to reset
    n_users: Ints,  # (N,)
    uniforms: Floats,  # (M, 3 · K) of each of them
    request_cumulative: Floats,
    radius_m: float,
    tx_to_noise: float,
    path_loss_exponent: float,
    unit_upload_ns: float,
    load_ns: Ints,  # (N or 1, I + 1, I), as are the tables that follow: of each environment, or one for all
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    has_block: NDArray[np.bool_],
    deadline_ns: int,
    first_user: Ints,  # (N, I + 1), a row for each environment, as in all that follow
    next_user: Ints,
    users: Ints,
    sorted_upload: Ints,
    state: Ints,
    mean_snr: Floats,  # (N, K), or (1, K) where channels are not drawn anew
    any_legal: NDArray[np.bool_],  # (N,) out
    budget: NDArray[np.float32],
    resident_blocks: NDArray[np.float32],
    load_time: NDArray[np.float32],
    pending: NDArray[np.float32],
    upload_time: NDArray[np.float32],
    batch_time: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> None:
    """Start episodes, each as `draw_users`, `sort_users`, `begin_episode` and `observe` do for one environment."""
    requested_model = np.empty(users.shape[1], dtype=np.int64)
    upload_ns = np.empty(users.shape[1], dtype=np.int64)
    for m in range(len(which)):
        n = which[m]
        k, t = n_users[n], min(n, len(load_ns) - 1)
        snr = mean_snr[min(n, len(mean_snr) - 1), :k]
        draw_users(
            uniforms[m, : 3 * k].reshape((3, k)), request_cumulative, radius_m, tx_to_noise, path_loss_exponent,
            unit_upload_ns, requested_model[:k], snr, upload_ns[:k],
        )  # fmt: skip
        sort_users(requested_model[:k], upload_ns[:k], first_user[n], users[n, :k], sorted_upload[n, :k])
        begin_episode(-1, first_user[n], next_user[n], state[n])
        any_legal[n] = observe(
            load_ns[t], per_sample[t], per_batch[t], max_batch[t], has_block[t], deadline_ns,
            first_user[n], next_user[n], sorted_upload[n, :k], state[n], True,
            budget[n], resident_blocks[n], load_time[n], pending[n], upload_time[n], batch_time[n], mask[n],
        )  # fmt: skip


@compiled
def step_many(
    actions: Ints,  # (N,)
    skip: NDArray[np.bool_],  # (N,) environments to leave alone
    n_users: Ints,
    uniforms: Floats,  # (N, K) to draw pending users' channels anew, or (N, 0)
    unit_upload_ns: float,
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    max_batch: Ints,
    has_block: NDArray[np.bool_],
    deadline_ns: int,
    first_user: Ints,
    next_user: Ints,
    users: Ints,
    sorted_upload: Ints,
    state: Ints,
    history: Ints,  # (N, 1, HISTORY_COLUMNS) out: the last batch of each
    mean_snr: Floats,
    accepted: NDArray[np.bool_],  # (N,) out
    any_legal: NDArray[np.bool_],  # (N,) in and out
    budget: NDArray[np.float32],
    resident_blocks: NDArray[np.float32],
    load_time: NDArray[np.float32],
    pending: NDArray[np.float32],
    upload_time: NDArray[np.float32],
    batch_time: NDArray[np.float32],
    mask: NDArray[np.int8],
) -> None:
    """Step environments, each as `step` does one; a refused action ends the episode, its mask is all ones."""
    batch_cap = mask.shape[2]
    nobody = np.empty(0, dtype=np.int64)
    upload_ns = np.empty(users.shape[1], dtype=np.int64)
    for n in range(len(actions)):
        if skip[n]:
            continue
        k, t = n_users[n], min(n, len(load_ns) - 1)
        model, size = actions[n] // batch_cap, actions[n] % batch_cap
        accepted[n] = any_legal[n] and 0 <= model < mask.shape[1] and mask[n, model, size] == 1
        if not accepted[n]:
            mask[n] = 1
            any_legal[n] = False
            continue
        _, any_legal[n] = step(
            load_ns[t], per_sample[t], per_batch[t], max_batch[t], has_block[t], deadline_ns, model, size + 1,
            first_user[n], next_user[n], users[n, :k], sorted_upload[n, :k], state[n], history[n], nobody, nobody,
            uniforms[n, :k], mean_snr[min(n, len(mean_snr) - 1), :k], unit_upload_ns, upload_ns[:k],
            budget[n], resident_blocks[n], load_time[n], pending[n], upload_time[n], batch_time[n], mask[n],
        )  # fmt: skip
