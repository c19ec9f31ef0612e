"""The radio, against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pl_env import wireless
from pl_env.times import LONGEST_UPLOAD_NS, nanoseconds, nanoseconds_up


def test_placement_is_uniform_in_the_disc():
    """A quarter of the area lies within half the radius."""
    assert wireless.draw_distance_m(0.25, 250.0) == pytest.approx(125.0)
    assert wireless.draw_distance_m(0.81, 250.0) == pytest.approx(225.0)
    assert wireless.draw_distance_m(0.0, 250.0) == wireless.SHORTEST_DISTANCE_M == 1.0


def test_rayleigh_fading_power_is_exponential():
    assert wireless.draw_fading_power(0.0) == 0.0
    assert wireless.draw_fading_power(0.5) == pytest.approx(math.log(2))
    assert wireless.draw_fading_power(1 - math.exp(-3)) == pytest.approx(3.0)
    assert math.isfinite(wireless.draw_fading_power(np.nextafter(1.0, 0.0)))


def test_path_loss_falls_with_distance():
    """P = 5e-9 W/Hz over -174 dBm/Hz (3.981e-21 W/Hz) is 1.2559e12; 100 m at alpha = 4 take 1e8 of it."""
    tx_to_noise = 5e-9 / 10**-20.4
    assert wireless.mean_snr_at(100.0, tx_to_noise, 4.0) == pytest.approx(12_559.4, rel=1e-4)
    assert wireless.mean_snr_at(200.0, tx_to_noise, 4.0) == pytest.approx(12_559.4 / 16, rel=1e-4)
    assert wireless.mean_snr_at(300.0, 7.0, 0.0) == 7.0


@pytest.mark.parametrize(("snr", "efficiency"), [(0.0, 0.0), (1.0, 1.0), (3.0, 2.0), (1023.0, 10.0)])
def test_spectral_efficiency(snr, efficiency):
    assert wireless.spectral_efficiency(snr) == pytest.approx(efficiency)


@pytest.mark.parametrize(
    ("unit", "efficiency", "expected"),
    [
        (1000.0, 1.0, 1000),
        (1000.0, 3.0, 334),
        (0.0, 2.0, 0),
        (5.0, 0.0, LONGEST_UPLOAD_NS),
        (1e30, 1.0, LONGEST_UPLOAD_NS),
    ],
)
def test_upload_times_are_rounded_up_and_capped(unit, efficiency, expected):
    assert wireless.upload_time_ns(unit, efficiency) == expected


def test_default_upload_by_hand():
    """393,216 bit at 10 bit/s/Hz on 200 MHz: 0.196608 ms."""
    assert wireless.upload_time_ns(393_216 / 200e6 * 1e9, 10.0) == 196_608


@pytest.mark.parametrize(
    ("uploads", "shares"), [([1, 3], [0.25, 0.75]), ([5], [1.0]), ([0, 2], [0.0, 1.0]), ([0, 0], [0.5, 0.5]), ([], [])]
)
def test_bandwidth_shares(uploads, shares):
    assert wireless.bandwidth_shares(np.array(uploads, dtype=np.int64)).tolist() == shares


def test_times_are_rounded_once():
    assert nanoseconds(0.7) == 700_000_000
    assert nanoseconds(0.1 + 0.2) == 300_000_000
    assert nanoseconds_up(np.array([0.0, 1e-9, 1.001e-9, 60e6 / 1e9, 60e6 * (1 / 2e9 + 1 / 2e9)])).tolist() == [
        0, 1, 2, 60_000_000, 60_000_000,
    ]  # fmt: skip
