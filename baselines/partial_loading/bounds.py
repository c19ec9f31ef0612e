"""An upper bound on the users served, for any instance, without a solver: a relaxation in exact integer arithmetic.

A schedule visits some models V, each once, on a path that begins with what is resident. (Where a measured loading
matrix rewards detours, shortest walks replace its entries; then the path of first visits takes no longer than the
schedule.) The bound keeps two things that every path obeys:

* Into each set S of models of which it visits any, it takes at least one arc. Let sets have prices z_S >= 0 such that
  no arc (a, i) enters sets whose prices add up to more than load(a, i). Then all loads together take at least the sum
  of z_S over the sets that meet V. The prices are those of Edmonds' algorithm for cheapest arborescences (J. Edmonds,
  Optimum branchings, 1967). They cover each model's cheapest load, and that every block in use is loaded once.
* Out of each model and out of the start it takes at most one arc. That is relaxed in Lagrange's way: an arc out of a
  model costs a price more, and a visit of the model gives it back. Subgradients climb on these prices (M. Held and
  R. M. Karp, The traveling-salesman problem and minimum spanning trees II, 1971).

As Edmonds' sets are nested or disjoint, a dynamic program over them finds the least time for u users that the prices
allow. Models that share nothing with each other, directly or through others, are clusters with prices of their own; the
least times of clusters join in a knapsack. The most users whose least time is within the deadline are the bound. It is
valid for whatever prices, and all that the proof rests on is integer; only the search for good prices uses floating
point.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.frontier import Frontiers, extend, join_all, split
from baselines.partial_loading.runs import NEVER, Problem, usable_users
from pl_env.compiling import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_ITERATIONS = 2_000
"""Steps of the search for prices, and fewer for large instances:"""

MOST_WORK = 1_000_000_000
"""M² times the number of steps for M models."""

FIRST_FACTOR = 0.5
"""Factor of the step lengths at first."""

LAST_FACTOR = 0.0005
"""Where the search ends."""

PATIENCE = 40
"""After so many steps without a better value the factor is halved."""

MOMENTUM = 0.5
"""Share of the last direction that is added to the subgradient."""

OVERSHOOT = 0.001
"""A step aims that much of the deadline, times the number of models, beyond the present least time."""

USER_SCALE = 300.0
"""How much further the price of a user moves than those of arcs, times the number of users."""


def upper_bound(problem: Problem) -> int:
    """A number of users that no schedule exceeds.

    The same problem has the same bound in every process. A looser deadline usually, but not always, has a bound at
    least as high, as the search for prices is a heuristic.
    """
    instance = problem.instance
    usable = usable_users(problem.first_user, problem.run_ns, instance.deadline_ns)
    models = np.flatnonzero(usable)
    if len(models) == 0:
        return 0
    load_ns = np.minimum(instance.load_ns, instance.deadline_ns + 1)  # longer ones are out of reach all the same
    if instance.table.affine:
        label = label_clusters(load_ns, np.append(models, instance.resident))[:-1]
    else:
        label = np.zeros(len(models), dtype=np.int64)
        _shorten_by_detours(load_ns, models)
    by_cluster = np.argsort(label, kind="stable")
    models, label = models[by_cluster], label[by_cluster]
    return int(
        _search_prices(
            np.ascontiguousarray(load_ns[np.append(models, instance.resident)][:, models].T),
            np.flatnonzero(np.diff(label, prepend=-1, append=-1)),
            problem.first_user[models],
            usable[models],
            problem.run_ns,
            instance.deadline_ns,
            min(MOST_ITERATIONS, MOST_WORK // len(models) ** 2),
        )
    )


@compiled
def label_clusters(load_ns: Ints, models: Ints) -> Ints:
    """Labels of models, the same within a cluster, int64 (len(models),).

    Two models are connected if one shortens the load of the other; the last of ``models`` is the resident one, or -1,
    which shortens none and is a cluster of its own.
    """
    label = np.arange(len(models))
    changed = True
    while changed:
        changed = False
        for a in range(len(models)):
            for i in range(len(models) - 1):
                if label[a] != label[i] and load_ns[models[a], models[i]] < load_ns[-1, models[i]]:
                    label[a] = label[i] = min(label[a], label[i])
                    changed = True
    return label


@compiled
def _shorten_by_detours(load_ns: Ints, models: Ints) -> None:
    """Replace loads by shortest walks over models that can be visited, in place (R. W. Floyd, Shortest path, 1962)."""
    for b in models:
        for a in range(len(load_ns)):
            to_b_ns = load_ns[a, b]
            for i in range(load_ns.shape[1]):
                load_ns[a, i] = min(load_ns[a, i], to_b_ns + load_ns[b, i])


# ---------------------------------------------------------------- the search for prices


class _Cluster(NamedTuple):
    """What is known of a cluster; M is the number of its models from here on, U that of its users."""

    arc_ns: Ints  # (M, M) load of a model (row) after another (column)
    start_ns: Ints  # (M,) and after what is resident at the start
    first_user: Ints  # (M,)
    usable: Ints  # (M,) of `usable_users`
    run_ns: Ints  # of the problem


class _Climb(NamedTuple):
    """The state of the search for a cluster's prices.

    The prices are those of arcs out of each model, and out of the start, in nanoseconds, and of a user, in nanoseconds
    over `USER_SCALE` / U.
    """

    prices: Floats  # (M + 2,)
    direction: Floats  # (M + 2,)
    progress: Floats  # (4,) target, best value for it, steps since then, factor of the step lengths


_TARGET, _BEST, _STALLED, _FACTOR = range(4)  # entries of `_Climb.progress`


@compiled
def _search_prices(
    arc_ns: Ints,  # (all models, all models + 1) load of a model (row) after another (column); last column: the start
    cluster_start: Ints,  # (C + 1,)
    first_user: Ints,
    usable: Ints,
    run_ns: Ints,
    deadline_ns: int,
    n_steps: int,
) -> int:
    """Climb on the prices of all clusters at once; return the bound.

    The most users that seem possible are split between the clusters so that their least times add up to the least. To
    refute that, the prices of each cluster climb towards a longer least time for its part.
    """
    n_clusters, n_models, n_users = len(cluster_start) - 1, len(usable), usable.sum()
    frontiers = Frontiers(np.zeros(n_users + n_clusters, dtype=np.int64), np.zeros(n_clusters + 1, dtype=np.int64))
    for c in range(n_clusters):
        cluster_users = usable[cluster_start[c] : cluster_start[c + 1]].sum()
        frontiers.start[c + 1] = frontiers.start[c] + 1 + cluster_users
        cluster = _cluster(arc_ns, first_user, usable, run_ns, cluster_start[c], cluster_start[c + 1])
        no_prices = np.zeros(len(cluster.usable) + 1, dtype=np.int64)
        sets = _single_models(cluster, no_prices, no_prices[:-1])
        n_sets = _raise_prices(sets, len(cluster.usable), len(cluster.usable) + 1)
        _lengthen(cluster, sets, n_sets, no_prices, frontiers.least[frontiers.start[c] : frontiers.start[c + 1]])
    joined_ns = np.empty((n_clusters + 1, n_users + 1), dtype=np.int64)
    targets = np.zeros(n_clusters, dtype=np.int64)
    bound = join_all(frontiers, deadline_ns, joined_ns)
    split(frontiers, joined_ns, bound, joined_ns[-1, bound], targets)

    prices, directions = np.zeros(n_models + 2 * n_clusters), np.zeros(n_models + 2 * n_clusters)
    progress = np.zeros((n_clusters, 4))
    progress[:, _FACTOR] = FIRST_FACTOR
    period = 1 + n_users**2 // (20 * n_models**2)  # so that dynamic programs take at most as long as all the rest
    for step in range(n_steps):
        is_evaluated = step % period == 0 or step == n_steps - 1
        is_moving = False
        for c in range(n_clusters):
            first, stop = cluster_start[c], cluster_start[c + 1]
            climb = _Climb(
                prices[first + 2 * c : stop + 2 * c + 2], directions[first + 2 * c : stop + 2 * c + 2], progress[c]
            )
            if targets[c] > 0 and stop - first > 1 and climb.progress[_FACTOR] > LAST_FACTOR:
                cluster = _cluster(arc_ns, first_user, usable, run_ns, first, stop)
                least_ns, bound_ns = frontiers.least[frontiers.start[c] : frontiers.start[c + 1]], joined_ns[-1, bound]
                is_moving |= _climb(cluster, climb, least_ns, targets[c], is_evaluated, deadline_ns, bound_ns)
        if is_evaluated:
            bound = join_all(frontiers, deadline_ns, joined_ns)
            split(frontiers, joined_ns, bound, joined_ns[-1, bound], targets)
        if not is_moving:
            break
    return int(bound)


@compiled
def _cluster(arc_ns: Ints, first_user: Ints, usable: Ints, run_ns: Ints, first: int, stop: int) -> _Cluster:
    """The cluster of models ``first`` to ``stop - 1``."""
    return _Cluster(
        arc_ns[first:stop, first:stop], arc_ns[first:stop, -1], first_user[first:stop], usable[first:stop], run_ns
    )


@compiled
def _climb(
    cluster: _Cluster,
    climb: _Climb,
    least_ns: Ints,  # (U + 1,) in and out: least times known so far
    target: int,
    is_evaluated: bool,
    deadline_ns: int,
    bound_ns: int,
) -> bool:
    """Take one step towards prices by which ``target`` users of a cluster take longer; return whether there was one.

    The value to climb on is that of the cheapest arborescence, where each user served earns a price and models may stay
    out at the price of what they would earn. It is a lower bound of the least time of ``target`` users, too, and the
    prices of its sets are a better one once all arcs that stand for staying out are gone.
    """
    n_models = len(cluster.usable)
    user_scale = USER_SCALE / len(least_ns)
    if climb.progress[_TARGET] == 0:
        climb.prices[n_models + 1] = _user_price(least_ns, target) / user_scale
    if climb.progress[_TARGET] != target:
        climb.progress[_TARGET], climb.progress[_BEST], climb.progress[_STALLED] = target, -np.inf, 0
    out_price_ns = climb.prices[: n_models + 1].astype(np.int64)
    user_price_ns = int(climb.prices[n_models + 1] * user_scale)
    earned_ns, counts = _earnings(cluster, out_price_ns, user_price_ns)
    sets = _single_models(cluster, out_price_ns, earned_ns)
    n_sets = _raise_prices(sets, n_models, n_models + 2)
    value_ns = sets.price_ns[:n_sets].sum() - earned_ns.sum() - out_price_ns[n_models] + user_price_ns * target
    _turn(sets, n_sets, counts, target, user_scale, climb.direction)

    to_go_ns = max(0, least_ns[target] - value_ns) + max(deadline_ns + 1 - bound_ns, OVERSHOOT * n_models * deadline_ns)
    if is_evaluated:
        n_sets = _raise_prices(sets, n_sets, n_models + 1)
        _lengthen(cluster, sets, n_sets, out_price_ns, least_ns)
    return _step(climb, value_ns, to_go_ns, deadline_ns, user_scale)


@compiled
def _user_price(least_ns: Ints, target: int) -> float:
    """Nanoseconds that a user takes: the slope of the least times before ``target``, over a tenth of it."""
    before = target - 1 - target // 10
    return float(least_ns[target] - least_ns[before]) / (target - before)


@compiled
def _earnings(cluster: _Cluster, out_price_ns: Ints, user_price_ns: int) -> tuple[Ints, Ints]:
    """What each model's visit earns at most, loads aside, and with how many users; int64 (M,) both."""
    n_models = len(cluster.usable)
    earned_ns = np.full(n_models, -NEVER, dtype=np.int64)
    counts = np.zeros(n_models, dtype=np.int64)
    for i in range(n_models):
        for count in range(1, cluster.usable[i] + 1):
            gain_ns = count * user_price_ns - cluster.run_ns[cluster.first_user[i] + count - 1] + out_price_ns[i]
            if gain_ns > earned_ns[i]:
                earned_ns[i] = gain_ns
                counts[i] = count
    return earned_ns, counts


