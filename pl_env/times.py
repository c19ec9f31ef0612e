"""Seconds to integer nanoseconds: the one place where a time is rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NS_PER_SECOND = 1_000_000_000

LONGEST_NS = 3_600 * NS_PER_SECOND
"""Longest deadline, load of a block, or compute time (one hour)."""

LONGEST_LOAD_NS = 1_000 * LONGEST_NS
"""Longest load of one model, of all its blocks together."""

LONGEST_UPLOAD_NS = 10**14
"""Longest upload of one user (28 hours, past any deadline): a user in the deepest fade is simply never served."""


def nanoseconds(seconds: float) -> int:
    """A configured time, rounded to the nearest nanosecond (0.7 s is 700,000,000 ns whatever its binary digits)."""
    return round(seconds * NS_PER_SECOND)


def nanoseconds_up(seconds: NDArray[Any]) -> NDArray[np.int64]:
    """A derived time, rounded up, so that no schedule is accepted that the physics would not allow.

    Below a picosecond it is floating-point noise: 60 MB at 1 GB/s are 60,000,000 ns, not one more. What an int64 cannot
    hold becomes 2^62 ns, which is past every limit.
    """
    ns: NDArray[np.float64] = np.minimum(seconds * NS_PER_SECOND, 2.0**62)
    return np.ceil(np.round(ns, 3)).astype(np.int64)
