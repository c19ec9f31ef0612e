"""The solvers of PartialLoading; the first is the default."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from baselines.partial_loading import bounds
from baselines.partial_loading.exact import exact, exact_why_not
from baselines.partial_loading.exhaustive import exhaustive, exhaustive_why_not
from baselines.partial_loading.greedy import greedy, max_overlap, paper_greedy
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.optimal_dp import independent, optimal_dp
from baselines.partial_loading.paper_dp import paper_dp, paper_dp_why_not
from baselines.partial_loading.runs import Plan, needs_clusters, planned, prepare
from baselines.solver import Solver, boolean, integer, real
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule

_CHANNELS = integer(0, 1024)
_ANY = {"equal_bandwidth_channels": _CHANNELS}
"""The option of all solvers: r > 0 cuts the band into r equal channels, one user each, instead of the optimal shares
(the paper's ablation); 0 is optimal."""

_SEED = {"seed": integer(0, 2**31 - 1)}
_TIME_LIMIT = {"time_limit": real(0.01, 1e6)}


def _by(name: str, planner: Callable[..., Plan]) -> Callable[..., Schedule]:
    return partial(planned, name, planner)


SOLVERS = (
    Solver(
        "optimal-dp",
        "optimal",
        "exact dynamic program in continuous time, bottom-layer sharing",
        optimal_dp,
        _ANY,
        partial(needs_clusters, "optimal-dp"),
    ),
    Solver(
        "paper-dp",
        "optimal in slots, in Corollary 1's order",
        "the paper's Algorithms 1 and 2, corrected; as_printed=True keeps the printed recursion",
        _by("paper-dp", paper_dp),
        _ANY | {"as_printed": boolean()},
        paper_dp_why_not,
    ),
    Solver(
        "greedy",
        "none",
        "the paper's Algorithm 3 in continuous time, any sharing",
        _by("greedy", greedy),
        _ANY,
    ),
    Solver(
        "paper-greedy",
        "none",
        "the paper's Algorithm 3 in slots, any sharing",
        _by("paper-greedy", paper_greedy),
        _ANY,
    ),
    Solver(
        "independent",
        "optimal without sharing",
        "every model loads in full (Remark 4); slotted=True rounds runs up to slots",
        independent,
        _ANY | {"slotted": boolean()},
    ),
    Solver(
        "exact",
        "optimal within the time limit, else a bound; any sharing",
        "clusters by Held-Karp and CP-SAT; options: time_limit (s), workers, gap, seed",
        _by("exact", exact),
        _ANY | _TIME_LIMIT | {"workers": integer(1, 256), "gap": real(0, 1)} | _SEED,
        exact_why_not,
    ),
    Solver(
        "local-search",
        "none",
        "ruin and recreate from greedy's plan on, any sharing; options: iterations, time_limit (s), seed",
        _by("local-search", local_search),
        _ANY | {"iterations": integer(0, 10**9)} | _TIME_LIMIT | _SEED,
    ),
    Solver(
        "exhaustive",
        "optimal, any sharing",
        "all orders and counts, for a few models; slotted=True rounds runs up to slots",
        _by("exhaustive", exhaustive),
        _ANY | {"slotted": boolean()},
        exhaustive_why_not,
    ),
    Solver(
        "max-overlap",
        "none",
        "next the model that shares most with the resident one (Gemel)",
        _by("max-overlap", max_overlap),
        _ANY,
    ),
)


def upper_bound(instance: Instance, *, equal_bandwidth_channels: int = 0) -> int:
    """A number of users that no schedule of the instance exceeds, for any sharing and size, without a solver.

    Args:
        instance: The instance.
        equal_bandwidth_channels: r > 0 for schedules that cut the band into r equal channels.

    Raises:
        InvalidValue: The number of channels is out of range.
    """
    _CHANNELS("equal_bandwidth_channels", equal_bandwidth_channels)
    return bounds.upper_bound(prepare(instance, equal_bandwidth_channels))
