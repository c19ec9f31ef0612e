"""`exhaustive-online`: all sets of users and all evictions, for a few users.

A state is who has been served and what is resident; only the earliest time at which it can be reached counts, as one
may wait. A batch starts when its last user is there. Of the blocks that may stay, largest sets suffice: a block in
memory can always leave later.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pl_env.online.instance import Instance
from pl_env.online.plan import Plan

MOST_USERS = 10
MOST_BLOCKS = 14

_State = tuple[int, int]
"""Who has been served, and what is resident, as bits."""


def exhaustive_why_not(instance: Instance) -> str | None:
    """Only small instances."""
    if instance.n_users > MOST_USERS:
        return f"exhaustive-online: there are {instance.n_users} users; at most {MOST_USERS} are tried in all ways"
    n_blocks = int(instance.has_block[np.unique(instance.requested_model)].any(axis=0).sum())
    if n_blocks > MOST_BLOCKS:
        return f"exhaustive-online: the models hold {n_blocks} blocks; at most {MOST_BLOCKS} are tried in all ways"
    return None


def exhaustive_online(instance: Instance) -> Plan:
    """The most users that can be served, by windows or not; its users and evictions are free, so no actions play it."""
    begin = time.perf_counter()
    search = _Search(instance)
    plan = search.plan()
    bound = plan["users"].size / instance.n_users if instance.n_users else 0.0
    return Plan(
        **plan,
        n_users=instance.n_users,
        playable=False,
        solver="exhaustive-online",
        status="optimal",
        bound=bound,
        elapsed=time.perf_counter() - begin,
    )


class _Search:
    """Earliest times of all states, by the number of users served."""

    def __init__(self, instance: Instance) -> None:
        self.instance, table = instance, instance.table
        self.held = [_bits(row) for row in table.has_block]
        self.sizes, self.loads = table.block_bytes.tolist(), table.block_load_ns.tolist()
        self.ready, self.deadline = instance.ready_ns.tolist(), instance.deadline_ns.tolist()
        self.upload = instance.upload_ns.tolist()
        requested = instance.requested_model.tolist()
        useful = 0
        for model in set(requested):
            useful |= self.held[model]
        self.useful = useful
        self.batches = [batch for model in sorted(set(requested)) for batch in self._batches_of(model, requested)]
        start = (0, _bits(instance.resident_blocks))
        self.earliest: dict[_State, int] = {start: 0}
        self.came_from: dict[_State, tuple[_State, int, int, int]] = {}
        self.start = start

    def _batches_of(self, model: int, requested: list[int]) -> list[tuple[int, int, int, int, int, int]]:
        """All sets of users of a model: model, users as bits, uploads, compute, when all are there, first deadline."""
        table, users = self.instance.table, [k for k, asked in enumerate(requested) if asked == model]
        found = []
        for choice in range(1, 1 << len(users)):
            chosen = [k for place, k in enumerate(users) if choice >> place & 1]
            if len(chosen) <= table.max_batch[model]:
                compute = len(chosen) * int(table.compute_ns_per_sample[model]) + int(table.compute_ns_per_batch[model])
                uploads, ready = sum(self.upload[k] for k in chosen), max(self.ready[k] for k in chosen)
                deadline = min(self.deadline[k] for k in chosen)
                found.append((model, sum(1 << k for k in chosen), uploads, compute, ready, deadline))
        return found

    def plan(self) -> dict[str, Any]:
        """The arrays of a best plan; among the best the one that ends first."""
        layers: list[list[_State]] = [[] for _ in range(self.instance.n_users + 1)]
        layers[0].append(self.start)
        for layer in layers:
            for state in layer:
                for after in self._expand(state):
                    layers[after[0].bit_count()].append(after)
        last = max((layer for layer in layers if layer), key=lambda layer: layer[0][0].bit_count())
        best = min(last, key=lambda state: self.earliest[state])
        return self._arrays(best)

    def _expand(self, state: _State) -> list[_State]:
        """Try all batches from a state; states that are new."""
        served, resident = state
        now, new = self.earliest[state], []
        for model, users, uploads, compute, ready, deadline in self.batches:
            if users & served:
                continue
            start = max(now, ready)
            load = self._load(model, resident)
            finish = start + (max(uploads, load) if self.instance.overlap == "upload" else uploads + load) + compute
            if finish > deadline:
                continue
            for kept in self._kept(model, resident):
                after = (served | users, kept | self.held[model])
                if finish < self.earliest.get(after, 2**62):
                    if after not in self.earliest:
                        new.append(after)
                    self.earliest[after] = finish
                    self.came_from[after] = (state, model, users, start)
        return new

    def _load(self, model: int, resident: int) -> int:
        missing: int = sum(self.loads[j] for j in _ones(self.held[model] & ~resident))
        return missing + (self.instance.table.load_overhead_ns if missing else 0)

    def _kept(self, model: int, resident: int) -> list[int]:
        """The largest sets of other blocks that may stay; those that nobody asks for leave where room is needed."""
        others = resident & ~self.held[model]
        if self.instance.eviction == "previous":
            return [0]
        room = self.instance.cache_bytes - self._bytes(self.held[model])
        if self._bytes(others) <= room:
            return [others]
        fitting: list[int] = []
        candidates = others & self.useful
        subset = candidates
        while True:  # all subsets, larger numbers first, so that a superset comes before its subsets
            if self._bytes(subset) <= room and not any(subset & ~larger == 0 for larger in fitting):
                fitting.append(subset)
            if subset == 0:
                return fitting
            subset = (subset - 1) & candidates

    def _bytes(self, blocks: int) -> int:
        return sum(self.sizes[j] for j in _ones(blocks))

    def _arrays(self, state: _State) -> dict[str, Any]:
        rows: list[list[int]] = []
        users: list[int] = []
        evicted: list[int] = []
        ends = [0]
        steps = []
        while state in self.came_from:
            before, model, chosen, start = self.came_from[state]
            steps.append((before, state, model, chosen, start))
            state = before
        for before, after, model, chosen, start in reversed(steps):
            served = list(_ones(chosen))
            uploads, load = sum(self.upload[k] for k in served), self._load(model, before[1])
            table = self.instance.table
            compute = len(served) * int(table.compute_ns_per_sample[model]) + int(table.compute_ns_per_batch[model])
            rows.append([model, len(served), start, uploads, load, compute, self.earliest[after]])
            users += served
            evicted += list(_ones(before[1] & ~after[1]))
            ends.append(len(evicted))
        n = len(rows)
        return {
            "history": np.array(rows, dtype=np.int64).reshape(n, 7),
            "users": np.array(users, dtype=np.int64),
            "upload_ns": np.array([self.upload[k] for k in users], dtype=np.int64),
            "evicted": np.array(evicted, dtype=np.int64),
            "evicted_start": np.array(ends, dtype=np.int64),
            "waits": np.zeros(n + 1, dtype=np.int64),
            "preferred": np.full(n, -1, dtype=np.int64),
        }


def _bits(flags: Any) -> int:
    return sum(1 << place for place in np.flatnonzero(flags).tolist())


def _ones(bits: int) -> Any:
    """Places of the bits that are set, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
