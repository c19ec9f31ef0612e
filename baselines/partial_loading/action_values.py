"""What every legal action is worth: the users that an optimal schedule serves which begins with it.

For clustered bottom-layer sharing, as `optimal_dp`. After a batch of model i the model itself goes on first and loads
nothing, then its cluster, then the other clusters. So one state needs the frontier "least time to serve u users" of
each cluster from an empty GPU, and of each model's own cluster without it and with its shared blocks in memory; all
batch sizes of a model share them. That takes a sixth of the time of one dynamic program for each action.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.episodes import Episodes, States, Tables
from baselines.partial_loading.runs import NEVER, require_clusters_message
from pl_env.compiling import compiled, inlined
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.serving_table import ServingTable

Ints = NDArray[np.int64]

ILLEGAL = -1.0
"""Stands for the value of an action that is not legal."""


class StackedClusters(NamedTuple):
    """`Clusters` of L libraries, and their loading overheads."""

    members: Ints  # (L, I)
    cluster: Ints  # (L, I)
    shared_ns: Ints  # (L, I)
    private_ns: Ints  # (L, I)
    overhead_ns: Ints  # (L,)


def action_values(episodes: Episodes, fractional: bool = False) -> NDArray[np.float32]:
    """Value of every action in every episode's present state: users served from here on, float32 (N, I · b_cap).

    Each action is costed at present channels, and what follows it at the states' ``later_ns``. Where channels stay that
    is exact. `ILLEGAL` where an action is not legal.

    Args:
        episodes: The episodes.
        fractional: Count the part that is left over of the time for one user more; a smoother measure where later
            channels are uncertain.

    Raises:
        UnsupportedInstance: The sharing is not clustered, or loading is not affine.
    """
    values = np.full(episodes.mask.shape, ILLEGAL, dtype=np.float32)
    clusters = _stack_clusters(episodes.serving_tables)
    _action_values(episodes.tables, clusters, episodes.states, episodes.mask, fractional, values)
    return values


def later_uploads(episodes: Episodes, deadline_ns: Ints) -> NDArray[np.float32]:
    """What uploads of each model's next 1, 2, ... b_cap users will take later, as fractions of the deadline.

    At ``later_ns``, the cheapest users first. float32 (N, I, b_cap), clipped at 1, and 1 where there is no such user.

    Args:
        episodes: The episodes.
        deadline_ns: int64 (N,), the deadlines that count.
    """
    uploads = np.ones_like(episodes.observations["upload_time"])
    _later_uploads(episodes.states, deadline_ns, uploads)
    return uploads


def _stack_clusters(tables: list[ServingTable]) -> StackedClusters:
    found = [table.clusters for table in tables]
    if any(clusters is None for clusters in found):
        raise UnsupportedInstance(require_clusters_message("action_values"))
    overhead_ns = np.array([table.load_overhead_ns for table in tables], dtype=np.int64)
    stacks = {
        name: np.stack([getattr(each, name) for each in found])
        for name in ("members", "cluster", "shared_ns", "private_ns")
    }
    return StackedClusters(**stacks, overhead_ns=overhead_ns)


@compiled
def _action_values(
    tables: Tables,
    clusters: StackedClusters,
    s: States,
    mask: NDArray[np.bool_],  # (N, I · b_cap)
    fractional: bool,
    values: NDArray[np.float32],  # (N, I · b_cap) out where legal
) -> None:
    n_models, most_users = s.next_place.shape[1], s.user.shape[1]
    batch_cap = mask.shape[1] // n_models
    first_run = np.zeros(n_models + 1, dtype=np.int64)
    run_ns = np.empty(most_users, dtype=np.int64)
    own_run_ns = np.empty(most_users + 1, dtype=np.int64)
    later = np.empty(most_users, dtype=np.int64)
    shape = (n_models + 1, most_users + 1)
    alone = np.empty(shape, dtype=np.int64)  # frontier of each cluster, from an empty GPU
    before = np.empty(shape, dtype=np.int64)  # of all clusters before it, joined
    after = np.empty(shape, dtype=np.int64)  # of all from it on, joined
    others = np.empty(shape, dtype=np.int64)  # of all but it, joined
    own = np.empty((1, most_users + 1), dtype=np.int64)
    full = np.empty((1, most_users + 1), dtype=np.int64)
    reaches = np.zeros((4, n_models + 1), dtype=np.int64)  # last entries of the four that are not NEVER

    for n in range(len(mask)):
        if not mask[n].any():
            continue
        t, left = s.library[n], s.left_ns[n]
        overhead = clusters.overhead_ns[t]
        # Runs of every model at later upload times.
        for i in range(n_models):
            count = _sorted_later(s, n, i, s.next_place[n, i], later)
            first_run[i + 1] = first_run[i] + count
            _runs(tables, t, i, later, count, run_ns, first_run[i])

        n_clusters = 0
        place = n_models - 1
        while place >= 0:  # members stand cluster by cluster, ascending
            home = clusters.cluster[t, clusters.members[t, place]]
            _empty(alone, n_clusters)
            reach = 0
            while place >= 0 and clusters.cluster[t, clusters.members[t, place]] == home:
                i = clusters.members[t, place]
                shared, private = clusters.shared_ns[t, i], clusters.private_ns[t, i]
                reach = _add_model(
                    alone, n_clusters, reach, _load(private + shared, overhead), _load(private, overhead),
                    run_ns, first_run[i], first_run[i + 1] - first_run[i], left,
                )  # fmt: skip
                place -= 1
            reaches[0, n_clusters] = reach
            n_clusters += 1
        _empty(before, 0)
        reaches[1, 0] = 0
        for c in range(n_clusters):
            reaches[1, c + 1] = _join(before, c, reaches[1, c], alone, c, reaches[0, c], before, c + 1, left)
        _empty(after, n_clusters)
        reaches[2, n_clusters] = 0
        for c in range(n_clusters - 1, -1, -1):
            reaches[2, c] = _join(after, c + 1, reaches[2, c + 1], alone, c, reaches[0, c], after, c, left)
        for c in range(n_clusters):
            reaches[3, c] = _join(before, c, reaches[1, c], after, c + 1, reaches[2, c + 1], others, c, left)

        c = -1
        last_home = -1
        start = n_models
        for place in range(n_models - 1, -1, -1):
            i = clusters.members[t, place]
            if clusters.cluster[t, i] != last_home:
                c += 1
                last_home = clusters.cluster[t, i]
                stop = start
                start = place
                while start > 0 and clusters.cluster[t, clusters.members[t, start - 1]] == last_home:
                    start -= 1
                stop = place + 1
            if not mask[n, i * batch_cap]:
                continue
            # The rest of its cluster, with its shared blocks in memory.
            _empty(own, 0)
            reach = 0
            for other in range(stop - 1, start - 1, -1):
                j = clusters.members[t, other]
                if j == i:
                    continue
                shared, private = clusters.shared_ns[t, j], clusters.private_ns[t, j]
                more = max(0, shared - clusters.shared_ns[t, i])
                reach = _add_model(
                    own, 0, reach, _load(private + more, overhead), _load(private, overhead),
                    run_ns, first_run[j], first_run[j + 1] - first_run[j], left,
                )  # fmt: skip
            reach = _join(own, 0, reach, others, c, reaches[3, c], full, 0, left)
            elapsed = tables.load_ns[t, s.resident[n], i] + tables.per_batch[t, i]
            for b in range(1, batch_cap + 1):
                if not mask[n, i * batch_cap + b - 1]:
                    break
                elapsed += s.upload_ns[n, s.next_place[n, i] + b - 1] + tables.per_sample[t, i]
                count = _sorted_later(s, n, i, s.next_place[n, i] + b, later)
                own_run_ns[0] = 0
                _runs(tables, t, i, later, count, own_run_ns, 1)
                values[n, i * batch_cap + b - 1] = b + _most_users(
                    full, reach, own_run_ns, count, left - elapsed, fractional
                )


@compiled
def _later_uploads(s: States, deadline_ns: Ints, uploads: NDArray[np.float32]) -> None:
    later = np.empty(s.user.shape[1], dtype=np.int64)
    for n in range(len(uploads)):
        for i in range(uploads.shape[1]):
            count = _sorted_later(s, n, i, s.next_place[n, i], later)
            total = 0
            for b in range(min(count, uploads.shape[2])):
                total += later[b]
                uploads[n, i, b] = min(1.0, total / max(1, deadline_ns[n]))


@inlined
def _load(nanoseconds: int, overhead: int) -> int:
    return nanoseconds + overhead if nanoseconds > 0 else 0


@inlined
def _empty(frontiers: Ints, row: int) -> None:
    frontiers[row] = NEVER
    frontiers[row, 0] = 0


@compiled
def _sorted_later(s: States, n: int, model: int, start: int, later: Ints) -> int:
    """Later upload times of a model's users from a place on, ascending; returns how many."""
    count = 0
    for place in range(start, s.first_place[n, model + 1]):
        time = s.later_ns[n, place]
        m = count
        while m > 0 and later[m - 1] > time:
            later[m] = later[m - 1]
            m -= 1
        later[m] = time
        count += 1
    return count


