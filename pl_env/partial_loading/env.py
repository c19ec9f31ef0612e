"""The Gymnasium environment: spaces, reset, step, render. The physics is in ``dynamics.py``."""

from __future__ import annotations

import operator
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.errors import InvalidAction
from pl_env.partial_loading import dynamics, stepping
from pl_env.partial_loading.arrays import OBSERVATION, Environments, environment_addresses
from pl_env.partial_loading.dynamics import ELAPSED, N_BATCHES, N_SERVED, RESIDENT
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.partial_loading.stepping import SERVED
from pl_env.ranges import require, require_one_of
from pl_env.times import NS_PER_SECOND, nanoseconds

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")
_FIRST = np.zeros(1, dtype=np.int64)
_NOT_RESETTING = np.zeros(1, dtype=np.bool_)


def observation_shapes(scenario: Scenario) -> dict[str, tuple[int, ...]]:
    """Shape of each array of an observation, by its key, which is its name in `Environments` too."""
    n_models, batch_cap = scenario.n_models, scenario.max_batch_size
    return {
        "budget": (1,),
        "resident": (scenario.most_blocks,),
        "load_time": (n_models,),
        "pending": (n_models,),
        "upload_time": (n_models, batch_cap),
        "batch_time": (n_models, batch_cap),
    }


def observation_space(scenario: Scenario) -> spaces.Dict:
    """The observation space of a scenario's environments."""
    return spaces.Dict({key: spaces.Box(0.0, 1.0, shape) for key, shape in observation_shapes(scenario).items()})


def stacked_tables(table: ServingTable, deadline_ns: int, scenario: Scenario) -> dict[str, NDArray[Any]]:
    """What the kernels look times up in, for one environment: arrays with a leading axis of length 1."""
    load_cells, load_fraction, blocks = dynamics.observation_tables(
        table.load_ns, table.has_block, deadline_ns, scenario.max_batch_size, scenario.most_blocks
    )
    arrays = {
        "load_ns": table.load_ns,
        "per_sample": table.compute_ns_per_sample,
        "per_batch": table.compute_ns_per_batch,
        "max_batch": table.max_batch,
        "load_cells": load_cells,
        "load_fraction": load_fraction,
        "blocks": blocks,
    }
    return {name: array[None] for name, array in arrays.items()}


def episode_arrays(scenario: Scenario, n_envs: int) -> dict[str, NDArray[Any]]:
    """Arrays of N environments that do not depend on the number of users, nor on the library."""
    n, n_models, n_actions = n_envs, scenario.n_models, scenario.n_models * scenario.max_batch_size
    return {
        "settings": np.array([nanoseconds(scenario.deadline), scenario.fading == "batch"]),
        "radio": np.array(scenario.radio),
        "request_cumulative": scenario.request_cumulative,
        "first_user": np.zeros((n, n_models + 1), dtype=np.int32),
        "next_user": np.zeros((n, n_models), dtype=np.int32),
        "state": np.zeros((n, dynamics.STATE_ENTRIES), dtype=np.int64),
        "any_legal": np.zeros(n, dtype=np.bool_),
        "numbers": np.zeros((stepping.REPORTED_NUMBERS, n)),
        "counts": np.zeros((stepping.REPORTED_COUNTS, n), dtype=np.int64),
        "flags": np.zeros((stepping.REPORTED_FLAGS, n), dtype=np.bool_),
        **{key: np.zeros((n, *shape), dtype=np.float32) for key, shape in observation_shapes(scenario).items()},
        "mask": np.ones((n, n_actions), dtype=np.int8),
    }


