"""Constant shares of the band: the paper's problem, its benchmark, and simpler ways to choose models.

Every user with every model needs a least share, in closed form (``docs/slide.md``). Whom to serve is then a matter of
taking the smallest shares first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.slide.dynamics import DAI_SHARE, FREQUENCY, SHARE, WHOLE_BAND
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan

Ints = NDArray[np.int64]

_NONE = WHOLE_BAND + 1
"""Share of a pair that cannot be."""


def static(instance: Instance) -> Plan:
    """Each user's model of least share, ascending while they add up to at most the band."""
    pairs = instance.pairs()
    bound = float((pairs[:, :, SHARE] > 0).any(axis=1).mean()) if instance.n_users else 0.0
    return _admit(instance, pairs, _shares(pairs, SHARE), bound=bound)


def dai(instance: Instance) -> Plan:
    """Likewise for devices that compute after the whole download: download, then infer."""
    pairs = instance.pairs()
    return _admit(instance, pairs, _shares(pairs, DAI_SHARE), streams=False)


def max_frequency(instance: Instance) -> Plan:
    """`static` where all devices compute at f_max, or not at all if that takes more energy than they have."""
    pairs = instance.pairs(frequency=instance.device.max_frequency_hz)
    return _admit(instance, pairs, _shares(pairs, SHARE))


def random_model(instance: Instance, *, seed: int = 0) -> Plan:
    """`static` where each user gets one of the accepted models, all equally likely."""
    drawn = np.random.default_rng(seed).random((instance.n_users, instance.n_models))
    return _with_model(instance, np.where(instance.accepted, drawn, 2.0))


def largest_model(instance: Instance) -> Plan:
    """`static` where each user gets the accepted model of most bytes."""
    return _with_model(instance, np.where(instance.accepted, -instance.library.model_bytes, 1))


def smallest_model(instance: Instance) -> Plan:
    """`static` where each user gets the accepted model of fewest bytes."""
    return _with_model(instance, np.where(instance.accepted, instance.library.model_bytes, 2**62))


def equal(instance: Instance) -> Plan:
    """The band in n equal parts, for the largest n such that n users can do with one part each."""
    pairs = instance.pairs()
    shares = _shares(pairs, SHARE)
    models, least = _least(shares)
    order = np.argsort(least, kind="stable")
    numbers = np.arange(1, len(order) + 1)
    n_served = int(numbers[least[order] <= WHOLE_BAND // numbers].max(initial=0))
    given = np.where(np.isin(np.arange(len(order)), order[:n_served]), WHOLE_BAND // max(1, n_served), 0)
    return _plan(instance, pairs, models, given)


def _shares(pairs: Ints, column: int) -> Ints:
    """Least shares (K, I), `_NONE` where the pair cannot be."""
    return np.where(pairs[:, :, column] > 0, pairs[:, :, column], _NONE)


def _least(shares: Ints) -> tuple[Ints, Ints]:
    """Each user's model of least share, and that share."""
    models = shares.argmin(axis=1)
    return models, shares[np.arange(len(shares)), models]


def _admit(instance: Instance, pairs: Ints, shares: Ints, *, streams: bool = True, bound: float = 1.0) -> Plan:
    """Take users by their least shares, ascending, while these add up to at most the band."""
    models, least = _least(shares)
    order = np.argsort(least, kind="stable")
    admitted = order[np.cumsum(least[order]) <= WHOLE_BAND]
    given = np.zeros_like(least)
    given[admitted] = least[admitted]
    return _plan(instance, pairs, models, given, streams=streams, bound=bound)


def _with_model(instance: Instance, preference: NDArray[np.float64] | Ints) -> Plan:
    """`static` where each user gets the model of least preference."""
    pairs = instance.pairs()
    shares = _shares(pairs, SHARE)
    is_chosen = np.arange(instance.n_models) == preference.argmin(axis=1)[:, None]
    return _admit(instance, pairs, np.where(is_chosen, shares, _NONE))


def _plan(
    instance: Instance, pairs: Ints, models: Ints, shares: Ints, *, streams: bool = True, bound: float = 1.0
) -> Plan:
    """The plan that gives these shares; whoever gets none is refused."""
    models = np.where(shares > 0, models, -1)
    frequency = np.where(shares > 0, pairs[np.arange(len(models)), models, FREQUENCY], 0)
    return Plan(models, frequency, instance.n_users, shares=shares, streams=streams, bound=bound)
