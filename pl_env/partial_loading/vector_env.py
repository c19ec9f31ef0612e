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
from pl_env.partial_loading.env import PartialLoadingEnv, observation_space
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.stepping import INVALID, LENGTH, RAN, RETURN, REWARD, SERVED, TERMINATED, first_outside
from pl_env.ranges import require, require_integer, require_one_of

Observations = dict[str, NDArray[np.float32]]

_AUTORESET_MODES = tuple(mode.value for mode in AutoresetMode)


class PartialLoadingVectorEnv(VectorEnv[Observations, NDArray[np.int64], NDArray[Any]]):
    """`PartialLoadingEnv`, many at once in one compiled call; each equals a single environment bit for bit.

    ``gym.make_vec("PartialLoading-v0", num_envs=1024)`` makes it. Sub-environment i is seeded seed + i. Observations
    are those of the single environment with a leading axis of environments; ``infos`` holds arrays with the keys of
    the single environment's info, and for each a bool array under ``_key`` that says for whom it holds. The action
    mask is int8 (N, I · b_cap). Where episodes end, ``infos["final_episode"]`` holds their returns ``r`` and lengths
    ``l`` in steps, and ``infos["_final_episode"]`` whose they are: what Gymnasium's ``RecordEpisodeStatistics`` reports
    as ``episode``, without its time.

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
            render_mode: Only None.
            max_episode_steps: Truncate an episode after so many steps, as Gymnasium's ``TimeLimit`` does; None never.
            **overrides: Fields of the scenario, in place of its own.

        Raises:
            InvalidValue: An argument is out of range.
            UnknownName: There is no such preset or field.
        """
        require_integer("num_envs", num_envs, 1)
        require_one_of("invalid_action", invalid_action, ("terminate",))
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
        self.metadata = PartialLoadingEnv.metadata | {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self.episodes = Episodes.of_scenario(scenario, num_envs)
        self.single_observation_space = observation_space(self.episodes)
        self.single_action_space = spaces.Discrete(scenario.n_models * scenario.max_batch_size)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._done = np.zeros(num_envs, dtype=np.bool_)

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
            several = isinstance(seed, (Sequence, np.ndarray)) and all(
                each is None or isinstance(each, (int, np.integer)) for each in seed
            )
            require(several, "seed", seed, "an integer, None, or a sequence of them")
            seeds = [None if each is None else int(each) for each in seed]
        require(len(seeds) == n, "len(seed)", len(seeds), f"{n}, one for each environment")
        require(all(each is None or each >= 0 for each in seeds), "seed", seed, "at least 0")
        require(options is None or isinstance(options, dict), "options", options, "None or a dict")
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(n, dtype=np.bool_)))
        good = mask.shape == (n,) and mask.dtype == np.bool_ and bool(mask.any())
        require(good, "options['reset_mask']", mask, f"a bool array of shape ({n},) with at least one True")
        require(not options, "options", options, "only a reset_mask; the single environment plays given instances")
        generators = list(self.episodes.generators)
        if not generators:
            require(bool(mask.all()), "options['reset_mask']", mask, "all True at the first reset")
            generators = [seeding.np_random(each)[0] for each in seeds]
        else:
            for i in np.flatnonzero(mask):
                if seeds[i] is not None:
                    generators[i] = seeding.np_random(seeds[i])[0]
        self.episodes.use_generators(generators)
        self.episodes.draw(np.flatnonzero(mask))
        self._done = self._done & ~mask
        return self._returned_observations(), self._infos(mask.copy())

    def step(
        self, actions: ArrayLike
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Run one batch in every environment.

        Args:
            actions: Integers (N,) of the action space.

        Returns:
            Observations, rewards float64 (N,), terminations, truncations (all False unless ``max_episode_steps`` is
            given), and infos.

        Raises:
            InvalidAction: An action is outside the action space.
            InvalidValue: The actions are not N integers, the environments were never reset, or one of them has ended
                and the autoreset mode is DISABLED.
        """
        n = self.num_envs
        chosen = np.asarray(actions)
        good = chosen.shape == (n,) and chosen.dtype.kind in "iu"
        require(good, "actions", chosen, f"integers of shape ({n},)")
        chosen = chosen.astype(np.int64, copy=False)
        n_actions = self.episodes.arrays.mask.shape[1]
        outside = first_outside(chosen, n_actions)
        if outside >= 0:
            raise InvalidAction(f"an action is {chosen[outside]}; it must be from 0 to {n_actions - 1}")
        require(bool(self.episodes.generators), "step()", "called", "called after reset()")
        if self.autoreset_mode == AutoresetMode.DISABLED:
            require(not self._done.any(), "autoreset_mode", "DISABLED", "followed by a reset of what has ended")
        resetting = self._done if self.autoreset_mode == AutoresetMode.NEXT_STEP else None
        self.episodes.step(chosen, resetting=resetting)
        arrays = self.episodes.arrays
        rewards, terminated = arrays.numbers[REWARD].copy(), arrays.flags[TERMINATED].copy()
        truncated, ended = np.zeros(n, dtype=np.bool_), terminated
        if self.max_episode_steps is not None:
            truncated = arrays.counts[LENGTH] >= self.max_episode_steps
            ended = terminated | truncated
        final: dict[str, Any] = {}
        if np.count_nonzero(ended):
            statistics = {"r": arrays.numbers[RETURN] * ended, "l": arrays.counts[LENGTH] * ended}
            final = {"final_episode": statistics, "_final_episode": ended.copy()}
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                final |= self._final(ended)
                self.episodes.draw(np.flatnonzero(ended))
        self._done = ended
        infos = final | self._infos(np.ones(n, dtype=np.bool_))
        return self._returned_observations(), rewards, terminated.copy(), truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (N, I · b_cap); all True for an environment that has ended."""
        return self.episodes.arrays.mask.astype(np.bool_)

    def remaining(self) -> list[Instance]:
        """What is left of every episode as an instance of its own: pending users, present channels, time left.

        As `PartialLoadingEnv.remaining`, but users stand by model, then by upload time, and their mean signal-to-noise
        ratios are not known, where channels stay for the episode.
        """
        return [self.episodes.remaining(n) for n in range(self.num_envs)]

    # ------------------------------------------------------------ what is returned

    def _returned_observations(self) -> Observations:
        if not self.copy:
            return self.episodes.observations
        return {key: value.copy() for key, value in self.episodes.observations.items()}

    def _infos(self, present: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos as Gymnasium batches those of single environments: values, and under ``_key`` for whom they hold."""
        mask, numbers, counts, flags = (
            getattr(self.episodes.arrays, name) for name in ("mask", "numbers", "counts", "flags")
        )
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
            final_obs[i] = {key: value[i].copy() for key, value in self.episodes.observations.items()}
        infos = self._infos(ended.copy())
        if infos["action_mask"] is self.episodes.arrays.mask:
            infos["action_mask"] = infos["action_mask"].copy()
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": infos,
            "_final_info": ended.copy(),
        }
