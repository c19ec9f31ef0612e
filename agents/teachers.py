"""Who labels states, by what the instances are."""

from __future__ import annotations

from functools import partial

import numpy as np

from agents.families import Family
from agents.imitation import Label
from baselines.action_values import action_values
from pl_env.errors import UnsupportedInstance


def teacher_of(family: Family) -> Label:
    """The teacher for a family: exact values for clustered sharing; where channels are drawn anew, planned ones.

    Raises:
        UnsupportedInstance: No teacher covers the family.
    """
    [instance] = family.sample(np.random.default_rng(0), 1)
    if instance.table.clusters is None:
        raise UnsupportedInstance("no teacher covers sharing at arbitrary positions")
    return partial(action_values, fractional=True)
