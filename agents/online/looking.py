"""A look ahead, compiled: what comes of those who are there after each of the best batches, if nobody else came.

`replan` decides by this alone. Here it is something more for the network to read, which knows of those who may come.
"""

from __future__ import annotations

import numpy as np

from agents.online.features import AHEAD, Scene
from baselines.online.policies import tuned
from baselines.online.replan import REPLAN_LRU
from baselines.online.rules import URGENT_GREEDY, play, run
from pl_env.compiling import compiled
from pl_env.low_level import borrowed
from pl_env.online.arrays import ARRIVED, DEMAND, EVICTION, LAST, NOW, SERVED, Episode, Floats, Tables
from pl_env.online.dynamics import copy_episode

_LONG = 1e-8


def drain_parameters(tables: Tables) -> Floats:
    """A, C, P of the `urgent-greedy` that plays on, as in `replan`."""
    return tuned(tables) if tables.options[EVICTION] >= DEMAND else np.array(REPLAN_LRU)


@compiled
def look_ahead(t: Tables, e: Episode, scratch: Episode, drain: Floats, most: int, s: Scene) -> None:
    """Leave only the most urgent batches in the scene, each model's best and largest; write down what comes of them.

    Args:
        t: The library.
        e: The episode, in row 0.
        scratch: Another one with the same users, in row 0.
        drain: A, C, P of the `urgent-greedy` that plays on.
        most: How many batches are left.
        s: What was described, and is to be added to.
    """
    t, e, scratch, s = borrowed(t), borrowed(e), borrowed(scratch), borrowed(s)
    count = _keep_most_urgent(s, most)
    most_served, first_end = -1, 2**62
    served, end = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for a in range(count):
        copy_episode(e, 0, scratch, 0)
        scratch.state[0, LAST] = scratch.state[0, ARRIVED]
        run(t, scratch, 0, s.cell[a])
        play(t, scratch, 0, URGENT_GREEDY, drain)
        served[a], end[a] = scratch.state[0, SERVED], scratch.state[0, NOW]
        most_served, first_end = max(most_served, served[a]), min(first_end, end[a])
    for a in range(count):
        s.action[a, AHEAD] = served[a] - most_served
        s.action[a, AHEAD + 1] = min(8.0, (end[a] - first_end) * _LONG)
        s.action[a, AHEAD + 2] = 1.0 if served[a] == most_served else 0.0


@compiled
def _keep_most_urgent(s: Scene, most: int) -> int:
    """Leave out all batches but each model's most urgent and its largest, and of these all but the most urgent."""
    s = borrowed(s)
    count = 0
    for a in range(s.counts[1]):
        largest = a + 1 == s.counts[1] or s.place[a + 1] != s.place[a]
        best, other = True, a - 1
        while best and other >= 0 and s.place[other] == s.place[a]:
            best = s.action[other, 0] < s.action[a, 0]
            other -= 1
        other = a + 1
        while best and other < s.counts[1] and s.place[other] == s.place[a]:
            best = s.action[other, 0] <= s.action[a, 0]
            other += 1
        if largest or best:
            _move(s, a, count)
            count += 1
    if count > most:
        urgency = np.sort(s.action[:count, 0].copy())
        least, kept = urgency[count - most], 0
        for a in range(count):
            if s.action[a, 0] >= least and kept < most:
                _move(s, a, kept)
                kept += 1
        count = kept
    s.counts[1] = count
    return count


@compiled
def _move(s: Scene, a: int, to: int) -> None:
    s = borrowed(s)
    s.cell[to], s.place[to] = s.cell[a], s.place[a]
    for f in range(s.action.shape[1]):
        s.action[to, f] = s.action[a, f]
