"""What an upload will take under a channel that is not drawn yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.partial_loading.episodes import Episodes
from pl_env.times import LONGEST_UPLOAD_NS

LATER_SCALE = 1.05
"""Upload time to plan with for later batches, in upload times at a user's mean rate; chosen on validation episodes by
``experiments/partial_loading/agents/fading_planners.py``."""

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


def later_upload_ns(episodes: Episodes, scale: float = LATER_SCALE) -> NDArray[np.int64]:
    """Upload nanoseconds to plan with for later batches where channels are drawn anew; they hold to the episode's end.

    Args:
        episodes: The episodes.
        scale: Later uploads take so many times the upload time at a user's mean rate; 0 takes them as today's.

    Returns:
        int64 (N, K), by user, of those who are pending, and of no meaning in episodes whose channels stay; (N, 0) where
        today's uploads are to be planned with in all episodes.
    """
    arrays = episodes.arrays
    if scale == 0 or not episodes.redraws:
        return np.zeros((len(arrays.redraws), 0), dtype=np.int64)
    later_ns = np.zeros(arrays.mean_snr.shape, dtype=np.int64)
    for n in np.flatnonzero(arrays.redraws).tolist():
        pending = episodes.pending_users(n)
        later_ns[n, pending] = expected_upload_ns(arrays.mean_snr[n, pending], scale * arrays.unit_upload_ns[n])
    return later_ns
