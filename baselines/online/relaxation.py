"""A Lagrangean bound that charges loads: server time and memory get prices, and then every model is on its own.

Time is cut into slots. A price pi of server time (users a second) and a price nu of memory (users a byte and second)
are given for each slot. For any prices that are not negative

    users served <= sum of pi + M · sum of nu + sum over models of the most that a model can earn at these prices,

since batches do not overlap and memory is at most M: what the batches of a plan pay is at most the first two sums
(weak duality, M. L. Fisher, The Lagrangian relaxation method for solving integer programming problems, 1981). A model
earns a user for each that it serves. It pays server time for uploads, loads and passes, and memory from one visit to
the next for each block that it keeps; what it does not keep it loads anew. A dynamic program over visits, whole ones,
finds the most; so a twentieth of a model serves nobody. Of a block that several models hold each pays a share, the
shares being 1 together. The proof is in docs/online.md; `lagrangean_bound` looks for good prices and shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.online.bounds import possible_users, upper_bound
from baselines.online.visits import Floats, Relaxed, most_earned
from pl_env.online.instance import Instance
from pl_env.times import NS_PER_SECOND

SLOT_NS = 5_000_000
PIECE_SLOTS = 20
"""Prices are the same in so many slots."""

ITERATIONS = 150
_MEAN, _SQUARE = 0.8, 0.95
_TINY = 1e-12


@dataclass
class _Prices:
    """Prices of pieces of time, and shares of blocks."""

    pi: Floats  # (pieces,)
    nu: Floats  # (pieces,) of all memory
    shares: Floats  # (I, J)


def lagrangean_bound(instance: Instance, *, iterations: int = ITERATIONS) -> int:
    """A number of users that no plan exceeds; takes seconds for an episode of 5 s, and grows with its square.

    Args:
        instance: The instance.
        iterations: Steps of the subgradient method, each of which gives a valid bound.
    """
    simple = upper_bound(instance)
    if simple == 0:
        return 0
    prices = _start(instance)
    n_slots = int(instance.deadline_ns.max()) // SLOT_NS + 1
    piece = np.arange(n_slots) // PIECE_SLOTS
    memory, slot_seconds = _memory(instance), SLOT_NS / NS_PER_SECOND
    scale = simple / (n_slots * slot_seconds)
    steps = [_Step(prices.pi), _Step(prices.nu)]
    best = float(simple)
    for n in range(iterations):
        relaxed = relax(instance, prices.shares)
        paid = np.zeros((2, n_slots)), np.zeros(instance.n_models)
        earned = most_earned(relaxed, prices.pi[piece], prices.nu[piece] / memory, paid[0], paid[1])
        best = min(best, earned + slot_seconds * float(prices.pi[piece].sum() + prices.nu[piece].sum()))
        length = 0.02 * scale * (1 + np.cos(np.pi * n / iterations)) / 2
        for step, price, used in zip(steps, (prices.pi, prices.nu), paid[0] / [[1.0], [memory]], strict=True):
            step.go(price, np.bincount(piece, slot_seconds - used).astype(np.float64), length)
        weight = np.exp(length / (0.02 * scale) * paid[1] / max(float(paid[1].max()), _TINY))
        prices.shares *= weight[:, None]  # who pays more for a byte takes more of it
        prices.shares /= np.maximum(prices.shares.sum(axis=0), _TINY)
    return int(best + 1e-6)


class _Step:
    """Steps along averaged subgradients (D. P. Kingma and J. Ba, Adam, 2015), not below 0."""

    def __init__(self, like: Floats) -> None:
        self._mean, self._square, self._n = np.zeros_like(like), np.zeros_like(like), 0

    def go(self, price: Floats, slope: Floats, length: float) -> None:
        """Change the prices."""
        self._n += 1
        self._mean = _MEAN * self._mean + (1 - _MEAN) * slope
        self._square = _SQUARE * self._square + (1 - _SQUARE) * slope**2
        mean, square = self._mean / (1 - _MEAN**self._n), self._square / (1 - _SQUARE**self._n)
        np.maximum(0.0, price - length * mean / (np.sqrt(square) + _TINY), out=price)


def _start(instance: Instance) -> _Prices:
    n_pieces = int(instance.deadline_ns.max()) // SLOT_NS // PIECE_SLOTS + 1
    scale = 0.1 * instance.n_users / (n_pieces * PIECE_SLOTS * SLOT_NS / NS_PER_SECOND)
    asked = np.bincount(instance.requested_model, minlength=instance.n_models)
    shares = instance.has_block * (asked[:, None] + _TINY)
    shares = shares / np.maximum(shares.sum(axis=0), _TINY)
    return _Prices(np.full(n_pieces, scale), np.full(n_pieces, scale), shares)


def _memory(instance: Instance) -> float:
    """M; with eviction "previous" what is in memory is of one model."""
    sizes = instance.has_block @ instance.block_bytes
    return max(1.0, float(sizes.max() if instance.eviction == "previous" else instance.cache_bytes))


def relax(instance: Instance, shares: Floats) -> Relaxed:
    """An instance as the kernels take it.

    Args:
        instance: The instance.
        shares: float64 (I, J), at least 0 and at most 1 together for each block: what each model pays of a block.
    """
    table, model = instance.table, instance.requested_model
    per_batch, per_sample, loads = table.compute_ns_per_batch, table.compute_ns_per_sample, table.block_load_ns
    alone = per_batch + per_sample
    ready = np.maximum(instance.ready_ns, 0)
    uploads = np.zeros_like(ready) if instance.overlap == "upload" else instance.upload_ns
    first, last = ready + instance.upload_ns, instance.deadline_ns - alone[model]
    counted = np.flatnonzero(possible_users(instance) & (first <= last))
    counted = counted[np.lexsort((first[counted] // SLOT_NS, model[counted]))]
    times = np.stack([first, last, ready, instance.deadline_ns])[:, counted] // SLOT_NS

    sizes, held = instance.block_bytes.astype(np.float64), instance.has_block
    own = held & (held.sum(axis=0) == 1)
    missing = ~instance.resident_blocks
    smallest = np.where(own, sizes, np.inf).min(axis=1, initial=np.inf)
    load = np.where(own, loads, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    load = np.where(own.any(axis=1) & (load > 0), load + table.load_overhead_ns, 0)
    load[(alone < SLOT_NS) | (instance.overlap == "upload")] = 0  # two passes in a slot; load while users upload
    shared = shares * (held & ~own) * sizes
    models = np.stack(
        [
            own @ sizes,
            np.where(np.isfinite(smallest), smallest, 0),
            (own & missing) @ sizes,
            shared.sum(axis=1),
            shared @ missing,
            per_batch / NS_PER_SECOND,
            alone / NS_PER_SECOND,
            load / NS_PER_SECOND,
        ]
    ).astype(np.float64)
    lengths = np.stack([held @ loads + table.load_overhead_ns, per_batch, alone])
    rates = loads[sizes > 0] / sizes[sizes > 0] / NS_PER_SECOND
    return Relaxed(
        slot_seconds=SLOT_NS / NS_PER_SECOND,
        seconds_per_byte=float(rates.min(initial=np.inf)) if len(rates) else 0.0,
        overhead=table.load_overhead_ns / NS_PER_SECOND if (loads > 0).all() else 0.0,
        start=np.append(0, np.cumsum(np.bincount(model[counted], minlength=instance.n_models))),
        users=np.ascontiguousarray(times),
        work=(uploads + per_sample[model])[counted] / NS_PER_SECOND,
        models=models,
        lengths=np.concatenate([-(-lengths // SLOT_NS), load[None] // SLOT_NS]),
    )
