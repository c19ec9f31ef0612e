"""`optimal-dp`, replanned: the offline optimum of the users who are there, before every batch.

PartialLoading's optimum knows one deadline, for which the median of the pending users' stands, and one resident model.
What is in memory counts for the first model: of all that may go first, each with its load L_i(R), the best is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from baselines import registry
from baselines.online.policies import plan_by, tuned
from baselines.online.rules import URGENT_GREEDY, choose
from pl_env.online.arrays import (
    LEGAL,
    MISSING_NS,
    MODEL,
    N_PENDING,
    NOW,
    OVERHEAD,
    P_DEADLINE,
    P_UPLOAD,
    P_USER,
    Episode,
    Tables,
)
from pl_env.online.env import PartialLoadingOnlineEnv
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.partial_loading import Instance as OfflineInstance
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.times import NS_PER_SECOND


def optimal_dp_why_not(instance: Instance) -> str | None:
    """The library must be clustered, and a batch's parts follow each other."""
    if instance.table.clusters is None:
        return "optimal-dp: the models do not share blocks as clusters of bottom layers do"
    if instance.overlap != "none":
        return "optimal-dp: models load while users upload; its times are sums"
    return None


def optimal_dp(instance: Instance) -> Plan:
    """Play `OptimalDp` on an instance."""
    return plan_by(instance, OptimalDp(instance.table), "optimal-dp")


class OptimalDp:
    """The first batch of the offline optimum of the pending users, or as much of it as is legal."""

    def __init__(self, table: ServingTable) -> None:
        """Make a policy.

        Args:
            table: The library on its server.
        """
        self._table = table

    def choice(self, tables: Tables, e: Episode) -> int:
        """A legal batch; that of `urgent-greedy` where nobody could be served by the median deadline."""
        best: tuple[int, int] | None = None
        best_worth = (0, 0.0)
        pending = e.pending[0, : int(e.state[0, N_PENDING])]
        model = e.users[0, pending[:, P_USER], MODEL]
        left = int(np.median(pending[:, P_DEADLINE])) - int(e.state[0, NOW])
        missing = e.models[0, MISSING_NS]
        loads = np.where(missing > 0, missing + tables.options[OVERHEAD], 0)
        for first in np.unique(model).tolist():
            budget = left - int(loads[first])
            if budget <= 0 or e.models[0, LEGAL, first] == 0:
                continue
            offline = OfflineInstance(self._table, model, pending[:, P_UPLOAD], budget, resident=first)
            plan: Schedule = registry.solve(offline, "optimal-dp")
            if len(plan) > 0 and plan.batches[0].model == first:
                size = len(plan.batches[0].users)
                seconds = loads[first] / NS_PER_SECOND + plan.batches[0].finish_seconds
                worth = (plan.served, size / max(1e-9, seconds))
                if worth > best_worth:
                    best, best_worth = (first, size), worth
        if best is None:
            return choose(tables, e, 0, URGENT_GREEDY, tuned(tables))
        model_first, size = best
        return model_first * int(e.cap[0]) + min(size, int(e.models[0, LEGAL, model_first])) - 1

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingOnlineEnv) -> int:
        """The batch; the observation is not needed."""
        return self.choice(env.tables, env.episode)
