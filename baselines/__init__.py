"""Planners: from an `Instance` to a `Schedule`, and policies made of them."""

from __future__ import annotations

from baselines.partial_loading.lookahead import Lookahead
from baselines.policies import Planner, Policy, RandomPolicy
from baselines.registry import Solver, solve, solvers, upper_bound

__all__ = ["Lookahead", "Planner", "Policy", "RandomPolicy", "Solver", "solve", "solvers", "upper_bound"]
