"""How long `exact` takes to prove optima: one cluster of 25 and of 50 models, three clusters of 9.

    python -m benchmarks.exact

Each instance has a library of its own. Times are wall-clock, with eight threads of CP-SAT on whatever cores there are.
"""

from __future__ import annotations

import time

import numpy as np

import baselines
from pl_env.partial_loading.scenario import Scenario

INSTANCES = 5
"""Instances of each setting."""

TIME_LIMIT_S = 120.0

_BACKBONES = ("resnet18", "resnet34", "resnet50")

_GRID = {"n_users": (40, 80, 120), "deadline": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}

FAMILIES = (
    ("25 models, one cluster", {"n_models": 25}),
    ("50 models, one cluster", {"n_models": 50}),
    ("27 models, three clusters", {"n_models": 27, "backbones": _BACKBONES}),
)


def main() -> None:
    """Print a table with a line for each family."""
    print("| library | users | deadline | instances | proven | median time | 95 % within | longest |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for label, overrides in FAMILIES:
        seconds, proven = [], 0
        for n_users in _GRID["n_users"]:
            for deadline_s in _GRID["deadline"]:
                scenario = Scenario.preset(
                    "general", n_users=n_users, deadline=deadline_s, resample_library=True, **overrides
                )
                for seed in range(INSTANCES):
                    instance = scenario.sample(np.random.default_rng(seed))
                    if not seconds:  # kernels compile at their first call
                        baselines.solve(instance, "exact")
                    start = time.perf_counter()
                    schedule = baselines.solve(instance, "exact", time_limit=TIME_LIMIT_S)
                    seconds.append(time.perf_counter() - start)
                    proven += schedule.status == "optimal"
        low, high = np.median(seconds), np.quantile(seconds, 0.95)
        print(
            f"| {label} | 40, 80, 120 | 200 … 700 ms | {len(seconds)} | {proven} "
            f"| {low:.4f} s | {high:.3f} s | {max(seconds):.2f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
