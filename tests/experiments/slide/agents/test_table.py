from __future__ import annotations

import numpy as np
import pytest

import pl_env
from baselines.slide.online import Rule
from experiments.slide.agents import table
from pl_env.slide import Scenario


def test_all_rows_are_there(capsys):
    table.main(table.Arguments(only=("default",), episodes=3, seeds=2, futures=2))
    text = capsys.readouterr().out
    assert [line.split(",")[0] for line in text.splitlines() if line.startswith("#")] == ["### default"] * 2
    for policy, rows in (("agent", 2), ("backlog, tuned", 2), ("rollout", 1), ("exact, all arrivals known", 2)):
        assert text.count(f"| {policy} ") == rows


def test_seeds_are_those_of_reset():
    """The specification gives what `backlog` serves for seeds 0 to 7 of the preset "default"."""
    scenario = Scenario.preset("default")
    instances = [scenario.sample(np.random.default_rng(seed)) for seed in range(8)]
    rule = Rule(*table.RECIPES["default"].imitation.rule)
    assert table.served_by(rule, scenario, instances).tolist() == [22, 21, 23, 21, 19, 24, 22, 24]


@pytest.mark.parametrize("field", ["episodes", "seeds"])
def test_fewer_than_two_episodes_have_no_interval(field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is 1"):
        table.Arguments(**{field: 1})
