from __future__ import annotations

import numpy as np
import pytest

import baselines
from experiments.points import Result
from experiments.slide.figures import PRESETS, SWEEPS, figures, panel, point_label
from experiments.slide.reproduction import in_users
from experiments.slide.targets import COLUMNS, GAIN, TARGETS, measure
from pl_env.errors import UnknownName
from pl_env.slide.scenario import Scenario

PANELS = (*SWEEPS, *PRESETS)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_names_what_exists(panel):
    """All users are there at the start; options are those of the solvers."""
    labels = [curve.label for curve in panel.curves]
    assert len(set(labels)) == len(labels)
    for curve in panel.curves:
        baselines.solvers("slide")[curve.solver].check_options(curve.options)
    for point in panel.points(1, 0):
        assert point.scenario.window == 0
        assert point.stream is None


def test_the_points_of_the_sweeps():
    def fields(name, field):
        return [getattr(point.scenario, field) for point in panel(name).points(1, 0)]

    assert fields("bandwidth", "bandwidth_hz") == [50e6, 100e6, 200e6, 300e6]
    assert fields("users", "n_users") == [20, 40, 60, 80]
    assert np.allclose(fields("deadline", "deadline_factor"), [(1.6, 2.8), (2, 3.5), (2.4, 4.2), (2.8, 4.9)])
    assert np.allclose(fields("energy", "energy_factor"), [(0.2, 0.6), (0.3, 0.9), (0.5, 1.5), (1, 3)])
    paper = Scenario.preset("paper")
    assert all(point.scenario == paper for point in (panel("deadline").points(1, 0)[1], panel("paper").points(1, 0)[0]))
    n_models = [panel(name).points(1, 0)[0].scenario.n_models for name in ("zoo", "compressed")]
    assert n_models == [5, 4]


def test_labels_of_points():
    labels = [point_label(panel, panel.values[0]) for panel in PANELS]
    assert labels == ["B = 50 MHz", "K = 20", "T × 0.8", "E × 0.4", "paper", "zoo", "compressed"]


def test_realisation_n_is_that_of_the_plain_seed_n():
    """`static` and `dai` on seeds 0 to 3, and on 2 and 3, in users served."""
    point = panel("paper").points(4, 0)[0]
    result = in_users(point.compute())
    assert result.objective[result.row("static")].tolist() == [12, 11, 11, 12]
    assert result.objective[result.row("dai")].tolist() == [9, 8, 8, 8]
    later = in_users(panel("users").points(2, 2)[1].compute())
    assert later.objective[later.row("static")].tolist() == [11, 12]
    assert later.objective[later.row("exact")].tolist() == [19, 17]


def test_figures_by_name():
    assert [figure.name for figure in figures(("latency", "served"))] == ["served", "latency"]
    with pytest.raises(UnknownName, match="there is no figure 'fig1'; known are: gain, latency, presets, served"):
        figures(("fig1",))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.panel}-{target.value:g}-{target.curve}")
def test_a_target_names_a_curve_and_a_value_of_its_panel(target):
    assert target.curve in (GAIN, *(curve.label for curve in panel(target.panel).curves))
    assert target.value in panel(target.panel).values


def test_the_prototypes_gains_are_those_of_its_users():
    """Within what rounding leaves."""
    numbers = {(target.panel, target.value, target.curve): target.number for target in TARGETS}
    for place in {(target.panel, target.value) for target in TARGETS}:
        static, dai, gain = (numbers[(*place, curve)] for curve in COLUMNS[:3])
        assert gain == pytest.approx(100 * (static / dai - 1), abs=1)


def test_measures_of_hand_made_results():
    served = {"static": [12.0, 9.0], "dai": [8.0, 6.0], "edf-greedy": [20.0, 15.4]}
    results = {}
    for name in ("bandwidth", "zoo"):
        of_panel = panel(name)
        rows = np.array([served.get(curve.label, [0.0, 0.0]) for curve in of_panel.curves])
        results[name] = [Result(point, rows, np.zeros_like(rows)) for point in of_panel.points(2, 0)]
    measured = {
        (target.value, target.curve): measure(target, results) for target in TARGETS if target.panel == "bandwidth"
    }
    static, gain, greedy = (measured[(200e6, curve)] for curve in ("static", "gain", "edf-greedy"))
    assert (static.ours, static.half_width) == pytest.approx((10.5, 1.959964 * 1.5))
    assert (static.difference, static.is_far) == (pytest.approx(10.5 - 20.36), True)
    assert gain[1:] == pytest.approx((50, 0))  # the same for each instance
    assert (gain.difference, gain.is_far) == (pytest.approx(3), True)
    assert measured[(50e6, "gain")].is_far is False
    assert greedy.ours == pytest.approx(17.7)
    (of_zoo,) = (measure(target, results) for target in TARGETS if (target.panel, target.curve) == ("zoo", "dai"))
    assert of_zoo.ours == 7
