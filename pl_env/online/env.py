"""The Gymnasium environment: spaces, reset, step, render. The physics is in ``dynamics.py``."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.arguments import action_index, given_instance
from pl_env.errors import InvalidAction, shown
from pl_env.low_level import generator_addresses
from pl_env.online import stepping
from pl_env.online.arrays import (
    ARRIVED,
    BEFORE,
    CHOICES,
    COMPUTE_NS,
    EXPIRED,
    LEGAL,
    LOADED_BYTES,
    LOADING_NS,
    N_BATCHES,
    N_EVICTED,
    N_USERS,
    N_WAITS,
    NOW,
    SERVED,
    UPLOAD_NS,
    Episode,
    Tables,
    allocate,
    tables_from,
)
from pl_env.online.episodes import place, remaining, with_room
from pl_env.online.instance import EVICTIONS, Instance
from pl_env.online.observing import observation_shapes, views
from pl_env.online.plan import Plan
from pl_env.online.scenario import Scenario
from pl_env.online.statistics import at_the_end
from pl_env.ranges import require, require_one_of
from pl_env.times import NS_PER_SECOND

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")
_ONLY = np.zeros(1, dtype=np.int64)


def spaces_of(scenario: Scenario, observe_blocks: bool) -> tuple[spaces.Dict, spaces.Space[Any]]:
    """Observation and action space of a scenario's environments."""
    n_models, batch_cap = scenario.n_models, scenario.max_batch_size
    shapes = observation_shapes(n_models, batch_cap, scenario.table.n_blocks if observe_blocks else 0)
    empty = np.zeros((1, sum(int(np.prod(shape)) for shape in shapes.values())), dtype=np.float32)
    boxes: dict[str, spaces.Space[Any]] = {}
    for key, part in views(empty, shapes).items():
        boxes[key] = spaces.Box(0.0, 1.0, part.shape[1:])
    n_actions = n_models * batch_cap + 1
    if scenario.eviction == "agent":
        return spaces.Dict(boxes), spaces.MultiDiscrete([n_actions, n_models + 1])
    return spaces.Dict(boxes), spaces.Discrete(n_actions)


