"""The radio: placement, path loss, Rayleigh fading, rates and bandwidth shares. Shared by every system.

The scalar functions are compiled, so that kernels call them; they are plain functions to Python as well.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.times import LONGEST_UPLOAD_NS

SHORTEST_DISTANCE_M = 1.0
"""Users stand at least this far from the antenna; d^-alpha has a singularity at 0."""


@compiled
def draw_distance_m(uniform: float, radius_m: float) -> float:
    """Distance in metres of a user placed uniformly in a disc, from a uniform number in [0, 1)."""
    return max(SHORTEST_DISTANCE_M, radius_m * math.sqrt(uniform))


@compiled
def draw_fading_power(uniform: float) -> float:
    """Power |h|² of a Rayleigh fading channel (exponential of mean 1), from a uniform number in [0, 1)."""
    return -math.log(1.0 - uniform)  # 1 - uniform is exact, as the generator's numbers are multiples of 2^-53


@compiled
def mean_snr_at(distance_m: float, tx_to_noise: float, path_loss_exponent: float) -> float:
    """Signal-to-noise ratio at |h|² = 1: P · d^-alpha / N0, with ``tx_to_noise`` = P / N0 (spectral densities).

    The paper prints d^alpha; the gain falls with distance.
    """
    if path_loss_exponent == 4.0:  # the usual one, without the call of pow
        return tx_to_noise / (distance_m * distance_m * distance_m * distance_m)
    return tx_to_noise * float(distance_m**-path_loss_exponent)


@compiled
def spectral_efficiency(snr: float) -> float:
    """R_k = log2(1 + SNR) in bit/s/Hz."""
    if snr < 0.01:  # log(1 + snr) would lose digits
        return math.log1p(snr) / math.log(2.0)
    return math.log(1.0 + snr) / math.log(2.0)


@compiled
def upload_time_ns(unit_upload_ns: float, efficiency: float) -> int:
    """Nanoseconds p_k / B that a user alone on the whole band takes, rounded up and capped at `LONGEST_UPLOAD_NS`.

    Args:
        unit_upload_ns: Upload nanoseconds D_k / B at a spectral efficiency of 1 bit/s/Hz.
        efficiency: Spectral efficiency R_k in bit/s/Hz.
    """
    if unit_upload_ns >= efficiency * LONGEST_UPLOAD_NS:
        return LONGEST_UPLOAD_NS
    return math.ceil(unit_upload_ns / efficiency)


def bandwidth_shares(upload_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares y_k = p_k / sum of p that let all users of a batch finish their uploads together, equation (12).

    Args:
        upload_ns: int64 (b,), upload time of each user alone on the whole band.

    Returns:
        float64 (b,), summing to 1; equal shares where nobody has anything to send.
    """
    total = upload_ns.sum()
    if total == 0:
        return np.full(len(upload_ns), 1.0 / max(1, len(upload_ns)))
    return np.asarray(upload_ns / total)
