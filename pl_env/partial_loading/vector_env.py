"""Many environments in one: the kernels of the single environment over rows. The physics is in ``dynamics.py``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from pl_env.low_level import generator_addresses
from pl_env.partial_loading import dynamics, stepping
from pl_env.partial_loading.arrays import OBSERVATION, Environments, environment_addresses
from pl_env.partial_loading.env import (
    PartialLoadingEnv,
    episode_arrays,
    observation_space,
    stacked_tables,
)
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.stepping import INVALID, LENGTH, RAN, RETURN, REWARD, SERVED, TERMINATED
from pl_env.ranges import require, require_integer, require_one_of
from pl_env.times import nanoseconds

Observations = dict[str, NDArray[np.float32]]


class PartialLoadingVectorEnv(VectorEnv[Observations, NDArray[np.int64], NDArray[Any]]):
    """`PartialLoadingEnv`, many at once in one compiled call; each equals a single environment bit for bit.

    ``gym.make_vec("PartialLoading-v0", num_envs=1024)`` makes it. Sub-environment i is seeded seed + i. Observations
    are those of the single environment with a leading axis of environments; ``infos`` holds arrays with the keys of
    the single environment's info, and for each a bool array under ``_key`` that says for whom it holds. The action
    mask is int8 (N, I · b_cap). Where episodes end, ``infos["episode"]`` holds their returns ``r`` and lengths ``l``
    in steps, and ``infos["_episode"]`` whose they are, as Gymnasium's ``RecordEpisodeStatistics`` reports them.

    Illegal actions end the episode, as in the single environment; they are never raised. To play given instances, or to
    render, use the single environment.
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Scenario = "bls",
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        invalid_action: str = "terminate",
        render_mode: None = None,
        **overrides: Any,
    ) -> None:
        """Make the environments.

        Args:
            num_envs: Number of environments N.
            scenario: The name of a preset or a `Scenario`.
            autoreset_mode: Gymnasium's: NEXT_STEP, SAME_STEP or DISABLED (``reset(options={"reset_mask": ...})``).
            copy: Return copies of observations and masks; False returns the arrays that the next call overwrites.
            invalid_action: Only "terminate".
            render_mode: Only None.
            **overrides: Fields of the scenario, in place of its own.

        Raises:
            InvalidValue: An argument is out of range.
            UnknownName: There is no such preset or field.
        """
        require_integer("num_envs", num_envs, 1)
        require_one_of("invalid_action", invalid_action, ("terminate",))
        require(render_mode is None, "render_mode", render_mode, "None; the single environment renders")
        self.scenario = scenario = Scenario.of(scenario, **overrides)
        self.num_envs = num_envs
        self.copy = copy
        self.render_mode = None
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = PartialLoadingEnv.metadata | {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self.single_observation_space = observation_space(scenario)
        self.single_action_space = spaces.Discrete(scenario.n_models * scenario.max_batch_size)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._allocate()

    def _allocate(self) -> None:
        """Make all arrays. What is not needed from one step to the next has one row for all environments."""
        scenario, n, k = self.scenario, self.num_envs, self.scenario.most_users
        redraws = scenario.fading == "batch"
        self._generators: list[np.random.Generator] = []
        self._draws_sizes = scenario.resample_library or isinstance(scenario.n_users, tuple)
        self._done = np.zeros(n, dtype=np.bool_)
        self._none = np.zeros(n, dtype=np.bool_)
        tables = self._tables()
        self._arrays = Environments(
            **episode_arrays(scenario, n),
            **tables,
            generators=np.zeros((n, 2), dtype=np.int64),
            uniforms=np.zeros((1, 3 * k)),
            requested_model=np.zeros((n if redraws else 1, k), dtype=np.int64),
            mean_snr=np.zeros((n if redraws else 1, k)),
            upload_ns=np.zeros((1, k), dtype=np.int64),
            n_users=np.full(n, k, dtype=np.int64),
            users=np.zeros((n if redraws else 1, k), dtype=np.int32),
            sorted_upload=np.zeros((n, k), dtype=np.int64),
            history=np.zeros((n, 1, dynamics.HISTORY_COLUMNS), dtype=np.int64),
            served_users=np.zeros((n, 0), dtype=np.int64),  # no schedule is kept
            served_upload=np.zeros((n, 0), dtype=np.int64),
            unloaded_ns=np.zeros((n, scenario.n_models * scenario.max_batch_size), dtype=tables["load_cells"].dtype),
        )
        self._bind()

    def _tables(self) -> dict[str, NDArray[Any]]:
        """One table for all environments, or room for one for each where libraries are drawn anew."""
        scenario = self.scenario
        if not scenario.resample_library:
            return stacked_tables(scenario.table, nanoseconds(scenario.deadline), scenario)
        tables = stacked_tables(scenario.draw_table(np.random.default_rng(0)), nanoseconds(scenario.deadline), scenario)
        return {name: np.repeat(array, self.num_envs, axis=0) for name, array in tables.items()}

    def _bind(self) -> None:
        """Note where the arrays and the generators lie."""
        self._addresses = environment_addresses(self._arrays)
        self._observations = {key: getattr(self._arrays, key) for key in OBSERVATION}
        if self._generators:
            self._arrays.generators[:] = generator_addresses(self._generators)

    def __getstate__(self) -> dict[str, Any]:
        """Without the addresses, which do not hold for copies."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_addresses", "_observations")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    @cached_property
    def observation_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """The space of N observations; made when asked for, as its bounds take more memory than the environments."""
        return batch_space(self.single_observation_space, self.num_envs)

    # ------------------------------------------------------------ Gymnasium's interface

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: Seed of environment 0, seed + i of environment i; or a sequence with one for each.
            options: ``{"reset_mask": bool (N,)}`` resets only these.

        Returns:
            Observations and infos.

        Raises:
            InvalidValue: The seeds or the mask have another length, or the options ask for something else.
        """
        n = self.num_envs
        seeds: list[int | None]
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = [None if seed is None else int(seed) + i for i in range(n)]
        else:
            seeds = list(seed)
        require(len(seeds) == n, "len(seed)", len(seeds), f"{n}, one for each environment")
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(n, dtype=np.bool_)))
        good = mask.shape == (n,) and mask.dtype == np.bool_ and bool(mask.any())
        require(good, "options['reset_mask']", mask, f"a bool array of shape ({n},) with at least one True")
        require(not options, "options", options, "only a reset_mask; the single environment plays given instances")
        first_time = not self._generators
        if first_time:
            require(bool(mask.all()), "options['reset_mask']", mask, "all True at the first reset")
            self._generators = [seeding.np_random(each)[0] for each in seeds]
        else:
            for i in np.flatnonzero(mask):
                if seeds[i] is not None:
                    self._generators[i] = seeding.np_random(seeds[i])[0]
        self._arrays.generators[:] = generator_addresses(self._generators)
        self._start(mask)
        self._done = self._done & ~mask
        return self._returned_observations(), self._infos(mask.copy())

    def _start(self, these: NDArray[np.bool_]) -> None:
        """Draw and begin the episodes of some environments."""
        if self._draws_sizes:
            self._draw_sizes(these)
        stepping.reset_many(self._addresses, self._arrays.unloaded_ns, np.flatnonzero(these), -1)

    def _draw_sizes(self, these: NDArray[np.bool_]) -> None:
        """Draw what is fixed in most scenarios: the library, and the number of users."""
        scenario = self.scenario
        for n in np.flatnonzero(these).tolist():
            rng = self._generators[n]
            if scenario.resample_library:
                table = scenario.draw_table(rng)
                for name, array in stacked_tables(table, nanoseconds(scenario.deadline), scenario).items():
                    getattr(self._arrays, name)[n] = array[0]
            self._arrays.n_users[n] = scenario.draw_n_users(rng)

    def step(
        self, actions: ArrayLike
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Run one batch in every environment.

        Args:
            actions: Integers (N,) of the action space.

        Returns:
            Observations, rewards float64 (N,), terminations, truncations (all False), and infos.

        Raises:
            InvalidValue: The actions are not N integers, the environments were never reset, or one of them has ended
                and the autoreset mode is DISABLED.
        """
        n = self.num_envs
        chosen = np.asarray(actions)
        good = chosen.shape == (n,) and chosen.dtype.kind in "iu"
        require(good, "actions", chosen, f"integers of shape ({n},)")
        require(bool(self._generators), "step()", "called", "called after reset()")
        if self.autoreset_mode == AutoresetMode.DISABLED:
            require(not self._done.any(), "autoreset_mode", "DISABLED", "followed by a reset of what has ended")
        resetting = self._done if self.autoreset_mode == AutoresetMode.NEXT_STEP else self._none
        if self._draws_sizes:
            self._draw_sizes(resetting)
        arrays = self._arrays
        stepping.step_many(self._addresses, arrays.unloaded_ns, chosen.astype(np.int64, copy=False), resetting)
        rewards, terminated = arrays.numbers[REWARD].copy(), arrays.flags[TERMINATED].copy()
        final: dict[str, Any] = {}
        if np.count_nonzero(terminated):
            statistics = {"r": arrays.numbers[RETURN].copy(), "l": arrays.counts[LENGTH].copy()}
            final = {"episode": statistics, "_episode": terminated.copy()}
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                final |= self._final(terminated)
                self._start(terminated)
        self._done = terminated
        infos = final | self._infos(np.ones(n, dtype=np.bool_))
        return self._returned_observations(), rewards, terminated.copy(), np.zeros(n, dtype=np.bool_), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (N, I · b_cap); all True for an environment that has ended."""
        return self._arrays.mask.astype(np.bool_)

    @property
    def load_ns(self) -> NDArray[np.int64]:
        """Present loading nanoseconds, int64 (N, I + 1, I), or (1, I + 1, I) where all share a library; read only."""
        load_ns: NDArray[np.int64] = self._arrays.load_ns.view()
        load_ns.flags.writeable = False
        return load_ns

    def remaining(self) -> list[Instance]:
        """What is left of every episode as an instance of its own: pending users, present channels, time left.

        As `PartialLoadingEnv.remaining`, but users stand by model, then by upload time.

        Raises:
            InvalidValue: Libraries are drawn anew, of which only the loading times are kept.
        """
        require(not self.scenario.resample_library, "resample_library", True, "False")
        return [self._remaining(n) for n in range(self.num_envs)]

    def _remaining(self, n: int) -> Instance:
        arrays, scenario = self._arrays, self.scenario
        redraws = scenario.fading == "batch"
        first, following = arrays.first_user[n], arrays.next_user[n]
        model = np.repeat(np.arange(scenario.n_models), np.diff(first))
        places = np.flatnonzero(np.arange(len(model)) >= following[model])
        state = arrays.state[n]
        return Instance(
            table=scenario.table,
            requested_model=model[places],
            upload_ns=arrays.sorted_upload[n, places],
            deadline_ns=int(arrays.settings[dynamics.DEADLINE] - state[dynamics.ELAPSED]),
            slot_ns=nanoseconds(scenario.slot),
            resident=int(state[dynamics.RESIDENT]),
            fading=scenario.fading,
            mean_snr=arrays.mean_snr[n, arrays.users[n, places]] if redraws else None,
            unit_upload_ns=scenario.unit_upload_ns if redraws else 0.0,
        )

    # ------------------------------------------------------------ what is returned

    def _returned_observations(self) -> Observations:
        if not self.copy:
            return self._observations
        return {key: value.copy() for key, value in self._observations.items()}

    def _infos(self, present: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos as Gymnasium batches those of single environments: values, and under ``_key`` for whom they hold."""
        mask, numbers, counts, flags = (getattr(self._arrays, name) for name in ("mask", "numbers", "counts", "flags"))
        if np.count_nonzero(present) < self.num_envs:
            mask, numbers, counts, flags = mask * present[:, None], numbers * present, counts * present, flags & present
        else:
            mask, numbers, counts, flags = mask.copy() if self.copy else mask, numbers.copy(), counts[:], flags.copy()
        _, _, elapsed, upload, load, compute = numbers
        ran = flags[RAN]
        infos: dict[str, Any] = {
            "action_mask": mask,
            "_action_mask": present,
            "invalid_action": flags[INVALID],
            "_invalid_action": present,
            "served": counts[SERVED].copy(),
            "_served": present,
            "elapsed_seconds": elapsed,
            "_elapsed_seconds": present,
        }
        if np.count_nonzero(ran):
            for key, seconds in (("upload_seconds", upload), ("load_seconds", load), ("compute_seconds", compute)):
                infos[key] = seconds
                infos[f"_{key}"] = ran
        return infos

    def _final(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Last observations and infos of the episodes that have just ended, as copies."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final_obs[i] = {key: value[i].copy() for key, value in self._observations.items()}
        infos = self._infos(ended.copy())
        if infos["action_mask"] is self._arrays.mask:
            infos["action_mask"] = infos["action_mask"].copy()
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": infos,
            "_final_info": ended.copy(),
        }