@compiled
def _turn(sets: _Sets, n_sets: int, counts: Ints, target: int, user_scale: float, direction: Floats) -> None:
    """Turn the direction towards the subgradient at the cheapest arborescence.

    The price of arcs out of a model rises if more of them are taken than the model is visited, that of arcs out of the
    start if more than one is, and that of a user if fewer than ``target`` are served.
    """
    n_models = len(counts)
    direction *= MOMENTUM
    direction[n_models] -= 1
    direction[n_models + 1] += target * user_scale
    tails = _arborescence(sets, n_sets, n_models)
    for i in range(n_models):
        if tails[i] <= n_models:
            direction[tails[i]] += 1
            direction[i] -= 1
            direction[n_models + 1] -= counts[i] * user_scale


@compiled
def _step(climb: _Climb, value_ns: int, to_go_ns: float, deadline_ns: int, user_scale: float) -> bool:
    """Move the prices so far that the value, were it linear, would rise by a share of ``to_go_ns`` (B. T. Polyak)."""
    prices, direction, progress = climb.prices, climb.direction, climb.progress
    n_models = len(prices) - 2
    progress[_STALLED] += 1
    if value_ns > progress[_BEST]:
        progress[_BEST] = value_ns
        progress[_STALLED] = 0
    elif progress[_STALLED] >= PATIENCE:
        progress[_FACTOR] *= 0.5
        progress[_STALLED] = 0
    norm = 0.0
    for n in range(n_models + 2):
        if n >= n_models or prices[n] > 0 or direction[n] > 0:
            norm += direction[n] ** 2
    if norm == 0:
        return False
    length = progress[_FACTOR] * to_go_ns / norm
    for n in range(n_models):
        prices[n] = min(max(0.0, prices[n] + length * direction[n]), deadline_ns)
    # exactly one arc leaves the start, so its price has either sign
    prices[n_models] = min(max(-deadline_ns, prices[n_models] + length * direction[n_models]), deadline_ns)
    most = deadline_ns / user_scale
    prices[n_models + 1] = min(max(0.0, prices[n_models + 1] + length * direction[n_models + 1]), most)
    return True


