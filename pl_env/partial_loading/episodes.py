"""N episodes side by side: what both environments hold, and whoever learns or plans in mid-episode.

What happens in an episode is in ``dynamics.py``, and what is known of it in ``arrays.py``. Here episodes are begun,
stepped, copied, and turned into instances again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.low_level import addresses_of, fields_of, generator_addresses, zeros_of
from pl_env.partial_loading import dynamics, stepping
from pl_env.partial_loading.arrays import LONGEST_SMALL_NS, OBSERVATION, Bools, EpisodeArrays, Floats, Ints
from pl_env.partial_loading.dynamics import ELAPSED, N_SERVED, RESIDENT
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.ranges import require


@dataclass(frozen=True)
class _Room:
    """How large the arrays are; see ``arrays.py``."""

    episodes: int
    libraries: int
    models: int
    blocks: int
    batch_cap: int
    users: int
    longest_ns: int  # deadline
    has_generators: bool = False
    keeps_users: bool = True
    keeps_schedule: bool = False

    def allocate(self) -> EpisodeArrays:
        """Arrays of zeros."""
        kept = self.users if self.keeps_schedule else 0
        sizes = {
            "N": self.episodes,
            "L": self.libraries,
            "I": self.models,
            "I + 1": self.models + 1,
            "J": self.blocks,
            "b_cap": self.batch_cap,
            "A": self.models * self.batch_cap,
            "K": self.users,
            "N or 1": self.episodes if self.keeps_users else 1,
            "N or 0": self.episodes if self.has_generators else 0,
            "draws": 1 if self.has_generators else self.episodes,
            "uniform": 3 * self.users if self.has_generators else self.users,
            "kept": kept,
            "kept or 1": max(1, kept),
            "entries": dynamics.STATE_ENTRIES,
            "columns": dynamics.HISTORY_COLUMNS,
            "numbers": stepping.REPORTED_NUMBERS,
            "counts": stepping.REPORTED_COUNTS,
            "flags": stepping.REPORTED_FLAGS,
        }
        return zeros_of(EpisodeArrays, sizes, np.int32 if self.longest_ns <= LONGEST_SMALL_NS else np.int64)


class Episodes:
    """N episodes, each with its own library, deadline, users and fading; models are as many in all.

    An episode is *placed*, from an instance, or *drawn*, from the scenario and its own generator.

    Attributes:
        arrays: The state. Whoever writes into it must know what the kernels rely on.
        addresses: Where the arrays lie, for kernels; see `low_level.addresses_of`.
        observations: By name, as in the environment, each with a leading axis of length N; the next step overwrites
            them.
        libraries: The libraries that ``arrays.library`` points to.
        generators: Of drawn episodes, one for each.
    """

    arrays: EpisodeArrays
    addresses: Ints
    observations: dict[str, NDArray[np.float32]]

    def __init__(self, instances: Sequence[Instance], batch_cap: int) -> None:
        """Place episodes.

        Args:
            instances: Their instances, all with the same number of models.
            batch_cap: Largest batch b_cap of the action space.

        Raises:
            InvalidValue: There is no instance, or the numbers of models differ.
        """
        n_models = {instance.n_models for instance in instances}
        require(len(n_models) == 1, "numbers of models", sorted(n_models), "the same in all instances")
        room = _Room(
            episodes=len(instances),
            libraries=len({id(instance.table) for instance in instances}),
            models=n_models.pop(),
            blocks=max(instance.n_blocks for instance in instances),
            batch_cap=batch_cap,
            users=max(instance.n_users for instance in instances),
            longest_ns=max(instance.deadline_ns for instance in instances),
        )
        self._set_up(room, None)
        for n, instance in enumerate(instances):
            self.place(n, instance)

    def __repr__(self) -> str:
        """One line: how many, and of what size."""
        n, models = self.arrays.mask.shape[0], self.arrays.next_user.shape[1]
        return (
            f"<{type(self).__name__}: {n} episodes, {models} models, batches of at most {self._room.batch_cap} users>"
        )

    @classmethod
    def of_scenario(cls, scenario: Scenario, n: int, *, keeps_schedule: bool = False) -> Episodes:
        """N episodes of a scenario, none of which has begun; see `use_generators` and `draw`.

        Args:
            scenario: The scenario.
            n: Number of episodes.
            keeps_schedule: Keep all batches, and all users whatever the fading, which placing an instance needs.
        """
        redraws = scenario.fading == "batch"
        episodes = cls.__new__(cls)
        room = _Room(
            episodes=n,
            libraries=n if scenario.resample_library else 1,
            models=scenario.n_models,
            blocks=scenario.most_blocks,
            batch_cap=scenario.max_batch_size,
            users=scenario.most_users,
            longest_ns=scenario.deadline_ns,
            has_generators=True,
            keeps_users=redraws or keeps_schedule or n == 1,
            keeps_schedule=keeps_schedule,
        )
        episodes._set_up(room, scenario)
        return episodes

    def _set_up(self, room: _Room, scenario: Scenario | None) -> None:
        self._room, self._scenario = room, scenario
        self.libraries: list[ServingTable] = []
        self.generators: list[np.random.Generator] = []
        self.arrays = room.allocate()
        self._bind()
        self._alike = False
        if scenario is not None:
            self.arrays.radio[:] = scenario.radio[:3]
            self.arrays.request_cumulative[:] = scenario.request_cumulative
            self._alike = not (scenario.resample_library or isinstance(scenario.n_users, tuple))
            for n in range(room.episodes if self._alike else 0):
                self._set_constants(n, scenario, scenario.table, scenario.most_users)

    def _bind(self) -> None:
        """Note where the arrays and the generators lie."""
        assert self.arrays.load_cells.dtype == self.arrays.unloaded_ns.dtype
        self.addresses = addresses_of(self.arrays)
        self.observations = {name: getattr(self.arrays, name) for name in OBSERVATION}
        self._none = np.zeros(self._room.episodes, dtype=np.bool_)
        if self.generators:
            self.use_generators(self.generators)

    def __getstate__(self) -> dict[str, Any]:
        """Without the addresses, which do not hold for copies, nor second names of the arrays."""
        return {name: value for name, value in self.__dict__.items() if name not in ("addresses", "observations")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    # ------------------------------------------------------------ beginning

    def place(self, n: int, instance: Instance) -> None:
        """Begin episode n from an instance, with as many models as the others and at most as many blocks."""
        assert self._room.keeps_users
        more = {"users": instance.n_users, "longest_ns": int(instance.deadline_ns)}
        more = {name: value for name, value in more.items() if value > getattr(self._room, name)}
        if more:
            self._enlarge(**more)
        self._set_constants(n, instance, instance.table, instance.n_users)
        self._alike = False
        arrays, k = self.arrays, instance.n_users
        arrays.requested_model[n, :k] = instance.requested_model
        arrays.mean_snr[n, :k] = instance.mean_snr
        arrays.upload_ns[0, :k] = instance.upload_ns
        stepping.begin_many(self.addresses, arrays.unloaded_ns, np.array([n]), False, int(instance.resident))

    def use_generators(self, generators: Sequence[np.random.Generator]) -> None:
        """Draw episodes, and channels where they are drawn anew, from these from now on, one for each episode."""
        self.generators = list(generators)
        self.arrays.generators[:] = generator_addresses(self.generators)

    def draw(self, which: Ints) -> None:
        """Begin some episodes anew: the same numbers, from the same state of the generator, as `Scenario.sample`."""
        assert self.generators
        if not self._alike:
            self._draw_constants(which)
        stepping.begin_many(self.addresses, self.arrays.unloaded_ns, which, True, -1)

    def _draw_constants(self, which: Ints) -> None:
        """Draw the libraries and the numbers of users of some episodes, where they are not fixed."""
        scenario = self._scenario
        assert scenario is not None
        for n in which.tolist():
            rng = self.generators[n]
            table = scenario.draw_table(rng) if scenario.resample_library else scenario.table
            self._set_constants(n, scenario, table, scenario.draw_n_users(rng))

    def _set_constants(self, n: int, source: Scenario | Instance, table: ServingTable, n_users: int) -> None:
        """Set what stays as it is in an episode, but for its users."""
        row = self._row_of(n, table)
        arrays = self.arrays
        arrays.library[n] = row
        arrays.deadline_ns[n] = source.deadline_ns
        arrays.slot_ns[n] = source.slot_ns
        arrays.redraws[n] = source.fading == "batch"
        arrays.unit_upload_ns[n] = source.unit_upload_ns
        arrays.n_users[n] = n_users

    def _row_of(self, n: int, table: ServingTable) -> int:
        """The row of a library: the one it has, else a free one, one that only episode n has used, or a new one."""
        for row, known in enumerate(self.libraries):
            if known is table:
                return row
        row = int(self.arrays.library[n])
        if len(self.libraries) < self._room.libraries:
            row = len(self.libraries)
            self.libraries.append(table)
        elif np.count_nonzero(self.arrays.library == row) == 1:
            self.libraries[row] = table
        else:
            row = len(self.libraries)
            self._enlarge(libraries=row + 1)
            self.libraries.append(table)
        self._write_library(row)
        return row

    def _write_library(self, row: int) -> None:
        """Write a library into the arrays."""
        table, arrays = self.libraries[row], self.arrays
        cells = arrays.load_cells
        arrays.load_ns[row] = table.load_ns
        arrays.per_sample[row] = table.compute_ns_per_sample
        arrays.per_batch[row] = table.compute_ns_per_batch
        arrays.max_batch[row] = table.max_batch
        longest = LONGEST_SMALL_NS + 1 if cells.dtype == np.int32 else np.iinfo(np.int64).max
        cells[row] = np.repeat(np.minimum(table.load_ns, longest), self._room.batch_cap, axis=1)
        arrays.blocks[row] = 0
        arrays.blocks[row, :-1, : table.n_blocks] = table.has_block

    def _enlarge(self, **more: int) -> None:
        """Make room; everything stays as it is."""
        self._room = replace(self._room, **more)  # type: ignore[arg-type]
        larger = self._room.allocate()
        for name in EpisodeArrays._fields:
            old, new = getattr(self.arrays, name), getattr(larger, name)
            new[tuple(slice(length) for length in old.shape)] = old
        self.arrays = larger
        for row in range(len(self.libraries)):  # loading times are cut off elsewhere in int64
            self._write_library(row)
        self._bind()

    def branch(self, which: Ints) -> Episodes:
        """Copies of some episodes, from where they stand, as episodes of their own; one may be copied many times.

        They have no generators: where channels are drawn anew, `step` must be given uniform numbers.
        """
        twin = Episodes.__new__(Episodes)
        room = self._room
        twin._room = replace(room, episodes=len(which), has_generators=False)
        twin._scenario, twin._alike, twin.generators, twin.libraries = None, False, [], list(self.libraries)
        own_rows = {"N", "N or 1"} if room.keeps_users else {"N"}
        copies: dict[str, NDArray[Any]] = {}
        for name, (_, axes) in zip(EpisodeArrays._fields, fields_of(EpisodeArrays), strict=True):
            array = getattr(self.arrays, name)
            along = next((axis for axis, length in enumerate(axes) if length in own_rows), None)
            copies[name] = array.copy() if along is None else array.take(which, axis=along)
        copies["generators"] = np.zeros((0, 2), dtype=np.int64)
        copies["uniforms"] = np.zeros((len(which), room.users))
        twin.arrays = EpisodeArrays(**copies)
        twin._bind()
        return twin

    # ------------------------------------------------------------ stepping

    def step(self, actions: Ints, uniforms: Floats | None = None, resetting: Bools | None = None) -> None:
        """Run one batch in every episode; an illegal action ends its episode, and one that has ended stays as it is.

        Args:
            actions: int64 (N,).
            uniforms: float64 (N, K) in [0, 1), by user, to draw channels from where they are drawn anew; episodes with
                generators need none.
            resetting: bool (N,), episodes to draw and begin instead; None for none.
        """
        if uniforms is not None:
            self.arrays.uniforms[:] = uniforms
        if resetting is not None and not self._alike:
            self._draw_constants(np.flatnonzero(resetting))
        assert self.generators or uniforms is not None or not self.redraws
        stepping.step_many(
            self.addresses, self.arrays.unloaded_ns, actions, self._none if resetting is None else resetting
        )

    # ------------------------------------------------------------ where they stand

    @property
    def running(self) -> Bools:
        """Whether each episode goes on, bool (N,)."""
        return self.arrays.any_legal.copy()

    @property
    def mask(self) -> Bools:
        """The legal actions, bool (N, I · b_cap); none in an episode that has ended."""
        return np.logical_and(self.arrays.mask, self.arrays.any_legal[:, None])

    @property
    def n_users(self) -> Ints:
        """Users K of each episode, int64 (N,)."""
        return self.arrays.n_users

    @property
    def served(self) -> Ints:
        """Users served so far, int64 (N,)."""
        return self.arrays.state[:, N_SERVED]

    @property
    def redraws(self) -> bool:
        """Whether channels are drawn anew before every batch in any episode."""
        return bool(self.arrays.redraws.any())

    def pending_users(self, n: int) -> Ints:
        """Indices of the users of episode n that are not yet served, ascending, int64."""
        return self._pending(n)[0]

    def _pending(self, n: int) -> tuple[Ints, Ints]:
        """`pending_users`, and their present upload times."""
        assert self._room.keeps_users
        arrays = self.arrays
        return dynamics.pending_users(
            arrays.first_user[n], arrays.next_user[n], arrays.users[n], arrays.sorted_upload[n]
        )

    def remaining(self, n: int) -> Instance:
        """What is left of episode n as an instance of its own: pending users, present channels, time left.

        Its user i is entry i of `pending_users`. Where users are not kept they stand by model, then by upload time.
        """
        arrays = self.arrays
        mean_snr: Floats | None = None
        if self._room.keeps_users:
            users, upload_ns = self._pending(n)
            requested_model, mean_snr = arrays.requested_model[n][users], arrays.mean_snr[n][users]
        else:
            first, following = arrays.first_user[n], arrays.next_user[n]
            model = np.repeat(np.arange(self._room.models), np.diff(first))
            places = np.flatnonzero(np.arange(len(model)) >= following[model])
            requested_model, upload_ns = model[places], arrays.sorted_upload[n][places]
        return Instance(
            table=self.libraries[arrays.library.item(n)],
            requested_model=requested_model,
            upload_ns=upload_ns,
            deadline_ns=arrays.deadline_ns.item(n) - arrays.state.item(n, ELAPSED),
            slot_ns=arrays.slot_ns.item(n),
            resident=arrays.state.item(n, RESIDENT),
            fading="batch" if arrays.redraws[n] else "episode",
            mean_snr=mean_snr,
            unit_upload_ns=arrays.unit_upload_ns.item(n),
        )
