"""What the kernels of `PartialLoadingEnv` and `PartialLoadingVectorEnv` read and write: all arrays of N environments.

Row n of an array belongs to environment n, and a single environment is N = 1. Tables have a row for each environment
where libraries differ, else one row for all. Scratch has one row for all, unless somebody wants to see it afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.low_level import Layout, addresses_of, array_reader

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
Floats = NDArray[np.float64]
SingleFloats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Environments(NamedTuple):
    """The arrays; times are nanoseconds unless their name says otherwise."""

    settings: Ints  # (2,) deadline, and whether channels are drawn anew before every batch
    radio: Floats  # (4,) of `Scenario.radio`
    request_cumulative: Floats  # (I,) cumulative request probabilities

    load_ns: Ints  # (N or 1, I + 1, I) row = resident model, last row = empty GPU
    per_sample: Ints  # (N or 1, I)
    per_batch: Ints  # (N or 1, I)
    max_batch: Ints  # (N or 1, I)
    load_cells: NDArray[Any]  # (N or 1, I + 1, I · b_cap) the three of `observation_tables`
    load_fraction: SingleFloats  # (N or 1, I + 1, I)
    blocks: SingleFloats  # (N or 1, I + 1, J)

    generators: Ints  # (N, 2) of `generator_addresses`, or (0, 2) where uniform numbers are given
    uniforms: Floats  # (1, 3 · K) scratch, or given
    requested_model: Ints  # (N, K), or (1, K) scratch, as are the next and ``users``, where nobody needs them later
    mean_snr: Floats  # (N or 1, K)
    upload_ns: Ints  # (1, K) by user; scratch, or given

    n_users: Ints  # (N,)
    first_user: SmallInts  # (N, I + 1)
    next_user: SmallInts  # (N, I)
    users: SmallInts  # (N or 1, K)
    sorted_upload: Ints  # (N, K)

    state: Ints  # (N, STATE_ENTRIES)
    any_legal: Bools  # (N,)
    history: Ints  # (N, K, HISTORY_COLUMNS), or (N, 1, HISTORY_COLUMNS) to keep the last batch only
    served_users: Ints  # (N, K), or (N, 0) to keep none
    served_upload: Ints  # likewise

    numbers: Floats  # (REPORTED_NUMBERS, N)
    counts: Ints  # (REPORTED_COUNTS, N)
    flags: Bools  # (REPORTED_FLAGS, N)

    unloaded_ns: NDArray[Any]  # (N, I · b_cap) upload and compute of a batch; past the deadline if there is none
    budget: SingleFloats  # (N, 1) the observation, from here on
    resident: SingleFloats  # (N, J or more)
    load_time: SingleFloats  # (N, I)
    pending: SingleFloats  # (N, I)
    upload_time: SingleFloats  # (N, I, b_cap)
    batch_time: SingleFloats  # (N, I, b_cap)
    mask: NDArray[np.int8]  # (N, I · b_cap)


OBSERVATION = ("budget", "resident", "load_time", "pending", "upload_time", "batch_time")

_LAYOUT: Layout = (
    *((np.int64, 1), (np.float64, 1), (np.float64, 1)),
    *((np.int64, 3), (np.int64, 2), (np.int64, 2), (np.int64, 2), (None, 3), (np.float32, 3), (np.float32, 3)),
    *((np.int64, 2), (np.float64, 2), (np.int64, 2), (np.float64, 2), (np.int64, 2)),
    *((np.int64, 1), (np.int32, 2), (np.int32, 2), (np.int32, 2), (np.int64, 2)),
    *((np.int64, 2), (np.bool_, 1), (np.int64, 3), (np.int64, 2), (np.int64, 2)),
    *((np.float64, 2), (np.int64, 2), (np.bool_, 2)),
    *((None, 2), *((np.float32, 2),) * 4, (np.float32, 3), (np.float32, 3), (np.int8, 2)),
)

environments_at = array_reader(Environments, _LAYOUT)


def environment_addresses(environments: Environments) -> Ints:
    """The table that `environments_at` reads; it holds as long as the arrays do."""
    assert environments.load_cells.dtype == environments.unloaded_ns.dtype
    return addresses_of(environments, _LAYOUT)