# ---------------------------------------------------------------- Edmonds' algorithm


class _Sets(NamedTuple):
    """Nested or disjoint sets of M models; sets 0 to M - 1 are the models themselves, a set comes after its parts.

    Tails of arcs are the M models, M for the start, and M + 1 for an arc that stands for not being visited.
    """

    price_ns: Ints  # (2M,)
    parent: Ints  # (2M,) the smallest set around it, or -1
    outermost: Ints  # (2M,) union-find towards the largest set around it
    tail: Ints  # (2M,) of the cheapest arc into it
    head: Ints  # (2M,) of that arc
    attached: Bools  # (2M,) outermost sets that arcs of reduced cost 0 reach from the start
    row: Ints  # (2M,) which row of the two below is an outermost set's
    reduced_ns: Ints  # (M, M + 2) cost of the cheapest arc from each tail into the set, less the prices it pays
    arc_head: Ints  # (M, M + 2) head of that arc
    path: Ints  # (2M,) scratch
    on_path: Bools  # (2M,) scratch


@compiled
def _empty_sets(n_models: int) -> _Sets:
    return _Sets(
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.bool_),
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros((n_models, n_models + 2), dtype=np.int64),
        np.zeros((n_models, n_models + 2), dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.int64),
        np.zeros(2 * n_models, dtype=np.bool_),
    )


