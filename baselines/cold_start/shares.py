"""Layers in proportion to what devices can do, in an order of their strength; exact fractions, so ties are ties."""

from __future__ import annotations

from fractions import Fraction

from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan


def why_not_shares(instance: Instance) -> str | None:
    """Why these rules do not cover an instance; None where they do."""
    if not instance.equal_layers:
        return "its layers differ; shares of layers are for layers that are all alike"
    return instance.why_not_placeable


def shares(instance: Instance) -> Plan:
    """In proportion to 1 / (load + computation of a layer), slow computation first."""
    load, compute = _totals(instance)
    weights = {k: Fraction(1, load[k] + compute[k]) for k in load}
    return _plan(instance, weights, sorted(load, key=lambda k: (-compute[k], k)))


def harmonic(instance: Instance) -> Plan:
    """The paper's: in proportion to the harmonic mean of the speeds of computing and loading, strong first."""
    weights = _strength(instance)
    return _plan(instance, weights, sorted(weights, key=lambda k: (-weights[k], k)))


def even(instance: Instance) -> Plan:
    """The paper's: the same number for everybody, strong first."""
    weights = _strength(instance)
    return _plan(instance, dict.fromkeys(weights, Fraction(1)), sorted(weights, key=lambda k: (-weights[k], k)))


def _totals(instance: Instance) -> tuple[dict[int, int], dict[int, int]]:
    """Nanoseconds of loading and of computing all layers, of each device that can take some; at least 1."""
    devices, problem = instance.usable.tolist(), instance.problem
    load, compute = (
        {k: max(1, int(total[k, -1])) for k in devices} for total in (problem.load_sum, problem.compute_sum)
    )
    return load, compute


def _strength(instance: Instance) -> dict[int, Fraction]:
    """Harmonic mean of the speeds of computing and loading, each as a share of the fastest device's."""
    load, compute = _totals(instance)
    if not load:
        return {}
    least_load, least_compute = min(load.values()), min(compute.values())
    speeds = {k: (Fraction(least_compute, compute[k]), Fraction(least_load, load[k])) for k in load}
    return {k: 2 * c * r / (c + r) for k, (c, r) in speeds.items()}


def _plan(instance: Instance, weights: dict[int, Fraction], order: list[int]) -> Plan:
    capacity = {k: int(instance.capacity[k]) for k in weights}
    counts = divide(instance.n_layers, weights, capacity)
    return Plan.of(instance, [(k, counts[k]) for k in order if counts[k]])


def divide(total: int, weights: dict[int, Fraction], capacity: dict[int, int]) -> dict[int, int]:
    """Whole shares of a total: whoever overflows gets its capacity, the rest is shared again; then largest remainder.

    Args:
        total: What is shared; the capacities are enough for it.
        weights: What shares are in proportion to.
        capacity: The most that each can take.
    """
    counts: dict[int, int] = {}
    open_, left = dict(weights), total
    while open_:
        per_weight = Fraction(left) / sum(open_.values())
        full = [k for k in open_ if open_[k] * per_weight > capacity[k]]
        if not full:
            break
        for k in full:
            counts[k] = capacity[k]
            left -= capacity[k]
            del open_[k]
    exact = {k: open_[k] * per_weight for k in open_}
    counts |= {k: int(share) for k, share in exact.items()}
    by_remainder = sorted(exact, key=lambda k: (int(exact[k]) - exact[k], k))
    for k in by_remainder[: total - sum(counts.values())]:
        counts[k] += 1
    return counts
