"""What an upload will take under a channel that is not drawn yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.times import LONGEST_UPLOAD_NS

_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(40)


def expected_upload_ns(mean_snr: NDArray[np.float64], unit_upload_ns: float) -> NDArray[np.int64]:
    """Upload nanoseconds at each user's mean rate, D / (B · E[log2(1 + snr · |h|²)]), |h|² exponential of mean 1.

    The mean of the upload time itself is infinite under Rayleigh fading: near |h|² = 0 it grows as 1 / |h|², and that
    has no integral. Nor would it say what a user costs, as nobody in a deep fade is served.

    Args:
        mean_snr: float64 (K,), signal-to-noise ratio at |h|² = 1.
        unit_upload_ns: Upload nanoseconds D / B at 1 bit/s/Hz.
    """
    efficiency = np.log2(1 + mean_snr[:, None] * _NODES) @ _WEIGHTS
    return np.minimum(LONGEST_UPLOAD_NS, np.ceil(unit_upload_ns / efficiency)).astype(np.int64)
