from __future__ import annotations

import numpy as np
import pytest

from experiments.slide import latency


def test_the_five_models_on_the_fitted_link():
    rows = latency.latencies()
    assert [row.model for row in rows] == ["resnet18", "resnet34", "resnet50", "vit_b_16", "gpt2"]
    assert [round(row.cut_percent, 1) for row in rows] == [30.4, 32.1, 31.0, 35.9, 33.2]
    assert [round(row.slowdown, 2) for row in rows] == [1.27, 1.22, 1.25, 1.09, 1.17]
    assert latency.mean_cut_percent(latency.LINK_BPS) == pytest.approx(32.5, abs=0.05)
    assert np.mean([row.slowdown for row in rows]) == pytest.approx(1.20, abs=0.005)


def test_resnet_18_by_hand():
    """23.38 MB, and 0.550 s of computing."""
    row = latency.latencies(link_bps=100_000_000, disk_bytes_per_second=20e6)[0]
    assert row.download_then_infer == pytest.approx(23.38 * 8 / 100 + 0.550, abs=1e-3)
    assert row.from_disk == pytest.approx(23.38 / 20 + 0.550, abs=1e-3)
    assert 23.38 * 8 / 100 < row.streamed < row.download_then_infer


def test_another_link_has_the_same_mean_cut():
    other = latency.faster_link_with_the_same_mean_cut()
    assert other > 2 * latency.LINK_BPS
    assert latency.mean_cut_percent(other) == pytest.approx(latency.mean_cut_percent(latency.LINK_BPS), abs=0.1)


def test_the_picture():
    rows = latency.latencies()
    bars, curves = latency.draw(rows).axes
    heights = [bar.get_height() for bar in bars.patches]
    assert heights == [
        *(row.streamed for row in rows),
        *(row.download_then_infer for row in rows),
        *(row.from_disk for row in rows),
    ]
    assert [line.get_label() for line in curves.lines[:-1]] == [*(row.model for row in rows), "mean"]
    assert curves.lines[-1].get_xdata()[0] == 148.33
