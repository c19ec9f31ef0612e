"""Serve for real: requests arrive by the clock, a policy decides, blocks are loaded and evicted, forward passes run.

The arrays of `pl_env.online` keep the books: before each decision their clock is set to that of the wall, and what they
say is evicted leaves the device. Uploads are waiting times.

This module needs torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.online.policies import Chooses
from baselines.online.rules import eviction_of
from pl_env.online.arrays import (
    ARRIVED,
    CHOICES,
    LAST_END,
    MISSING_BYTES,
    N_EVICTED,
    NOT_SERVED,
    NOW,
    SERVED,
    UPLOAD_NS,
    Episode,
    Tables,
)
from pl_env.online.dynamics import decide, serve
from pl_env.online.episodes import episode_of, pending_users, with_room
from pl_env.online.instance import Instance
from pl_env.ranges import require
from pl_env.real_models.execution import samples, wait_until
from pl_env.real_models.loading import BlockLoader, synchronize
from pl_env.real_models.running import ModelRunner
from pl_env.times import NS_PER_SECOND


@dataclass(frozen=True)
class Batch:
    """A batch that has run.

    Attributes:
        model: Its model.
        users: Its users, by index in the instance.
        seconds: Measured waiting for uploads (the decision included), load and compute.
        finish_ns: Nanoseconds since the start when it ended, by the clock.
        loaded_bytes: Bytes that it loaded.
        evicted: Blocks that left before.
    """

    model: int
    users: tuple[int, ...]
    seconds: tuple[float, float, float]
    finish_ns: int
    loaded_bytes: int
    evicted: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Serving:
    """What came of serving an instance for real, to its end or until somebody interrupted.

    Attributes:
        instance: The instance.
        batches: The batches.
        outputs: Their outputs.
        dropped: bool (K,), users who were dropped as hopeless.
        most_bytes: Most bytes of blocks that were on the device.
        interrupted: Whether it was interrupted.
    """

    instance: Instance
    batches: tuple[Batch, ...]
    outputs: tuple[Tensor, ...]
    dropped: NDArray[np.bool_]
    most_bytes: int
    interrupted: bool

    @property
    def finish_ns(self) -> NDArray[np.int64]:
        """When each user was served by the clock, int64 (K,), or `NOT_SERVED`."""
        finish = np.full(self.instance.n_users, NOT_SERVED, dtype=np.int64)
        for batch in self.batches:
            finish[list(batch.users)] = batch.finish_ns
        return finish

    @property
    def in_time(self) -> NDArray[np.bool_]:
        """Users served by their deadline, bool (K,)."""
        return np.asarray((self.finish_ns != NOT_SERVED) & (self.finish_ns <= self.instance.deadline_ns))

    @property
    def late(self) -> NDArray[np.bool_]:
        """Users served after their deadline, bool (K,)."""
        return np.asarray((self.finish_ns != NOT_SERVED) & (self.finish_ns > self.instance.deadline_ns))

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Users who were served or dropped, bool (K,): all of them unless it was interrupted."""
        return np.asarray(self.dropped | (self.finish_ns != NOT_SERVED))

    @property
    def goodput(self) -> float:
        """Users served in time, of those who were served or dropped; 0 of none."""
        return float(self.in_time.sum() / max(1, self.decided.sum()))


def serve_for_real(
    instance: Instance,
    policy: Chooses,
    loader: BlockLoader,
    runner: ModelRunner,
    inputs: Tensor,
    *,
    margin: float = 0.0,
    cold: bool = True,
) -> Serving:
    """Serve the users of an instance as they arrive by the clock, on an empty device; Ctrl-C ends it.

    Before the clock starts, every model is loaded and runs once with each number of users: kernels are chosen at the
    first pass of a shape, and a disk may have a cache of its own.

    Args:
        instance: Who comes when. Its loads follow each other: ``overlap`` must be "none".
        policy: Chooses the batches.
        loader: Has the models, with the instance's ``cache_bytes``.
        runner: Has their networks.
        inputs: What users send, (at least 1, …), on the device; they take turns where there are more users.
        margin: The policy sees deadlines that come earlier by this fraction, as measured times vary.
        cold: Have files read from the disk, not from the page cache.

    Raises:
        FileFormatError: A file ends early.
        InvalidValue: The instance overlaps loads and uploads.
    """
    require(instance.overlap == "none", "overlap", instance.overlap, "none: here loads follow uploads")
    own_ns = instance.deadline_ns - instance.arrival_ns
    aimed = replace(instance, deadline_ns=instance.deadline_ns - (margin * own_ns).astype(np.int64))
    tables, e = episode_of(aimed)
    server = _Server(tables, e, policy, loader, runner, inputs, cold)
    interrupted = False
    with torch.inference_mode():
        try:
            server.warm_up(aimed)
            server.run()
        except KeyboardInterrupt:
            interrupted = True
    dropped = np.zeros(instance.n_users, dtype=np.bool_)
    dropped[: server.episode.state[0, ARRIVED]] = True
    dropped[server.episode.finish[0] != NOT_SERVED] = False
    dropped[pending_users(server.episode)] = False
    done = min(len(server.batches), len(server.outputs))
    return Serving(
        instance, tuple(server.batches[:done]), tuple(server.outputs[:done]), dropped, server.most_bytes, interrupted
    )


