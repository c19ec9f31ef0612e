from __future__ import annotations

import pytest

import pl_env
from experiments.cold_start.agents import table


def test_all_columns_are_there(capsys):
    table.main(table.Arguments(only=("tight", "gpt2, 12 layers", "embedding and head"), episodes=10, samples=4))
    lines = capsys.readouterr().out.splitlines()
    head = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    assert head == [
        "episodes",
        "agent",
        "planned",
        "best of 4",
        "order-dp",
        "shares",
        "greedy",
        "harmonic",
        "even",
        "random",
    ]
    assert len(lines) == 5
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert [row[0].split(" (")[0] for row in rows] == ["tight", "gpt2, 12 layers", "embedding and head"]
    for row in rows:
        assert all(float(cell.split()[0]) >= 1 for cell in row[1:] if cell != "–")
    assert rows[2][5] == "–", "shares of layers are for layers that are all alike"


def test_bad_arguments():
    for fields in ({"only": ("hard",)}, {"episodes": 9}, {"samples": 0}):
        with pytest.raises(pl_env.InvalidValue):
            table.Arguments(**fields)
