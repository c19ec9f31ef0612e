"""Figures, the report and benchmark sets, with a few instances."""

from __future__ import annotations

import pytest

from experiments.__main__ import main
from experiments.co_inference import benchmark_sets, output_distortion, splits
from experiments.co_inference.figures import SWEEPS, figures, panel
from experiments.co_inference.targets import TARGETS, point_label
from pl_env.errors import UnknownName


def test_figures_by_name():
    assert [figure.name for figure in figures()] == ["distortion", "splits", "streams", "output-distortion"]
    with pytest.raises(UnknownName, match="there is no figure 'x'"):
        figures(["x"])


def test_one_number_sets_all_that_it_means():
    scenarios = [panel.scenario(panel.values[0]) for panel in SWEEPS]
    assert scenarios[0].deadline == (3.0, 3.0)
    assert scenarios[1].battery_j == scenarios[1].capacity_j == 0.25
    assert scenarios[2].bandwidth_hz == 0.25e6


def test_targets_are_at_points_that_are_computed():
    for target in TARGETS:
        found = panel(target.panel)
        assert target.value in found.values
        assert target.curve in [curve.label for curve in found.curves]
    assert point_label("bandwidth", 0.25e6) == "B = 0.25 MHz"


def test_every_split_on_a_few_channels():
    rows = splits.rows((5e-14,))
    assert len(rows) == 73
    by_split = {row.split: row for row in rows}
    assert by_split[40].distortion == pytest.approx(0.203, abs=6e-4)
    assert by_split[0].distortion == 1
    assert [row.split for row in rows if row.useful] == [0, 1, 40, 72]
    assert min(row.distortion for row in rows) == min(row.distortion for row in rows if row.useful)


def test_the_report_of_a_few_instances(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(output_distortion, "_TRAINING", 600)
    monkeypatch.setattr(output_distortion, "_EPOCHS", 3)
    monkeypatch.setattr("experiments.co_inference.report.SCA_CHANNELS", 2)
    arguments = ["reproduce", "co_inference", "--realisations", "3", "--workers", "1"]
    assert main([*arguments, "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 0
    capsys.readouterr()
    report = (tmp_path / "reproduction-co-inference.md").read_text()
    for words in (
        "No number on this page is the paper's",
        "## Where to split",
        "never above",
        "was broken by 0 of 1,000",
    ):
        assert words in report
    for figure in figures():
        assert (tmp_path / "images" / "co_inference" / f"{figure.name}.png").stat().st_size > 5000
        assert len((tmp_path / "co_inference" / f"{figure.name}.csv").read_text().splitlines()) > 20
    assert "nan" not in report


def test_benchmark_sets(capsys):
    names = [f"co_inference/{name}" for name in benchmark_sets.RECIPES]
    assert main(["benchmark-sets", "--no-solve-again", "--names", *names]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("100 instances, 100 with a proven optimum" in line for line in lines)