@compiled
def _runs(tables: Tables, t: int, model: int, later: Ints, count: int, run_ns: Ints, begin: int) -> None:
    """Upload and compute nanoseconds of serving 1, 2, ... of a model's users in as few batches as fit."""
    limit = tables.max_batch[t, model]
    total = 0
    for k in range(count):
        if limit == 0:
            total = NEVER
        else:
            total += later[k] + tables.per_sample[t, model]
            if k % limit == 0:
                total += tables.per_batch[t, model]
        run_ns[begin + k] = min(total, NEVER)


@compiled
def _add_model(
    frontiers: Ints,
    row: int,
    reach: int,
    first_load: int,
    next_load: int,
    run_ns: Ints,
    begin: int,
    count: int,
    budget: int,
) -> int:
    """Let one more model join a cluster's frontier, which only its first model enters with shared blocks to load."""
    usable = 0
    while usable < count and next_load + run_ns[begin + usable] <= budget:
        usable += 1
    new_reach = reach
    for u in range(reach + usable, 0, -1):  # downwards, so that entry u - k is still without this model
        best = frontiers[row, u]
        for k in range(max(1, u - reach), min(usable, u - 1) + 1):
            best = min(best, frontiers[row, u - k] + next_load + run_ns[begin + k - 1])
        if u <= usable:
            best = min(best, first_load + run_ns[begin + u - 1])
        if best <= budget:
            frontiers[row, u] = best
            new_reach = max(new_reach, u)
    return new_reach


