"""`local-search`: an anytime heuristic for any sharing, by ruin and recreate.

A plan is an order of models, each with a number of its cheapest users. Every iteration takes a piece of it out and
builds it anew. Ruin: some models that follow each other leave, and often a few of the users that take longest.
Recreate: models are inserted and users are added as long as any fit, those with the most users per nanosecond first,
somewhat at random. That contains the moves of local search on orders, insertion, removal, swap and or-opt, with counts
by marginal cost. Now and then a model from outside the plan must come first, as the way into a cluster pays only later.

A new plan replaces the present one when it is as good, or not far below the best: more users are better, and among as
many an earlier end. See G. Schrimpf et al., Record breaking optimization results using the ruin and recreate principle,
2000, and J. Christiaens and G. Vanden Berghe, Slack induction by string removals for vehicle routing problems, 2020.

What an insertion costs at a place is three loads, and the best place stays the best unless its neighbours change, so an
iteration takes O(I + candidates · visited models + users added · visited models).
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.greedy import greedy
from baselines.partial_loading.runs import NEVER, Plan, Problem, usable_users
from pl_env.compiling import compiled, inlined

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

LONGEST_STRING = 8
"""Most models that leave at once."""

TRIM_PROBABILITY = 0.5
"""How often users leave besides."""

MOST_TRIMMED = 6
"""Most users that leave besides."""

TRIM_NOISE = 0.5
"""A user's marginal time counts up to this fraction more, at random, when those that take longest leave."""

MOST_OUTSIDE = 16
"""Most models outside the plan that are tried in an iteration."""

FORCED_PROBABILITY = 0.2
"""How often one of them must be inserted first."""

INSERTION_NOISE = 0.3
"""A model's users per nanosecond count up to this fraction more, at random."""

WORST_ACCEPTED = 4.0
"""Users by which the present plan may be worse than the best; time counts at the mean rate of the best plan."""

MODELS_PER_SLICE = 3_000
"""With a time limit the clock is read every so many iterations times models, which takes about a millisecond."""

_LENGTH, _USERS, _TIME = range(3)  # entries of `_Order.totals`


def local_search(
    problem: Problem, seed: int = 0, iterations: int | None = None, time_limit: float | None = None
) -> Plan:
    """Improve on `greedy` until the iterations or the time are used up, or all are served who can be.

    The same problem, seed and iterations give the same plan in every process; with a time limit the plan depends on the
    speed of the machine.

    Args:
        problem: The prepared instance.
        seed: Seed of the search.
        iterations: Number of iterations; by default 600 + 2 · I, or no limit if there is a time limit.
        time_limit: Seconds.
    """
    instance = problem.instance
    tables = _Tables(
        instance.load_ns,
        np.ascontiguousarray(instance.load_ns.T),
        problem.first_user,
        usable_users(problem.first_user, problem.run_ns, instance.deadline_ns),
        problem.run_ns,
        instance.resident,
        instance.deadline_ns,
    )
    start = greedy(problem)
    search = _begin(tables, start.models, start.counts, np.uint64(seed % 2**64))
    if iterations is None:
        iterations = 600 + 2 * instance.n_models if time_limit is None else NEVER
    if time_limit is None:
        _improve(tables, search, iterations)
    else:
        _improve_until(tables, search, iterations, time.perf_counter() + time_limit)
    models = search.best.models[: search.best.totals[_LENGTH]]
    return Plan(models.copy(), search.best.counts[models], int(tables.usable.sum()))


class _Tables(NamedTuple):
    """What is known of the instance."""

    load_ns: Ints  # (I + 1, I)
    load_into_ns: Ints  # (I, I + 1) the same by loaded model, so that the loads into one lie side by side
    first_user: Ints  # (I + 1,)
    usable: Ints  # (I,) of `usable_users`
    run_ns: Ints  # (K,)
    resident: int
    deadline_ns: int


class _Order(NamedTuple):
    """A plan that can be changed."""

    models: Ints  # (I,) visited models in order, then anything
    counts: Ints  # (I,) users of each model, 0 where it is not visited
    totals: Ints  # (3,) visited models, users, nanoseconds


class _Candidates(NamedTuple):
    """Models that may be inserted."""

    models: Ints  # (I,)
    places: Ints  # (I,) where each fits in best
    detour_ns: Ints  # (I,) by how much all loads together become longer then


class _Search(NamedTuple):
    """The state of the search."""

    best: _Order
    present: _Order
    trial: _Order
    candidates: _Candidates
    outside: Ints  # (I,) scratch
    generator: Words  # (1,)


