"""Many episodes side by side, for whoever knows the model: labelling of states, rollouts of a policy from any state.

The environments are what a policy is judged by; this plays given instances, or what is left of them, a thousand at a
time, and shows what the environments do not: each pending user's upload time. That an episode played here is that of
the environment, observations included, is tested.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.expected_uploads import expected_upload_ns
from baselines.partial_loading.runs import prepare
from pl_env.compiling import compiled
from pl_env.partial_loading.dynamics import batch_compute_ns
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.ranges import require
from pl_env.wireless import draw_fading_power, spectral_efficiency, upload_time_ns

Ints = NDArray[np.int64]
SingleFloats = NDArray[np.float32]


LATER_SCALE = 1.05
"""Upload time to plan with for later batches, in upload times at a user's mean rate; chosen on validation episodes by
``experiments/partial_loading/agents/fading_planners.py``."""


class Tables(NamedTuple):
    """The libraries of all episodes, one after the other; L of them, each with I models. Times in nanoseconds."""

    load_ns: Ints  # (L, I + 1, I) row = resident model, last row = empty GPU
    per_sample: Ints  # (L, I)
    per_batch: Ints  # (L, I)
    max_batch: Ints  # (L, I)


class States(NamedTuple):
    """Where N episodes stand. Users are sorted by model, then by upload time; "place" counts them in that order."""

    library: Ints  # (N,) row of the tables
    deadline_ns: Ints  # (N,)
    n_users: Ints  # (N,)
    first_place: Ints  # (N, I + 1) where each model's users begin
    next_place: Ints  # (N, I) each model's cheapest pending user
    user: Ints  # (N, K) index of the user at each place
    upload_ns: Ints  # (N, K) present upload time, by place
    later_ns: Ints  # (N, K) upload time to plan with for later batches, by place
    mean_snr: NDArray[np.float64]  # (N, K) by user
    unit_upload_ns: NDArray[np.float64]  # (N,)
    redraws: NDArray[np.bool_]  # (N,) channels are drawn anew before every batch
    resident: Ints  # (N,) model in GPU memory, or -1
    left_ns: Ints  # (N,) time left
    served: Ints  # (N,)


class Episodes:
    """N episodes played side by side, from their instances.

    Attributes:
        serving_tables: The libraries.
        tables: Their arrays.
        states: Where the episodes stand.
        observations: By name, as in the environment but for "resident", each with a leading axis of length N, float32.
        mask: bool (N, I · b_cap), the legal actions; none in an episode that has ended.
    """

    def __init__(self, instances: Sequence[Instance], batch_cap: int, later_scale: float = LATER_SCALE) -> None:
        """Begin all episodes.

        Args:
            instances: Their instances, all with the same number of models; libraries may differ.
            batch_cap: Largest batch b_cap of the action space.
            later_scale: Where channels are drawn anew, later uploads are taken as so many times the upload time at
                a user's mean rate; 0 takes them as today's.

        Raises:
            InvalidValue: There is no instance, or the numbers of models differ.
        """
        n_models = {instance.n_models for instance in instances}
        require(len(n_models) == 1, "numbers of models", sorted(n_models), "the same in all instances")
        n, k = len(instances), max(instance.n_users for instance in instances)
        tables = list({id(instance.table): instance.table for instance in instances}.values())
        rows = {id(table): row for row, table in enumerate(tables)}
        self._instances = list(instances)
        self.serving_tables = tables
        self.tables = _stack(tables)
        self.states = _empty_states(n, n_models.pop(), k)
        for row, instance in enumerate(instances):
            _fill_state(self.states, row, instance, rows[id(instance.table)], later_scale)
        shape = (n, self.states.next_place.shape[1])
        self.observations = {
            "budget": np.empty((n, 1), dtype=np.float32),
            "load_time": np.empty(shape, dtype=np.float32),
            "pending": np.empty(shape, dtype=np.float32),
            "upload_time": np.empty((*shape, batch_cap), dtype=np.float32),
            "batch_time": np.empty((*shape, batch_cap), dtype=np.float32),
        }
        self.mask = np.empty((n, shape[1] * batch_cap), dtype=np.bool_)
        self.redraws = bool(self.states.redraws.any())
        self._observe()

    def _observe(self) -> None:
        _observe_every(self.tables, self.states, *self.observations.values(), self.mask)

    @property
    def running(self) -> NDArray[np.bool_]:
        """Whether each episode goes on, bool (N,)."""
        return np.asarray(self.mask.any(axis=1))

    def branch(self, which: Ints) -> Episodes:
        """Copies of some episodes, from where they stand, as episodes of their own; one may be copied many times."""
        twin = copy.copy(self)
        twin._instances = [self._instances[n] for n in which.tolist()]
        twin.states = States._make(array[which] for array in self.states)
        twin.observations = {name: value[which] for name, value in self.observations.items()}
        twin.mask = self.mask[which]
        return twin

    def remaining(self, n: int) -> Instance:
        """What is left of episode n as an instance of its own: pending users, present channels, time left."""
        s, instance = self.states, self._instances[n]
        places = np.concatenate([np.arange(*span) for span in zip(s.next_place[n], s.first_place[n, 1:], strict=True)])
        upload_ns = np.zeros(instance.n_users, dtype=np.int64)
        upload_ns[s.user[n, places]] = s.upload_ns[n, places]
        elapsed_ns = int(s.deadline_ns[n] - s.left_ns[n])
        return instance.remaining(np.sort(s.user[n, places]), upload_ns, int(s.resident[n]), elapsed_ns)

    def step(self, actions: Ints, uniforms: NDArray[np.float64] | None = None) -> None:
        """Run one batch in every episode that goes on.

        Args:
            actions: int64 (N,), legal where the episode goes on, else ignored.
            uniforms: float64 (N, K) in [0, 1), by user, to draw channels from where they are drawn anew.
        """
        running = self.running
        assert self.mask[running, actions[running]].all()
        _serve_many(self.tables, self.states, self.observations["upload_time"].shape[2], actions, running)
        if self.redraws:
            assert uniforms is not None
            _redraw_many(self.states, uniforms, running)
        self._observe()


def _stack(tables: Sequence[ServingTable]) -> Tables:
    return Tables(
        load_ns=np.stack([table.load_ns for table in tables]),
        per_sample=np.stack([table.compute_ns_per_sample for table in tables]),
        per_batch=np.stack([table.compute_ns_per_batch for table in tables]),
        max_batch=np.stack([table.max_batch for table in tables]),
    )


def _empty_states(n: int, n_models: int, k: int) -> States:
    return States(
        library=np.zeros(n, dtype=np.int64),
        deadline_ns=np.zeros(n, dtype=np.int64),
        n_users=np.zeros(n, dtype=np.int64),
        first_place=np.zeros((n, n_models + 1), dtype=np.int64),
        next_place=np.zeros((n, n_models), dtype=np.int64),
        user=np.zeros((n, k), dtype=np.int64),
        upload_ns=np.zeros((n, k), dtype=np.int64),
        later_ns=np.zeros((n, k), dtype=np.int64),
        mean_snr=np.zeros((n, k)),
        unit_upload_ns=np.zeros(n),
        redraws=np.zeros(n, dtype=np.bool_),
        resident=np.zeros(n, dtype=np.int64),
        left_ns=np.zeros(n, dtype=np.int64),
        served=np.zeros(n, dtype=np.int64),
    )


def _fill_state(states: States, row: int, instance: Instance, library: int, later_scale: float) -> None:
    problem, k = prepare(instance), instance.n_users
    redraws = instance.fading == "batch"
    assert instance.mean_snr is not None
    states.library[row] = library
    states.deadline_ns[row] = states.left_ns[row] = instance.deadline_ns
    states.n_users[row] = k
    states.first_place[row] = problem.first_user
    states.next_place[row] = problem.first_user[:-1]
    states.user[row, :k] = problem.users
    states.upload_ns[row, :k] = problem.sorted_upload
    later = problem.sorted_upload
    if redraws and later_scale > 0:
        later = expected_upload_ns(instance.mean_snr, later_scale * instance.unit_upload_ns)[problem.users]
    states.later_ns[row, :k] = later
    states.mean_snr[row, :k] = instance.mean_snr
    states.unit_upload_ns[row] = instance.unit_upload_ns
    states.redraws[row] = redraws
    states.resident[row] = instance.resident


@compiled
def _serve_many(tables: Tables, s: States, batch_cap: int, actions: Ints, running: NDArray[np.bool_]) -> None:
    """Serve a batch in every episode that goes on, equation (1)."""
    for n in range(len(actions)):
        if not running[n]:
            continue
        model, size, t = actions[n] // batch_cap, actions[n] % batch_cap + 1, s.library[n]
        time = tables.load_ns[t, s.resident[n], model]
        time += batch_compute_ns(tables.per_sample[t], tables.per_batch[t], model, size)
        for place in range(s.next_place[n, model], s.next_place[n, model] + size):
            time += s.upload_ns[n, place]
        s.next_place[n, model] += size
        s.left_ns[n] -= time
        s.resident[n] = model
        s.served[n] += size


@compiled
def _redraw_many(s: States, uniforms: NDArray[np.float64], running: NDArray[np.bool_]) -> None:
    """Draw the channels of all pending users anew, and sort each model's by upload time again."""
    for n in range(len(running)):
        if not running[n] or not s.redraws[n]:
            continue
        for i in range(s.next_place.shape[1]):
            start = s.next_place[n, i]
            for place in range(start, s.first_place[n, i + 1]):
                user, later = s.user[n, place], s.later_ns[n, place]
                snr = s.mean_snr[n, user] * draw_fading_power(uniforms[n, user])
                time = upload_time_ns(s.unit_upload_ns[n], spectral_efficiency(snr))
                m = place
                while m > start and (
                    s.upload_ns[n, m - 1] > time or (s.upload_ns[n, m - 1] == time and s.user[n, m - 1] > user)
                ):
                    s.user[n, m] = s.user[n, m - 1]
                    s.later_ns[n, m] = s.later_ns[n, m - 1]
                    s.upload_ns[n, m] = s.upload_ns[n, m - 1]
                    m -= 1
                s.user[n, m], s.later_ns[n, m], s.upload_ns[n, m] = user, later, time


