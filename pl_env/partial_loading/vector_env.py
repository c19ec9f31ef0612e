"""Many environments in one: the kernels of the single environment over rows. The physics is in ``dynamics.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from pl_env.low_level import fill_uniforms, generator_addresses
from pl_env.partial_loading import dynamics
from pl_env.partial_loading.dynamics import COMPUTE, ELAPSED, N_BATCHES, N_SERVED, UPLOAD
from pl_env.partial_loading.env import (
    PartialLoadingEnv,
    as_scenario,
    observation_shapes,
    observation_space,
    stacked_tables,
)
from pl_env.partial_loading.scenario import Scenario
from pl_env.ranges import require, require_integer, require_one_of
from pl_env.times import NS_PER_SECOND, nanoseconds

Observations = dict[str, NDArray[np.float32]]

_draw_many: Callable[..., None] = dynamics.draw_many
_reset_many: Callable[..., None] = dynamics.reset_many
_step_many: Callable[..., None] = dynamics.step_many


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
        self.scenario = scenario = as_scenario(scenario, overrides)
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
        scenario, n, k = self.scenario, self.num_envs, self.scenario.most_users
        n_models, cap = scenario.n_models, scenario.max_batch_size
        self._redraws = scenario.fading == "batch"
        self._deadline_ns = nanoseconds(scenario.deadline)
        self._generators: list[np.random.Generator] = []
        self._observations = {
            key: np.zeros((n, *shape), dtype=np.float32) for key, shape in observation_shapes(scenario).items()
        }
        self._mask = np.ones((n, n_models * cap), dtype=np.int8)
        self._n_users = np.full(n, k, dtype=np.int64)
        self._first_user = np.zeros((n, n_models + 1), dtype=np.int64)
        self._next_user = np.zeros((n, n_models), dtype=np.int64)
        self._users = np.zeros((n, k), dtype=np.int32)
        self._sorted_upload = np.zeros((n, k), dtype=np.int64)
        self._state = np.zeros((n, dynamics.STATE_ENTRIES), dtype=np.int64)
        self._history = np.zeros((n, 1, dynamics.HISTORY_COLUMNS), dtype=np.int64)
        self._mean_snr = np.zeros((n if self._redraws else 1, k))
        self._uniforms = np.zeros((n, k if self._redraws else 0))
        self._upload_ns = np.zeros((1, k), dtype=np.int64)  # scratch
        self._served_users = np.zeros((n, 0), dtype=np.int64)  # no schedule is kept
        self._any_legal = np.zeros(n, dtype=np.bool_)
        self._accepted = np.zeros(n, dtype=np.bool_)
        self._done = np.zeros(n, dtype=np.bool_)
        self._stack_tables()

    def _stack_tables(self) -> None:
        """One table for all environments, or room for one for each where libraries are drawn anew."""
        scenario = self.scenario
        if not scenario.resample_library:
            table, copies = scenario.table, 1
        else:
            table, copies = scenario.draw_table(np.random.default_rng(0)), self.num_envs
        self._tables = tuple(
            np.repeat(array, copies, axis=0) for array in stacked_tables(table, self._deadline_ns, scenario)
        )
        self._unloaded_ns = np.zeros(self._mask.shape, dtype=self._tables[4].dtype)
        self._gather_arguments()

    def _gather_arguments(self) -> None:
        """What the kernels take besides what changes from call to call, gathered once: the arrays stay the same."""
        users = (self._first_user, self._next_user, self._users, self._sorted_upload, self._state)
        observations = (self._unloaded_ns, *self._observations.values(), self._mask)
        self._draw_arguments = (self.scenario.request_cumulative, *self.scenario.radio)
        self._reset_arguments = (*self._tables[1:], self._deadline_ns, *users, self._any_legal, *observations)
        self._step_arguments = (
            self._n_users,
            *self._tables,
            self._deadline_ns,
            *users,
            self._history,
            self._served_users,
            self._served_users,
            self._uniforms,
            self._mean_snr,
            self.scenario.unit_upload_ns,
            self._upload_ns,
            self._accepted,
            self._any_legal,
            *observations,
        )

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
        self._addresses = generator_addresses(self._generators)
        self._start(np.flatnonzero(mask))
        self._done[mask] = False
        return self._returned_observations(), self._infos(mask.copy(), np.zeros(n, dtype=np.bool_))

    def _start(self, which: NDArray[np.int64]) -> None:
        """Draw and begin the episodes of some environments."""
        scenario = self.scenario
        if scenario.resample_library or isinstance(scenario.n_users, tuple):
            for i in which.tolist():
                self._draw_sizes(i)
        uniforms = np.empty((len(which), 3 * scenario.most_users))
        fill_uniforms(self._addresses, which, 3 * self._n_users[which], np.arange(len(which)), uniforms)
        requested_model = np.empty((len(which), scenario.most_users), dtype=np.int64)
        upload_ns = np.empty_like(requested_model)
        _draw_many(which, self._n_users, uniforms, *self._draw_arguments, requested_model, self._mean_snr, upload_ns)
        _reset_many(which, -1, self._n_users, requested_model, upload_ns, *self._reset_arguments)

    def _draw_sizes(self, n: int) -> None:
        """Draw what is fixed in most scenarios: the library, and the number of users."""
        rng = self._generators[n]
        if self.scenario.resample_library:
            table = self.scenario.draw_table(rng)
            for stacked, array in zip(
                self._tables, stacked_tables(table, self._deadline_ns, self.scenario), strict=True
            ):
                stacked[n] = array[0]
        self._n_users[n] = self.scenario.draw_n_users(rng)

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
        resetting = self._done if self.autoreset_mode == AutoresetMode.NEXT_STEP else np.zeros(n, dtype=np.bool_)
        rewards = self._run(chosen.astype(np.int64, copy=False), resetting)
        terminations = ~self._any_legal & ~resetting
        stepped = ~resetting
        if resetting.any():
            self._start(np.flatnonzero(resetting))
        final = self._episode_statistics(terminations) if terminations.any() else {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and terminations.any():
            final |= self._final(terminations)
            stepped = ~terminations
            self._start(np.flatnonzero(terminations))
        self._done = terminations
        infos = final | self._infos(np.ones(n, dtype=np.bool_), stepped)
        return self._returned_observations(), rewards, terminations.copy(), np.zeros(n, dtype=np.bool_), infos

    def _run(self, actions: NDArray[np.int64], skip: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Step all environments that are not skipped; their rewards."""
        if self._redraws:
            self._draw_channels(actions, skip)
        _step_many(actions, skip, *self._step_arguments)
        sizes = actions % self.scenario.max_batch_size + 1
        return np.where(self._accepted & ~skip, sizes / self._n_users, 0.0)

    def _draw_channels(self, actions: NDArray[np.int64], skip: NDArray[np.bool_]) -> None:
        """Uniform numbers for those whose action is legal, as a refused action draws nothing."""
        flat = self._mask
        in_range = (actions >= 0) & (actions < flat.shape[1])
        legal = in_range & ~skip & self._any_legal
        legal &= flat[np.arange(self.num_envs), np.where(in_range, actions, 0)] == 1
        which = np.flatnonzero(legal)
        fill_uniforms(self._addresses, which, self._n_users[which], which, self._uniforms)

    def __getstate__(self) -> dict[str, Any]:
        """Without the addresses, which do not hold for copies of the generators."""
        return {key: value for key, value in self.__dict__.items() if key != "_addresses"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._addresses = generator_addresses(self._generators)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (N, I · b_cap); all True for an environment that has ended."""
        return self._mask.astype(np.bool_)

    @property
    def load_ns(self) -> NDArray[np.int64]:
        """Present loading nanoseconds, int64 (N, I + 1, I), or (1, I + 1, I) where all share a library; read only."""
        load_ns: NDArray[np.int64] = self._tables[0].view()
        load_ns.flags.writeable = False
        return load_ns

    # ------------------------------------------------------------ what is returned

    def _returned_observations(self) -> Observations:
        if not self.copy:
            return self._observations
        return {key: value.copy() for key, value in self._observations.items()}

    def _infos(self, present: NDArray[np.bool_], stepped: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos as Gymnasium batches those of single environments: values, and under ``_key`` for whom they hold."""
        mask, served, elapsed = self._mask, self._state[:, N_SERVED], self._state[:, ELAPSED] / NS_PER_SECOND
        if not present.all():
            mask, served, elapsed = mask * present[:, None], served * present, elapsed * present
        elif self.copy:
            mask = mask.copy()
        infos: dict[str, Any] = {
            "action_mask": mask,
            "_action_mask": present,
            "invalid_action": stepped & ~self._accepted,
            "_invalid_action": present,
            "served": served.copy(),
            "_served": present,
            "elapsed_seconds": elapsed,
            "_elapsed_seconds": present,
        }
        ran = stepped & self._accepted
        if ran.any():
            seconds = self._history[:, 0, UPLOAD : COMPUTE + 1].T / NS_PER_SECOND * ran
            for key, values in zip(("upload_seconds", "load_seconds", "compute_seconds"), seconds, strict=True):
                infos[key] = values
                infos[f"_{key}"] = ran
        return infos

    def _episode_statistics(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Return (served users / K) and length of the episodes that have just ended, zeros for the others."""
        returns = np.where(ended, self._state[:, N_SERVED] / self._n_users, 0.0)
        lengths = np.where(ended, self._state[:, N_BATCHES] + ~self._accepted, 0)
        return {"episode": {"r": returns, "l": lengths}, "_episode": ended.copy()}

    def _final(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Last observations and infos of the episodes that have just ended, as copies."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final_obs[i] = {key: value[i].copy() for key, value in self._observations.items()}
        infos = self._infos(ended.copy(), ended)
        if not infos["action_mask"].flags.owndata:
            infos["action_mask"] = infos["action_mask"].copy()
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": infos,
            "_final_info": ended.copy(),
        }