@compiled
def _begin(tables: _Tables, models: Ints, counts: Ints, seed: np.uint64) -> _Search:
    """Begin with a plan."""
    n_models = len(tables.usable)
    search = _Search(
        _empty_order(n_models),
        _empty_order(n_models),
        _empty_order(n_models),
        _Candidates(
            np.zeros(n_models, dtype=np.int64), np.zeros(n_models, dtype=np.int64), np.zeros(n_models, dtype=np.int64)
        ),
        np.zeros(n_models, dtype=np.int64),
        np.full(1, seed, dtype=np.uint64),
    )
    present = search.present
    length = len(models)
    present.models[:length] = models
    for place in range(length):
        model, count = models[place], counts[place]
        present.counts[model] = count
        present.totals[_USERS] += count
        present.totals[_TIME] += _load(tables, present, length, place) + _run(tables, model, count)
    present.totals[_LENGTH] = length
    _copy(present, search.best)
    return search


@compiled
def _empty_order(n_models: int) -> _Order:
    return _Order(np.zeros(n_models, dtype=np.int64), np.zeros(n_models, dtype=np.int64), np.zeros(3, dtype=np.int64))


@compiled
def _copy(source: _Order, target: _Order) -> None:
    length = source.totals[_LENGTH]
    target.models[:length] = source.models[:length]
    target.counts[:] = source.counts
    target.totals[:] = source.totals


def _improve_until(tables: _Tables, search: _Search, iterations: int, end: float) -> None:
    """Iterate until a point in time."""
    at_once = 1 + MODELS_PER_SLICE // len(tables.usable)
    while iterations > 0 and time.perf_counter() < end and search.best.totals[_USERS] < tables.usable.sum():
        _improve(tables, search, min(at_once, iterations))
        iterations -= at_once


@compiled
def _improve(tables: _Tables, search: _Search, iterations: int) -> None:
    """Ruin and recreate that many times."""
    all_users = tables.usable.sum()
    best, present, trial, generator = search.best, search.present, search.trial, search.generator
    for _ in range(iterations):
        if best.totals[_USERS] == all_users:
            return
        _copy(present, trial)
        n_removed = _remove_string(tables, trial, search.candidates.models, generator)
        if _random(generator) < TRIM_PROBABILITY:
            _trim(tables, trial, 1 + _below(generator, MOST_TRIMMED), generator)
        n_outside = _add_outside(tables, present, search.candidates.models, n_removed, search.outside, generator)
        is_forced = n_outside > 0 and _random(generator) < FORCED_PROBABILITY
        _recreate(tables, trial, search.candidates, n_removed + n_outside, is_forced, generator)
        if _is_acceptable(trial, present, best, tables.deadline_ns):
            _copy(trial, present)
            if _is_better(trial, best):
                _copy(trial, best)


@compiled
def _is_acceptable(trial: _Order, present: _Order, best: _Order, deadline_ns: int) -> bool:
    """Whether a plan may become the present one."""
    if trial.totals[_TIME] > deadline_ns:  # by a measured loading matrix a plan may take longer with fewer models
        return False
    users_per_ns = best.totals[_USERS] / max(1, best.totals[_TIME])
    worse_by = best.totals[_USERS] - trial.totals[_USERS] + users_per_ns * (trial.totals[_TIME] - best.totals[_TIME])
    return worse_by < WORST_ACCEPTED or not _is_better(present, trial)


@compiled
def _is_better(one: _Order, other: _Order) -> bool:
    """More users, or as many and an earlier end."""
    more_users = one.totals[_USERS] - other.totals[_USERS]
    return bool(more_users > 0 or (more_users == 0 and one.totals[_TIME] < other.totals[_TIME]))


# ---------------------------------------------------------------- ruin


@compiled
def _remove_string(tables: _Tables, order: _Order, removed: Ints, generator: Words) -> int:
    """Remove models that follow each other, random in number and place; return how many."""
    models, counts, totals = order.models, order.counts, order.totals
    length = totals[_LENGTH]
    if length == 0:
        return 0
    n_removed = 1 + _below(generator, min(length, LONGEST_STRING))
    start = _below(generator, length - n_removed + 1)
    for place in range(start, start + n_removed):
        model = models[place]
        totals[_TIME] -= _load(tables, order, length, place) + _run(tables, model, counts[model])
        totals[_USERS] -= counts[model]
        counts[model] = 0
        removed[place - start] = model
    totals[_TIME] -= _load(tables, order, length, start + n_removed)
    length -= n_removed
    for place in range(start, length):
        models[place] = models[place + n_removed]
    totals[_LENGTH] = length
    totals[_TIME] += _load(tables, order, length, start)
    return n_removed


