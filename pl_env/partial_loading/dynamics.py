"""The physics of a batch, compiled. The only place where it is written; environments and planners call it.

Equation numbers are those of arXiv 2503.22982, read as ``docs/model.md`` explains. All times are int64 nanoseconds.
Kernels write into arrays that the caller owns.

The users of an episode are kept sorted by model and, within a model, by upload time: ``users`` (K,) holds their
indices, ``sorted_upload`` (K,) their upload times, and ``first_user`` (I + 1,) where each model begins. ``next_user``
(I,) points at each model's cheapest pending user; a batch always takes the cheapest (Theorem 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined
from pl_env.low_level import next_double
from pl_env.partial_loading.arrays import EpisodeArrays
from pl_env.times import LONGEST_UPLOAD_NS
from pl_env.wireless import (
    draw_distance_m,
    draw_fading_power,
    mean_snr_at,
    spectral_efficiency,
    upload_time_ns,
)

Ints = NDArray[np.int64]
Indices = NDArray[np.signedinteger[Any]]  # int64, or int32 in environments, which are many
Floats = NDArray[np.float64]

# Columns of an episode's history, one row per batch.
MODEL, SIZE, UPLOAD, LOAD, COMPUTE, FINISH = range(6)
HISTORY_COLUMNS = 6

# Entries of an episode's state.
ELAPSED, RESIDENT, N_BATCHES, N_SERVED = range(4)
STATE_ENTRIES = 4

# Largest groups of users for which each way of sorting is the quickest.
_BUBBLE_SORT_LIMIT = 12
_INSERTION_SORT_LIMIT = 32

# An upload time takes so many bits of 63, and the index of a model the others.
_UPLOAD_BITS = LONGEST_UPLOAD_NS.bit_length()
_BUBBLE_SORT_MODELS = 2 ** (63 - _UPLOAD_BITS)


# ---------------------------------------------------------------- users and channels


@compiled
def draw_users(
    uniforms: Floats,  # (3, K): model, place, fading; the last are overwritten
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
    for k in range(len(mean_snr)):
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
    """Draw each user's fading and set the upload time p_k / B that follows.

    The uniform numbers are overwritten, by the signal-to-noise ratio and then by the spectral efficiency: one loop for
    each logarithm takes two thirds of the time of a loop for both.
    """
    for k in range(len(upload_ns)):
        uniforms[k] = mean_snr[k] * draw_fading_power(uniforms[k])
    for k in range(len(upload_ns)):
        uniforms[k] = spectral_efficiency(uniforms[k])
    for k in range(len(upload_ns)):
        upload_ns[k] = upload_time_ns(unit_upload_ns, uniforms[k])


@compiled
def sort_users(
    requested_model: Ints, upload_ns: Ints, first_user: Indices, users: Indices, sorted_upload: Ints
) -> None:
    """Fill ``first_user``, ``users`` and ``sorted_upload``: by model, then upload time, ties by user index."""
    n_models, n_users = len(first_user) - 1, len(requested_model)
    first_user[:] = 0
    for k in range(n_users):  # unsigned indices, as numba adds code to the others for counting from the end
        first_user[np.uint32(requested_model[k] + 1)] += 1
    most = 0
    for i in range(n_models):
        most = max(most, first_user[i + 1])
        first_user[i + 1] += first_user[i]
    for k in range(n_users):  # moves each model's beginning to its end
        model = np.uint32(requested_model[k])
        place = np.uint32(first_user[model])
        first_user[model] += 1
        users[place], sorted_upload[place] = k, upload_ns[k]
    for i in range(n_models, 0, -1):
        first_user[i] = first_user[i - 1]
    first_user[0] = 0
    if most <= _BUBBLE_SORT_LIMIT and n_models < _BUBBLE_SORT_MODELS:
        _sort_small_groups(requested_model, users, sorted_upload)
        return
    for i in range(n_models):
        sort_by_upload(users[first_user[i] : first_user[i + 1]], sorted_upload[first_user[i] : first_user[i + 1]])


@compiled
def _sort_small_groups(requested_model: Ints, users: Indices, upload: Ints) -> None:
    """Sort all models' users by upload time, each model's among themselves; stable.

    Model and time stand in one number while it lasts, and neighbours change places without a branch: the processor
    would guess every other one wrong, which takes longer than the comparisons that a better algorithm saves.
    """
    for n in range(len(users)):
        upload[n] |= requested_model[np.uint32(users[n])] << _UPLOAD_BITS
    unsorted = len(users)
    while unsorted > 1:
        user, key, last = users[0], upload[0], 0
        for n in range(1, unsorted):
            other_user, other_key = users[n], upload[n]
            later = key > other_key
            users[n - 1] = other_user if later else user
            upload[n - 1] = other_key if later else key
            user = user if later else other_user
            key = key if later else other_key
            last = n if later else last
        users[unsorted - 1], upload[unsorted - 1] = user, key
        unsorted = last
    for n in range(len(users)):
        upload[n] &= (1 << _UPLOAD_BITS) - 1


@compiled
def sort_by_upload(users: Indices, upload: Ints) -> None:
    """Sort one model's users, which stand in order of index, by upload time, in both arrays; stable."""
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
    first_user: Indices,
    next_user: Indices,
    users: Indices,
    sorted_upload: Ints,
) -> None:
    """Draw the channels of all pending users anew, and sort them again within their models."""
    draw_channels(uniforms, mean_snr, unit_upload_ns, upload_ns)
    for i in range(len(next_user)):
        pending = users[next_user[i] : first_user[i + 1]]
        pending.sort()  # back to the order of indices, so that ties fall as in `sort_users`
        for n in range(len(pending)):
            sorted_upload[next_user[i] + n] = upload_ns[pending[n]]
        sort_by_upload(pending, sorted_upload[next_user[i] : first_user[i + 1]])


