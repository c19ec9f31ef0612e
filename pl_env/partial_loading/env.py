"""The Gymnasium environment: spaces, reset, step, render. The physics is in ``dynamics.py``."""

from __future__ import annotations

from typing import Any, NamedTuple, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.arguments import action_index, given_instance
from pl_env.errors import InvalidAction
from pl_env.partial_loading import stepping
from pl_env.partial_loading.dynamics import ELAPSED, N_BATCHES
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.stepping import SERVED
from pl_env.ranges import require, require_one_of
from pl_env.times import NS_PER_SECOND

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")
_ONLY = np.zeros(1, dtype=np.int64)
_NOT_RESETTING = np.zeros(1, dtype=np.bool_)


def observation_space(episodes: Episodes) -> spaces.Dict:
    """The observation space of one of some episodes."""
    return spaces.Dict({key: spaces.Box(0.0, 1.0, rows.shape[1:]) for key, rows in episodes.observations.items()})


class _View(NamedTuple):
    """What a step needs of the only episode: looked up once, not in every step."""

    addresses: NDArray[np.int64]
    unloaded_ns: NDArray[Any]
    action: NDArray[np.int64]
    observation: list[tuple[str, NDArray[np.float32]]]
    mask: NDArray[np.int8]
    numbers: NDArray[np.float64]
    counts: NDArray[np.int64]
    flags: NDArray[np.bool_]


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
    `invalid_action` says. An action outside the space raises it always.

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
        self._has_ended = False

        self.episodes = Episodes.of_scenario(self.scenario, 1, keeps_schedule=True)
        self._action_count = self.scenario.n_models * self.scenario.max_batch_size
        self.action_space = spaces.Discrete(self._action_count)
        self.observation_space = observation_space(self.episodes)  # type: ignore[assignment]
        self._view: _View | None = None
        self._has_begun = False
        self._instance: Instance | None = None  # of a drawn episode: made when asked for
        self._initial_upload_ns: NDArray[np.int64]

    def _bind(self) -> _View:
        """Look up what a step needs, which holds until the arrays move."""
        self._require_begun("step()")
        arrays = self.episodes.arrays
        self._view = _View(
            addresses=self.episodes.addresses,
            unloaded_ns=arrays.unloaded_ns,
            action=np.zeros(1, dtype=np.int64),
            observation=[(key, rows[0]) for key, rows in self.episodes.observations.items()],
            mask=arrays.mask[0],
            numbers=arrays.numbers[:, 0],
            counts=arrays.counts[:, 0],
            flags=arrays.flags[:, 0],
        )
        return self._view

    def __getstate__(self) -> dict[str, Any]:
        """Without the view, which is not one of a copy's arrays."""
        return self.__dict__ | {"_view": None}

    def _require_begun(self, asked: str) -> None:
        if not self._has_begun:
            raise gymnasium.error.ResetNeeded(f"Cannot use env.{asked} before calling env.reset()")

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
        if instance is not None:
            self._require_fitting(instance)
        self._follow_generator()
        if instance is None:
            self.episodes.draw(_ONLY)
        else:
            self.episodes.place(0, instance)
        self._instance, self._has_begun, self._has_ended = instance, True, False
        self._redraws = self.episodes.redraws
        upload_ns = self.episodes.arrays.upload_ns[0]
        self._initial_upload_ns = upload_ns.copy() if self._redraws else upload_ns
        view = self._view
        if view is None or view.addresses is not self.episodes.addresses:
            view = self._bind()
        if self.render_mode == "human":
            self.render()
        return {key: row.copy() for key, row in view.observation}, {
            "action_mask": view.mask.copy(),
            "invalid_action": False,
            "served": 0,
            "elapsed_seconds": 0.0,
        }

    def _follow_generator(self) -> None:
        """Draw from the environment's generator, which a reset with a seed, or the user, may have replaced."""
        if not self.episodes.generators or self.episodes.generators[0] is not self.np_random:
            self.episodes.use_generators([self.np_random])

    def _require_fitting(self, instance: Instance) -> None:
        """Raise unless an instance fits the environment's spaces."""
        n_models, most_blocks = self.scenario.n_models, self.scenario.most_blocks
        require(
            instance.n_models == n_models, "instance.n_models", instance.n_models, f"{n_models}, as in the scenario"
        )
        fits = instance.n_blocks <= most_blocks
        require(fits, "instance.n_blocks", instance.n_blocks, f"at most {most_blocks}, as in the scenario")

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Run one batch.

        Args:
            action: An integer of the action space.

        Returns:
            Observation, reward (users served / K), terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is not of the action space, or is illegal and ``invalid_action`` is "raise".
        """
        index = action_index(action, self._action_count)
        view = self._view
        if view is None:
            view = self._bind()
        addresses, unloaded_ns, one_action, observation, mask, numbers, counts, flags = view
        if self.invalid_action == "raise" and not (self.any_legal and mask[index]):
            raise InvalidAction(self._why_illegal(index))
        if self._redraws:
            self._follow_generator()
        one_action[0] = index
        stepping.step_many(addresses, unloaded_ns, one_action, _NOT_RESETTING)
        if self.render_mode == "human":
            self.render()
        reward, _, elapsed, upload, load, compute = numbers.tolist()
        terminated, invalid, ran = flags.tolist()
        if invalid and self._has_ended:
            gymnasium.logger.warn("step() was called after the end of the episode; call reset() first.")
        self._has_ended = terminated
        info = {
            "action_mask": mask.copy(),
            "invalid_action": invalid,
            "served": counts.item(SERVED),
            "elapsed_seconds": elapsed,
        }
        if ran:
            info["upload_seconds"] = upload
            info["load_seconds"] = load
            info["compute_seconds"] = compute
        return {key: row.copy() for key, row in observation}, reward, terminated, False, info

    def _why_illegal(self, action: int) -> str:
        arrays, batch_cap = self.episodes.arrays, self.scenario.max_batch_size
        model, size = action // batch_cap, action % batch_cap + 1
        pending = arrays.first_user[0, model + 1] - arrays.next_user[0, model]
        largest = arrays.max_batch[0, model]
        batch = f"action is {action}, a batch of {size} for model {model}"
        if size > pending:
            return f"{batch}; only {pending} users of it are pending"
        if size > largest:
            return f"{batch}; at most {largest} fit into GPU memory"
        left = int(arrays.deadline_ns[0] - arrays.state[0, ELAPSED]) / NS_PER_SECOND
        return f"{batch}; it would end after the deadline, {left:.6f} s from now"

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.partial_loading import rendering  # matplotlib is heavy, and few environments are drawn

        if self.render_mode == "ansi":
            return rendering.describe(self.schedule, self.instance)
        if self._viewer is None:
            self._viewer = rendering.Viewer(self.metadata["render_fps"] if self.render_mode == "human" else None)
        return self._viewer.draw(self.schedule, self.instance)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (I · b_cap,); all True in a terminal state."""
        return np.asarray(self.episodes.arrays.mask[0], dtype=np.bool_)

    @property
    def any_legal(self) -> bool:
        """Whether any action is legal now; False in a terminal state."""
        return bool(self.episodes.arrays.any_legal[0])

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start."""
        self._require_begun("instance")
        if self._instance is None:
            arrays, k = self.episodes.arrays, self.n_users
            self._instance = self.scenario.instance(
                self.episodes.libraries[0],
                arrays.requested_model[0, :k],
                arrays.mean_snr[0, :k],
                self._initial_upload_ns[:k],
            )
        return self._instance

    @property
    def schedule(self) -> Schedule:
        """The batches run so far."""
        arrays, served = self.episodes.arrays, int(self.episodes.served[0])
        return Schedule(
            history=arrays.history[0, : self.n_batches].copy(),
            users=arrays.served_users[0, :served].copy(),
            user_upload_ns=arrays.served_upload[0, :served].copy(),
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
        return self.episodes.pending_users(0)

    def remaining(self) -> Instance:
        """What is left of the episode as an instance of its own: pending users, present channels, time left."""
        self._require_begun("remaining()")
        return self.episodes.remaining(0)

    @property
    def n_users(self) -> int:
        """Users K of the present episode."""
        return int(self.episodes.n_users[0])

    @property
    def n_batches(self) -> int:
        """Batches run so far."""
        return int(self.episodes.arrays.state[0, N_BATCHES])

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of the episode that have passed."""
        return int(self.episodes.arrays.state[0, ELAPSED]) / NS_PER_SECOND