@compiled
def _trim(tables: _Tables, order: _Order, n_users: int, generator: Words) -> None:
    """Remove users one by one, roughly those who take longest, but no model's only one."""
    counts, totals = order.counts, order.totals
    for _ in range(n_users):
        slowest, slowest_ns, longest = -1, 0, -1.0
        for model in order.models[: totals[_LENGTH]]:
            count = counts[model]
            if count > 1:
                user_ns = _run(tables, model, count) - _run(tables, model, count - 1)
                weighted = user_ns * (1 + TRIM_NOISE * _random(generator))
                if weighted > longest:
                    slowest, slowest_ns, longest = model, user_ns, weighted
        if slowest < 0:
            return
        counts[slowest] -= 1
        totals[_USERS] -= 1
        totals[_TIME] -= slowest_ns


# ---------------------------------------------------------------- recreate


@compiled
def _add_outside(
    tables: _Tables, present: _Order, candidates: Ints, n_candidates: int, outside: Ints, generator: Words
) -> int:
    """Append to the candidates some models, at random, that the present plan does not visit; return how many."""
    n_outside = 0
    for model in range(len(tables.usable)):
        if tables.usable[model] > 0 and present.counts[model] == 0:
            outside[n_outside] = model
            n_outside += 1
    n_chosen = min(n_outside, MOST_OUTSIDE)
    for n in range(n_chosen):
        other = n + _below(generator, n_outside - n)
        outside[n], outside[other] = outside[other], outside[n]
        candidates[n_candidates + n] = outside[n]
    return n_chosen


@compiled
def _recreate(
    tables: _Tables, order: _Order, candidates: _Candidates, n_candidates: int, is_forced: bool, generator: Words
) -> None:
    """Insert models and add users while any fit, those with the most users per nanosecond first.

    With ``is_forced`` the last candidate comes first of all.
    """
    for c in range(n_candidates):
        _find_place(tables, order, candidates, c)
    if is_forced:
        c, count, _ = _best_insertion(tables, order, candidates, n_candidates - 1, n_candidates, generator)
        if count > 0:
            _insert(tables, order, candidates, n_candidates, c, count)
            n_candidates -= 1
    while True:
        c, count, rate = _best_insertion(tables, order, candidates, 0, n_candidates, generator)
        model, more, addition_rate = _best_addition(tables, order)
        if count == 0 and more == 0:
            return
        if rate >= addition_rate:
            _insert(tables, order, candidates, n_candidates, c, count)
            n_candidates -= 1
        else:
            before = order.counts[model]
            order.counts[model] += more
            order.totals[_USERS] += more
            order.totals[_TIME] += _run(tables, model, before + more) - _run(tables, model, before)


@compiled
def _best_insertion(
    tables: _Tables, order: _Order, candidates: _Candidates, first: int, stop: int, generator: Words
) -> tuple[int, int, float]:
    """Which candidate serves the most users per nanosecond, roughly; with how many users, 0 if none fits; that rate."""
    room_ns = tables.deadline_ns - order.totals[_TIME]
    first_user, usable, run_ns = tables.first_user, tables.usable, tables.run_ns
    best, best_count, best_rate = -1, 0, -1.0
    for c in range(first, stop):
        model, detour_ns = candidates.models[c], candidates.detour_ns[c]
        factor = 1 + INSERTION_NOISE * _random(generator)
        for count in range(1, usable[model] + 1):
            needed_ns = detour_ns + run_ns[first_user[model] + count - 1]
            if needed_ns > room_ns:
                break
            rate = factor * count / max(1, needed_ns)
            if rate > best_rate:
                best, best_count, best_rate = c, count, rate
    return best, best_count, best_rate


@compiled
def _best_addition(tables: _Tables, order: _Order) -> tuple[int, int, float]:
    """Which visited model serves the most further users per nanosecond; how many, 0 if none fit; that rate."""
    room_ns = tables.deadline_ns - order.totals[_TIME]
    first_user, usable, run_ns, counts = tables.first_user, tables.usable, tables.run_ns, order.counts
    best, best_more, best_rate = -1, 0, -1.0
    for model in order.models[: order.totals[_LENGTH]]:
        present = counts[model]
        present_ns = run_ns[first_user[model] + present - 1]
        for count in range(present + 1, usable[model] + 1):
            needed_ns = run_ns[first_user[model] + count - 1] - present_ns
            if needed_ns > room_ns:
                break
            rate = (count - present) / max(1, needed_ns)
            if rate > best_rate:
                best, best_more, best_rate = model, count - present, rate
    return best, best_more, best_rate


