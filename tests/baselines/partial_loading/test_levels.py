"""The levels that a correct implementation shows: mean served ratio over the paper's sweeps."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
import pl_env

INSTANCES_PER_POINT = 100
TOLERANCE = 0.02

SWEEPS = {
    "default": ("n_users", (80,)),
    "K": ("n_users", (60, 70, 80, 90, 100)),
    "B": ("bandwidth_hz", (10e6, 50e6, 100e6, 200e6, 300e6, 400e6)),
    "T_bar": ("deadline", (0.5, 0.6, 0.7, 0.8, 0.9)),
    "theta": ("theta", (0.75, 0.80, 0.85, 0.90, 0.95)),
}
BLS = {
    "optimal-dp": {"K": 0.881, "B": 0.845, "T_bar": 0.864, "theta": 0.873},
    "greedy": {"K": 0.836, "B": 0.799, "T_bar": 0.821, "theta": 0.841},
    "independent": {"K": 0.609, "B": 0.584, "T_bar": 0.596, "theta": 0.603},
    "paper-dp": {"K": 0.794, "B": 0.757, "T_bar": 0.776, "theta": 0.805},
    "paper-greedy": {"K": 0.757, "B": 0.714, "T_bar": 0.735, "theta": 0.774},
    "independent, slotted": {"K": 0.578, "B": 0.554, "T_bar": 0.566, "theta": 0.573},
}
GENERAL = {
    "greedy": {"K": 1.00, "B": 0.984},
    "independent": {"K": 0.658, "B": 0.633},
    "paper-greedy": {"K": 0.995, "B": 0.968},
    "independent, slotted": {"K": 0.615, "B": 0.599},
}
GENERAL_HARD = {"greedy": 0.89, "paper-greedy": 0.80, "independent": 0.36}


def mean_ratio(preset: str, sweep: str, name: str, channels: int = 0) -> float:
    """Mean served ratio over a sweep; a fresh library and fresh users in every instance, the same for all solvers."""
    solver, _, slotted = name.partition(", ")
    options = {"slotted": True} if slotted else {}
    field, values = SWEEPS[sweep]
    ratios = []
    for value in values:
        scenario = pl_env.Scenario.preset(preset, resample_library=True, **{field: value})
        rng = np.random.default_rng(2503)
        for _ in range(INSTANCES_PER_POINT):
            instance = scenario.sample(rng)
            schedule = baselines.solve(instance, solver, equal_bandwidth_channels=channels, **options)
            ratios.append(schedule.served_ratio)
    return float(np.mean(ratios))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "name", "sweep", "expected"),
    [("bls", name, sweep, level) for name, levels in BLS.items() for sweep, level in levels.items()]
    + [("general", name, sweep, level) for name, levels in GENERAL.items() for sweep, level in levels.items()],
)
def test_served_ratio(preset, name, sweep, expected):
    assert mean_ratio(preset, sweep, name) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), GENERAL_HARD.items())
def test_served_ratio_of_the_hard_general_setting(name, expected):
    assert mean_ratio("general-hard", "default", name) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "name"), [("bls", "optimal-dp"), ("bls", "paper-dp"), ("general", "paper-greedy")])
def test_equal_bandwidth_loses_more_the_finer_the_band_is_cut(preset, name):
    ratios = [mean_ratio(preset, "B", name, channels) for channels in (0, 5, 10, 20)]
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
