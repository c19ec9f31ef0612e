"""What rules attain over the optimum, in the mean: the levels that the document gives."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
from baselines.cold_start.bounds import lower_bound
from pl_env.cold_start import Scenario
from pl_env.cold_start.env import ColdStartEnv

LEVELS = {  # search with one start, order-dp, best of 64 random, shares, greedy, harmonic, even, random
    "default": (1000, 1.0015, 1.07, 1.24, 1.28, 1.44, 1.55, 1.66, 1.87),
    "tight": (300, 1.0012, 1.11, 1.10, 1.18, 1.28, 1.35, 1.39, 1.42),
    "roomy": (1000, 1.0007, 1.01, 1.54, 1.45, 2.22, 1.75, 2.04, 3.42),
}
RULES = ("order-dp", "shares", "greedy", "harmonic", "even")
N_RANDOM = 64


def random_finishes(env: ColdStartEnv, instance, rng: np.random.Generator) -> list[int]:
    """When plans of random legal actions are done."""
    finishes = []
    for _ in range(N_RANDOM):
        _, info = env.reset(options={"instance": instance})
        while env.any_legal:
            info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))[4]
        finishes.append(env.plan.finish_ns)
    return finishes


@pytest.mark.slow
@pytest.mark.parametrize("preset", LEVELS)
def test_levels(preset):
    """Within 3 %; the search within 0.002. Seeds from 0."""
    count, searched, ordered, best_random, shares, greedy, harmonic, even, random = LEVELS[preset]
    scenario, rng = Scenario.preset(preset), np.random.default_rng(0)
    env = ColdStartEnv(scenario)
    ratios: dict[str, list[float]] = {name: [] for name in ("search", *RULES, "random", "best random", "bound")}
    for seed in range(count):
        instance = scenario.sample(np.random.default_rng(seed))
        best = baselines.solve(instance).finish_ns
        ratios["search"].append(baselines.solve(instance, "order-search", starts=1).finish_ns / best)
        for name in RULES:
            ratios[name].append(baselines.solve(instance, name).finish_ns / best)
        finishes = random_finishes(env, instance, rng)
        ratios["random"].append(np.mean(finishes) / best)
        ratios["best random"].append(min(finishes) / best)
        ratios["bound"].append(lower_bound(instance) / best if seed < 100 else np.nan)
    means = {name: float(np.nanmean(values)) for name, values in ratios.items()}
    print(preset, {name: round(mean, 4) for name, mean in means.items()})
    expected = {"order-dp": ordered, "shares": shares, "greedy": greedy, "harmonic": harmonic, "even": even,
                "random": random, "best random": best_random}  # fmt: skip
    assert means["search"] == pytest.approx(searched, abs=0.002)
    for name, level in expected.items():
        assert means[name] == pytest.approx(level, rel=0.03), name
    assert max(ratios["bound"]) <= 1
    if preset == "default":
        assert means["bound"] == pytest.approx(0.89, rel=0.03)