@compiled
def _insert(
    tables: _Tables, order: _Order, candidates: _Candidates, n_candidates: int, chosen: int, count: int
) -> None:
    """Insert a candidate at its place; the last candidate takes its number."""
    model, inserted = candidates.models[chosen], candidates.places[chosen]
    length = order.totals[_LENGTH]
    for place in range(length, inserted, -1):
        order.models[place] = order.models[place - 1]
    order.models[inserted] = model
    order.counts[model] = count
    order.totals[_LENGTH] += 1
    order.totals[_USERS] += count
    order.totals[_TIME] += candidates.detour_ns[chosen] + _run(tables, model, count)

    last = n_candidates - 1
    candidates.models[chosen] = candidates.models[last]
    candidates.places[chosen] = candidates.places[last]
    candidates.detour_ns[chosen] = candidates.detour_ns[last]
    _update_places(tables, order, candidates, last, inserted)


@compiled
def _update_places(tables: _Tables, order: _Order, candidates: _Candidates, n_candidates: int, inserted: int) -> None:
    """Find the best places anew after an insertion: it makes two new ones, and all others remain as they are."""
    length, models, load_ns = order.totals[_LENGTH], order.models, tables.load_ns
    before = models[inserted - 1] if inserted > 0 else tables.resident
    for c in range(n_candidates):
        if candidates.places[c] == inserted:  # it has other neighbours now
            _find_place(tables, order, candidates, c)
            continue
        if candidates.places[c] > inserted:
            candidates.places[c] += 1
        load_into_ns, load_from_ns = tables.load_into_ns[candidates.models[c]], load_ns[candidates.models[c]]
        before_ns = _detour(load_ns, load_into_ns, load_from_ns, models, length, before, inserted)
        after_ns = _detour(load_ns, load_into_ns, load_from_ns, models, length, models[inserted], inserted + 1)
        if min(before_ns, after_ns) < candidates.detour_ns[c]:
            candidates.places[c] = inserted if before_ns <= after_ns else inserted + 1
            candidates.detour_ns[c] = min(before_ns, after_ns)


@compiled
def _find_place(tables: _Tables, order: _Order, candidates: _Candidates, c: int) -> None:
    """Find where a candidate fits in best."""
    length, models, model = order.totals[_LENGTH], order.models, candidates.models[c]
    load_ns, load_into_ns, load_from_ns = tables.load_ns, tables.load_into_ns[model], tables.load_ns[model]
    best, best_ns, before = 0, NEVER, tables.resident
    for place in range(length + 1):
        detour_ns = _detour(load_ns, load_into_ns, load_from_ns, models, length, before, place)
        if detour_ns < best_ns:
            best, best_ns = place, detour_ns
        if place < length:
            before = models[place]
    candidates.places[c] = best
    candidates.detour_ns[c] = best_ns


@inlined
def _detour(
    load_ns: Ints, load_into_ns: Ints, load_from_ns: Ints, models: Ints, length: int, before: int, place: int
) -> int:
    """By how much all loads together become longer when a model goes to a place, after model ``before``."""
    if place == length:
        return int(load_into_ns[before])
    after = models[place]
    return int(load_into_ns[before] + load_from_ns[after] - load_ns[before, after])


# ---------------------------------------------------------------- times and numbers


@inlined
def _load(tables: _Tables, order: _Order, length: int, place: int) -> int:
    """Nanoseconds to load the model at a place after the one before it; 0 beyond the end."""
    if place == length:
        return 0
    before = order.models[place - 1] if place > 0 else tables.resident
    return int(tables.load_ns[before, order.models[place]])


@inlined
def _run(tables: _Tables, model: int, count: int) -> int:
    """Upload and compute nanoseconds of a model's ``count`` cheapest users, at least one."""
    return int(tables.run_ns[tables.first_user[model] + count - 1])


@inlined
def _random(generator: Words) -> float:
    """Uniform in [0, 1), by SplitMix64 (G. L. Steele et al., Fast splittable pseudorandom number generators, 2014)."""
    generator[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = generator[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = bits ^ (bits >> np.uint64(31))
    return float(bits >> np.uint64(11)) * 2.0**-53


@inlined
def _below(generator: Words, n: int) -> int:
    """Uniform in 0 to n - 1."""
    return int(_random(generator) * n)
