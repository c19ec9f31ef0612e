from __future__ import annotations

import pytest

from experiments.partial_loading.latency import draw, latencies, loading_share
from pl_env.partial_loading.server import EdgeServer


def test_figure_1_by_hand():
    rows = latencies(EdgeServer())
    assert [row.architecture for row in rows] == ["resnet18", "resnet34", "resnet50"]
    assert rows[2].compute_seconds == pytest.approx(32 * 100e-6 + 4e-3)
    assert rows[2].load_seconds == pytest.approx(94.1e6 / 1.70e9, rel=2e-3)
    assert loading_share(rows) == pytest.approx(0.8894, abs=1e-4)


def test_figure_1_stacks_computing_on_loading():
    rows = latencies(EdgeServer())
    (axes,) = draw(rows).axes
    loading, computing = axes.patches[:3], axes.patches[3:]
    for row, below, above in zip(rows, loading, computing, strict=True):
        assert below.get_height() == above.get_y() == pytest.approx(1e3 * row.load_seconds)
        assert above.get_height() == pytest.approx(1e3 * row.compute_seconds)
