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

from pl_env.errors import InvalidAction
from pl_env.low_level import generator_addresses
from pl_env.online import stepping
from pl_env.online.arrays import (
    ARRIVED,
    BEFORE,
    CHOICES,
    COMPUTE_NS,
    EXPIRED,
    LOADED_BYTES,
    LOADING_NS,
    N_USERS,
    NOW,
    SERVED,
    UPLOAD_NS,
    Episode,
    allocate,
)
from pl_env.online.env import PartialLoadingOnlineEnv, spaces_of
from pl_env.online.observing import observation_shapes, views
from pl_env.online.scenario import Scenario
from pl_env.online.statistics import at_the_end
from pl_env.ranges import require, require_integer, require_one_of
from pl_env.times import NS_PER_SECOND

Observations = dict[str, NDArray[np.float32]]

_AUTORESET_MODES = tuple(mode.value for mode in AutoresetMode)

_COUNTS = {"served": SERVED, "expired": EXPIRED, "arrived": ARRIVED, "loaded_bytes": LOADED_BYTES}
_PARTS = {"upload_seconds": UPLOAD_NS, "load_seconds": LOADING_NS, "compute_seconds": COMPUTE_NS}


class PartialLoadingOnlineVectorEnv(VectorEnv[Observations, NDArray[np.int64], NDArray[Any]]):
    """`PartialLoadingOnlineEnv`, many at once in one compiled call; each equals a single environment bit for bit.

    ``gym.make_vec("PartialLoadingOnline-v0", num_envs=1024)`` makes it. Sub-environment i is seeded seed + i.
    Observations are those of the single environment with a leading axis of environments; ``infos`` holds arrays with
    the keys of the single environment's info, and for each a bool array under ``_key`` that says for whom it holds.
    Where episodes end, ``infos["final_episode"]`` holds their returns ``r`` and lengths ``l`` in steps, and
    ``infos["_final_episode"]`` whose they are.

    Illegal actions end the episode, as in the single environment; they are never raised. To play given instances, or to
    render, use the single environment. An environment takes 0.3 MB where 6,000 users may come.
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: str | Scenario = "online",
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        invalid_action: str = "terminate",
        observe_blocks: bool = False,
        render_mode: None = None,
        max_episode_steps: int | None = None,
        **overrides: Any,
    ) -> None:
        """Make the environments.

        Args:
            num_envs: Number of environments N.
            scenario: The name of a preset or a `Scenario`.
            autoreset_mode: Gymnasium's: NEXT_STEP, SAME_STEP or DISABLED (``reset(options={"reset_mask": ...})``).
            copy: Return copies of observations and masks; False returns the arrays that the next call overwrites.
            invalid_action: Only "terminate".
            observe_blocks: Show which blocks are in memory.
            render_mode: Only None.
            max_episode_steps: Truncate an episode after so many steps, as Gymnasium's ``TimeLimit`` does; None never.
            **overrides: Fields of the scenario, in place of its own.

        Raises:
            InvalidValue: An argument is out of range.
            UnknownName: There is no such preset or field.
        """
        require_integer("num_envs", num_envs, 1)
        require_one_of("invalid_action", invalid_action, ("terminate",))
        require(isinstance(observe_blocks, bool), "observe_blocks", observe_blocks, "True or False")
        require(render_mode is None, "render_mode", render_mode, "None; the single environment renders")
        if max_episode_steps is not None:
            require_integer("max_episode_steps", max_episode_steps, 1)
        require_one_of("autoreset_mode", getattr(autoreset_mode, "value", autoreset_mode), _AUTORESET_MODES)
        self.scenario = scenario = Scenario.of(scenario, **overrides)
        self.num_envs = num_envs
        self.copy = copy
        self.max_episode_steps = max_episode_steps
        self.render_mode = None
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = PartialLoadingOnlineEnv.metadata | {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self.single_observation_space, self.single_action_space = spaces_of(scenario, observe_blocks)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._tables = scenario.tables
        n_blocks = len(self._tables.blocks) if observe_blocks else 0
        shapes = observation_shapes(scenario.n_models, scenario.max_batch_size, n_blocks)
        observed = sum(int(np.prod(shape)) for shape in shapes.values())
        self._episodes: Episode = allocate(
            self._tables, scenario.max_batch_size, scenario.most_users, n=num_envs, observed=observed
        )
        self._shapes = shapes
        self._observations = views(self._episodes.observation, shapes)
        self._generators: list[np.random.Generator] = []
        self._addresses = np.zeros((num_envs, 2), dtype=np.int64)
        self._ranks = np.zeros(scenario.n_models, dtype=np.int64)
        self._done = np.zeros(num_envs, dtype=np.bool_)
        self._came = np.zeros(num_envs, dtype=np.int64)
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._nobody = np.full(num_envs, -1, dtype=np.int64)

    @cached_property
    def observation_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """The space of N observations; made when asked for, as its bounds take more memory than the observations."""
        return batch_space(self.single_observation_space, self.num_envs)

    def __getstate__(self) -> dict[str, Any]:
        """Without second names of the arrays."""
        return {key: value for key, value in self.__dict__.items() if key != "_observations"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._observations = views(self._episodes.observation, self._shapes)
        if self._generators:
            self._addresses = generator_addresses(self._generators)

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
            require(isinstance(seed, (Sequence, np.ndarray)), "seed", seed, "an integer, None, or a sequence of them")
            seeds = list(seed)
        require(len(seeds) == n, "len(seed)", len(seeds), f"{n}, one for each environment")
        require(options is None or isinstance(options, dict), "options", options, "None or a dict")
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(n, dtype=np.bool_)))
        good = mask.shape == (n,) and mask.dtype == np.bool_ and bool(mask.any())
        require(good, "options['reset_mask']", mask, f"a bool array of shape ({n},) with at least one True")
        require(not options, "options", options, "only a reset_mask; the single environment plays given instances")
        if not self._generators:
            require(bool(mask.all()), "options['reset_mask']", mask, "all True at the first reset")
            self._generators = [seeding.np_random(each)[0] for each in seeds]
        else:
            for i in np.flatnonzero(mask):
                if seeds[i] is not None:
                    self._generators[i] = seeding.np_random(seeds[i])[0]
        self._addresses = generator_addresses(self._generators)
        self._draw(np.flatnonzero(mask))
        self._done = self._done & ~mask
        return self._returned_observations(), self._infos(mask.copy(), np.zeros(n, dtype=np.bool_))

    def _draw(self, which: NDArray[np.int64]) -> None:
        stepping.draw_many(self._tables, self._episodes, self.scenario.draws, self._addresses, which, self._ranks)
        self._lengths[which] = 0

    def step(
        self, actions: ArrayLike
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Run one batch, or wait, in every environment.

        Args:
            actions: Integers (N,), or (N, 2) with ``eviction="agent"``, of the action space.

        Returns:
            Observations, rewards float64 (N,), terminations, truncations (all False unless ``max_episode_steps`` is
            given), and infos.

        Raises:
            InvalidAction: An action is outside the action space.
            InvalidValue: The actions have another shape, the environments were never reset, or one of them has ended
                and the autoreset mode is DISABLED.
        """
        n = self.num_envs
        chosen, preferred = self._parsed(np.asarray(actions))
        require(bool(self._generators), "step()", "called", "called after reset()")
        if self.autoreset_mode == AutoresetMode.DISABLED:
            require(not self._done.any(), "autoreset_mode", "DISABLED", "followed by a reset of what has ended")
        skipped = self._done if self.autoreset_mode == AutoresetMode.NEXT_STEP else np.zeros(n, dtype=np.bool_)
        rewards = np.empty(n)
        stepping.step_many(self._tables, self._episodes, chosen, preferred, skipped, self._came, rewards)
        state = self._episodes.state
        terminated = np.logical_and(state[:, CHOICES] == 0, ~skipped)
        stepped = ~skipped
        self._lengths += stepped
        truncated = np.zeros(n, dtype=np.bool_)
        if self.max_episode_steps is not None:
            truncated = np.logical_and(self._lengths >= self.max_episode_steps, stepped)
        ended = terminated | truncated
        if np.count_nonzero(skipped):
            self._draw(np.flatnonzero(skipped))
        infos: dict[str, Any] = {}
        if np.count_nonzero(ended):
            infos = self._statistics(ended)
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                infos |= self._final(ended, terminated)
                self._draw(np.flatnonzero(ended))
                stepped = stepped & ~ended
            else:
                infos |= self._at_the_end(terminated)
        self._done = ended
        infos |= self._infos(np.ones(n, dtype=np.bool_), stepped)
        return self._returned_observations(), rewards, terminated, truncated, infos

    def _parsed(self, actions: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The parts of actions: what runs, and whose blocks leave first or -1."""
        n, scenario = self.num_envs, self.scenario
        names_model = scenario.eviction == "agent"
        shapes = ((n,), (n, 2)) if names_model else ((n,),)
        good = actions.shape in shapes and actions.dtype.kind in "iu"
        require(good, "actions", actions, f"integers of shape {' or '.join(map(str, shapes))}")
        chosen, preferred = actions.astype(np.int64, copy=False), self._nobody
        if chosen.ndim == 2:
            chosen, preferred = np.ascontiguousarray(chosen[:, 0]), chosen[:, 1]
            _require_inside("the model to evict first", preferred, scenario.n_models)
            preferred = np.where(preferred == scenario.n_models, -1, preferred)
        _require_inside("an action", chosen, scenario.n_models * scenario.max_batch_size)
        return chosen, preferred

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (N, I · b_cap + 1); all True for an environment that has ended.

        With ``eviction="agent"`` bool (N, I · b_cap + 1 + I + 1), for both parts.
        """
        mask = self._episodes.mask.astype(np.bool_)
        if self.scenario.eviction == "agent":
            return np.hstack([mask, np.ones((self.num_envs, self.scenario.n_models + 1), dtype=np.bool_)])
        return mask

    # ------------------------------------------------------------ what is returned

    def _returned_observations(self) -> Observations:
        if not self.copy:
            return self._observations
        return {key: value.copy() for key, value in self._observations.items()}

    def _infos(self, present: NDArray[np.bool_], stepped: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos as Gymnasium batches those of single environments: values, and under ``_key`` for whom they hold.

        Args:
            present: Whose values are reported; others have zeros.
            stepped: Who has taken a step, which an illegal action is, too.
        """
        state, mask = self._episodes.state, self._episodes.mask
        came = np.where(stepped, self._came, stepping.WAITED)
        if np.count_nonzero(present) < self.num_envs:
            mask = mask * present[:, None]
        elif self.copy:
            mask = mask.copy()
        columns: dict[str, Any] = {"action_mask": mask, "invalid_action": (came == stepping.REFUSED) & present}
        columns |= {key: np.where(present, state[:, column], 0) for key, column in _COUNTS.items()}
        columns["elapsed_seconds"] = np.where(present, state[:, NOW], 0) / NS_PER_SECOND
        columns["step_seconds"] = np.where(present, state[:, NOW] - state[:, BEFORE], 0) / NS_PER_SECOND
        infos: dict[str, Any] = {}
        for key, values in columns.items():
            infos[key], infos[f"_{key}"] = values, present
        ran = (came == stepping.RAN) & stepped & present
        if np.count_nonzero(ran):
            for key, column in _PARTS.items():
                infos[key], infos[f"_{key}"] = np.where(ran, state[:, column], 0) / NS_PER_SECOND, ran
        return infos

    def _statistics(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """Returns and lengths of the episodes that have just ended."""
        state = self._episodes.state
        returns = ended * state[:, SERVED] / np.maximum(1, state[:, N_USERS])
        return {"final_episode": {"r": returns, "l": ended * self._lengths}, "_final_episode": ended.copy()}

    def _at_the_end(self, terminated: NDArray[np.bool_]) -> dict[str, Any]:
        """What the single environment's info says at the end of an episode."""
        infos: dict[str, Any] = {}
        for i in np.flatnonzero(terminated).tolist():
            for key, value in at_the_end(self._episodes, i).items():
                if key not in infos:
                    infos[key] = np.zeros((self.num_envs, *np.shape(value)))
                    infos[f"_{key}"] = terminated.copy()
                infos[key][i] = value
        return infos

    def _final(self, ended: NDArray[np.bool_], terminated: NDArray[np.bool_]) -> dict[str, Any]:
        """Last observations and infos of the episodes that have just ended, as copies."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final_obs[i] = {key: value[i].copy() for key, value in self._observations.items()}
        infos = self._infos(ended.copy(), ended.copy()) | self._at_the_end(terminated)
        if infos["action_mask"] is self._episodes.mask:
            infos["action_mask"] = infos["action_mask"].copy()
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": infos,
            "_final_info": ended.copy(),
        }


def _require_inside(what: str, actions: NDArray[np.int64], last: int) -> None:
    outside = (actions < 0) | (actions > last)
    if outside.any():
        raise InvalidAction(f"{what} is {actions[outside.argmax()]}; it must be from 0 to {last}")
