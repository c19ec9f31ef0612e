"""Planners: from an `Instance` to a `Schedule`, policies made of them, and evaluation."""

from __future__ import annotations

from baselines.evaluation import Evaluation, PolicyResult, evaluate, play_episode
from baselines.partial_loading.lookahead import Lookahead
from baselines.policies import FollowPlan, Planner, Policy, RandomPolicy
from baselines.registry import Solver, solve, solvers, upper_bound

__all__ = [
    "Evaluation",
    "FollowPlan",
    "Lookahead",
    "Planner",
    "Policy",
    "PolicyResult",
    "RandomPolicy",
    "Solver",
    "evaluate",
    "play_episode",
    "solve",
    "solvers",
    "upper_bound",
]