@compiled
def _single_models(cluster: _Cluster, out_price_ns: Ints, earned_ns: Ints) -> _Sets:
    """Begin with single models, prices of 0, and staying out at the price of what a visit earns."""
    n_models = len(earned_ns)
    sets = _empty_sets(n_models)
    for i in range(n_models):
        for a in range(n_models):
            sets.reduced_ns[i, a] = cluster.arc_ns[i, a] + out_price_ns[a]
        sets.reduced_ns[i, i] = NEVER
        sets.reduced_ns[i, n_models] = cluster.start_ns[i] + out_price_ns[n_models]
        sets.reduced_ns[i, n_models + 1] = earned_ns[i]
        sets.arc_head[i] = i
        sets.row[i] = i
    for s in range(2 * n_models):
        sets.parent[s] = -1
        sets.outermost[s] = s
    return sets


@compiled
def _outermost(sets: _Sets, s: int) -> int:
    """The largest set around a set."""
    while sets.outermost[s] != s:
        sets.outermost[s] = sets.outermost[sets.outermost[s]]
        s = sets.outermost[s]
    return s


@compiled
def _raise_prices(sets: _Sets, n_sets: int, n_tails: int) -> int:
    """Edmonds' algorithm: raise prices until arcs of reduced cost 0 lead from the start to all models.

    A path of cheapest arcs grows backwards until it meets the start or an attached set, or itself: that circle becomes
    a set (H. N. Gabow, Z. Galil, T. Spencer and R. E. Tarjan, Efficient algorithms for finding minimum spanning trees
    in undirected and directed graphs, 1986). O(M²).

    Args:
        sets: In and out.
        n_sets: Number of sets so far.
        n_tails: M + 2, or M + 1 to leave out not being visited.

    Returns:
        Number of sets now.
    """
    n_models = len(sets.reduced_ns)
    sets.attached[:] = False
    sets.on_path[:] = False
    for first in range(n_models):
        length = 1
        sets.path[0] = _outermost(sets, first)
        while not sets.attached[sets.path[length - 1]]:
            s = sets.path[length - 1]
            sets.on_path[s] = True
            tail = _pay_cheapest_arc(sets, s, n_tails)
            if tail >= n_models:
                break
            before = _outermost(sets, tail)
            if sets.on_path[before]:
                circle = length - 1
                while sets.path[circle] != before:
                    circle -= 1
                _merge(sets, sets.path[circle:length], n_sets)
                before = n_sets
                n_sets += 1
                length = circle
            sets.path[length] = before
            length += 1
        for s in sets.path[:length]:
            sets.attached[s] = True
            sets.on_path[s] = False
    return n_sets


