"""What the kernels read and write: a library on its server, and the state of N episodes, as tuples of a few arrays.

Times are int64 nanoseconds. Axes: I models, J parameter blocks, L pairs of a model and one of its blocks, K users, P
users who came before the start, b_cap the largest batch. Arrays of users and of what is kept of an episode may have
fewer rows than N, or no columns: then all episodes share the last row, or nothing is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.online.instance import EVICTIONS, Instance
from pl_env.partial_loading.serving_table import ServingTable

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PREVIOUS, LRU, DEMAND, AGENT = range(len(EVICTIONS))
GIVEN = len(EVICTIONS)
"""A rule of eviction for planners: `Episode.keys` are there already."""

# Rows of the models of a library.
PER_SAMPLE, PER_BATCH, MAX_BATCH, BYTES, LOAD_NS = range(5)

# Columns of its blocks. Of two blocks with the same key the one of lower RANK leaves first; AT_RANK is the block whose
# rank is the row's number.
BLOCK_BYTES, BLOCK_NS, RANK, AT_RANK = range(4)

# Its options. OVERLAPS: loading goes on while users upload.
OVERHEAD, CACHE_BYTES, EVICTION, OVERLAPS = range(4)

# What observations are fractions of, in nanoseconds.
LONGEST_DEADLINE, LARGEST_LOAD = range(2)

# Columns of users: READY is when the server may take them, ARRIVAL what responses count from.
MODEL, READY, DEADLINE, UPLOAD, ARRIVAL = range(5)
USER_COLUMNS = 5

# Rows of an episode's models: its pending users are COUNT from HEAD on; RECENT of its users came lately; LEGAL is the
# largest legal batch, SHOWN the largest one in observation and mask.
HEAD, COUNT, MISSING_NS, MISSING_BYTES, RECENT, LAST_END, LEGAL, SHOWN = range(8)
MODEL_ROWS = 8

# Columns of the pending users.
P_USER, P_DEADLINE, P_UPLOAD = range(3)

# Columns of windows: the first place, and all uploads. That of b users of a model stands at place HEAD + b - 1.
FIRST, UPLOADS = range(2)

# Entries of the state. LAST: users before this one come; FORGOTTEN, FORGOTTEN_BEFORE: users before these came longer
# ago than demand remembers; CHOICES: models with a legal batch; BEFORE: the decision before; N_WAITS: decisions to wait
# since the last batch, of which UPLOAD_NS, LOADING_NS and COMPUTE_NS are the parts.
NOW, BEFORE, ARRIVED, LAST, FORGOTTEN, FORGOTTEN_BEFORE, USED_BYTES, CHOICES = range(8)
SERVED, EXPIRED, LOADED_BYTES, N_BATCHES, N_WAITS, N_EVICTED = range(8, 14)
UPLOAD_NS, LOADING_NS, COMPUTE_NS, N_USERS, N_BEFORE, N_PENDING = range(14, 20)
STATE_ENTRIES = 20

# Columns of the history, a row for each batch. WAITS: decisions to wait since the batch before; PREFERRED: model whose
# blocks left first, or -1; EVICTED_END: where its evicted blocks end.
H_MODEL, H_SIZE, H_START, H_UPLOAD, H_LOAD, H_COMPUTE, H_FINISH, H_WAITS, H_PREFERRED, H_EVICTED_END = range(10)
HISTORY_COLUMNS = 10

NOT_SERVED = -1


class Tables(NamedTuple):
    """A library on its server, with lists both ways: the blocks of a model, and the models that hold a block."""

    models: Ints  # (5, I)
    per_byte: NDArray[np.float32]  # (I,) 1 / bytes of each model
    blocks: Ints  # (J, 4)
    block_start: Ints  # (I + 1,) where each model's blocks begin in the next
    block_of: Ints  # (L,)
    holder_start: Ints  # (J + 1,) where each block's models begin in the next
    holder_of: Ints  # (L,)
    options: Ints  # (4,)
    scales: Floats  # (2,)


class Episode(NamedTuple):
    """The state of N episodes of one library."""

    users: Ints  # (N or 1, K, 5) by arrival
    before: Ints  # (N or 1, P, 2) MODEL and READY of users who came before the start and are gone
    pending: Ints  # (N, K, 3) pending users by model, then deadline, upload and index
    models: Ints  # (N, 8, I)
    windows: Ints  # (N, K, 2) of legal batches
    cap: Ints  # (1,) largest batch b_cap
    resident: NDArray[np.bool_]  # (N, J) R
    last_used: Ints  # (N, J) number of the last batch whose model holds the block; 0 for none
    keys: Ints  # (J,) scratch: keys of eviction
    heap: Ints  # (J,) scratch
    state: Ints  # (N, 20)
    finish: Ints  # (N, K or 0) when each user was served, or `NOT_SERVED`
    history: Ints  # (N, rows or 0, 10)
    served: Ints  # (N, K or 0) users in the order in which they are served
    evicted: Ints  # (N, room or 0)
    observation: NDArray[np.float32]  # (N, F or 0)
    mask: NDArray[np.int8]  # (N, I · b_cap + 1, or 0)


def tables_of(instance: Instance, longest_deadline_ns: int = 1) -> Tables:
    """The library of an instance on its server.

    Args:
        instance: The instance.
        longest_deadline_ns: What observed times are fractions of.
    """
    options = (instance.cache_bytes, EVICTIONS.index(instance.eviction), instance.overlap == "upload")
    return tables_from(instance.table, *options, longest_deadline_ns)


def tables_from(
    table: ServingTable, cache_bytes: int, eviction: int, overlaps: bool, longest_deadline_ns: int
) -> Tables:
    """Likewise, from its parts."""
    has_block = table.has_block
    held = has_block.astype(np.int64)
    n_holders = held.sum(axis=0)
    at_rank = np.lexsort((-np.arange(table.n_blocks), n_holders))
    rank = np.argsort(at_rank)
    load_ns = held @ table.block_load_ns
    models = np.stack(
        [
            table.compute_ns_per_sample,
            table.compute_ns_per_batch,
            table.max_batch,
            held @ table.block_bytes,
            load_ns,
        ]
    )
    largest = int(load_ns.max(initial=0))
    return Tables(
        models=models,
        per_byte=(1.0 / np.maximum(1, models[BYTES])).astype(np.float32),
        blocks=np.stack([table.block_bytes, table.block_load_ns, rank, at_rank], axis=1),
        block_start=_starts(held.sum(axis=1)),
        block_of=np.ascontiguousarray(np.nonzero(has_block)[1]),
        holder_start=_starts(n_holders),
        holder_of=np.ascontiguousarray(np.nonzero(has_block.T)[1]),
        options=np.array([table.load_overhead_ns, cache_bytes, eviction, overlaps], dtype=np.int64),
        scales=np.array([max(1, longest_deadline_ns), largest + table.load_overhead_ns if largest else 1.0]),
    )


def _starts(counts: Ints) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def allocate(
    tables: Tables,
    batch_cap: int,
    n_users: int,
    *,
    n: int = 1,
    n_before: int = 0,
    observed: int = 0,
    has_users: bool = True,
    keeps_finish: bool = True,
    keeps_history: bool = False,
) -> Episode:
    """Arrays of zeros for N episodes.

    Args:
        tables: Their library.
        batch_cap: Largest batch b_cap.
        n_users: Most users K.
        n: Episodes N.
        n_before: Most users P who came before the start.
        observed: Length of an observation; 0 for neither observations nor masks.
        has_users: The episodes have users of their own; else `Episode.users` and `Episode.before` are to be replaced.
        keeps_finish: Keep when users are served.
        keeps_history: Keep all batches, their users and evicted blocks.
    """
    n_models, n_blocks = tables.models.shape[1], len(tables.blocks)
    kept = n_users if keeps_history else 0
    ints = np.int64
    return Episode(
        users=np.zeros((n if has_users else 1, n_users if has_users else 0, USER_COLUMNS), ints),
        before=np.zeros((n if has_users else 1, n_before if has_users else 0, 2), ints),
        pending=np.zeros((n, n_users, 3), ints),
        models=np.zeros((n, MODEL_ROWS, n_models), ints),
        windows=np.zeros((n, n_users, 2), ints),
        cap=np.array([batch_cap]),
        resident=np.zeros((n, n_blocks), np.bool_),
        last_used=np.zeros((n, n_blocks), ints),
        keys=np.zeros(n_blocks, ints),
        heap=np.zeros(n_blocks, ints),
        state=np.zeros((n, STATE_ENTRIES), ints),
        finish=np.zeros((n, n_users if keeps_finish else 0), ints),
        history=np.zeros((n, kept, HISTORY_COLUMNS), ints),
        served=np.zeros((n, kept), ints),
        evicted=np.zeros((n, 4 * n_blocks if keeps_history else 0), ints),
        observation=np.zeros((n, observed), np.float32),
        mask=np.zeros((n, n_models * batch_cap + 1 if observed else 0), np.int8),
    )
