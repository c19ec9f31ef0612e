"""The room that streams leave, and the benchmark set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.benchmark_sets import certify, problems
from experiments.cold_start_stream import benchmark_sets, calibration
from pl_env.cold_start_stream import Scenario, benchmark
from pl_env.errors import InvalidValue


def test_a_row_of_the_calibration(monkeypatch):
    monkeypatch.setitem(calibration.SETTINGS, "short", {"n_prompts": 4})
    row = calibration.row("short", 2)
    assert list(row) == ["setting", "myopic (s)", "rollout-search", "cold-plans", "fixed-shares", "bound"]
    assert float(row["bound"]) <= float(row["rollout-search"].split(" ± ")[0]) <= 1


def test_all_settings_are_scenarios():
    for fields in calibration.SETTINGS.values():
        assert Scenario.preset("default", **fields)
    with pytest.raises(InvalidValue, match="only is 'none'"):
        calibration.Arguments(only=("none",))


def test_the_set_is_what_its_recipe_draws():
    assert "40 instances" in certify("cold_start_stream", "cold-start-stream-40", solve_again=False)


def test_what_is_wrong_with_the_set_is_told():
    shipped = benchmark("cold-start-stream-40")
    wrong = replace(shipped, latency_ns=shipped.latency_ns + (np.arange(40) == 3))
    recipe = benchmark_sets.RECIPES[shipped.name]
    found = list(problems("cold_start_stream", wrong, recipe, solve_again=False))
    assert len(found) == 1
    assert found[0].startswith("cold-start-stream-40, instance 3: the stored plan attains ")