@compiled
def _pay_cheapest_arc(sets: _Sets, s: int, n_tails: int) -> int:
    """Raise a set's price until its cheapest arc is paid; return the tail of the arc."""
    reduced_ns = sets.reduced_ns[sets.row[s]]
    best = 0
    for tail in range(1, n_tails):
        if reduced_ns[tail] < reduced_ns[best]:
            best = tail
    price_ns = reduced_ns[best]
    sets.price_ns[s] += price_ns
    sets.tail[s] = best
    sets.head[s] = sets.arc_head[sets.row[s], best]
    for tail in range(len(reduced_ns)):
        reduced_ns[tail] -= price_ns
    return best


@compiled
def _merge(sets: _Sets, parts: Ints, whole: int) -> None:
    """Make a set of outermost sets."""
    row = sets.row[parts[0]]
    sets.row[whole] = row
    reduced_ns, arc_head = sets.reduced_ns[row], sets.arc_head[row]
    for part in parts:
        sets.parent[part] = whole
        sets.outermost[part] = whole
        other_ns, other_head = sets.reduced_ns[sets.row[part]], sets.arc_head[sets.row[part]]
        for tail in range(len(reduced_ns)):
            if other_ns[tail] < reduced_ns[tail]:
                reduced_ns[tail] = other_ns[tail]
                arc_head[tail] = other_head[tail]
    for model in range(len(sets.reduced_ns)):
        if _outermost(sets, model) == whole:
            reduced_ns[model] = NEVER