@compiled
def _join(
    one: Ints, row: int, reach: int, two: Ints, row_2: int, reach_2: int, out: Ints, row_out: int, budget: int
) -> int:
    """The frontier of two groups that share nothing; ``out`` is another row. Returns its reach."""
    out[row_out] = NEVER
    new_reach = 0
    for u in range(reach + 1):
        for v in range(reach_2 + 1):
            time = one[row, u] + two[row_2, v]
            if time > budget:  # a frontier never falls
                break
            if time < out[row_out, u + v]:
                out[row_out, u + v] = time
            new_reach = max(new_reach, u + v)
    return new_reach


@compiled
def _most_users(frontiers: Ints, reach: int, own_run_ns: Ints, count: int, budget: int, fractional: bool) -> float:
    """Most users within the budget: k of the resident model, then others."""
    best = 0.0
    u = reach
    for k in range(count + 1):
        rest = budget - own_run_ns[k]
        if rest < 0:
            break
        while frontiers[0, u] > rest:
            u -= 1
        users = float(k + u)
        if fractional:
            following = NEVER
            if u + 1 < frontiers.shape[1]:
                following = frontiers[0, u + 1]
            if k < count:
                following = min(following, frontiers[0, u] + own_run_ns[k + 1] - own_run_ns[k])
            if following < NEVER:
                users += min(0.999, (rest - frontiers[0, u]) / max(1, following - frontiers[0, u]))
        best = max(best, users)
    return best
