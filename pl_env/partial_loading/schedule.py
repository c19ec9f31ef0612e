"""What was decided, and the timeline it implies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.partial_loading.dynamics import COMPUTE, FINISH, LOAD, MODEL, SIZE, UPLOAD
from pl_env.ranges import require
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
        solver: Name of what made the schedule.
        status: "optimal" where no schedule serves more users, else "feasible".
        upper_bound: No schedule serves more users than this; K where nothing better is known.
        elapsed: Seconds the solver took.
    """

    SENSE: ClassVar[str] = "max"

    history: NDArray[np.int64]
    users: NDArray[np.int64]
    user_upload_ns: NDArray[np.int64]
    n_users: int
    equal_bandwidth_channels: int = 0
    solver: str = ""
    status: str = "feasible"
    upper_bound: int = None  # type: ignore[assignment]  # K, set in __post_init__
    elapsed: float = 0.0

    def __post_init__(self) -> None:
        if self.upper_bound is None:
            object.__setattr__(self, "upper_bound", self.n_users)

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
        """The actions that replay the schedule in an environment, wrapped or not.

        Raises:
            InvalidValue: A batch is larger than the batch cap b_cap of the environment's scenario.
        """
        batch_cap = env.unwrapped.scenario.max_batch_size
        largest = int(self.history[:, SIZE].max(initial=0))
        require(largest <= batch_cap, "the schedule's largest batch", largest, f"at most the batch cap, {batch_cap}")
        return [int(model) * batch_cap + int(size) - 1 for model, size in self.history[:, [MODEL, SIZE]]]

    def __str__(self) -> str:
        return (
            f"{self.solver or 'schedule'}: {self.served} of {self.n_users} users served in {len(self)} batches, "
            f"done after {self.finish_seconds * 1e3:.1f} ms ({self.status})"
        )
