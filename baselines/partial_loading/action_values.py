"""What every legal action is worth: the users that an optimal schedule serves which begins with it.

For clustered bottom-layer sharing, as `optimal_dp`. After a batch of model i the model itself goes on first and loads
nothing, then its cluster, then the other clusters. So one state needs the frontier "least time to serve u users" of
each cluster from an empty GPU, and of each model's own cluster without it and with its shared blocks in memory; all
batch sizes of a model share them. That takes a sixth of the time of one dynamic program for each action.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.expected_uploads import later_upload_ns
from baselines.partial_loading.runs import NEVER, require_clusters_message
from pl_env.compiling import compiled, inlined
from pl_env.errors import UnsupportedInstance
from pl_env.low_level import addresses_of, array_reader, zeros_of
from pl_env.partial_loading.arrays import EpisodeArrays, episodes_at
from pl_env.partial_loading.dynamics import ELAPSED, RESIDENT
from pl_env.partial_loading.episodes import Episodes

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
    later: Annotated[Ints, "K"]  # later uploads of one model's users
    own_run_ns: Annotated[Ints, "K + 1"]  # its runs, from none on
    run_start: Annotated[Ints, "I + 1"]  # `_Runs`
    run_ns: Annotated[Ints, "K"]
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
    per_sample: Ints  # (I,)
    per_batch: Ints  # (I,)
    max_batch: Ints  # (I,)


class _State(NamedTuple):
    """Where one episode stands; places are those of its users by model, then by upload time."""

    left_ns: int
    first_user: SmallInts  # (I + 1,)
    next_user: SmallInts  # (I,)
    users: SmallInts  # (K,) by place
    upload_ns: Ints  # (K,) today, by place
    later_ns: Ints  # (K,) later, by user; or (0,), as today


class _Runs(NamedTuple):
    """Upload and compute nanoseconds of serving 1, 2, ... of each model's pending users in later batches."""

    start: Ints  # (I + 1,) where each model's begin
    ns: Ints  # (K,)


class _Frontiers(NamedTuple):
    """Least time to serve u users, for some groups of models."""

    least_ns: Ints  # (groups, K + 1), `NEVER` where the time left does not suffice
    reach: Ints  # (groups,) last entry that is not `NEVER`


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
    runs, frontiers = _Runs(w.run_start, w.run_ns), _Frontiers(w.least_ns, w.reach)
    # The rows of the frontiers: each cluster alone; all before it and all from it on, joined; all but it; one model's.
    before, after, others = n_models, 2 * n_models + 1, 3 * n_models + 2
    rest, following = 4 * n_models + 2, 4 * n_models + 3
    for n in range(len(w.values)):
        if not e.any_legal[n]:
            continue
        state, library = _state_of(e, n, w.later_ns), _library_of(e, w, e.library[n])
        _tabulate_all(library, state, w.later, runs)
        n_clusters = _find_bounds(library, w.bounds)
        for c in range(n_clusters):
            _of_cluster(library, runs, w.bounds[c], w.bounds[c + 1], -1, state.left_ns, frontiers, c)
        _join_all_but_one(frontiers, n_clusters, state.left_ns, before, after, others)
        for c in range(n_clusters):
            for member in range(w.bounds[c], w.bounds[c + 1]):
                model = library.members[member]
                first = model * batch_cap
                if not e.mask[n, first]:
                    continue
                _of_cluster(library, runs, w.bounds[c], w.bounds[c + 1], model, state.left_ns, frontiers, rest)
                _join(frontiers, rest, others + c, following, state.left_ns)
                load_ns = e.load_ns[e.library[n], e.state[n, RESIDENT], model]
                for size in range(1, batch_cap + 1):
                    if e.mask[n, first + size - 1]:
                        w.values[n, first + size - 1] = size + _users_after(
                            library, state, model, size, load_ns, frontiers, following, fractional,
                            w.later, w.own_run_ns,
                        )  # fmt: skip


@compiled
def _later_uploads(addresses: Ints, unloaded_ns: NDArray[Any], later_ns: Ints, uploads: NDArray[np.float32]) -> None:
    e = episodes_at(addresses, unloaded_ns)
    later = np.empty(e.sorted_upload.shape[1], dtype=np.int64)
    for n in range(len(uploads)):
        state = _state_of(e, n, later_ns)
        for i in range(uploads.shape[1]):
            count = _sorted_later(state, i, state.next_user[i], later)
            total = 0
            for b in range(min(count, uploads.shape[2])):
                total += later[b]
                uploads[n, i, b] = min(1.0, total / max(1, e.deadline_ns[n]))


# ---------------------------------------------------------------- one state


@inlined
def _state_of(e: EpisodeArrays, n: int, later_ns: Ints) -> _State:
    known = later_ns.shape[1] if e.redraws[n] else 0
    return _State(
        e.deadline_ns[n] - e.state[n, ELAPSED],
        e.first_user[n],
        e.next_user[n],
        e.users[min(n, len(e.users) - 1)],
        e.sorted_upload[n],
        later_ns[n, :known],
    )