class PartialLoadingOnlineEnv(gymnasium.Env[Observation, Any]):
    """Serve requests that arrive over time, with GPU memory as a cache of parameter blocks, one batch at a time.

    ## Description
    An edge server with one GPU hosts I fine-tuned models that share parameter blocks. Users arrive, each with a task
    for one model and a deadline of their own. In every step the agent chooses a model and a batch size, or waits for
    the next user. That many users of the model upload their data, blocks leave memory until there is room, the server
    loads the blocks of the model that are missing, and runs the forward pass. The users of a batch are the most urgent
    window: of the model's pending users, by deadline, the first that many which are all in time. So whoever is in a
    batch is served in time. Users who cannot be in time any more are dropped. The offline problem is that of
    "PartialLoading" (arXiv 2503.22982).

    ## Action Space
    `Discrete(I * b_cap + 1)`: action a is a batch of `a % b_cap + 1` users of model `a // b_cap`; the last one waits
    for the next user. With the default scenario `Discrete(401)`. A batch is legal when there is a window of that many
    users; waiting is while users are to come: `info["action_mask"]` (int8, what `space.sample(mask=...)` takes) and
    `action_masks()` (bool, what sb3-contrib calls) say which are.

    With `eviction="agent"` it is `MultiDiscrete([I * b_cap + 1, I + 1])`: the second part is a model whose blocks leave
    memory first, I for none, all legal; `info["action_mask"]` is that of the first part, `action_masks()` has both, and
    an integer alone is taken as the first part, with none preferred.

    ## Observation Space
    A `Dict` of float32 arrays in [0, 1]. Times are fractions of the scenario's longest deadline after an arrival,
    clipped; batches that are not legal have 1 (`margin` 0).

    | Key           | Shape      | Meaning                                                                            |
    |---------------|------------|------------------------------------------------------------------------------------|
    | `waiting`     | (I,)       | x / (x + 8) for x pending users                                                    |
    | `slack`       | (I,)       | time to the deadline of the most urgent of them; 1 if there is none                |
    | `upload_time` | (I, b_cap) | uploads of the window of 1 ... b_cap users                                         |
    | `batch_time`  | (I, b_cap) | the whole batch: upload, load and compute                                          |
    | `margin`      | (I, b_cap) | from its end to the first deadline of its users                                    |
    | `load_time`   | (I,)       | time to load what is missing, as a fraction of the longest load into empty memory  |
    | `resident`    | (I,)       | share of the model's bytes that are in memory                                      |
    | `demand`      | (I,)       | x / (x + 8) for x arrivals in the last 3 s                                         |
    | `age`         | (I,)       | time since the model's last batch ended, as a fraction of 3 s; 1 if there was none |
    | `blocks`      | (J,)       | 1 for each block in memory; only with `observe_blocks=True`                        |

    ## Rewards
    Users served by the batch / K, so the undiscounted return is the goodput. Steps last from 2 to 60 ms: discount by
    gamma to the power of `info["step_seconds"]`, from decision to decision.

    ## Starting State
    Memory empty, at the first decision. Users are drawn from the `Scenario`, or taken from an `Instance`:
    `reset(options={"instance": instance})`.

    ## Episode End
    Terminated when no users are to come and no batch is legal; the mask of that state is all ones. Never truncated. An
    illegal action ends the episode with reward 0 and `info["invalid_action"] = True`, or raises `InvalidAction`, as
    `invalid_action` says. An action outside the space raises it always.

    ## Information
    `action_mask`; `invalid_action`; `served`, `expired`, `arrived`, `elapsed_seconds` and `loaded_bytes` so far;
    `step_seconds`; after a batch its parts `upload_seconds`, `load_seconds` and `compute_seconds`; and at the end
    `goodput`, `goodput_per_model` (1 where nobody asked for the model), `response_p50` and `response_p99` in seconds
    (0 where nobody was served).

    ## Arguments
    - `scenario`: the name of a preset ("online", "online-lru", "tiny") or a `Scenario`.
    - `invalid_action`: "terminate" or "raise".
    - `observe_blocks`: show which blocks are in memory.
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    >>> import gymnasium as gym, pl_env
    >>> env = gym.make("PartialLoadingOnline-v0", arrival_rate=80, episode_seconds=5)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space
    Discrete(401)
    >>> observation["batch_time"].shape
    (50, 8)
    >>> _ = env.action_space.seed(0)
    >>> action = env.action_space.sample(mask=info["action_mask"])
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> terminated, info["served"] == round(env.unwrapped.n_users * reward)
    (False, True)
    >>> pl_env.online.check(env.unwrapped.plan, env.unwrapped.instance)

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 4,
    }

    def __init__(
        self,
        scenario: str | Scenario = "online",
        *,
        invalid_action: str = "terminate",
        observe_blocks: bool = False,
        render_mode: str | None = None,
        **overrides: Any,
    ) -> None:
        self.scenario = Scenario.of(scenario, **overrides)
        require_one_of("invalid_action", invalid_action, INVALID_ACTION)
        require(isinstance(observe_blocks, bool), "observe_blocks", observe_blocks, "True or False")
        if render_mode is not None:
            require_one_of("render_mode", render_mode, self.metadata["render_modes"])
        self.invalid_action = invalid_action
        self.render_mode = render_mode
        self._viewer: Any = None
        self._shows_blocks = observe_blocks
        self.observation_space, self.action_space = spaces_of(self.scenario, observe_blocks)  # type: ignore[assignment]
        self._batch_cap = self.scenario.max_batch_size
        self._waiting = self.scenario.n_models * self._batch_cap
        self._names_model = self.scenario.eviction == "agent"
        self._ranks = np.zeros(self.scenario.n_models, dtype=np.int64)
        self._tables: Tables = self.scenario.tables
        self._episode: Episode | None = None
        self._parts: list[tuple[str, NDArray[np.float32]]]
        self._instance: Instance | None = None
        self._has_ended = False

    # ------------------------------------------------------------ arrays

    def _allocate(self, tables: Tables, n_users: int, n_before: int) -> Episode:
        """Arrays for an episode of so many users; those there are, where they are large enough."""
        e, scenario = self._episode, self.scenario
        same_blocks = e is not None and len(e.keys) == len(tables.blocks)
        if e is not None and same_blocks and e.users.shape[1] >= n_users and e.before.shape[1] >= n_before:
            return e
        shapes = observation_shapes(
            scenario.n_models, scenario.max_batch_size, len(tables.blocks) if self._shows_blocks else 0
        )
        e = allocate(
            tables,
            scenario.max_batch_size,
            n_users,
            n_before=n_before,
            observed=sum(int(np.prod(shape)) for shape in shapes.values()),
            keeps_history=True,
        )
        self._bind(e)
        return e

    def _bind(self, e: Episode) -> None:
        """Views of the observation's parts."""
        shapes = observation_shapes(
            self.scenario.n_models, self.scenario.max_batch_size, len(e.keys) if self._shows_blocks else 0
        )
        self._parts = [(key, part[0]) for key, part in views(e.observation, shapes).items()]

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which do not hold for copies."""
        return {key: value for key, value in self.__dict__.items() if key != "_parts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._episode is not None:
            self._bind(self._episode)

    @property
    def episode(self) -> Episode:
        """What the kernels read and write, in row 0; for planners that look ahead. Not to be changed."""
        if self._episode is None:
            raise gymnasium.error.ResetNeeded("Cannot step, or ask for the episode, before calling env.reset()")
        return self._episode

    @property
    def tables(self) -> Tables:
        """The library of the present episode as the kernels take it."""
        return self._tables

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
        instance = given_instance(options, Instance)
        scenario = self.scenario
        if instance is None:
            self._tables, self._instance = scenario.tables, None
            self._episode = self._allocate(self._tables, scenario.most_users, 0)
            addresses = generator_addresses([self.np_random])
            stepping.draw_many(self._tables, self._episode, scenario.draws, addresses, _ONLY, self._ranks)
        else:
            self._require_fitting(instance)
            overlaps, eviction = instance.overlap == "upload", EVICTIONS.index(instance.eviction)
            self._tables = tables_from(
                instance.table, int(instance.cache_bytes), eviction, overlaps, scenario.longest_deadline_ns
            )
            n_users, n_before, self._instance = instance.n_users, len(instance.before_ns), instance
            self._episode = self._allocate(self._tables, max(n_users, scenario.most_users), n_before)
            place(self._episode, instance)
            stepping.begin_one(
                self._tables, self._episode, n_users, n_before, instance.resident_blocks, instance.last_used
            )
        self._has_ended = False
        if self.render_mode == "human":
            self.render()
        state = self._episode.state[0].tolist()
        return {key: part.copy() for key, part in self._parts}, self._info(state, False)

    def _require_fitting(self, instance: Instance) -> None:
        """Raise unless an instance fits the environment's spaces."""
        scenario = self.scenario
        n_models = scenario.n_models
        require(
            instance.n_models == n_models, "instance.n_models", instance.n_models, f"{n_models}, as in the scenario"
        )
        if self._shows_blocks:
            n_blocks = scenario.table.n_blocks
            same = instance.n_blocks == n_blocks
            require(same, "instance.n_blocks", instance.n_blocks, f"{n_blocks}, as in the scenario")
        names = (instance.eviction == "agent") == self._names_model
        require(names, "instance.eviction", instance.eviction, f"{scenario.eviction}, as in the scenario")

    def _info(self, state: list[int], invalid: bool) -> dict[str, Any]:
        return {
            "action_mask": self.episode.mask[0].copy(),
            "invalid_action": invalid,
            "served": state[SERVED],
            "expired": state[EXPIRED],
            "arrived": state[ARRIVED],
            "elapsed_seconds": state[NOW] / NS_PER_SECOND,
            "step_seconds": (state[NOW] - state[BEFORE]) / NS_PER_SECOND,
            "loaded_bytes": state[LOADED_BYTES],
        }

    def _parsed(self, action: Any) -> tuple[int, int]:
        """The parts of an action: what runs, and whose blocks leave first or -1."""
        if not self._names_model or np.ndim(action) == 0:
            return action_index(action, self._waiting + 1), -1
        if np.shape(action) != (2,):
            raise InvalidAction(f"action is {shown(action)}; it must be of {self.action_space}")
        evicted = action_index(action[1], self.scenario.n_models + 1)
        return action_index(action[0], self._waiting + 1), evicted if evicted < self.scenario.n_models else -1

    def step(self, action: Any) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Run one batch, or wait.

        Args:
            action: An action of the action space.

        Returns:
            Observation, reward (users served / K), terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is not of the action space, or is illegal and ``invalid_action`` is "raise".
        """
        e = self.episode
        index, preferred = self._parsed(action)
        if self.invalid_action == "raise" and not (e.state[0, CHOICES] and e.mask[0, index]):
            raise InvalidAction(self._why_illegal(index))
        came = stepping.step_one(self._tables, e, index, preferred)
        state = e.state[0].tolist()
        info = self._info(state, came == stepping.REFUSED)
        if came == stepping.REFUSED and self._has_ended:
            gymnasium.logger.warn("step() was called after the end of the episode; call reset() first.")
        reward = 0.0
        if came == stepping.RAN:
            info["upload_seconds"] = state[UPLOAD_NS] / NS_PER_SECOND
            info["load_seconds"] = state[LOADING_NS] / NS_PER_SECOND
            info["compute_seconds"] = state[COMPUTE_NS] / NS_PER_SECOND
            reward = (index % self._batch_cap + 1) / state[N_USERS]
            self._episode = e = with_room(e, state[N_EVICTED])
        self._has_ended = state[CHOICES] == 0
        if self._has_ended:
            info |= at_the_end(e, 0)
        if self.render_mode == "human":
            self.render()
        return {key: part.copy() for key, part in self._parts}, reward, self._has_ended, False, info

    def _why_illegal(self, action: int) -> str:
        e = self.episode
        if not self.any_legal:
            return f"action is {action}; the episode has ended"
        if action == self._waiting:
            return f"action is {action}, to wait; nobody is to come"
        batch_cap = self.scenario.max_batch_size
        model, size = action // batch_cap, action % batch_cap + 1
        legal = int(e.models[0, LEGAL, model])
        return f"action is {action}, a batch of {size} for model {model}; at most {legal} of its users can be in time"

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.online import rendering  # matplotlib is heavy, and few environments are drawn

        state = self.episode.state[0].tolist()
        about = f"{self.elapsed_seconds:.3f} s, {state[ARRIVED]} of {self.n_users} arrived, {state[EXPIRED]} expired"
        if self.render_mode == "ansi":
            return rendering.describe(self.plan, self.instance, about)
        if self._viewer is None:
            self._viewer = rendering.Viewer(self.metadata["render_fps"] if self.render_mode == "human" else None)
        return self._viewer.draw(self.plan, self.instance, about)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (I · b_cap + 1,), all True in a terminal state.

        With ``eviction="agent"`` bool (I · b_cap + 1 + I + 1,), for both parts.
        """
        mask = self.episode.mask[0].astype(np.bool_)
        if self._names_model:
            return np.append(mask, np.ones(self.scenario.n_models + 1, dtype=np.bool_))
        return np.asarray(mask)

    @property
    def any_legal(self) -> bool:
        """Whether the episode goes on; a batch is legal until then."""
        return bool(self.episode.state[0, CHOICES] > 0)

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start."""
        if self._instance is None:
            self._instance = self.scenario.instance(self.episode.users[0, : self.n_users])
        return self._instance

    @property
    def plan(self) -> Plan:
        """The decisions so far."""
        return Plan.of_episode(self.instance, self.episode, solver="environment")

    @property
    def n_users(self) -> int:
        """Users K of the present episode, those to come included."""
        return int(self.episode.state[0, N_USERS])

    @property
    def n_decisions(self) -> int:
        """Batches so far, and waits since the last of them."""
        return int(self.episode.state[0, N_BATCHES] + self.episode.state[0, N_WAITS])

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the start."""
        return int(self.episode.state[0, NOW]) / NS_PER_SECOND

    def remaining(self, *, to_come: bool = True) -> Instance:
        """What is left of the episode, as an instance of its own that begins now.

        Args:
            to_come: With the users who are still to come; False: with those who are there alone, which is what a
                planner may know.
        """
        return remaining(self.instance, self.episode, to_come=to_come)
