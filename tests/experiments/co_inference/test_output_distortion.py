"""The bound as a theorem with a test, pruning, the digits, and the study in small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.co_inference import output_bound, output_distortion


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    kept=st.floats(0, 1),
    scale=st.floats(0.01, 10),
)
def test_no_network_breaks_the_bound(seed, sizes, kept, scale):
    rng = np.random.default_rng(seed)
    weights = [scale * rng.normal(size=shape) for shape in zip(sizes[1:], sizes[:-1], strict=True)]
    pruned = output_bound.prune(weights, kept)
    limit = output_bound.bound(weights, pruned)
    x = rng.normal(size=(sizes[0], 20))
    x /= np.abs(x).sum(axis=0)
    moved = np.abs(output_bound.output(weights, x) - output_bound.output(pruned, x)).sum(axis=0)
    assert (moved <= limit * (1 + 1e-9) + 1e-12).all()


def test_one_thousand_random_networks():
    broken, median = output_bound.looseness(1000)
    assert broken == 0
    assert median > 10  # it is loose


def test_the_bound_by_hand_and_that_it_is_attained():
    """One layer: the largest column of what was dropped, attained by that input alone."""
    weights = [np.array([[1.0, -3.0], [0.5, 2.0]])]
    pruned = output_bound.prune(weights, 0.5)
    assert pruned[0].tolist() == [[0, -3], [0, 2]]
    assert output_bound.bound(weights, pruned) == 1.5
    x = np.array([1.0, 0.0])
    assert np.abs(output_bound.output(weights, x) - output_bound.output(pruned, x)).sum() == 1.5
    two = [*weights, np.array([[2.0, -1.0]])]
    dropped = [pruned[0], np.array([[2.0, 0.0]])]
    assert output_bound.bound(two, dropped) == 1.5 * 2 + 5 * 1


def test_pruning_keeps_a_fraction_of_all():
    weights = [np.random.default_rng(0).normal(size=(30, 20)), np.random.default_rng(1).normal(size=(5, 30))]
    for kept in (0.0, 0.3, 1.0):
        pruned = output_bound.prune(weights, kept)
        assert sum(np.count_nonzero(matrix) for matrix in pruned) == round(kept * 750)


def test_digits():
    pictures, shown = output_distortion.digits(500, np.random.default_rng(0))
    assert pictures.shape == (500, 1, 8, 8)
    assert set(shown.tolist()) == set(range(10))
    again, _ = output_distortion.digits(500, np.random.default_rng(0))
    assert torch.equal(pictures, again)


def test_the_study_in_small(monkeypatch, tmp_path):
    monkeypatch.setattr(output_distortion, "_TRAINING", 600)
    monkeypatch.setattr(output_distortion, "_TEST", 300)
    monkeypatch.setattr(output_distortion, "_EPOCHS", 4)
    rows = output_distortion.study()
    assert [row.network for row in rows[:: len(output_distortion.FRACTIONS)]] == ["MLP", "CNN", "transformer"]
    for row in rows:
        if row.kept == 1:
            assert row.parameters == row.outputs == 0
            assert row.accuracy == 1
        else:
            assert 0 < row.parameters < 1
        assert row.dense_accuracy > 0.2
    for name in output_distortion.NETWORKS:
        lost = [row.parameters for row in rows if row.network == name]
        assert lost == sorted(lost, reverse=True)
    output_distortion.draw(rows).savefig(tmp_path / "study.png")


@pytest.mark.slow
def test_what_the_study_finds():
    """All three keep their accuracy at r = .5; parameters lose more than Laplacian weights would."""
    rows = {(row.network, row.kept): row for row in output_distortion.study()}
    for name in output_distortion.NETWORKS:
        assert rows[name, 1.0].dense_accuracy > 0.9
        assert rows[name, 0.5].accuracy > 0.85
        assert rows[name, 0.5].parameters == pytest.approx(0.2, abs=0.04)
