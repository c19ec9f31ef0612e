"""The levels that a correct implementation shows: mean served ratio at points of the paper's sweeps."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
import pl_env

INSTANCES_PER_POINT = 100
TOLERANCE = 0.02

POINTS = {
    "default": {},
    "K = 60": {"n_users": 60},
    "K = 100": {"n_users": 100},
    "B = 10 MHz": {"bandwidth_hz": 10e6},
    "B = 50 MHz": {"bandwidth_hz": 50e6},
    "B = 400 MHz": {"bandwidth_hz": 400e6},
}
BLS = {
    "optimal-dp": (0.856, 0.902, 0.830, 0.531, 0.784, 0.872),
    "greedy": (0.811, 0.857, 0.788, 0.495, 0.741, 0.828),
    "independent": (0.592, 0.636, 0.561, 0.405, 0.549, 0.600),
    "paper-dp": (0.770, 0.820, 0.746, 0.486, 0.706, 0.784),
    "paper-greedy": (0.723, 0.777, 0.705, 0.464, 0.674, 0.740),
    "independent, slotted": (0.559, 0.600, 0.530, 0.386, 0.510, 0.567),
}
"""In the order of the points."""
GENERAL = {"greedy": 0.989, "independent": 0.649, "paper-greedy": 0.980, "independent, slotted": 0.607}
GENERAL_HARD = {"exact": 0.877, "local-search": 0.876, "greedy": 0.830, "independent": 0.355}


def mean_ratio(preset: str, name: str, channels: int = 0, **fields: float) -> float:
    """Mean served ratio; a fresh library and fresh users in every instance, the same for all solvers."""
    solver, _, slotted = name.partition(", ")
    options = {"slotted": True} if slotted else {}
    scenario = pl_env.Scenario.preset(preset, resample_library=True, **fields)
    rng = np.random.default_rng(2503)
    ratios = []
    for _ in range(INSTANCES_PER_POINT):
        instance = scenario.sample(rng)
        schedule = baselines.solve(instance, solver, equal_bandwidth_channels=channels, **options)
        ratios.append(schedule.served_ratio)
    return float(np.mean(ratios))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "point", "expected"),
    [(name, *level) for name, levels in BLS.items() for level in zip(POINTS, levels, strict=True)],
)
def test_served_ratio_with_bottom_layer_sharing(name, point, expected):
    assert mean_ratio("bls", name, **POINTS[point]) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "name", "expected"),
    [("general", *level) for level in GENERAL.items()] + [("general-hard", *level) for level in GENERAL_HARD.items()],
)
def test_served_ratio_with_general_sharing(preset, name, expected):
    assert mean_ratio(preset, name) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "name"), [("bls", "optimal-dp"), ("bls", "paper-dp"), ("general", "paper-greedy")])
def test_equal_bandwidth_loses_more_the_finer_the_band_is_cut(preset, name):
    """In the mean over the paper's sweep of the bandwidth."""
    sweep = (10e6, 50e6, 100e6, 200e6, 300e6, 400e6)
    ratios = [
        np.mean([mean_ratio(preset, name, channels, bandwidth_hz=bandwidth_hz) for bandwidth_hz in sweep])
        for channels in (0, 5, 10, 20)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] - ratios[-1] > 0.1


def test_default_setting_orders_the_solvers():
    """A quick look at the default setting: the order of the table's columns."""
    scenario = pl_env.Scenario.preset("bls", resample_library=True)
    rng = np.random.default_rng(0)
    instances = [scenario.sample(rng) for _ in range(40)]

    def mean(name, **options):
        return np.mean([baselines.solve(instance, name, **options).served_ratio for instance in instances])

    levels = [mean("optimal-dp"), mean("greedy"), mean("paper-dp"), mean("paper-greedy"), mean("independent")]
    assert levels == sorted(levels, reverse=True)
    assert mean("independent") > mean("independent", slotted=True)