@compiled
def pending_users(first_user: Indices, next_user: Indices, users: Indices, sorted_upload: Ints) -> tuple[Ints, Ints]:
    """Indices of the users not yet served, ascending, and their upload times."""
    n_users = first_user[-1]
    pending, upload_ns = np.zeros(n_users, dtype=np.bool_), np.empty(n_users, dtype=np.int64)
    for i in range(len(next_user)):
        for place in range(next_user[i], first_user[i + 1]):
            pending[users[place]] = True
            upload_ns[users[place]] = sorted_upload[place]
    indices = np.flatnonzero(pending)
    return indices, upload_ns[indices]


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


@inlined
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


# ---------------------------------------------------------------- episodes

# These work on one episode, row n of the arrays of many; t is its row in the libraries. ``stepping.py`` compiles them
# into the kernels of many episodes.


@inlined
def draw_uniforms(e: EpisodeArrays, n: int, count: int) -> None:
    """The next ``count`` uniform numbers of episode n's own generator."""
    for j in range(count):
        e.uniforms[0, j] = next_double(e.generators[n, 0], e.generators[n, 1])


@inlined
def draw_episode(e: EpisodeArrays, n: int) -> None:
    """Users, requests and channels of a new episode."""
    k, row, radio = e.n_users[n], min(n, len(e.users) - 1), e.radio
    draw_uniforms(e, n, 3 * k)
    draw_users(
        e.uniforms[0, : 3 * k].reshape((3, k)), e.request_cumulative, radio[0], radio[1], radio[2], e.unit_upload_ns[n],
        e.requested_model[row, :k], e.mean_snr[row, :k], e.upload_ns[0, :k],
    )  # fmt: skip


@inlined
def begin_episode(e: EpisodeArrays, n: int, resident: int) -> None:
    """Start an episode with the users drawn or given: sort them, empty the history, observe."""
    k, row = e.n_users[n], min(n, len(e.users) - 1)
    sort_users(
        e.requested_model[row, :k], e.upload_ns[0, :k], e.first_user[n], e.users[row, :k], e.sorted_upload[n, :k]
    )
    e.next_user[n] = e.first_user[n, :-1]
    e.state[n, ELAPSED] = 0
    e.state[n, RESIDENT] = resident
    e.state[n, N_BATCHES] = 0
    e.state[n, N_SERVED] = 0
    e.any_legal[n] = observe(e, n, True)


@inlined
def serve_batch(e: EpisodeArrays, n: int, model: int, size: int) -> None:
    """Serve the ``size`` cheapest pending users of ``model`` (Theorem 2)."""
    t = e.library[n]
    start, served = e.next_user[n, model], e.state[n, N_SERVED]
    row = e.history[n, min(e.state[n, N_BATCHES], e.history.shape[1] - 1)]
    load = e.load_ns[t, e.state[n, RESIDENT], model]
    upload = e.sorted_upload[n, start : start + size]
    record_batch(load, e.per_sample[t], e.per_batch[t], e.state[n, ELAPSED], model, upload, 0, row)
    if e.served_users.shape[1] > 0:
        for b in range(size):
            e.served_users[n, served + b] = e.users[n, start + b]
            e.served_upload[n, served + b] = upload[b]
    e.next_user[n, model] += size
    e.state[n, ELAPSED] = row[FINISH]
    e.state[n, RESIDENT] = model
    e.state[n, N_BATCHES] += 1
    e.state[n, N_SERVED] += size


@inlined
def redraw_channels(e: EpisodeArrays, n: int) -> None:
    """New channels for all pending users."""
    k, row = e.n_users[n], min(n, len(e.uniforms) - 1)
    if len(e.generators) > 0:
        draw_uniforms(e, n, k)
    redraw_pending(
        e.uniforms[row, :k], e.mean_snr[n, :k], e.unit_upload_ns[n], e.upload_ns[0, :k],
        e.first_user[n], e.next_user[n], e.users[n, :k], e.sorted_upload[n, :k],
    )  # fmt: skip