class PartialLoadingEnv(gymnasium.Env[Observation, np.int64]):
    """Schedule AI model loading at a wireless edge server, one batch at a time.

    ## Description
    An edge server with one GPU hosts I fine-tuned models that share parameter blocks. K users each have one inference
    task, all released at time 0, each for one model. In every step the agent chooses a model and a batch size; that
    many users of the model, those with the shortest upload times, upload their data, the server loads the blocks of
    the model that are not resident from the batch before, and runs the forward pass. Users whose batch ends within
    the deadline count as served. The order of models decides how much is loaded, and so how many users are served.
    The problem is that of Qu et al., "PartialLoading" (arXiv 2503.22982).

    ## Action Space
    `Discrete(I * b_cap)`: action a is a batch of `a % b_cap + 1` users of model `a // b_cap`. With the default scenario
    `Discrete(400)`. An action is legal when that many users of the model are pending, the batch fits into GPU memory
    and it ends within the deadline: `info["action_mask"]` (int8, what `space.sample(mask=...)` takes) and
    `action_masks()` (bool, what sb3-contrib calls) say which are.

    ## Observation Space
    A `Dict` of float32 arrays in [0, 1]. Times are fractions of the deadline, clipped at 1.

    | Key           | Shape      | Meaning                                                                    |
    |---------------|------------|----------------------------------------------------------------------------|
    | `budget`      | (1,)       | time left                                                                  |
    | `resident`    | (J,)       | 1 for each parameter block in GPU memory                                   |
    | `load_time`   | (I,)       | time to load each model, given the resident blocks                         |
    | `pending`     | (I,)       | users of each model not yet served, as a fraction of K                     |
    | `upload_time` | (I, b_cap) | upload time of each model's next 1 ... b_cap users under present channels  |
    | `batch_time`  | (I, b_cap) | time of that whole batch: upload, load and compute                         |

    Cells of `upload_time` and `batch_time` for batches that cannot exist, as too few users are pending or GPU memory is
    too small, hold 1. `gymnasium.wrappers.FlattenObservation`, or `pl_env.FlatObservation`, which also reads
    quickly, gives one `Box`.

    ## Rewards
    Users served by the batch / K, so the undiscounted return is the served user ratio.

    ## Starting State
    Nothing served, the GPU empty. Users, requests and channels are drawn from the `Scenario`, or taken from an
    `Instance`: `reset(options={"instance": instance})`.

    ## Episode End
    Terminated when no action is legal; the mask of such a state is all ones. Never truncated.
    An illegal action ends the episode with reward 0 and `info["invalid_action"] = True`, or raises `InvalidAction`, as
    `invalid_action` says.

    ## Information
    `action_mask`; `invalid_action`; `served` and `elapsed_seconds` so far; and, after a step, the parts of the last
    batch: `upload_seconds`, `load_seconds`, `compute_seconds`.

    ## Arguments
    - `scenario`: the name of a preset ("bls", "general", "general-hard", "fading", "tiny") or a `Scenario`.
    - `invalid_action`: "terminate" or "raise".
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    >>> import gymnasium as gym, pl_env
    >>> env = gym.make("PartialLoading-v0", scenario="bls", n_users=60)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space
    Discrete(400)
    >>> {key: value.shape for key, value in observation.items()}["batch_time"]
    (50, 8)
    >>> _ = env.action_space.seed(0)
    >>> action = env.action_space.sample(mask=info["action_mask"])
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> terminated, info["served"] == round(60 * reward)
    (False, True)
    >>> pl_env.check(env.unwrapped.schedule, env.unwrapped.instance)

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 2,
    }

    def __init__(
        self,
        scenario: str | Scenario = "bls",
        *,
        invalid_action: str = "terminate",
        render_mode: str | None = None,
        **overrides: Any,
    ) -> None:
        self.scenario = Scenario.of(scenario, **overrides)
        require_one_of("invalid_action", invalid_action, INVALID_ACTION)
        if render_mode is not None:
            require_one_of("render_mode", render_mode, self.metadata["render_modes"])
        self.invalid_action = invalid_action
        self.render_mode = render_mode
        self._viewer: Any = None

        n_models, batch_cap = self.scenario.n_models, self.scenario.max_batch_size
        self._batch_cap = batch_cap
        self._action_count = n_models * batch_cap
        self.action_space = spaces.Discrete(self._action_count)
        self.observation_space = observation_space(self.scenario)  # type: ignore[assignment]
        # The kernels are those of many environments, so every array has a leading axis of length 1.
        self._parts = episode_arrays(self.scenario, 1) | {"generators": np.zeros((0, 2), dtype=np.int64)}
        self._action = np.zeros(1, dtype=np.int64)
        self._deadline_ns = -1  # no episode yet
        self._redraws = False
        self._table: ServingTable
        self._allocate_users(0)

    def _use_table(self, table: ServingTable, deadline_ns: int) -> None:
        """Look times up in a table from now on."""
        if deadline_ns == self._deadline_ns and table is self._table:
            return
        self._table, self._deadline_ns = table, deadline_ns
        self._parts |= stacked_tables(table, deadline_ns, self.scenario)
        self._parts["unloaded_ns"] = np.zeros((1, self._action_count), dtype=self._parts["load_cells"].dtype)
        self._is_bound = False

    def _allocate_users(self, n_users: int) -> None:
        """Make the per-user arrays of an episode with K users."""
        shape = (1, n_users)
        self._parts |= {
            "n_users": np.array([n_users]),
            "uniforms": np.zeros((1, 3 * n_users)),
            "requested_model": np.zeros(shape, dtype=np.int64),
            "mean_snr": np.zeros(shape),
            "upload_ns": np.zeros(shape, dtype=np.int64),
            "users": np.zeros(shape, dtype=np.int32),
            "sorted_upload": np.zeros(shape, dtype=np.int64),
            "history": np.zeros((*shape, dynamics.HISTORY_COLUMNS), dtype=np.int64),
            "served_users": np.zeros(shape, dtype=np.int64),
            "served_upload": np.zeros(shape, dtype=np.int64),
        }
        self._is_bound = False

    def _bind(self) -> None:
        """Gather what a step needs: where the arrays lie, and their only rows."""
        arrays = Environments(**self._parts)
        self._addresses = environment_addresses(arrays)
        self._rows = [(key, self._parts[key][0]) for key in OBSERVATION]
        self._mask = arrays.mask[0]
        self._uniforms = arrays.uniforms[0, : self.n_users]
        self._unloaded_ns = arrays.unloaded_ns
        self._numbers = arrays.numbers.reshape(-1)
        self._counts = arrays.counts.reshape(-1)
        self._flags = arrays.flags.reshape(-1)
        self._is_bound = True

    def __getstate__(self) -> dict[str, Any]:
        """Without what `_bind` makes of the arrays, which does not hold for copies of them."""
        bound = {"_addresses", "_rows", "_mask", "_uniforms", "_unloaded_ns", "_numbers", "_counts", "_flags"}
        return {key: value for key, value in self.__dict__.items() if key not in bound}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._deadline_ns >= 0:
            self._bind()

    # ------------------------------------------------------------ Gymnasium's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the environment's generator.
            options: ``{"instance": Instance}`` plays that instance instead of drawing one.

        Returns:
            The observation and the info dict.

        Raises:
            InvalidValue: The instance does not fit the environment's spaces, or the options hold something else.
        """
        super().reset(seed=seed)
        known = options is None or set(options) <= {"instance"}
        require(known, "options", options, 'None or {"instance": an Instance}')
        instance = None if options is None else options.get("instance")
        if instance is None:
            self._draw()
        else:
            self._replay(instance)
        if not self._is_bound:
            self._bind()
        stepping.reset_many(self._addresses, self._parts["unloaded_ns"], _FIRST, self._initial_resident)
        if self.render_mode == "human":
            self.render()
        return {key: row.copy() for key, row in self._rows}, self._info()

    def _draw(self) -> None:
        """Draw an episode: the same numbers, from the same state of the generator, as `Scenario.sample`."""
        scenario, rng = self.scenario, self.np_random
        table = scenario.draw_table(rng) if scenario.resample_library else scenario.table
        self._use_table(table, nanoseconds(scenario.deadline))
        n_users = scenario.draw_n_users(rng)
        if n_users != self.n_users:
            self._allocate_users(n_users)
        parts = self._parts
        dynamics.draw_users(
            rng.random((3, n_users)),
            scenario.request_cumulative,
            *scenario.radio,
            parts["requested_model"][0],
            parts["mean_snr"][0],
            parts["upload_ns"][0],
        )
        self._use_constants(-1, scenario.fading, scenario.unit_upload_ns)
        self._instance: Instance | None = None  # made when asked for
        self._initial_upload_ns = parts["upload_ns"][0].copy() if self._redraws else parts["upload_ns"][0]

    def _replay(self, instance: Instance) -> None:
        """Take the episode from an instance."""
        require(isinstance(instance, Instance), "options['instance']", instance, "an Instance")
        n_models, most_blocks = self.scenario.n_models, self.scenario.most_blocks
        require(
            instance.n_models == n_models, "instance.n_models", instance.n_models, f"{n_models}, as in the scenario"
        )
        fits = instance.n_blocks <= most_blocks
        require(fits, "instance.n_blocks", instance.n_blocks, f"at most {most_blocks}, as in the scenario")
        self._use_table(instance.table, int(instance.deadline_ns))
        self._allocate_users(instance.n_users)
        assert instance.mean_snr is not None
        self._parts["requested_model"][0] = instance.requested_model
        self._parts["mean_snr"][0] = instance.mean_snr
        self._parts["upload_ns"][0] = instance.upload_ns
        self._use_constants(int(instance.resident), instance.fading, float(instance.unit_upload_ns))
        self._instance = instance

    def _use_constants(self, resident: int, fading: str, unit_upload_ns: float) -> None:
        """Set what is the instance's own, or the scenario's."""
        self._initial_resident = resident
        self._redraws = fading == "batch"
        self._parts["settings"][:] = (self._deadline_ns, self._redraws)
        self._parts["radio"][3] = unit_upload_ns

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Run one batch.

        Args:
            action: An integer of the action space.

        Returns:
            Observation, reward (users served / K), terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is no integer, or is illegal and ``invalid_action`` is "raise".
        """
        try:
            index = operator.index(action)
        except TypeError:
            raise InvalidAction(f"action is {action!r}; it must be an integer") from None
        if self._deadline_ns < 0:
            raise gymnasium.error.ResetNeeded("Cannot call env.step() before calling env.reset()")
        if self.invalid_action == "raise" or self._redraws:
            legal = 0 <= index < self._action_count and self.any_legal and bool(self._mask[index])
            if not legal and self.invalid_action == "raise":
                raise InvalidAction(self._why_illegal(index))
            if legal and self._redraws:  # a refused action takes no draw, so that it changes nothing
                self.np_random.random(out=self._uniforms)
        self._action[0] = index if 0 <= index < self._action_count else -1
        stepping.step_many(self._addresses, self._unloaded_ns, self._action, _NOT_RESETTING)
        if self.render_mode == "human":
            self.render()
        reward, _, elapsed, upload, load, compute = self._numbers.tolist()
        terminated, invalid, ran = self._flags.tolist()
        info = {
            "action_mask": self._mask.copy(),
            "invalid_action": invalid,
            "served": self._counts.item(SERVED),
            "elapsed_seconds": elapsed,
        }
        if ran:
            info["upload_seconds"] = upload
            info["load_seconds"] = load
            info["compute_seconds"] = compute
        return {key: row.copy() for key, row in self._rows}, reward, terminated, False, info

    def _info(self) -> dict[str, Any]:
        """The info of a reset."""
        return {"action_mask": self._mask.copy(), "invalid_action": False, "served": 0, "elapsed_seconds": 0.0}

    def _why_illegal(self, action: int) -> str:
        if not 0 <= action < self._action_count:
            return f"action is {action}; it must be from 0 to {self._action_count - 1}"
        model, size = action // self._batch_cap, action % self._batch_cap + 1
        pending = int(self._parts["first_user"][0, model + 1] - self._parts["next_user"][0, model])
        largest = int(self._table.max_batch[model])
        batch = f"action is {action}, a batch of {size} for model {model}"
        if size > pending:
            return f"{batch}; only {pending} users of it are pending"
        if size > largest:
            return f"{batch}; at most {largest} fit into GPU memory"
        left = (self._deadline_ns - int(self._parts["state"][0, ELAPSED])) / NS_PER_SECOND
        return f"{batch}; it would end after the deadline, {left:.6f} s from now"

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.partial_loading import rendering  # matplotlib is heavy, and few environments are drawn

        if self.render_mode == "ansi":
            return rendering.describe(self)
        if self._viewer is None:
            self._viewer = rendering.Viewer(interactive=self.render_mode == "human")
        return self._viewer.draw(self)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (I · b_cap,); all True in a terminal state."""
        return np.asarray(self._parts["mask"][0], dtype=np.bool_)

    @property
    def any_legal(self) -> bool:
        """Whether any action is legal now; False in a terminal state."""
        return bool(self._parts["any_legal"][0])

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start."""
        if self._deadline_ns < 0:
            raise gymnasium.error.ResetNeeded("Cannot ask for env.instance before calling env.reset()")
        if self._instance is None:
            self._instance = self.scenario.instance(
                self._table, self._parts["requested_model"][0], self._parts["mean_snr"][0], self._initial_upload_ns
            )
        return self._instance

    @property
    def schedule(self) -> Schedule:
        """The batches run so far."""
        parts = self._parts
        served = int(parts["state"][0, N_SERVED])
        return Schedule(
            history=parts["history"][0, : self.n_batches].copy(),
            users=parts["served_users"][0, :served].copy(),
            user_upload_ns=parts["served_upload"][0, :served].copy(),
            n_users=self.n_users,
            solver="environment",
        )

    @property
    def plan(self) -> Schedule:
        """The same as `schedule`, by the name that it has in every system."""
        return self.schedule

    @property
    def pending_users(self) -> NDArray[np.int64]:
        """Indices of the users not yet served, ascending, int64; user n of `remaining` is entry n."""
        pending = np.ones(self.n_users, dtype=np.bool_)
        pending[self._parts["served_users"][0, : self._parts["state"][0, N_SERVED]]] = False
        return np.flatnonzero(pending)

    def remaining(self) -> Instance:
        """What is left of the episode as an instance of its own: pending users, present channels, time left."""
        state, upload_ns = self._parts["state"][0], self._parts["upload_ns"][0]
        return self.instance.remaining(self.pending_users, upload_ns, int(state[RESIDENT]), int(state[ELAPSED]))

    @property
    def n_users(self) -> int:
        """Users K of the present episode."""
        return int(self._parts["n_users"][0])

    @property
    def n_batches(self) -> int:
        """Batches run so far."""
        return int(self._parts["state"][0, N_BATCHES])

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of the episode that have passed."""
        return int(self._parts["state"][0, ELAPSED]) / NS_PER_SECOND
