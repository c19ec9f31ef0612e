from __future__ import annotations

import math

import numpy as np
import pytest

from baselines.statistics import mean_and_half_width


def test_the_interval_of_two_values_by_hand():
    """Their standard deviation is the square root of 2, that of their mean 1."""
    assert mean_and_half_width(np.array([0.0, 2.0])) == pytest.approx((1.0, 1.959964))


def test_a_single_value_has_no_interval():
    mean, half_width = mean_and_half_width(np.array([3.0]))
    assert mean == 3.0
    assert math.isnan(half_width)
