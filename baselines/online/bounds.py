"""An upper bound on the users that any plan can serve: those who could be served if each were alone.

It is all that is known above tiny sizes, and it is weak. Work without loads does not bind: uploads and compute fill a
sixth of the server's time at 120/s. Loads do, but a relaxation that lets models be resident in part serves everybody:
a twentieth of every model kept for twenty slots has loaded nothing in the mean. `clairvoyant` is the reference instead.
"""

from __future__ import annotations

import numpy as np

from pl_env.online.instance import Instance


def upper_bound(instance: Instance) -> int:
    """A number of users that no plan exceeds: who is in time alone, at once, with only the blocks to load that must be.

    Those are the model's blocks that are in memory neither at the start nor held by a model that anybody asks for
    before: somebody's batch would have to load them first. That leaves the first users of a model who could not wait
    for a load; all others could find it resident.
    """
    table, model = instance.table, instance.requested_model
    work = instance.upload_ns + table.compute_ns_per_sample[model] + table.compute_ns_per_batch[model]
    slack = instance.deadline_ns - np.maximum(instance.ready_ns, 0) - work
    there = instance.resident_blocks.copy()
    possible = 0
    for k in range(instance.n_users):
        held = table.has_block[model[k]]
        missing = int(table.block_load_ns[held & ~there].sum())
        load = missing + table.load_overhead_ns if missing else 0
        if instance.overlap == "upload":
            load = max(0, load - int(instance.upload_ns[k]))
        fits = table.max_batch[model[k]] > 0
        possible += bool(fits and slack[k] >= load)
        there |= held
    return possible