@compiled
def _arborescence(sets: _Sets, n_sets: int, n_models: int) -> Ints:
    """Expand the sets: the tail of each model's arc in the cheapest arborescence, int64 (M,).

    A set's arc enters one model, and takes the place of the arcs into all smaller sets around that model.
    """
    tails = np.zeros(n_models, dtype=np.int64)
    is_replaced = np.zeros(n_sets, dtype=np.bool_)
    for s in range(n_sets - 1, -1, -1):
        if not is_replaced[s]:
            part = sets.head[s]
            tails[part] = sets.tail[s]
            while part != s:
                is_replaced[part] = True
                part = sets.parent[part]
    return tails


# ---------------------------------------------------------------- the dynamic program over sets


@compiled
def _lengthen(cluster: _Cluster, sets: _Sets, n_sets: int, out_price_ns: Ints, least_ns: Ints) -> None:
    """Raise the least times of u users of a cluster, int64 (U + 1,), to those that the prices show.

    Those of u > 0 users of a set are those of u users of its parts together, and the set's price. They lie in a part of
    one array for each set, which holds the parts of its own parts.
    """
    n_models = len(cluster.usable)
    begin = _lay_out(cluster, sets, n_sets)
    set_least_ns = np.zeros(len(least_ns) + n_models, dtype=np.int64)
    most = np.zeros(n_sets + 1, dtype=np.int64)  # users of a set so far
    before_ns, cost_ns = np.empty(len(least_ns), dtype=np.int64), np.empty(len(least_ns), dtype=np.int64)  # scratch
    for s in range(n_sets):
        own_ns = set_least_ns[begin[s] :]
        if s < n_models:
            most[s] = cluster.usable[s]
            for count in range(1, most[s] + 1):
                own_ns[count] = cluster.run_ns[cluster.first_user[s] + count - 1] - out_price_ns[s]
        for u in range(1, most[s] + 1):
            own_ns[u] += sets.price_ns[s]
        whole = sets.parent[s]  # the last where it is -1
        if begin[whole] == begin[s]:  # its first part
            most[whole] = most[s]
        else:
            whole_ns = set_least_ns[begin[whole] :]
            before_ns[: most[whole] + 1] = whole_ns[: most[whole] + 1]
            cost_ns[: most[s]] = own_ns[1 : most[s] + 1]
            whole_ns[most[whole] + 1 : most[whole] + most[s] + 1] = NEVER
            extend(whole_ns, before_ns, 0, most[whole], cost_ns[: most[s]])
            most[whole] += most[s]
    for u in range(1, len(least_ns)):  # one user less takes no longer
        least_ns[u] = max(least_ns[u], set_least_ns[u] - out_price_ns[n_models], least_ns[u - 1])


@compiled
def _lay_out(cluster: _Cluster, sets: _Sets, n_sets: int) -> Ints:
    """Where each set's part begins, int64 (sets + 1,): parts of a set follow each other in the order of their numbers.

    The last stands for all sets together.
    """
    size = np.zeros(n_sets + 1, dtype=np.int64)
    for s in range(n_sets):
        if s < len(cluster.usable):
            size[s] = cluster.usable[s] + 1
        size[sets.parent[s]] += size[s]  # the last where the parent is -1
    begin = np.zeros(n_sets + 1, dtype=np.int64)
    end = size.copy()  # of what is not yet given to parts
    for s in range(n_sets - 1, -1, -1):
        whole = sets.parent[s]
        begin[s] = end[whole] - size[s]
        end[whole] = begin[s]
        end[s] += begin[s]
    return begin
