"""What was decided, and the timeline that it implies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import InfeasibleSchedule
from pl_env.ranges import require
from pl_env.slide.dynamics import COMPUTE, DOWNLOAD, FREQUENCY, N_STEPS, WHOLE_BAND, time_pair
from pl_env.slide.edf import slices_of
from pl_env.slide.instance import Instance

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """One user who is served; times are nanoseconds since the start.

    Attributes:
        user: The user.
        model: The model.
        arrival_ns: When the task arrived.
        received_ns: D_l, when the first l layers are there, for each l.
        finish_ns: F_l, when layer l is computed, for each l.
        compute_ns: c_l, how long that takes, for each l.
        due_ns: When the task must be done.
    """

    user: int
    model: int
    arrival_ns: int
    received_ns: tuple[int, ...]
    finish_ns: tuple[int, ...]
    compute_ns: tuple[int, ...]
    due_ns: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Who is served, with which model and frequency, and how the band is shared: constantly, or in slices of time.

    Attributes:
        models: int64 (N,), model of each user, -1 where the user is refused; N is K in a whole plan, and how many
            were decided on in one of an episode that is under way.
        frequency_hz: int64 (N,), each device's clock frequency, 0 where the user is refused.
        n_users: Number of users K of the instance.
        shares: int64 (N,), each user's constant share of the band in millionths; or None.
        slices: int64 (S, 3), in order of time: user, start and end of a time for which the user has the whole band;
            user -1 is what was committed before. Or None.
        streams: Whether devices compute layers as they arrive, or all after the whole download.
        solver: Name of what made the plan.
        status: "optimal" where no plan serves more users, else "feasible".
        bound: No plan serves a larger share of the users.
        elapsed: Seconds the solver took.
    """

    SENSE: ClassVar[str] = "max"

    models: Ints
    frequency_hz: Ints
    n_users: int
    shares: Ints | None = None
    slices: Ints | None = None
    streams: bool = True
    solver: str = ""
    status: str = "feasible"
    bound: float = 1.0
    elapsed: float = 0.0

    @classmethod
    def from_models(cls, instance: Instance, models: Ints, *, streams: bool = True, **about: Any) -> Plan:
        """Give the whole band to the earliest due time; the plan of that.

        Args:
            instance: The instance.
            models: int64 (N,), model of each of the first N users, -1 where the user is refused.
            streams: Whether devices compute layers as they arrive.
            **about: ``solver``, ``status``, ``bound`` and ``elapsed``.

        Raises:
            InvalidValue: There is no such model, or there are more models than users.
            InfeasibleSchedule: Somebody would be late.
        """
        models = np.asarray(models)
        good = models.ndim == 1 and len(models) <= instance.n_users and models.dtype.kind in "iu"
        good = good and bool(((models >= -1) & (models < instance.n_models)).all())
        allowed = f"for each of at most {instance.n_users} users -1, or a model from 0 to {instance.n_models - 1}"
        require(good, "models", models, allowed)
        pairs, steps = instance.pairs_and_steps()
        everybody = np.arange(len(models))
        chosen, asked = pairs[everybody, models], steps[everybody, models]
        refused = models < 0
        if not streams:
            asked = np.empty((len(models), 2, 1), dtype=np.int64)
            last = instance.arrival_ns + instance.deadline_ns
            asked[:, 0, 0] = last[: len(models)] - chosen[:, COMPUTE]
            asked[:, 1, 0] = chosen[:, DOWNLOAD]
        n_steps = np.where(refused, -1, chosen[:, N_STEPS] if streams else 1)
        slices, late = slices_of(
            instance.arrival_ns[: len(models)], asked, n_steps, instance.committed_due_ns, instance.committed_rest_ns
        )
        if late < len(models):
            raise InfeasibleSchedule(f"plan: user {late} does not fit in")
        frequency = np.where(refused, 0, chosen[:, FREQUENCY])
        return cls(
            np.array(models, dtype=np.int64), frequency, instance.n_users, slices=slices, streams=streams, **about
        )

    def __repr__(self) -> str:
        return f"<Plan {self}>"

    def __len__(self) -> int:
        return len(self.models)

    @property
    def served(self) -> int:
        """Number of users served."""
        return int((self.models >= 0).sum())

    @property
    def served_ratio(self) -> float:
        """Users served / K; 0 where there are no users."""
        return self.served / self.n_users if self.n_users else 0.0

    @property
    def objective(self) -> float:
        """`served_ratio`."""
        return self.served_ratio

    def actions(self, env: Any) -> list[int]:
        """The environment's actions that admit the same users with the same models; of ``env`` nothing is needed."""
        return [int(model) + 1 for model in self.models]

    def tasks(self, instance: Instance) -> list[Task]:
        """When the served users receive and compute each layer, by the recursion."""
        return [self._task(instance, int(user)) for user in np.flatnonzero(self.models >= 0)]

    def _task(self, instance: Instance, user: int) -> Task:
        model, arrival = int(self.models[user]), int(instance.arrival_ns[user])
        layers = instance.library.layers(model)
        download, due = np.empty((2, layers.stop - layers.start), dtype=np.int64)
        time_pair(instance.tables, instance.users[user], model, int(self.frequency_hz[user]), download, due)
        deadline = int(instance.deadline_ns[user])
        compute = np.diff(np.append(due, deadline)).tolist()
        received = self._received(user, download, arrival)
        finish: list[int] = []
        for n, duration in enumerate(compute):
            there = received[n] if self.streams else received[-1]
            finish.append(max(there, finish[-1] if finish else 0) + duration)
        last = arrival + deadline
        return Task(user, model, arrival, tuple(received), tuple(finish), tuple(compute), last)

    def _received(self, user: int, download: Ints, arrival: int) -> list[int]:
        """D_l: the share's, or when the user's slices add up to a_l."""
        if self.shares is not None:
            received = arrival - (-download * WHOLE_BAND // self.shares[user])
        else:
            assert self.slices is not None
            own = self.slices[self.slices[:, 0] == user]
            sent = np.append(0, np.cumsum(own[:, 2] - own[:, 1]))
            end = np.append(arrival, own[:, 2])
            place = np.searchsorted(sent, download)
            received = end[place] - (sent[place] - download)
        return [int(time) for time in received]

    def __str__(self) -> str:
        how = "constant shares" if self.shares is not None else "shares over time"
        how += "" if self.streams else ", computing after the download"
        last = f"{self.elapsed:.3f} s, {self.status}"
        return f"{self.solver or 'plan'}: {self.served} of {self.n_users} users served, {how} ({last})"
