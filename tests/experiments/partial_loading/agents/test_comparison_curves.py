from __future__ import annotations

import pytest

import pl_env
from experiments.partial_loading.agents.comparison import draw, finished, read_curves, table

CURVES = """algorithm,seed,seconds,states,share
evolution,0,10,1000,0.95
evolution,0,60,9000,0.98
evolution,1,12,1100,0.94
evolution,1,66,9900,0.99
"""


def test_curves_of_other_algorithms_join_in(tmp_path):
    (tmp_path / "evolution.csv").write_text(CURVES)
    curves = finished(tmp_path, [tmp_path / "evolution.csv"])
    assert [len(points) for points in curves["evolution"]] == [2, 2]
    assert curves["evolution"][1][0] == {"seconds": 12.0, "states": 1100.0, "share": 0.94}
    assert "| evolution | 2 | 98.50 % | 98.00 … 99.00 |" in table(curves)
    assert len(draw(curves).axes) == 2


@pytest.mark.parametrize("text", ["algorithm,seed,share\na,0,0.5\n", CURVES.replace("0.98", "much")])
def test_what_is_no_curve_is_refused(tmp_path, text):
    (tmp_path / "evolution.csv").write_text(text)
    with pytest.raises(pl_env.FileFormatError, match="no learning curves"):
        read_curves(tmp_path / "evolution.csv")
