"""A second opinion on PartialLoading, in plain Python integers, written from docs/model.md.

It imports nothing of the library and reads of an instance only what is given: who holds which block, times, requests.
Slow and short on purpose; integers of Python cannot overflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

LONGEST_UPLOAD_NS = 10**14
"""Longest upload of one user that an instance may hold; under fading a schedule's record of uploads is held to it."""

Batch = tuple[int, list[int], list[int]]
"""Model, its users, and each one's upload nanoseconds alone on the whole band."""


@dataclass
class Problem:
    """An instance in plain Python.

    Attributes:
        blocks: The blocks of each model.
        block_ns: Loading nanoseconds of each block.
        overhead_ns: Nanoseconds c0 that a load of anything takes besides.
        measured_ns: Loading nanoseconds, row = resident model (last row: empty GPU); None where V gives
            them.
        per_sample, per_batch: Compute nanoseconds mu and beta of each model.
        largest: Largest batch of each model.
        wants: Model that each user asks for.
        upload_ns: Upload nanoseconds of each user.
        deadline_ns: Nanosecond by which a batch must end.
        resident: Model on the GPU at the start, or -1.
        redraws: Whether channels are drawn anew before every batch but the first.
    """

    blocks: list[frozenset[int]]
    block_ns: list[int]
    overhead_ns: int
    measured_ns: list[list[int]] | None
    per_sample: list[int]
    per_batch: list[int]
    largest: list[int]
    wants: list[int]
    upload_ns: list[int]
    deadline_ns: int
    resident: int = -1
    redraws: bool = False
    known_loads: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, instance: Any) -> Problem:
        """What an instance says."""
        return cls(
            blocks=[frozenset(j for j, has in enumerate(row) if has) for row in instance.has_block.tolist()],
            block_ns=instance.block_load_ns.tolist(),
            overhead_ns=int(instance.load_overhead_ns),
            measured_ns=None if instance.table.affine else instance.load_ns.tolist(),
            per_sample=instance.compute_ns_per_sample.tolist(),
            per_batch=instance.compute_ns_per_batch.tolist(),
            largest=instance.max_batch.tolist(),
            wants=instance.requested_model.tolist(),
            upload_ns=instance.upload_ns.tolist(),
            deadline_ns=int(instance.deadline_ns),
            resident=int(instance.resident),
            redraws=instance.fading == "batch",
        )

    def load_ns(self, resident: int, model: int, in_full: bool = False) -> int:
        """Equation (8): V of the model's blocks that the resident model (-1: none) does not hold, or of all of them."""
        if in_full and resident != model:
            return max(self.load_ns(other, model) for other in range(-1, len(self.blocks)))
        key = resident, model
        if key not in self.known_loads:
            self.known_loads[key] = self._load_ns(resident, model)
        return self.known_loads[key]

    def _load_ns(self, resident: int, model: int) -> int:
        if self.measured_ns is not None:
            return self.measured_ns[resident if resident >= 0 else -1][model]
        missing = self.blocks[model] - (self.blocks[resident] if resident >= 0 else frozenset())
        size = sum(self.block_ns[j] for j in missing)
        return size + self.overhead_ns if size else 0

    def compute_ns(self, model: int, size: int) -> int:
        """Equation (9)."""
        return self.per_sample[model] * size + self.per_batch[model]


def upload_time(uploads: Sequence[int], channels: int) -> int:
    """Equation (11); or (16) with r equal channels, where the slowest user decides."""
    return channels * max(uploads) if channels else sum(uploads)


@dataclass
class Plan:
    """A schedule in plain lists.

    Attributes:
        rows: For each batch model, size, nanoseconds of upload, load and compute, and the nanosecond of its end.
        users: Users in the order of service.
        uploads: Their upload nanoseconds alone on the whole band.
        n_users: Users of the instance that it is meant for.
        channels: 0 for optimal shares of the band, r for r equal channels.
        in_full: Every model loads all that it has, unless it is resident itself.
    """

    rows: list[list[int]]
    users: list[int]
    uploads: list[int]
    n_users: int
    channels: int = 0
    in_full: bool = False