@inlined
def _library_of(e: EpisodeArrays, w: _Work, t: int) -> _Library:
    return _Library(
        w.members[t],
        w.cluster[t],
        w.shared_ns[t],
        w.private_ns[t],
        w.overhead_ns[t],
        e.per_sample[t],
        e.per_batch[t],
        e.max_batch[t],
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


@compiled
def _sorted_later(state: _State, model: int, start: int, later: Ints) -> int:
    """Later upload times of a model's users from a place on, ascending; returns how many."""
    count = 0
    for place in range(start, state.first_user[model + 1]):
        time = state.later_ns[state.users[place]] if len(state.later_ns) > 0 else state.upload_ns[place]
        m = count
        while m > 0 and later[m - 1] > time:
            later[m] = later[m - 1]
            m -= 1
        later[m] = time
        count += 1
    return count


@compiled
def _tabulate(library: _Library, model: int, later: Ints, count: int, run_ns: Ints, begin: int) -> None:
    """Upload and compute nanoseconds of serving 1, 2, ... of a model's users in as few batches as fit."""
    limit = library.max_batch[model]
    total = 0
    for k in range(count):
        if limit == 0:
            total = NEVER
        else:
            total += later[k] + library.per_sample[model]
            if k % limit == 0:
                total += library.per_batch[model]
        run_ns[begin + k] = min(total, NEVER)


@compiled
def _tabulate_all(library: _Library, state: _State, later: Ints, runs: _Runs) -> None:
    """Runs of all models' pending users."""
    for i in range(len(state.next_user)):
        count = _sorted_later(state, i, state.next_user[i], later)
        _tabulate(library, i, later, count, runs.ns, runs.start[i])
        runs.start[i + 1] = runs.start[i] + count


# ---------------------------------------------------------------- frontiers


@inlined
def _clear(frontiers: _Frontiers, row: int) -> None:
    frontiers.least_ns[row] = NEVER
    frontiers.least_ns[row, 0] = 0
    frontiers.reach[row] = 0


@compiled
def _of_cluster(
    library: _Library, runs: _Runs, start: int, stop: int, resident: int, budget: int, out: _Frontiers, row: int
) -> None:
    """The frontier of a cluster, from an empty GPU (-1); or without the resident model, whose shared blocks are there.

    Models join in descending order of their shared blocks (Corollary 1).
    """
    held = library.shared_ns[resident] if resident >= 0 else 0
    _clear(out, row)
    for place in range(stop - 1, start - 1, -1):
        model = library.members[place]
        if model == resident or runs.start[model] == runs.start[model + 1]:
            continue
        private, missing = library.private_ns[model], max(0, library.shared_ns[model] - held)
        first_load = private + missing + (library.overhead_ns if private + missing > 0 else 0)
        next_load = private + (library.overhead_ns if private > 0 else 0)
        _add_model(out, row, first_load, next_load, runs, model, budget)


@inlined
def _add_model(
    frontiers: _Frontiers, row: int, first_load: int, next_load: int, runs: _Runs, model: int, budget: int
) -> None:
    """Let one more model join a cluster's frontier, which only its first model enters with shared blocks to load."""
    least_ns, run_ns = frontiers.least_ns, runs.ns
    reach, begin, count = frontiers.reach[row], runs.start[model], runs.start[model + 1] - runs.start[model]
    usable = 0
    while usable < count and next_load + run_ns[begin + usable] <= budget:
        usable += 1
    if usable == 0:
        return
    new_reach = reach
    for u in range(reach + usable, 0, -1):  # downwards, so that entry u - k is still without this model
        best = least_ns[row, u]
        for k in range(max(1, u - reach), min(usable, u - 1) + 1):
            best = min(best, least_ns[row, u - k] + next_load + run_ns[begin + k - 1])
        if u <= usable:
            best = min(best, first_load + run_ns[begin + u - 1])
        if best <= budget:
            least_ns[row, u] = best
            new_reach = max(new_reach, u)
    frontiers.reach[row] = new_reach


@compiled
def _join(frontiers: _Frontiers, one: int, other: int, out: int, budget: int) -> None:
    """The frontier of two groups that share nothing, from two rows into a third."""
    _clear(frontiers, out)
    least_ns, reach = frontiers.least_ns, 0
    for u in range(frontiers.reach[one] + 1):
        for v in range(frontiers.reach[other] + 1):
            time = least_ns[one, u] + least_ns[other, v]
            if time > budget:  # a frontier never falls
                break
            if time < least_ns[out, u + v]:
                least_ns[out, u + v] = time
            reach = max(reach, u + v)
    frontiers.reach[out] = reach


@compiled
def _join_all_but_one(frontiers: _Frontiers, count: int, budget: int, before: int, after: int, others: int) -> None:
    """From the frontiers of clusters in the first rows, those of all clusters but each, in rows from ``others`` on."""
    _clear(frontiers, before)
    for c in range(count):
        _join(frontiers, before + c, c, before + c + 1, budget)
    _clear(frontiers, after + count)
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
    later: Ints,  # (K,) scratch
    own_run_ns: Ints,  # (K + 1,) scratch
) -> float:
    """Users served after a batch: more of the model itself, then others."""
    place = state.next_user[model]
    left = state.left_ns - load_ns - library.per_batch[model]
    for b in range(size):
        left -= state.upload_ns[place + b] + library.per_sample[model]
    count = _sorted_later(state, model, place + size, later)
    own_run_ns[0] = 0
    _tabulate(library, model, later, count, own_run_ns, 1)
    return _most_users(frontiers, following, own_run_ns, count, left, fractional)


@compiled
def _most_users(frontiers: _Frontiers, row: int, own_run_ns: Ints, count: int, budget: int, fractional: bool) -> float:
    """Most users within the budget: k of the resident model, then others."""
    least_ns, u = frontiers.least_ns[row], frontiers.reach[row]
    best = 0.0
    for k in range(count + 1):
        rest = budget - own_run_ns[k]
        if rest < 0:
            break
        while least_ns[u] > rest:
            u -= 1
        users = float(k + u)
        if fractional:
            following = NEVER
            if u + 1 < len(least_ns):
                following = least_ns[u + 1]
            if k < count:
                following = min(following, least_ns[u] + own_run_ns[k + 1] - own_run_ns[k])
            if following < NEVER:
                users += min(0.999, (rest - least_ns[u]) / max(1, following - least_ns[u]))
        best = max(best, users)
    return best
