"""What was decided, and the timeline it implies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pl_env.errors import InvalidValue
from pl_env.partial_loading.dynamics import COMPUTE, FINISH, LOAD, MODEL, SIZE, UPLOAD
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.runs import queue_of, run_timeline, times_of
from pl_env.ranges import require, require_integer
from pl_env.times import NS_PER_SECOND
from pl_env.wireless import bandwidth_shares


@dataclass(frozen=True)
class Batch:
    """One batch of a schedule.

    Attributes:
        model: Model that runs.
        users: Users served, by index in the instance.
        bandwidth_shares: Share y_k of the band for each user during the upload.
        upload_seconds: Until all of them have sent their data, equation (11).
        load_seconds: To load the blocks that are not resident, equation (8).
        compute_seconds: For the forward pass, equation (9).
        finish_seconds: Since the start of the schedule, at the end of the batch.
    """

    model: int
    users: tuple[int, ...]
    bandwidth_shares: tuple[float, ...]
    upload_seconds: float
    load_seconds: float
    compute_seconds: float
    finish_seconds: float


@dataclass(frozen=True, eq=False)
class Schedule:
    """A sequence of batches, one starting when the one before it ends.

    Attributes:
        history: int64 (N, 6), one row per batch: model, batch size, then nanoseconds of upload, load and compute,
            and the finishing nanosecond.
        users: int64 (served,), users in the order in which they are served, batch by batch.
        user_upload_ns: int64 (served,), each one's upload time alone on the whole band when served.
        n_users: Number of users K of the instance.
        equal_bandwidth_channels: 0 for optimal bandwidth shares; r where the band is cut into r equal channels.
        loads_in_full: Every model loads all of its blocks, whatever is resident, unless it is resident itself.
        solver: Name of what made the schedule.
        status: "optimal" where no schedule serves more users, else "feasible".
        upper_bound: No schedule serves more users than this; K where nothing better is known.
        elapsed: Seconds the solver took.
        SENSE: "max": the more users are served, the better.
    """

    SENSE: ClassVar[str] = "max"

    history: NDArray[np.int64]
    users: NDArray[np.int64]
    user_upload_ns: NDArray[np.int64]
    n_users: int
    equal_bandwidth_channels: int = 0
    loads_in_full: bool = False
    solver: str = ""
    status: str = "feasible"
    upper_bound: int = None  # type: ignore[assignment]  # K, set in __post_init__
    elapsed: float = 0.0

    def __post_init__(self) -> None:
        if self.upper_bound is None:
            object.__setattr__(self, "upper_bound", self.n_users)

    @classmethod
    def from_runs(
        cls,
        instance: Instance,
        models: ArrayLike,
        counts: ArrayLike,
        *,
        equal_bandwidth_channels: int = 0,
        solver: str = "",
        upper_bound: int | None = None,
        elapsed: float = 0.0,
    ) -> Schedule:
        """The schedule that serves so many users of one model, then so many of another, and so on.

        Each run takes the model's cheapest pending users (Theorem 2), in as few batches as fit, all full but the last,
        or but the first for equal channels. A model may run more than once. Whether all ends before the deadline is for
        `pl_env.check` to say.

        Args:
            instance: The instance.
            models: Integers (R,), model of each run.
            counts: Integers (R,), users that each run serves.
            equal_bandwidth_channels: 0 for optimal bandwidth shares; r cuts the band into r equal channels.
            solver: Name of what chose the runs.
            upper_bound: No schedule serves more users than this; K where nothing better is known. Where it is attained
                the status is "optimal".
            elapsed: Seconds the solver took.

        Raises:
            InvalidValue: A model does not exist or fit into memory, or a run serves nobody or more users than are
                pending.
        """
        require_integer("equal_bandwidth_channels", equal_bandwidth_channels, 0, 1024)
        times = times_of(instance, equal_bandwidth_channels)
        models, counts = _whole_numbers("models", models), _whole_numbers("counts", counts)
        require(len(counts) == len(models), "len(counts)", len(counts), f"{len(models)}, as there are so many models")
        pending = np.bincount(instance.requested_model, minlength=instance.n_models)
        for run, (model, count) in enumerate(zip(models.tolist(), counts.tolist(), strict=True)):
            require_integer(f"models[{run}]", model, 0, instance.n_models - 1)
            require(times.batch_limit[model] > 0, f"models[{run}]", model, "a model that fits into memory")
            pending_users = int(pending[model])
            allowed = f"from 1 to {pending_users}, the pending users of model {model}"
            require(1 <= count <= pending_users, f"counts[{run}]", count, allowed)
            pending[model] -= count
        queue = queue_of(instance.n_models, instance.requested_model, instance.upload_ns)
        history, users, user_upload_ns = run_timeline(
            times, queue, models, counts, instance.resident, equal_bandwidth_channels
        )
        bound = instance.n_users if upper_bound is None else upper_bound
        return cls(
            history=history,
            users=users,
            user_upload_ns=user_upload_ns,
            n_users=instance.n_users,
            equal_bandwidth_channels=equal_bandwidth_channels,
            solver=solver,
            status="optimal" if len(users) == bound else "feasible",
            upper_bound=bound,
            elapsed=elapsed,
        )

    def __len__(self) -> int:
        return len(self.history)

    @property
    def served(self) -> int:
        """Number of users served."""
        return len(self.users)

    @property
    def served_ratio(self) -> float:
        """Users served / K; 0 where there are no users."""
        return self.served / self.n_users if self.n_users else 0.0

    @property
    def objective(self) -> float:
        """The served user ratio."""
        return self.served_ratio

    @property
    def bound(self) -> float:
        """No schedule serves a larger ratio of the users than this."""
        return self.upper_bound / self.n_users if self.n_users else 0.0

    @property
    def finish_seconds(self) -> float:
        """Seconds from the start to the end of the last batch."""
        return self.finish_ns / NS_PER_SECOND

    @property
    def finish_ns(self) -> int:
        """Nanoseconds from the start to the end of the last batch."""
        return int(self.history[-1, FINISH]) if len(self.history) else 0

    @property
    def batch_start(self) -> NDArray[np.int64]:
        """Where each batch begins in ``users``, int64 (N + 1,)."""
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.history[:, SIZE])])

    @cached_property
    def batches(self) -> tuple[Batch, ...]:
        """The batches, in order."""
        start = self.batch_start
        return tuple(self._batch(n, slice(start[n], start[n + 1])) for n in range(len(self.history)))

    def _batch(self, n: int, members: slice) -> Batch:
        row = self.history[n]
        if self.equal_bandwidth_channels:
            shares = np.full(int(row[SIZE]), 1.0 / self.equal_bandwidth_channels)
        else:
            shares = bandwidth_shares(self.user_upload_ns[members])
        return Batch(
            model=int(row[MODEL]),
            users=tuple(self.users[members].tolist()),
            bandwidth_shares=tuple(shares.tolist()),
            upload_seconds=int(row[UPLOAD]) / NS_PER_SECOND,
            load_seconds=int(row[LOAD]) / NS_PER_SECOND,
            compute_seconds=int(row[COMPUTE]) / NS_PER_SECOND,
            finish_seconds=int(row[FINISH]) / NS_PER_SECOND,
        )

    def actions(self, env: Any) -> list[int]:
        """The actions that replay the schedule in an environment, wrapped or not, that plays its instance.

        Raises:
            InvalidValue: A batch is larger than the batch cap b_cap of the environment's scenario.
        """
        batch_cap = env.unwrapped.scenario.max_batch_size
        largest = int(self.history[:, SIZE].max(initial=0))
        require(largest <= batch_cap, "the schedule's largest batch", largest, f"at most the batch cap, {batch_cap}")
        return [int(model) * batch_cap + int(size) - 1 for model, size in self.history[:, [MODEL, SIZE]]]

    def __repr__(self) -> str:
        return f"<Schedule {self}>"

    def __str__(self) -> str:
        return (
            f"{self.solver or 'schedule'}: {self.served} of {self.n_users} users served in {len(self)} batches, "
            f"done after {self.finish_seconds * 1e3:.1f} ms ({self.status})"
        )


def _whole_numbers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidValue(f"{name} is {values!r}; it must be a sequence of integers")
    return array.astype(np.int64)
