from __future__ import annotations

import pytest

import pl_env
from experiments.partial_loading.agents import fading_planners


def test_all_rows_are_there(capsys):
    fading_planners.main(fading_planners.Arguments(episodes=2))
    rows = capsys.readouterr().out.splitlines()[2:]
    assert len(rows) == len(fading_planners.PLANNERS) + 1
    assert rows[0].split("|")[3].strip() == "+0.00 (+0.00 … +0.00)"
    assert rows[-1].startswith("| agent fading |")


def test_fewer_than_two_episodes_have_no_interval():
    with pytest.raises(pl_env.InvalidValue, match="episodes is 1"):
        fading_planners.Arguments(episodes=1)
