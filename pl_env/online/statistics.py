"""What is reported of an episode at its end."""

from __future__ import annotations

from typing import Any

import numpy as np

from pl_env.online.arrays import ARRIVAL, MODEL, N_USERS, NOT_SERVED, SERVED, Episode
from pl_env.times import NS_PER_SECOND


def at_the_end(e: Episode, n: int) -> dict[str, Any]:
    """Goodput, that of each model (1 where nobody asked), and percentiles of the responses in seconds (0 of none).

    Args:
        e: Episodes that keep when users were served.
        n: Which of them.
    """
    count = int(e.state[n, N_USERS])
    users, finish = e.users[n, :count], e.finish[n, :count]
    served, n_models = finish != NOT_SERVED, e.models.shape[2]
    asked = np.bincount(users[:, MODEL], minlength=n_models)
    had = np.bincount(users[served, MODEL], minlength=n_models)
    responses = (finish[served] - users[served, ARRIVAL]) / NS_PER_SECOND
    p50, p99 = np.percentile(responses, [50, 99]).tolist() if len(responses) else (0.0, 0.0)
    return {
        "goodput": int(e.state[n, SERVED]) / max(1, count),
        "goodput_per_model": np.divide(had, asked, out=np.ones(n_models), where=asked > 0),
        "response_p50": p50,
        "response_p99": p99,
    }
