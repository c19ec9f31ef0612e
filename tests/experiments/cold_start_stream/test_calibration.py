"""The room that streams leave, and the benchmark set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.cold_start_stream import benchmark_sets, calibration
from pl_env.cold_start_stream import Scenario, benchmark
from pl_env.errors import InvalidValue, UnknownName


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
    assert "40 instances" in benchmark_sets.certify("cold-start-stream-40", solve_again=False)
    with pytest.raises(UnknownName):
        benchmark_sets.certify("nosuch")


def test_what_is_wrong_with_a_set_is_told():
    shipped = benchmark("cold-start-stream-40")
    wrong = replace(shipped, latency_ns=shipped.latency_ns + (np.arange(40) == 3))
    found = list(benchmark_sets.problems(wrong, solve_again=False))
    assert found == ["cold-start-stream-40, instance 3: the stored plan has another latency"]
    wrong = replace(shipped, bound_ns=shipped.bound_ns + (np.arange(40) == 2))
    assert "instance 2: its bound is" in " ".join(benchmark_sets.problems(wrong))
