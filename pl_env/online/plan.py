"""What was decided, and the timeline that it implies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import InvalidValue
from pl_env.online.arrays import (
    H_EVICTED_END,
    H_FINISH,
    H_PREFERRED,
    H_SIZE,
    H_WAITS,
    N_BATCHES,
    N_EVICTED,
    N_USERS,
    N_WAITS,
    SERVED,
    UPLOAD,
    Episode,
)
from pl_env.online.instance import Instance
from pl_env.ranges import require
from pl_env.times import NS_PER_SECOND

Ints = NDArray[np.int64]

ROW_MODEL, ROW_SIZE, ROW_START, ROW_UPLOAD, ROW_LOAD, ROW_COMPUTE, ROW_FINISH = range(7)
ROW_COLUMNS = 7


@dataclass(frozen=True, eq=False)
class Plan:
    """A sequence of batches, each starting when the one before has ended or later.

    Attributes:
        history: int64 (N, 7), a row for each batch: model, size, then nanoseconds: start since the start of the
            instance, upload, load, compute, finish.
        users: int64 (served,), users in the order in which they are served, batch by batch.
        upload_ns: int64 (served,), the upload time of each.
        evicted: int64 (E,), blocks that leave memory, in order.
        evicted_start: int64 (N + 1,), where those begin that leave at the start of each batch.
        n_users: Number of users K of the instance.
        waits: int64 (N + 1,), decisions to wait before each batch, and after the last.
        preferred: int64 (N,), the model that an agent named, whose blocks left first; -1 for none.
        playable: Whether an environment of the instance can play it: its users are windows, and what leaves is what the
            rule of eviction says.
        solver: Name of what made the plan.
        status: "optimal" where no plan serves more users, else "feasible".
        bound: No plan serves a larger share of the users.
        elapsed: Seconds the solver took.
        SENSE: "max": the more users are served, the better.
    """

    SENSE: ClassVar[str] = "max"

    history: Ints
    users: Ints
    upload_ns: Ints
    evicted: Ints
    evicted_start: Ints
    n_users: int
    waits: Ints
    preferred: Ints
    playable: bool = True
    solver: str = ""
    status: str = "feasible"
    bound: float = 1.0
    elapsed: float = 0.0

    @classmethod
    def of_episode(cls, instance: Instance, e: Episode, **about: Any) -> Plan:
        """What has happened in an episode that keeps its history.

        Args:
            instance: The instance that it plays.
            e: The episode, in row 0.
            **about: ``playable``, ``solver``, ``status``, ``bound`` and ``elapsed``.
        """
        state = e.state[0]
        rows = e.history[0, : state[N_BATCHES]]
        served = e.served[0, : state[SERVED]].copy()
        return cls(
            history=rows[:, : H_FINISH + 1].copy(),
            users=served,
            upload_ns=e.users[0, served, UPLOAD],
            evicted=e.evicted[0, : state[N_EVICTED]].copy(),
            evicted_start=np.append(0, rows[:, H_EVICTED_END]),
            n_users=int(state[N_USERS]),
            waits=np.append(rows[:, H_WAITS], state[N_WAITS]),
            preferred=rows[:, H_PREFERRED].copy(),
            **about,
        )

    def __len__(self) -> int:
        return len(self.history) + int(self.waits.sum())

    @property
    def served(self) -> int:
        """Number of users served."""
        return len(self.users)

    @property
    def goodput(self) -> float:
        """Users served / K; 0 where there are no users."""
        return self.served / self.n_users if self.n_users else 0.0

    @property
    def objective(self) -> float:
        """`goodput`."""
        return self.goodput

    @property
    def finish_seconds(self) -> float:
        """Seconds from the start to the end of the last batch."""
        return int(self.history[-1, ROW_FINISH]) / NS_PER_SECOND if len(self.history) else 0.0

    def response_ns(self, instance: Instance) -> Ints:
        """Nanoseconds from each served user's arrival to the end of the batch, int64 (served,)."""
        finish = np.repeat(self.history[:, ROW_FINISH], self.history[:, ROW_SIZE])
        return np.asarray(finish - instance.arrival_ns[self.users])

    def loaded_bytes(self, instance: Instance) -> Ints:
        """Bytes that each batch loads, int64 (N,)."""
        resident, loaded = instance.resident_blocks.copy(), np.zeros(len(self.history), dtype=np.int64)
        for n, model in enumerate(self.history[:, ROW_MODEL].tolist()):
            held = instance.has_block[model]
            loaded[n] = instance.block_bytes[held & ~resident].sum()
            resident[self.evicted[self.evicted_start[n] : self.evicted_start[n + 1]]] = False
            resident |= held
        return loaded

    def actions(self, env: Any) -> list[Any]:
        """The actions that replay the plan in an environment, wrapped or not, that plays its instance.

        Raises:
            InvalidValue: It cannot be played, or a batch is larger than the batch cap b_cap of the environment.
        """
        if not self.playable:
            raise InvalidValue(f"plan of {self.solver} chooses users or blocks to evict freely; no actions do that")
        scenario = env.unwrapped.scenario
        batch_cap, n_models = scenario.max_batch_size, scenario.n_models
        largest = int(self.history[:, H_SIZE].max(initial=0))
        require(largest <= batch_cap, "the plan's largest batch", largest, f"at most the batch cap, {batch_cap}")
        waiting = n_models * batch_cap
        numbers = (self.history[:, ROW_MODEL] * batch_cap + self.history[:, ROW_SIZE] - 1).tolist()
        preferred = np.where(self.preferred < 0, n_models, self.preferred).tolist()
        actions = []
        for waits, number, first in zip(self.waits.tolist(), [*numbers, None], [*preferred, None], strict=True):
            actions += [(waiting, n_models)] * waits
            if number is not None:
                actions.append((number, first))
        if scenario.eviction == "agent":
            return [np.array(pair) for pair in actions]
        return [number for number, _ in actions]

    def __repr__(self) -> str:
        return f"<Plan {self}>"

    def __str__(self) -> str:
        return (
            f"{self.solver or 'plan'}: {self.served} of {self.n_users} users served in {len(self.history)} batches, "
            f"done after {self.finish_seconds:.3f} s ({self.status})"
        )
