from __future__ import annotations

import numpy as np

from experiments.drawing import draw
from experiments.figures import Figure, Panel
from experiments.points import Curve, Result

A, B, C = Curve("a", "greedy"), Curve("b", "greedy", dashed=True), Curve("c", "greedy")


def results_of(*panels):
    """Value v of the swept field: curve r has served ratios v / 100 + r / 10 ± 0.1 in 10 r + 5 ms."""
    made = {}
    for panel in panels:
        made[panel.name] = []
        for value, point in zip(panel.values, panel.points(2, 0), strict=True):
            middle = value / 100 + np.arange(len(panel.curves)) / 10
            seconds = np.arange(len(panel.curves)) / 100 + 0.005
            made[panel.name].append(
                Result(point, np.stack([middle - 0.1, middle + 0.1], 1), np.stack([seconds, seconds], 1))
            )
    return made


def test_curves_with_intervals_and_one_legend():
    left = Panel("l", "left", "tiny", "n_users", (10, 20), "users K", (A, B))
    right = Panel("r", "right", "tiny", "deadline", (0.1, 0.2), "deadline (ms)", (A, C), unit=1e-3, logarithmic=True)
    picture = draw(Figure("f", "F", "", (left, right)), results_of(left, right), "ratio", highest=1.0)
    axes = picture.axes
    assert [each.get_title() for each in axes] == ["left", "right"]
    assert [each.get_xlabel() for each in axes] == ["users K", "deadline (ms)"]
    assert axes[0].get_ylabel() == "ratio"
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["100", "200"]
    assert [each.get_xscale() for each in axes] == ["linear", "log"]
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a", "b", "c"]
    first, second = (container.lines[0] for container in axes[0].containers)
    assert np.allclose(first.get_ydata(), (0.1, 0.2))
    assert np.allclose(second.get_ydata(), (0.2, 0.3))
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    (bars,) = axes[0].containers[0].lines[2]
    half_width = 1.959964 * 0.1  # two values 0.2 apart
    assert np.allclose(bars.get_segments()[0][:, 1], (0.1 - half_width, 0.1 + half_width))


def test_bars_where_run_times_count():
    panel = Panel("p", "title", "tiny", "n_users", (20,), "users K", (A, B))
    picture = draw(Figure("f", "F", "", (panel,), timed=True), results_of(panel), "ratio", highest=1.0)
    above, below = picture.axes
    assert np.allclose([bar.get_height() for bar in above.patches], (0.2, 0.3))
    assert np.allclose([bar.get_height() for bar in below.patches], (5, 15))
    assert [text.get_text() for text in above.texts] == ["0.200", "0.300"]
    assert (above.get_ylabel(), below.get_ylabel()) == ("ratio", "median run time (ms)")
    assert below.get_yscale() == "log"
    assert [label.get_text() for label in below.get_xticklabels()] == ["a", "b"]