class _Server:
    """The loop, and what it has done so far."""

    def __init__(
        self,
        tables: Tables,
        e: Episode,
        policy: Chooses,
        loader: BlockLoader,
        runner: ModelRunner,
        inputs: Tensor,
        cold: bool,
    ) -> None:
        self.tables, self.episode, self.policy = tables, e, policy
        self.loader, self.runner, self.inputs, self.cold = loader, runner, inputs, cold
        self.batches: list[Batch] = []
        self.outputs: list[Tensor] = []
        self.most_bytes = 0
        self._begin = 0.0

    def warm_up(self, instance: Instance) -> None:
        """Run everything once, then empty the device and, for a cold start, the page cache."""
        tables, e = episode_of(instance)
        if decide(tables, e, 0):  # kernels compile at their first call
            model, place = divmod(self.policy.choice(tables, e), int(e.cap[0]))
            serve(tables, e, 0, model, place + 1, eviction_of(tables), -1)
        models = np.unique(instance.requested_model).tolist()
        for model in models:
            self.loader.load(model)
            network = self.runner.bind(model, self.loader.tensors(model))
            for size in range(1, int(min(self.episode.cap[0], instance.table.max_batch[model])) + 1):
                network(samples(self.inputs, range(size)))
        self.loader.clear()
        for model in models if self.cold else []:
            self.loader.drop_pages(model)

    def run(self) -> None:
        """Serve until nobody comes any more and nobody is left."""
        self._begin = time.perf_counter()
        loaded: set[int] = set()
        while self._comes_to_decide():
            self._run_batch(loaded)

    def _now_ns(self) -> int:
        return int((time.perf_counter() - self._begin) * NS_PER_SECOND)

    def _comes_to_decide(self) -> bool:
        """Wait until somebody can be served; whether anybody will."""
        state = self.episode.state[0]
        while state[CHOICES] > 0:
            now = self._now_ns()
            if now < state[NOW]:  # `decide` has gone on to an arrival that is to come
                wait_until(self._begin + int(state[NOW]) / NS_PER_SECOND)
                continue
            state[NOW] = now
            decide(self.tables, self.episode, 0)
            if state[NOW] == now and state[CHOICES] > 0:
                return True
        return False

    def _run_batch(self, loaded: set[int]) -> None:
        begin = time.perf_counter()
        e, tables = self.episode, self.tables
        model, place = divmod(self.policy.choice(tables, e), int(e.cap[0]))
        served, evicted = int(e.state[0, SERVED]), int(e.state[0, N_EVICTED])
        missing = int(e.models[0, MISSING_BYTES, model])
        serve(tables, e, 0, model, place + 1, eviction_of(tables), -1)
        users = tuple(e.served[0, served : served + place + 1].tolist())
        leaving = tuple(e.evicted[0, evicted : int(e.state[0, N_EVICTED])].tolist())
        if self.cold and missing and model in loaded:
            self.loader.drop_pages(model)  # hidden by the uploads, unless they are short
        loaded.add(model)
        sample = samples(self.inputs, users)
        wait_until(begin + int(e.state[0, UPLOAD_NS]) / NS_PER_SECOND)
        uploaded = time.perf_counter()
        load = self.loader.load(model, evict=leaving)
        self.most_bytes = max(self.most_bytes, self.loader.resident_bytes)
        network = self.runner.bind(model, self.loader.tensors(model))
        bound = time.perf_counter()
        output = network(sample)
        synchronize(self.loader.device)
        computed = time.perf_counter()
        finish = self._now_ns()
        e.models[0, LAST_END, model] = finish
        seconds = (uploaded - begin, bound - uploaded, computed - bound)
        self.outputs.append(output)
        self.batches.append(Batch(model, users, seconds, finish, load.n_bytes, leaving))
        self.episode = with_room(e, int(e.state[0, N_EVICTED]))
