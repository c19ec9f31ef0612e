"""An upper bound on the users that any plan can serve: those who could be served if each were alone.

It is quick and weak. Work without loads does not bind: uploads and compute fill a sixth of the server's time at 120/s.
Loads do, and `relaxation.lagrangean_bound` charges them, in seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.online.instance import Instance


def upper_bound(instance: Instance) -> int:
    """A number of users that no plan exceeds: `possible_users`."""
    return int(possible_users(instance).sum())


def possible_users(instance: Instance) -> NDArray[np.bool_]:
    """Who is in time alone, at once, with only the blocks to load that must be, bool (K,); no plan serves others.

    Those are the model's blocks that are in memory neither at the start nor held by a model that anybody asks for
    before: somebody's batch would have to load them first. That leaves out the first users of a model who could not
    wait for a load; all others could find it resident.
    """
    table, model = instance.table, instance.requested_model
    work = instance.upload_ns + table.compute_ns_per_sample[model] + table.compute_ns_per_batch[model]
    slack = instance.deadline_ns - np.maximum(instance.ready_ns, 0) - work
    there = instance.resident_blocks.copy()
    possible = np.zeros(instance.n_users, dtype=np.bool_)
    for k in range(instance.n_users):
        held = table.has_block[model[k]]
        missing = int(table.block_load_ns[held & ~there].sum())
        load = missing + table.load_overhead_ns if missing else 0
        if instance.overlap == "upload":
            load = max(0, load - int(instance.upload_ns[k]))
        possible[k] = table.max_batch[model[k]] > 0 and slack[k] >= load
        there |= held
    return possible
