"""Online: tiny random instances, a plain episode, and brute force, which share no code with the library."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

import pl_env
from pl_env.online import Instance, Scenario
from pl_env.online.env import PartialLoadingOnlineEnv
from tests import helpers

MS = 1_000_000


def tiny(requests: list[tuple[float, int]], megabytes: int = 180, eviction: str = "lru", deadline: float = 200.0):
    """The preset tiny with given requests, (arrival in ms, model); uploads take 0.1 ms, deadlines are relative."""
    scenario = Scenario.preset("tiny", cache_bytes=megabytes * 10**6, eviction=eviction)
    users = np.zeros((len(requests), 5), dtype=np.int64)
    for user, (arrival, model) in zip(users, requests, strict=True):
        user[:] = (model, arrival * MS, (arrival + deadline) * MS, 0.1 * MS, arrival * MS)
    return scenario.instance(users)


def changed(instance: Instance, **fields) -> Instance:
    """The instance with fields replaced."""
    return dataclasses.replace(instance, **fields)


def random_instance(
    rng: np.random.Generator,
    *,
    eviction: str | None = None,
    most_users: int = 6,
    most_models: int = 4,
    mid: bool = False,
) -> Instance:
    """A handful of users and models with small integer times, so that ties and tight deadlines are common.

    Args:
        rng: The source of randomness.
        eviction: The rule; any unless given.
        most_users: Nobody at all is possible, too.
        most_models: At least one.
        mid: As an episode is in the middle: some users have come before, something is resident.
    """
    blocks = (helpers.clustered_blocks, helpers.arbitrary_blocks, helpers.unshared_blocks)[int(rng.integers(3))]
    table = helpers.random_instance(rng, blocks, most_models=most_models).table
    n_models, n_blocks = table.has_block.shape
    n_users = int(rng.integers(0, most_users + 1))
    arrival = np.sort(rng.integers(-10 if mid else 0, 40, size=n_users))
    ready = np.maximum.accumulate(arrival + (rng.integers(0, 3, size=n_users) if rng.random() < 0.3 else 0))
    largest = int((table.has_block @ table.block_bytes).max(initial=0))
    cache = largest + int(rng.integers(0, 12))
    resident = np.zeros(n_blocks, dtype=bool)
    before = np.sort(rng.integers(-8, 1, size=int(rng.integers(0, 5)) if mid else 0))
    eviction = str(rng.choice(["previous", "lru", "demand"])) if eviction is None else eviction
    if mid:
        for block in rng.permutation(n_blocks):
            trial = resident.copy()
            trial[block] = True
            if rng.random() < 0.6 and table.block_bytes[trial].sum() <= cache:
                resident = trial
    return Instance(
        table=table,
        requested_model=rng.integers(n_models, size=n_users),
        arrival_ns=arrival,
        deadline_ns=ready + rng.integers(0, 40, size=n_users),
        upload_ns=rng.integers(0, 6, size=n_users),
        cache_bytes=cache,
        ready_ns=ready,
        eviction=eviction,
        overlap="upload" if rng.random() < 0.3 else "none",
        resident_blocks=resident,
        last_used=-rng.integers(0, 4, size=n_blocks) if mid else None,
        before_model=rng.integers(n_models, size=len(before)),
        before_ns=before,
    )


def env_for(given: Instance, *, batch_cap: int | None = None, **arguments) -> PartialLoadingOnlineEnv:
    """An environment that can replay the instance."""
    server = pl_env.EdgeServer(profiles=(pl_env.ComputeProfile("toy", 0, 0, 0),))
    library = pl_env.ModelLibrary(given.has_block, given.block_bytes, ("toy",) * given.n_models)
    scenario = Scenario().override(
        library=library,
        server=server,
        max_batch_size=batch_cap or max(1, int(given.table.max_batch.max())),
        cache_bytes=max(int(given.cache_bytes), int((given.has_block @ given.block_bytes).max(initial=0))),
        eviction=given.eviction,
        overlap=given.overlap,
        arrival_rate=1.0,
        episode_seconds=2.0,
        relative_deadline=(40e-9, 40e-9),
    )
    return PartialLoadingOnlineEnv(scenario, **arguments)


# ---------------------------------------------------------------- a plain episode


class PlainEpisode:
    """An episode in plain Python sets, to hold the environment against."""

    def __init__(self, given: Instance, batch_cap: int) -> None:
        self.given, self.batch_cap, self.now = given, batch_cap, 0
        self.gone: set[int] = set()
        self.expired: set[int] = set()
        self.resident = set(np.flatnonzero(given.resident_blocks).tolist())
        self.used = {j: int(given.last_used[j]) for j in range(given.n_blocks)}
        self.n_batches = 0
        self.rows: list[tuple[int, list[int], int, int]] = []
        self.settle()

    def blocks(self, model: int) -> set[int]:
        return set(np.flatnonzero(self.given.has_block[model]).tolist())

    def pending(self, model: int | None = None) -> list[int]:
        given = self.given
        users = [
            k
            for k in range(given.n_users)
            if given.ready_ns[k] <= self.now
            and k not in self.gone
            and k not in self.expired
            and model in (None, given.requested_model[k])
        ]
        return sorted(users, key=lambda k: (given.deadline_ns[k], given.upload_ns[k], k))

    def to_come(self) -> list[int]:
        return [int(time) for time in self.given.ready_ns if time > self.now]

    def load(self, model: int) -> int:
        missing = int(sum(self.given.table.block_load_ns[j] for j in self.blocks(model) - self.resident))
        return missing + (self.given.table.load_overhead_ns if missing else 0)

    def time(self, model: int, users: list[int]) -> int:
        table, upload = self.given.table, int(sum(self.given.upload_ns[k] for k in users))
        load = self.load(model)
        first = max(upload, load) if self.given.overlap == "upload" else upload + load
        return first + int(table.compute_ns_per_sample[model]) * len(users) + int(table.compute_ns_per_batch[model])

    def window(self, model: int, size: int) -> list[int] | None:
        waiting = self.pending(model)
        if size > min(int(self.given.table.max_batch[model]), self.batch_cap):
            return None
        for start in range(len(waiting) - size + 1):
            users = waiting[start : start + size]
            if self.now + self.time(model, users) <= self.given.deadline_ns[users[0]]:
                return users
        return None

    def sizes(self, model: int) -> list[int]:
        return [size for size in range(1, self.batch_cap + 1) if self.window(model, size)]

    def any_legal(self) -> bool:
        return any(self.sizes(model) for model in range(self.given.n_models))

    def mask(self) -> list[int]:
        n_models = self.given.n_models
        if not self.any_legal():
            return [1] * (n_models * self.batch_cap + 1)
        cells = [self.window(i, b) is not None for i in range(n_models) for b in range(1, self.batch_cap + 1)]
        return [*map(int, cells), int(bool(self.to_come()))]

    def settle(self) -> None:
        """Drop the hopeless; go on to the next users while nothing is legal."""
        while True:
            table = self.given.table
            for k in self.pending():
                model = int(self.given.requested_model[k])
                least = int(table.compute_ns_per_sample[model] + table.compute_ns_per_batch[model])
                if self.now + int(self.given.upload_ns[k]) + least > self.given.deadline_ns[k]:
                    self.expired.add(k)
            if self.any_legal() or not self.to_come():
                return
            self.now = min(self.to_come())

    def demand(self, model: int) -> int:
        since = self.now - 3_000_000_000
        came = [
            *zip(self.given.requested_model, self.given.ready_ns, strict=True),
            *zip(self.given.before_model, self.given.before_ns, strict=True),
        ]
        return sum(since < time <= self.now and asked == model for asked, time in came)

    def key(self, block: int) -> tuple[int, int, int]:
        holders = [i for i in range(self.given.n_models) if self.given.has_block[i, block]]
        first = self.used[block] if self.given.eviction == "lru" else sum(self.demand(i) for i in holders)
        return first, len(holders), -block

    def step(self, action: int, preferred: int = -1) -> int:
        """Take a legal action; how many users are served."""
        if action == self.given.n_models * self.batch_cap:
            self.now = min(self.to_come())
            self.settle()
            return 0
        model, size = action // self.batch_cap, action % self.batch_cap + 1
        users = self.window(model, size)
        finish = self.now + self.time(model, users)
        leaving = sorted(self.resident - self.blocks(model), key=self.key)
        if preferred >= 0:
            leaving.sort(key=lambda j: j not in self.blocks(preferred))
        while leaving and (
            self.given.eviction == "previous"
            or sum(int(self.given.block_bytes[j]) for j in self.resident | self.blocks(model)) > self.given.cache_bytes
        ):
            self.resident.discard(leaving.pop(0))
        self.n_batches += 1
        self.resident |= self.blocks(model)
        self.used |= dict.fromkeys(self.blocks(model), self.n_batches)
        self.gone |= set(users)
        self.rows.append((model, users, self.now, finish))
        self.now = finish
        self.settle()
        return size


# ---------------------------------------------------------------- brute force


def brute_force_served(given: Instance) -> int:
    """Most users served: all sets of users, all sets of blocks that may stay, by depth-first search."""
    table = given.table
    previous = given.eviction == "previous"
    seen: dict[tuple[frozenset[int], frozenset[int]], int] = {}
    best = 0

    def explore(pending: frozenset[int], resident: frozenset[int], now: int) -> None:
        nonlocal best
        if seen.get((pending, resident), 2**62) <= now:
            return
        seen[pending, resident] = now
        best = max(best, given.n_users - len(pending))
        for model in range(given.n_models):
            held = frozenset(np.flatnonzero(given.has_block[model]).tolist())
            asking = [k for k in pending if given.requested_model[k] == model]
            missing = int(sum(table.block_load_ns[j] for j in held - resident))
            load = missing + (table.load_overhead_ns if missing else 0)
            for size in range(1, min(len(asking), int(table.max_batch[model])) + 1):
                for users in itertools.combinations(asking, size):
                    upload = int(sum(given.upload_ns[k] for k in users))
                    first = max(upload, load) if given.overlap == "upload" else upload + load
                    time = (
                        first + size * int(table.compute_ns_per_sample[model]) + int(table.compute_ns_per_batch[model])
                    )
                    start = max([now, *(int(given.ready_ns[k]) for k in users)])
                    if start + time > min(int(given.deadline_ns[k]) for k in users):
                        continue
                    others = sorted(resident - held)
                    for kept in [()] if previous else subsets(others):
                        after = held | set(kept)
                        fits = previous or sum(int(given.block_bytes[j]) for j in after) <= given.cache_bytes
                        if fits:
                            explore(pending - set(users), frozenset(after), start + time)

    explore(frozenset(range(given.n_users)), frozenset(np.flatnonzero(given.resident_blocks).tolist()), 0)
    return best


def subsets(values: list[int]):
    """All subsets, the largest first."""
    for size in range(len(values), -1, -1):
        yield from itertools.combinations(values, size)
