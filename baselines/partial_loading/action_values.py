"""What every legal action is worth: the users that an optimal schedule serves which begins with it.

For clustered bottom-layer sharing, as `optimal_dp`. After a batch of model i the model itself goes on first and loads
nothing, then its cluster, then the other clusters. So one state needs the frontier "least time to serve u users" of
each cluster from an empty GPU, and of each model's own cluster without it and with its shared blocks in memory; all
batch sizes of a model share them. That takes far less time than one dynamic program for each action.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.expected_uploads import later_upload_ns
from baselines.partial_loading.frontier import extend, extended_reach, join
from baselines.partial_loading.runs import NEVER, require_clusters_message, run_times, tabulate_runs
from pl_env.compiling import compiled, inlined
from pl_env.errors import UnsupportedInstance
from pl_env.low_level import addresses_of, array_reader, zeros_of
from pl_env.partial_loading.arrays import EpisodeArrays, episodes_at
from pl_env.partial_loading.dynamics import ELAPSED, RESIDENT, sort_by_upload
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.runs import Queue, Times

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]

ILLEGAL = -1.0
"""Stands for the value of an action that is not legal."""


class _Work(NamedTuple):
    """What the kernels need besides the episodes; handed over by address, so that no reference is ever counted."""

    members: Annotated[Ints, "L", "I"]  # `Clusters` of the libraries, as are the next three
    cluster: Annotated[Ints, "L", "I"]
    shared_ns: Annotated[Ints, "L", "I"]
    private_ns: Annotated[Ints, "L", "I"]
    overhead_ns: Annotated[Ints, "L"]  # of loading
    later_ns: Annotated[Ints, "N", "later"]  # of `later_upload_ns`
    values: Annotated[NDArray[np.float32], "N", "A"]  # out

    bounds: Annotated[Ints, "I + 1"]  # scratch, as are all that follow: where each cluster begins in ``members``
    first_user: Annotated[Ints, "I + 1"]  # `_State.later`, as are the next two
    places: Annotated[Ints, "K"]
    sorted_later: Annotated[Ints, "K"]
    own_later: Annotated[Ints, "K"]  # later uploads of those of one model who are left after a batch
    own_run_ns: Annotated[Ints, "K + 1"]  # their runs, from none on
    others_ns: Annotated[Ints, "K + 1"]  # a frontier before it is extended
    least_ns: Annotated[Ints, "frontiers", "K + 1"]  # `_Frontiers`
    reach: Annotated[Ints, "frontiers"]


_work_at = array_reader(_Work)


class _Library(NamedTuple):
    """One library."""

    members: Ints  # (I,)
    cluster: Ints  # (I,)
    shared_ns: Ints  # (I,)
    private_ns: Ints  # (I,)
    overhead_ns: int
    times: Times


class _State(NamedTuple):
    """Where one episode stands; places are those of its users by model, then by upload time."""

    left_ns: int
    next_user: SmallInts  # (I,) place of each model's cheapest pending user
    upload_ns: Ints  # (K,) today, by place
    later: Queue  # pending users by model, then later upload time; its ``users`` are places


class _Frontiers(NamedTuple):
    """Least time to serve u users, for some groups of models; see `frontier`."""

    least_ns: Ints  # (groups, K + 1), past the time left beyond ``reach``
    reach: Ints  # (groups,) most users that can be served in the time left


def action_values(episodes: Episodes, later_ns: Ints | None = None, *, fractional: bool = False) -> NDArray[np.float32]:
    """Value of every action in every episode's present state: users served from here on, float32 (N, I · b_cap).

    Each action is costed at present channels, and what follows it at later ones. Where channels stay that is exact.
    `ILLEGAL` where an action is not legal.

    Args:
        episodes: The episodes.
        later_ns: What `later_upload_ns` gave at their beginning, or later; None asks it.
        fractional: Count the part that is left over of the time for one user more; a smoother measure where later
            channels are uncertain.

    Raises:
        UnsupportedInstance: The sharing is not clustered, or loading is not affine.
    """
    work = _work_for(episodes, later_ns)
    _action_values(episodes.addresses, episodes.arrays.unloaded_ns, addresses_of(work), fractional)
    return work.values


def later_uploads(episodes: Episodes, later_ns: Ints | None = None) -> NDArray[np.float32]:
    """What uploads of each model's next 1, 2, ... b_cap users will take later, as fractions of the deadline.

    The cheapest users first. float32 (N, I, b_cap), clipped at 1, and 1 where there is no such user.

    Args:
        episodes: The episodes.
        later_ns: As in `action_values`.
    """
    uploads = np.ones_like(episodes.arrays.upload_time)
    later_ns = later_upload_ns(episodes) if later_ns is None else later_ns
    _later_uploads(episodes.addresses, episodes.arrays.unloaded_ns, later_ns, uploads)
    return uploads


def _work_for(episodes: Episodes, later_ns: Ints | None) -> _Work:
    arrays, libraries = episodes.arrays, episodes.libraries
    later_ns = later_upload_ns(episodes) if later_ns is None else later_ns
    (n, n_models, batch_cap), most_users = arrays.upload_time.shape, arrays.sorted_upload.shape[1]
    sizes = {
        "N": n,
        "L": len(libraries),
        "I": n_models,
        "I + 1": n_models + 1,
        "A": n_models * batch_cap,
        "K": most_users,
        "K + 1": most_users + 1,
        "later": later_ns.shape[1],
        "frontiers": 4 * n_models + 4,
    }
    work = zeros_of(_Work, sizes, np.int64)
    for row, table in enumerate(libraries):
        clusters = table.clusters
        if clusters is None:
            raise UnsupportedInstance(require_clusters_message("action_values"))
        work.members[row], work.cluster[row] = clusters.members, clusters.cluster
        work.shared_ns[row], work.private_ns[row] = clusters.shared_ns, clusters.private_ns
        work.overhead_ns[row] = table.load_overhead_ns
    work.later_ns[:] = later_ns
    work.values[:] = ILLEGAL
    return work


@compiled
def _action_values(
    addresses: Ints,  # of the episodes
    unloaded_ns: NDArray[Any],  # their array, for its type
    work_addresses: Ints,  # of a `_Work`
    fractional: bool,
) -> None:
    e, w = episodes_at(addresses, unloaded_ns), _work_at(work_addresses, unloaded_ns)
    n_models, batch_cap = e.upload_time.shape[1], e.upload_time.shape[2]
    queue, frontiers = Queue(w.first_user, w.places, w.sorted_later), _Frontiers(w.least_ns, w.reach)
    # The rows of the frontiers: each cluster alone; all before it and all from it on, joined; all but it; one model's.
    before, after, others = n_models, 2 * n_models + 1, 3 * n_models + 2
    rest, following = 4 * n_models + 2, 4 * n_models + 3
    for n in range(len(w.values)):
        if not e.any_legal[n]:
            continue
        state, library = _state_of(e, n, w.later_ns, queue), _library_of(e, w, e.library[n])
        run_ns = run_times(library.times, state.later, 0)
        n_clusters = _find_bounds(library, w.bounds)
        for c in range(n_clusters):
            members = library.members[w.bounds[c] : w.bounds[c + 1]]
            _of_cluster(library, members, -1, state, run_ns, w.others_ns, frontiers, c)
        _join_all_but_one(frontiers, n_clusters, state.left_ns, before, after, others)
        for c in range(n_clusters):
            members = library.members[w.bounds[c] : w.bounds[c + 1]]
            for model in members:
                first = model * batch_cap
                if not e.mask[n, first]:
                    continue
                _of_cluster(library, members, model, state, run_ns, w.others_ns, frontiers, rest)
                _join(frontiers, rest, others + c, following, state.left_ns)
                load_ns = e.load_ns[e.library[n], e.state[n, RESIDENT], model]
                for size in range(1, batch_cap + 1):
                    if e.mask[n, first + size - 1]:
                        w.values[n, first + size - 1] = size + _users_after(
                            library, state, model, size, load_ns, frontiers, following, fractional,
                            w.own_later, w.own_run_ns,
                        )  # fmt: skip


@compiled
def _later_uploads(addresses: Ints, unloaded_ns: NDArray[Any], later_ns: Ints, uploads: NDArray[np.float32]) -> None:
    e = episodes_at(addresses, unloaded_ns)
    n_models, most_users = uploads.shape[1], e.sorted_upload.shape[1]
    first_user = np.empty(n_models + 1, dtype=np.int64)
    queue = Queue(first_user, np.empty(most_users, dtype=np.int64), np.empty(most_users, dtype=np.int64))
    for n in range(len(uploads)):
        later = _state_of(e, n, later_ns, queue).later
        for i in range(n_models):
            total, first = 0, later.first_user[i]
            for b in range(min(later.first_user[i + 1] - first, uploads.shape[2])):
                total += later.sorted_upload[first + b]
                uploads[n, i, b] = min(1.0, total / max(1, e.deadline_ns[n]))


# ---------------------------------------------------------------- one state


@inlined
def _state_of(e: EpisodeArrays, n: int, later_ns: Ints, scratch: Queue) -> _State:
    known = later_ns.shape[1] if e.redraws[n] else 0
    row = min(n, len(e.users) - 1)
    count = _queue_later(
        e.first_user[n], e.next_user[n], e.users[row], e.sorted_upload[n], later_ns[n, :known], scratch
    )
    later = Queue(scratch.first_user, scratch.users[:count], scratch.sorted_upload[:count])
    return _State(e.deadline_ns[n] - e.state[n, ELAPSED], e.next_user[n], e.sorted_upload[n], later)


@compiled
def _queue_later(
    first_user: SmallInts, next_user: SmallInts, users: SmallInts, upload_ns: Ints, later_ns: Ints, queue: Queue
) -> int:
    """Queue pending users by model, then later upload time: ``later_ns`` by user, or today's where it is empty.

    Returns how many there are; ``queue`` may have room for more.
    """
    count = 0
    for i in range(len(next_user)):
        begin = count
        for place in range(next_user[i], first_user[i + 1]):
            queue.users[count] = place
            queue.sorted_upload[count] = later_ns[users[place]] if len(later_ns) > 0 else upload_ns[place]
            count += 1
        if len(later_ns) > 0:
            sort_by_upload(queue.users[begin:count], queue.sorted_upload[begin:count])
        queue.first_user[i], queue.first_user[i + 1] = begin, count
    return count


@inlined
def _library_of(e: EpisodeArrays, w: _Work, t: int) -> _Library:
    return _Library(
        w.members[t],
        w.cluster[t],
        w.shared_ns[t],
        w.private_ns[t],
        w.overhead_ns[t],
        Times(e.load_ns[t], e.per_sample[t], e.per_batch[t], e.max_batch[t]),
    )


@compiled
def _find_bounds(library: _Library, bounds: Ints) -> int:
    """Where each cluster begins in ``members``, which stand cluster by cluster; returns how many there are."""
    n_clusters, n_models = 0, len(library.members)
    for place in range(n_models):
        if place == 0 or library.cluster[library.members[place]] != library.cluster[library.members[place - 1]]:
            bounds[n_clusters] = place
            n_clusters += 1
    bounds[n_clusters] = n_models
    return n_clusters


# ---------------------------------------------------------------- frontiers


@compiled
def _of_cluster(
    library: _Library,
    members: Ints,  # of the cluster, ascending in their shared blocks
    resident: int,
    state: _State,
    run_ns: Ints,
    others_ns: Ints,  # (K + 1,) scratch
    out: _Frontiers,
    row: int,
) -> None:
    """The frontier of a cluster, from an empty GPU (-1); or without the resident model, whose shared blocks are there.

    Models join in descending order of their shared blocks (Corollary 1), so only the first of them loads any.
    """
    held = library.shared_ns[resident] if resident >= 0 else 0
    first_user, least_ns = state.later.first_user, out.least_ns[row]
    _clear(least_ns)
    reach = 0
    for model in members[::-1]:
        if model == resident:
            continue
        private, missing = library.private_ns[model], max(0, library.shared_ns[model] - held)
        first_load = private + missing + (library.overhead_ns if private + missing > 0 else 0)
        next_load = private + (library.overhead_ns if private > 0 else 0)
        begin = stop = first_user[model]
        while stop < first_user[model + 1] and next_load + run_ns[stop] <= state.left_ns:
            stop += 1
        others_ns[0] = first_load
        for u in range(1, reach + 1):
            others_ns[u] = least_ns[u] + next_load
        extend(least_ns, others_ns, 0, reach, run_ns[begin:stop])
        reach = extended_reach(least_ns, reach, stop - begin, state.left_ns)
    out.reach[row] = reach


@inlined
def _clear(least_ns: Ints) -> None:
    least_ns[:] = NEVER
    least_ns[0] = 0


@compiled
def _join(frontiers: _Frontiers, one: int, other: int, out: int, budget: int) -> None:
    """The frontier of two groups that share nothing, from two rows into a third."""
    least_ns, reach = frontiers
    reach[out] = join(least_ns[out], least_ns[one], reach[one], least_ns[other, 1 : reach[other] + 1], budget)


@compiled
def _join_all_but_one(frontiers: _Frontiers, count: int, budget: int, before: int, after: int, others: int) -> None:
    """From the frontiers of clusters in the first rows, those of all clusters but each, in rows from ``others`` on."""
    _clear(frontiers.least_ns[before])
    frontiers.reach[before] = 0
    for c in range(count):
        _join(frontiers, before + c, c, before + c + 1, budget)
    _clear(frontiers.least_ns[after + count])
    frontiers.reach[after + count] = 0
    for c in range(count - 1, -1, -1):
        _join(frontiers, after + c + 1, c, after + c, budget)
    for c in range(count):
        _join(frontiers, before + c, after + c + 1, others + c, budget)


# ---------------------------------------------------------------- values


@compiled
def _users_after(
    library: _Library,
    state: _State,
    model: int,
    size: int,
    load_ns: int,
    frontiers: _Frontiers,
    following: int,  # row of all other models' frontier after this one
    fractional: bool,
    own_later: Ints,  # (K,) scratch
    own_run_ns: Ints,  # (K + 1,) scratch
) -> float:
    """Users served after a batch: more of the model itself, then others."""
    _, per_sample, per_batch, max_batch = library.times
    place, later = state.next_user[model], state.later
    left = state.left_ns - load_ns - per_batch[model]
    for b in range(size):
        left -= state.upload_ns[place + b] + per_sample[model]
    count = 0
    for n in range(later.first_user[model], later.first_user[model + 1]):
        if later.users[n] >= place + size:
            own_later[count] = later.sorted_upload[n]
            count += 1
    own_run_ns[0] = 0
    tabulate_runs(
        own_later[:count], per_sample[model], per_batch[model], max_batch[model], 0, own_run_ns[1 : count + 1]
    )
    return _most_users(frontiers, following, own_run_ns, count, left, fractional)


@compiled
def _most_users(frontiers: _Frontiers, row: int, own_run_ns: Ints, count: int, budget: int, fractional: bool) -> float:
    """Most users within the budget: k of the resident model, then others."""
    least_ns, reach = frontiers.least_ns[row], frontiers.reach[row]
    u = reach
    best = 0.0
    for k in range(count + 1):
        rest = budget - own_run_ns[k]
        if rest < 0:
            break
        while least_ns[u] > rest:
            u -= 1
        users = float(k + u)
        if fractional:
            following = least_ns[u + 1] if u < reach else NEVER
            if k < count:
                following = min(following, least_ns[u] + own_run_ns[k + 1] - own_run_ns[k])
            if following < NEVER:
                users += min(0.999, (rest - least_ns[u]) / max(1, following - least_ns[u]))
        best = max(best, users)
    return best
