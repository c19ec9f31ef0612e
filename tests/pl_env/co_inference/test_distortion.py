"""Equation (5) against samples."""

from __future__ import annotations

import numpy as np
import pytest

from pl_env.co_inference.dynamics import quality


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8])
def test_magnitude_pruning_of_laplacian_weights(kept):
    rate = 3.0
    weights = np.abs(np.random.default_rng(0).laplace(scale=1 / rate, size=4_000_000))
    threshold = np.quantile(weights, 1 - kept)
    distortion = np.where(weights < threshold, weights, 0).mean()
    assert distortion == pytest.approx((1 - quality(kept)) / rate, rel=0.005)


def test_ends():
    assert quality(1.0) == 1
    assert quality(0.0) == 0
    assert quality(0.5) == pytest.approx(0.5 * (1 + np.log(2)))
