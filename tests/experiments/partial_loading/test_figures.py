from __future__ import annotations

import numpy as np
import pytest

import baselines
from experiments.partial_loading.figures import figures, panel
from experiments.partial_loading.targets import TARGETS, measure
from experiments.partial_loading.variants import VARIANTS
from experiments.points import Result
from pl_env.errors import UnknownName

PANELS = [panel for figure in figures() for panel in figure.panels]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_names_what_exists(panel):
    """Building the points checks preset, fields and values."""
    labels = [curve.label for curve in panel.curves]
    assert len(set(labels)) == len(labels)
    for curve in panel.curves:
        assert set(curve.options) <= set(baselines.solvers()[curve.solver].options)
    for point in panel.points(1, 0):
        assert point.scenario.resample_library
    for variant in VARIANTS:
        assert len(panel.points(1, 0, variant.overrides)) == len(panel.values)


@pytest.mark.parametrize("panel", [panel("6a"), panel("7a"), panel("8c"), panel("9b")], ids=lambda panel: panel.name)
def test_every_curve_covers_its_panel(panel):
    result = panel.points(1, 0)[0].compute()
    assert ((result.objective >= 0) & (result.objective <= 1)).all()


def test_names_are_unique():
    for names in ([p.name for p in PANELS], [f.name for f in figures()], [v.label for v in VARIANTS]):
        assert len(set(names)) == len(names)


def test_figures_by_name():
    assert [figure.name for figure in figures(("slots", "fig6"))] == ["fig6", "slots"]
    with pytest.raises(UnknownName, match=r"there is no figure 'fig5'; known are: fig1, fig6"):
        figures(("fig6", "fig5"))


def test_a_variant_does_not_undo_what_a_panel_sets():
    small = panel("9b")
    for variant in VARIANTS:
        assert small.points(1, 0, variant.overrides)[0].scenario.n_models == 5


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.quantity)
def test_a_target_names_curves_of_its_panel(target):
    labels = [curve.label for curve in panel(target.panel).curves]
    assert target.curve in labels
    assert target.against in ("", *labels)
    assert target.at is None or target.at in panel(target.panel).values


def test_measures_of_hand_made_results():
    def results(name, levels, seconds=1.0):
        made = []
        for point in panel(name).points(2, 0):
            rows = [[levels.get(curve.label, 0.0)] * 2 for curve in point.curves]
            times = [[seconds if curve.label == "exhaustive, slotted" else 0.5] * 2 for curve in point.curves]
            made.append(Result(point, np.array(rows), np.array(times)))
        return {name: made}

    def target(text):
        return next(target for target in TARGETS if text in target.quantity)

    served = results("6b", {"paper-dp": 0.8, "independent, slotted": 0.5})
    assert measure(target("gain of paper-dp over independent, mean over K"), served) == pytest.approx((30, 0))
    assert measure(target("paper-dp at high density"), served) == pytest.approx((80, 0))
    small = results("9a", {"paper-dp": 0.9, "paper-greedy": 0.6, "exhaustive, slotted": 0.8}, seconds=2.0)
    assert measure(target("bls, paper-greedy below exhaustive"), small) == pytest.approx((25, 0))
    assert measure(target("faster than exhaustive"), small)[0] == pytest.approx(4)
    assert measure(target("run time of paper-dp"), small)[0] == pytest.approx(500)