@compiled
def _observe_many(
    tables: Tables,
    s: States,
    budget: SingleFloats,  # (N, 1) out, as are all that follow
    load_time: SingleFloats,  # (N, I)
    pending: SingleFloats,  # (N, I)
    upload_time: SingleFloats,  # (N, I, b_cap)
    batch_time: SingleFloats,  # (N, I, b_cap)
    mask: NDArray[np.bool_],  # (N, I · b_cap)
) -> None:
    """What the environment shows of every state, in the same fractions of the deadline."""
    n_models, batch_cap = upload_time.shape[1], upload_time.shape[2]
    upload_time[:] = 1.0
    batch_time[:] = 1.0
    mask[:] = False
    for n in range(len(budget)):
        t, scale = s.library[n], 1.0 / max(1, s.deadline_ns[n])
        budget[n, 0] = s.left_ns[n] * scale
        for i in range(n_models):
            start, load = s.next_place[n, i], tables.load_ns[t, s.resident[n], i]
            n_pending = s.first_place[n, i + 1] - start
            load_time[n, i] = min(1.0, load * scale)
            pending[n, i] = n_pending / max(1, s.n_users[n])
            upload = 0
            for b in range(min(n_pending, tables.max_batch[t, i], batch_cap)):
                upload += s.upload_ns[n, start + b]
                time = load + upload + batch_compute_ns(tables.per_sample[t], tables.per_batch[t], i, b + 1)
                upload_time[n, i, b] = min(1.0, upload * scale)
                batch_time[n, i, b] = min(np.float32(1.0), np.float32(time) * np.float32(scale))
                mask[n, i * batch_cap + b] = time <= s.left_ns[n]


_observe_every: Callable[..., None] = _observe_many  # type checkers cannot count the arrays of a dict
