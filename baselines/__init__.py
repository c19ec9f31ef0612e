"""Planners: from an instance to a plan, and policies made of them."""

from __future__ import annotations

from baselines.partial_loading.lookahead import Lookahead
from baselines.partial_loading.solvers import upper_bound
from baselines.policies import Planner, Policy, RandomPolicy
from baselines.registry import register, solve, solvers
from baselines.solver import Solver

__all__ = [
    "Lookahead",
    "Planner",
    "Policy",
    "RandomPolicy",
    "Solver",
    "register",
    "solve",
    "solvers",
    "upper_bound",
]