def timed(problem: Problem, batches: Iterable[Batch], channels: int = 0, in_full: bool = False) -> Plan:
    """The schedule of these batches with true times, whether or not it keeps the constraints."""
    plan = Plan([], [], [], len(problem.wants), channels, in_full)
    resident, now = problem.resident, 0
    for model, users, uploads in batches:
        upload = upload_time(uploads, channels) if uploads else 0
        load, compute = problem.load_ns(resident, model, in_full), problem.compute_ns(model, len(users))
        now += upload + load + compute
        plan.rows.append([model, len(users), upload, load, compute, now])
        plan.users += users
        plan.uploads += uploads
        resident = model
    return plan


def fault(problem: Problem, plan: Plan) -> str | None:
    """The first constraint that a schedule breaks, or None where it keeps them all."""
    if plan.n_users != len(problem.wants):
        return "it is for another number of users"
    if plan.channels < 0:
        return "fewer than no channels"
    served: set[int] = set()
    resident, now, first = problem.resident, 0, 0
    for n, (model, size, upload, load, compute, finish) in enumerate(plan.rows):
        if not 0 <= model < len(problem.blocks):
            return f"batch {n}: no such model"
        if not 1 <= size <= problem.largest[model]:
            return f"batch {n}: nobody, or more than the largest batch (10c)"
        if plan.channels and size > plan.channels:
            return f"batch {n}: more users than channels (5)"
        users, uploads = plan.users[first : first + size], plan.uploads[first : first + size]
        if len(users) < size or len(uploads) < size:
            return f"batch {n}: users are missing"
        first += size
        for user, alone in zip(users, uploads, strict=True):
            if not 0 <= user < len(problem.wants):
                return f"batch {n}: no such user"
            if user in served:
                return f"batch {n}: served twice (3)"
            served.add(user)
            if problem.wants[user] != model:
                return f"batch {n}: another model was asked for (10d)"
            if problem.redraws and n > 0:
                if not 0 <= alone <= LONGEST_UPLOAD_NS:
                    return f"batch {n}: an upload out of range"
            elif alone != problem.upload_ns[user]:
                return f"batch {n}: not the user's upload time"
        if upload != upload_time(uploads, plan.channels):
            return f"batch {n}: upload (11), (16)"
        if load != problem.load_ns(resident, model, plan.in_full):
            return f"batch {n}: load (8)"
        if compute != problem.compute_ns(model, size):
            return f"batch {n}: compute (9)"
        now += upload + load + compute
        if finish != now:
            return f"batch {n}: finish (1)"
        if finish > problem.deadline_ns:
            return f"batch {n}: deadline (13c)"
        resident = model
    if first != len(plan.users) or first != len(plan.uploads):
        return "users in no batch"
    return None


def most_served(problem: Problem, channels: int = 0) -> int:
    """The largest number of users of any schedule: every sequence of batches of any users whatsoever.

    What follows a batch depends on who is served, on the model on the GPU and on the time, and less time allows more.
    So the least time for every set of users and every model served last is all there is to know. No theorem is used.
    """
    n_users = len(problem.wants)
    everybody = (1 << n_users) - 1
    batches = _batches(problem, channels)
    least: list[dict[int, int]] = [{} for _ in range(everybody + 1)]  # set of users served -> last model -> time
    least[0][problem.resident] = 0
    best = 0
    for served in range(everybody + 1):  # a batch only adds users, so its set comes later
        for resident, now in least[served].items():
            best = max(best, served.bit_count())
            for members, model, time in batches:
                if members & served:
                    continue
                finish = now + problem.load_ns(resident, model) + time
                after = least[served | members]
                if finish <= problem.deadline_ns and finish < after.get(model, finish + 1):
                    after[model] = finish
    return best


def _batches(problem: Problem, channels: int) -> list[tuple[int, int, int]]:
    """Every batch there can be: set of users, model, and time without the load."""
    found = []
    for model, largest in enumerate(problem.largest):
        asking = [user for user, wanted in enumerate(problem.wants) if wanted == model]
        for size in range(1, min(len(asking), largest, channels or largest) + 1):
            for users in combinations(asking, size):
                time = upload_time([problem.upload_ns[user] for user in users], channels)
                found.append((sum(1 << user for user in users), model, time + problem.compute_ns(model, size)))
    return found