@inlined
def observe(e: EpisodeArrays, n: int, everything: bool) -> bool:
    """Write the observation and the action mask of the present state; return whether any action is legal.

    Times are fractions of the deadline, clipped at 1; cells of batches that cannot exist (too few users pending, or
    larger than b_i) hold 1. The mask of a state without a legal action is all ones.

    A batch changes the pending users of one model only. Unless ``everything`` is to be written, ``unloaded_ns``,
    ``pending`` and ``upload_time`` must hold the state before the last batch, under the same channels. What depends on
    the resident model and on the time left is one pass over all cells without a branch, which the compiler turns into
    vector instructions.
    """
    t, deadline_ns, resident = e.library[n], e.deadline_ns[n], e.state[n, RESIDENT]
    left = deadline_ns - e.state[n, ELAPSED]
    scale = 1.0 / max(1, deadline_ns)
    if everything:
        _describe_pending(e, n, t, deadline_ns, scale)
    else:
        _describe_pending_of(e, n, t, resident, deadline_ns, scale)
    e.budget[n, 0] = left * scale
    for j in range(e.resident.shape[1]):
        e.resident[n, j] = e.blocks[t, resident, j]
    for i in range(e.load_time.shape[1]):
        load = e.load_ns[t, resident, i] * scale
        e.load_time[n, i] = load if load < 1.0 else 1.0
    kind = e.unloaded_ns.dtype.type
    limit, single_scale, one = kind(left), np.float32(scale), np.float32(1.0)
    fractions = e.batch_time[n].reshape(-1)
    shortest = limit + 1
    for c in range(e.mask.shape[1]):
        time = kind(e.unloaded_ns[n, c] + e.load_cells[t, resident, c])
        fraction = np.float32(time) * single_scale
        fractions[c] = fraction if fraction < one else one
        e.mask[n, c] = time <= limit
        shortest = min(shortest, time)
    any_legal = shortest <= limit
    if not any_legal:
        e.mask[n] = 1
    return bool(any_legal)


@inlined
def _describe_pending(e: EpisodeArrays, n: int, t: int, deadline_ns: int, scale: float) -> None:
    """What pending users need, for all models.

    It goes from user to user, not from model to model: the processor cannot guess how many users a model has.
    """
    n_models, batch_cap = e.upload_time.shape[1], e.upload_time.shape[2]
    for c in range(n_models * batch_cap):
        e.unloaded_ns[n, c] = deadline_ns + 1
    e.upload_time[n] = 1.0
    for i in range(n_models):
        e.pending[n, i] = (e.first_user[n, i + 1] - e.next_user[n, i]) / max(1, e.n_users[n])
    row = min(n, len(e.users) - 1)
    upload = 0
    for place in range(e.n_users[n]):
        # Unsigned indices, as in `sort_users`; it takes half of the time.
        model: Any = np.uint32(e.requested_model[row, np.uint32(e.users[row, place])])
        b = place - e.next_user[n, model]
        upload = e.sorted_upload[n, place] + (upload if b > 0 else 0)
        if 0 <= b < min(e.max_batch[t, model], batch_cap):
            _describe_batch(e, n, t, model, b, upload, deadline_ns, scale)


@inlined
def _describe_pending_of(e: EpisodeArrays, n: int, t: int, model: int, deadline_ns: int, scale: float) -> None:
    """What pending users need, for one model."""
    batch_cap = e.upload_time.shape[2]
    start = e.next_user[n, model]
    n_pending = e.first_user[n, model + 1] - start
    e.pending[n, model] = n_pending / max(1, e.n_users[n])
    possible = min(n_pending, e.max_batch[t, model], batch_cap)
    upload = 0
    for b in range(possible):
        upload += e.sorted_upload[n, start + b]
        _describe_batch(e, n, t, model, b, upload, deadline_ns, scale)
    for b in range(possible, batch_cap):
        e.unloaded_ns[n, model * batch_cap + b] = deadline_ns + 1
        e.upload_time[n, model, b] = 1.0


@inlined
def _describe_batch(
    e: EpisodeArrays, n: int, t: int, model: int, b: int, upload: int, deadline_ns: int, scale: float
) -> None:
    """What the next b + 1 users of a model need, from the sum of their uploads."""
    time = upload + batch_compute_ns(e.per_sample[t], e.per_batch[t], model, b + 1)
    cell = np.uint32(model * e.upload_time.shape[2] + b)
    e.unloaded_ns[n, cell] = min(time, deadline_ns + 1)
    e.upload_time[n, model, np.uint32(b)] = min(1.0, upload * scale)
