"""Planners: from an instance to a plan; policies made of them, and evaluation."""

from __future__ import annotations

from baselines.evaluation import Evaluation, PolicyResult, evaluate, play_episode
from baselines.partial_loading.lookahead import Lookahead
from baselines.partial_loading.solvers import upper_bound
from baselines.policies import FollowPlan, Planner, Policy, RandomPolicy
from baselines.registry import register, solve, solvers
from baselines.solver import Solver

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
    "register",
    "solve",
    "solvers",
    "upper_bound",
]
