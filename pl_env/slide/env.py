"""The Gymnasium environment: spaces, reset, step, render. The physics is in ``dynamics.py`` and ``edf.py``."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.arguments import action_index, given_instance
from pl_env.errors import InvalidAction
from pl_env.ranges import require, require_one_of
from pl_env.slide import stepping
from pl_env.slide.dynamics import (
    COMPUTE,
    DOWNLOAD,
    FREQUENCY,
    PAIR_COLUMNS,
    SHARE,
    USER_COLUMNS,
    Tables,
    describe_steps,
    draw_users,
)
from pl_env.slide.edf import DUE, REST
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan
from pl_env.slide.scenario import DRAWS_PER_USER, Scenario
from pl_env.slide.stepping import HEAD, HORIZON, NOW, TAIL, USER
from pl_env.times import NS_PER_SECOND, nanoseconds

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")


def observation_shapes(scenario: Scenario) -> dict[str, tuple[int, ...]]:
    """Shape of each array of an observation, by its key, in the order in which they lie in one array."""
    n_models = scenario.n_models
    return {
        "time": (1,),
        "to_come": (1,),
        "load": (HORIZON,),
        "need": (n_models, HORIZON),
        "download": (n_models,),
        "deadline": (1,),
    }


class SlideEnv(gymnasium.Env[Observation, np.int64]):
    """Admit users who download a model and compute with what has arrived, with a guarantee to be in time.

    ## Description
    Users arrive in the cell of a base station. Each has a task with a deadline and an energy budget, and needs a model
    for it, which the device downloads layer by layer; it computes layer 1 while later layers arrive. In every step the
    agent decides on the user who arrives: to refuse, or to admit with one of the models that answer the request. The
    device computes at the highest frequency that the energy allows. The band goes to the earliest due layer; whoever is
    admitted is certainly served in time, as only what fits in with all that was promised is legal. The problem is that
    of Qu et al., "SLIDE" (arXiv 2512.20946), with arrivals over time.

    ## Action Space
    `Discrete(1 + I)`: 0 refuses, i admits with model i - 1. With the default scenario `Discrete(4)`. Refusing is always
    legal; a model is when it answers the request, the energy is enough, and the user fits in: `info["action_mask"]`
    (int8, what `space.sample(mask=...)` takes) and `action_masks()` (bool, what sb3-contrib calls) say which are.

    ## Observation Space
    A `Dict` of float32 arrays in [0, 1], clipped. T_max is the scenario's longest deadline, t_h = h · T_max / 16 for
    h = 1 ... 16.

    | Key        | Shape   | Meaning                                                                                |
    |------------|---------|----------------------------------------------------------------------------------------|
    | `time`     | (1,)    | time now, as a fraction of the window; 0 where all are there at the start              |
    | `to_come`  | (1,)    | users after this one, as a fraction of K                                               |
    | `load`     | (16,)   | time on the whole band promised for within t_h from now, as a fraction of t_h          |
    | `need`     | (I, 16) | what the user would need within t_h with each model, likewise                          |
    | `download` | (I,)    | time on the whole band of each model's whole download, as a fraction of T_max          |
    | `deadline` | (1,)    | the user's deadline, as a fraction of T_max                                            |

    `need` and `download` are 1 for models that the user cannot be served with even alone, and in the terminal state.

    ## Rewards
    1 / K for an admission, so the undiscounted return is the share of users served.

    ## Starting State
    Nothing promised; the first user. Users are drawn from the `Scenario`, or taken from an `Instance`:
    `reset(options={"instance": instance})`.

    ## Episode End
    Terminated after the last user; the mask of that state is all ones. Never truncated. An illegal action ends the
    episode with reward 0 and `info["invalid_action"] = True`, or raises `InvalidAction`, as `invalid_action` says. An
    action outside the space raises it always.

    ## Information
    `action_mask`; `invalid_action`; `served` so far; `elapsed_seconds`; `backlog_seconds`, what is promised, on the
    whole band; and, after a step, the admitted user's `frequency_hz`, `download_seconds` on the whole band and
    `compute_seconds`, 0 after a refusal.

    ## Arguments
    - `scenario`: the name of a preset ("default", "paper", "hard", "zoo", "compressed", "tiny") or a `Scenario`.
    - `invalid_action`: "terminate" or "raise".
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    >>> import gymnasium as gym, pl_env
    >>> env = gym.make("Slide-v0", scenario="hard", n_users=60)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space
    Discrete(4)
    >>> observation["need"].shape
    (3, 16)
    >>> _ = env.action_space.seed(0)
    >>> action = env.action_space.sample(mask=info["action_mask"])
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> terminated, info["served"] == round(60 * reward)
    (False, True)
    >>> pl_env.slide.check(env.unwrapped.plan, env.unwrapped.instance)

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 4,
    }

    def __init__(
        self,
        scenario: str | Scenario = "default",
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
        shapes = observation_shapes(self.scenario)
        self.action_space = spaces.Discrete(1 + self.scenario.n_models)
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {key: spaces.Box(0.0, 1.0, shape) for key, shape in shapes.items()}
        )
        self._scale = np.array([nanoseconds(self.scenario.window), self.scenario.longest_deadline_ns])
        self._draws = self.scenario.draws()
        self._tables: Tables = self.scenario.tables
        self._episode: stepping.Episode | None = None
        self._instance: Instance | None = None

    def _allocate(self, n_users: int, n_committed: int) -> stepping.Episode:
        """Arrays for an episode of so many users; those there are, where they fit."""
        n_models, longest = self.scenario.n_models, int(np.diff(self._tables.start).max())
        shape, capacity = (n_users, n_models, 2, longest), n_committed + n_users * longest
        episode = self._episode
        if episode is not None and episode.steps.shape == shape and episode.queue.shape[1] == capacity:
            return episode
        return stepping.Episode(
            users=np.zeros((n_users, USER_COLUMNS), dtype=np.int64),
            pairs=np.zeros((n_users, n_models, PAIR_COLUMNS), dtype=np.int64),
            steps=np.zeros(shape, dtype=np.int64),
            scale=self._scale,
            queue=np.zeros((3, capacity), dtype=np.int64),
            state=np.zeros(stepping.STATE_ENTRIES, dtype=np.int64),
            models=np.zeros(n_users, dtype=np.int64),
            observation=np.zeros(3 + HORIZON * (1 + n_models) + n_models, dtype=np.float32),
            mask=np.zeros(1 + n_models, dtype=np.int8),
        )

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
        if instance is None:
            n_users = self.scenario.n_users
            self._tables, self._instance, n_committed = self.scenario.tables, None, 0
            self._episode = self._allocate(n_users, 0)
            draw_users(self.np_random.random((DRAWS_PER_USER, n_users)), self._draws, self._episode.users)
        else:
            n_models = self.scenario.n_models
            fits = instance.n_models == n_models
            require(fits, "instance.n_models", instance.n_models, f"{n_models}, as in the scenario")
            n_committed = len(instance.committed_due_ns)
            self._tables, self._instance = instance.tables, instance
            self._episode = self._allocate(instance.n_users, n_committed)
            self._episode.users[:] = instance.users
            self._episode.queue[DUE, :n_committed] = instance.committed_due_ns
            self._episode.queue[REST, :n_committed] = instance.committed_rest_ns
        describe_steps(self._tables, self._episode.users, self._episode.pairs, self._episode.steps)
        stepping.begin(self._episode, n_committed)
        self._bind()
        if self.render_mode == "human":
            self.render()
        return {key: view.copy() for key, view in self._views}, self._info(False)

    def _bind(self) -> None:
        """Views of the observation's parts."""
        self._views, start = [], 0
        for key, shape in observation_shapes(self.scenario).items():
            size = int(np.prod(shape))
            self._views.append((key, self._now.observation[start : start + size].reshape(shape)))
            start += size

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which do not hold for copies."""
        return {key: value for key, value in self.__dict__.items() if key != "_views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._episode is not None:
            self._bind()

    @property
    def _now(self) -> stepping.Episode:
        if self._episode is None:
            raise gymnasium.error.ResetNeeded("Cannot step, or ask for the episode, before calling env.reset()")
        return self._episode

    def _info(self, invalid: bool) -> dict[str, Any]:
        episode = self._now
        _, now, _, _, served, backlog = episode.state.tolist()
        return {
            "action_mask": episode.mask.copy(),
            "invalid_action": invalid,
            "served": served,
            "elapsed_seconds": now / NS_PER_SECOND,
            "backlog_seconds": backlog / NS_PER_SECOND,
        }

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Decide on the present user.

        Args:
            action: An integer of the action space.

        Returns:
            Observation, reward (1 / K for an admission), terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is not of the action space, or is illegal and ``invalid_action`` is "raise".
        """
        index = action_index(action, 1 + self.scenario.n_models)
        episode, user = self._now, int(self._now.state[USER])
        if not stepping.decide(episode, index):
            return self._refuse_to_step(index)
        if self.render_mode == "human":
            self.render()
        info = self._info(False)
        frequency = download = compute = 0
        if index > 0:
            pair = episode.pairs[user, index - 1]
            frequency, download, compute = int(pair[FREQUENCY]), int(pair[DOWNLOAD]), int(pair[COMPUTE])
        info["frequency_hz"] = frequency
        info["download_seconds"] = download / NS_PER_SECOND
        info["compute_seconds"] = compute / NS_PER_SECOND
        n_users = len(episode.users)
        reward = 1.0 / n_users if index > 0 else 0.0
        return {key: view.copy() for key, view in self._views}, reward, user + 1 == n_users, False, info

    def _refuse_to_step(self, index: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """End the episode after an illegal action, or raise."""
        if self.invalid_action == "raise":
            raise InvalidAction(self._why_illegal(index))
        info = self._info(True) | {"frequency_hz": 0, "download_seconds": 0.0, "compute_seconds": 0.0}
        return {key: view.copy() for key, view in self._views}, 0.0, True, False, info

    def _why_illegal(self, action: int) -> str:
        episode = self._now
        user = int(episode.state[USER])
        if user >= len(episode.users):
            return f"action is {action}; all users have been decided on"
        model, about = action - 1, f"action is {action}, model {action - 1} for user {user}"
        if not self.instance.accepted[user, model]:
            return f"{about}; it does not answer the request"
        if episode.pairs[user, model, FREQUENCY] == 0:
            return f"{about}; it takes more energy than the device has"
        if episode.pairs[user, model, SHARE] == 0:
            return f"{about}; even alone it would be late"
        return f"{about}; somebody would be late"

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.slide import rendering  # matplotlib is heavy, and few environments are drawn

        about = f"{self.elapsed_seconds:.3f} s, user {self._now.state[USER]} of {len(self._now.users)}"
        if self.render_mode == "ansi":
            return rendering.describe(self.plan, self.instance, about)
        if self._viewer is None:
            self._viewer = rendering.Viewer(self.metadata["render_fps"] if self.render_mode == "human" else None)
        return self._viewer.draw(self.plan, self.instance, about, self.elapsed_seconds)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (1 + I,); all True in the terminal state."""
        return np.asarray(self._now.mask, dtype=np.bool_)

    @property
    def any_legal(self) -> bool:
        """Whether the episode goes on; refusing is always legal until then."""
        return bool(self._now.state[USER] < len(self._now.users))

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start."""
        if self._instance is None:
            self._instance = self.scenario.instance(self._now.users)
        return self._instance

    @property
    def plan(self) -> Plan:
        """The decisions so far, and how the band is shared if nobody else is admitted."""
        decided = int(self._now.state[USER])
        return Plan.from_models(self.instance, self._now.models[:decided].copy(), solver="environment")

    @property
    def episode(self) -> stepping.Episode:
        """What the kernels read and write; for planners that look ahead. Not to be changed."""
        return self._now

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of the episode that have passed."""
        return int(self._now.state[NOW]) / NS_PER_SECOND

    def remaining(self) -> Instance:
        """What is left of the episode as an instance of its own: users from this one on, and what was promised."""
        user, now, head, tail = self._now.state[[USER, NOW, HEAD, TAIL]].tolist()
        promised = self._now.queue[:, head:tail]
        return self.instance.remaining(user, now, promised[DUE], promised[REST])
