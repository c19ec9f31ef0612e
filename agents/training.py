"""Training with MaskablePPO: resumable, logged, its result a checkpoint that `agents.load` reads."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecMonitor
from torch import Tensor
from tqdm import tqdm

from agents.agent import Agent
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.network import NetworkConfig, SchedulingPolicy
from agents.sb3_vec_env import PartialLoadingVecEnv
from pl_env.errors import FileFormatError, InvalidValue
from pl_env.partial_loading.scenario import Scenario
from pl_env.ranges import require_integer, require_one_of, require_real

CHECKPOINT = "checkpoint"
"""Name of the checkpoint's folder in the output folder."""


@dataclass(frozen=True)
class TrainingConfig:
    """What to train on, how long, and MaskablePPO's arguments.

    Attributes:
        timesteps: Environment steps to train for.
        seed: Seed of networks, environments and minibatches.
        n_envs: Environments that run side by side; environment i is seeded seed + i.
        device: "cpu", "cuda" or "auto".
        rollout_steps: Steps of each environment between two updates.
        minibatch_size: Steps in a minibatch.
        epochs: Passes over each rollout.
        learning_rate: Adam's, falling linearly to 0.
        discount: gamma; 1 makes the return the served user ratio.
        gae_lambda: lambda of generalised advantage estimation.
        clip_range: PPO's clipping.
        entropy_coefficient: Weight of the entropy bonus.
        width: Hidden units of the network's layers.
        threads: Threads of torch in this process. More gain nothing for networks this small, and where other
            programs want the cores they wait for each other: two threads took 8 times as long as one.

    Raises:
        InvalidValue: A field is out of range.
    """

    timesteps: int = 240_000
    seed: int = 0
    n_envs: int = 32
    device: str = "cpu"
    rollout_steps: int = 64
    minibatch_size: int = 512
    epochs: int = 6
    learning_rate: float = 2e-3
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    width: int = 64
    threads: int = 1

    def __post_init__(self) -> None:
        require_integer("timesteps", self.timesteps, 1)
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("n_envs", self.n_envs, 1, 4096)
        require_one_of("device", self.device, ("cpu", "cuda", "auto"))
        require_integer("rollout_steps", self.rollout_steps, 2)
        require_integer("minibatch_size", self.minibatch_size, 2)
        require_integer("epochs", self.epochs, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("discount", self.discount, 0, 1)
        require_real("gae_lambda", self.gae_lambda, 0, 1)
        require_real("clip_range", self.clip_range, 0, 1, above=True)
        require_real("entropy_coefficient", self.entropy_coefficient, 0)
        require_integer("width", self.width, 1, 4096)
        require_integer("threads", self.threads, 1, 1024)


@dataclass(frozen=True)
class TrainingResult:
    """What a training run leaves.

    Attributes:
        agent: The trained agent.
        curve: A point per update: ``timesteps``, ``served_ratio`` (mean of the last 100 training episodes, with
            exploration) and ``seconds`` since the start of training.
    """

    agent: Agent
    curve: list[dict[str, float]]


def train(
    scenario: Scenario, config: TrainingConfig, out: Path, *, resume: bool = False, progress: bool = True
) -> TrainingResult:
    """Train an agent; leaves ``checkpoint/`` and ``tensorboard/`` in the output folder.

    The checkpoint is written after every update, so a killed run loses one update at most.

    Args:
        scenario: What to train on.
        config: How.
        out: Output folder.
        resume: Continue from the folder's checkpoint; it must be of the same scenario and config, but for
            ``timesteps``, ``device`` and ``threads``.
        progress: Show a progress bar.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    state = _load_state(out / CHECKPOINT, scenario, config) if resume else None
    if state is None and (out / CHECKPOINT).exists():
        raise InvalidValue(f"out is {str(out)!r}; it must be a folder without a checkpoint, or be given with resume")
    done = 0 if state is None else int(state["header"]["training"]["timesteps_done"])
    model = _make_model(scenario, config, out, done)
    curve: list[dict[str, float]] = []
    if state is not None:
        _restore(model, state)
        curve = state["header"]["training"]["curve"]
    if done < config.timesteps:
        recorder = _Recorder(scenario, config, out, curve, progress)
        model.learn(config.timesteps - done, callback=recorder, tb_log_name="ppo", reset_num_timesteps=state is None)
        recorder.save()
    return TrainingResult(_agent_of(model, scenario, config), curve)


def _make_model(scenario: Scenario, config: TrainingConfig, out: Path, done: int) -> MaskablePPO:
    torch.set_num_threads(config.threads)
    set_random_seed(config.seed)
    environments = VecMonitor(PartialLoadingVecEnv(config.n_envs, scenario))
    # After a resume the environments begin anew, with seeds that no earlier part of the run has used.
    environments.seed((config.seed + done) % 2**32)
    return MaskablePPO(
        SchedulingPolicy,
        environments,
        learning_rate=lambda remaining: config.learning_rate * remaining,
        n_steps=config.rollout_steps,
        batch_size=min(config.minibatch_size, config.n_envs * config.rollout_steps),
        n_epochs=config.epochs,
        gamma=config.discount,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coefficient,
        policy_kwargs={"network": NetworkConfig(scenario.max_batch_size, config.width)},
        tensorboard_log=str(out / "tensorboard"),
        device=config.device,
    )


def _agent_of(model: MaskablePPO, scenario: Scenario, config: TrainingConfig) -> Agent:
    trained_on = {"scenario": scenario.to_dict(), "config": asdict(config), "timesteps": int(model.num_timesteps)}
    assert isinstance(model.policy, SchedulingPolicy)
    return Agent(model.policy.network.cpu(), trained_on)


class _Recorder(BaseCallback):
    """Progress bar, learning curve, and a checkpoint after every update."""

    def __init__(
        self, scenario: Scenario, config: TrainingConfig, out: Path, curve: list[dict[str, float]], progress: bool
    ) -> None:
        super().__init__()
        self._scenario, self._config, self._out, self._curve = scenario, config, out, curve
        self._seconds_before = curve[-1]["seconds"] if curve else 0.0
        self._progress = progress

    def _on_training_start(self) -> None:
        self._start = time.perf_counter()
        self._first_step = self.num_timesteps
        self._bar = tqdm(
            total=self._config.timesteps,
            initial=self.num_timesteps,
            desc="training",
            unit="step",
            disable=not self._progress,
        )

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._first_step:
            self.save()

    def _on_rollout_end(self) -> None:
        episodes = self.model.ep_info_buffer
        if not episodes:
            return
        point = {
            "timesteps": self.num_timesteps,
            "served_ratio": float(np.mean([episode["r"] for episode in episodes])),
            "seconds": self._seconds_before + time.perf_counter() - self._start,
        }
        self._curve.append(point)
        self._bar.set_postfix(served=f"{point['served_ratio']:.3f}")

    def _on_training_end(self) -> None:
        self._bar.close()

    def save(self) -> None:
        """Write the checkpoint."""
        model = self.model
        assert isinstance(model, MaskablePPO)
        agent = _agent_of(model, self._scenario, self._config)
        numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - stable-baselines3 shuffles with it
        assert isinstance(numpy_state, dict)
        header = {
            "network": agent.network.config.to_dict(),
            "trained_on": agent.trained_on,
            "training": {
                "timesteps_done": self.num_timesteps,
                "updates": model._n_updates,
                "curve": self._curve,
                "numpy_position": int(numpy_state["state"]["pos"]),
            },
        }
        training = _flatten_optimizer(model.policy.optimizer)
        training["torch_generator"] = torch.get_rng_state()
        training["numpy_generator"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
        parts = {"weights": agent.network.state_dict(), "training": training}
        save_checkpoint(self._out / CHECKPOINT, header, parts)


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state by "parameter number.name"."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, entry in state.items() for name, value in entry.items()}


def _load_state(folder: Path, scenario: Scenario, config: TrainingConfig) -> dict[str, Any]:
    """Read a checkpoint to resume from, and make sure that it is of the same training."""
    header, parts = load_checkpoint(folder, "weights", "training")
    if "training" not in header:
        raise FileFormatError(f"{folder}: holds an agent, but no training to resume")
    free = ("timesteps", "device", "threads")
    trained_on = header["trained_on"]
    for what, before, now in (
        ("scenario", trained_on["scenario"], json.loads(json.dumps(scenario.to_dict()))),
        ("config", trained_on["config"], asdict(config)),
    ):
        for name in now:
            if name not in free and before.get(name) != now[name]:
                raise InvalidValue(
                    f"{name} is {now[name]!r}; it must be {before.get(name)!r}, as in the {what} of {folder}"
                )
    return {"header": header, **parts}


def _restore(model: MaskablePPO, state: dict[str, Any]) -> None:
    training, header = state["training"], state["header"]["training"]
    assert isinstance(model.policy, SchedulingPolicy)
    try:
        model.policy.network.load_state_dict(state["weights"])
        optimizer = model.policy.optimizer
        groups = optimizer.state_dict()["param_groups"]
        numbers = {int(name.split(".")[0]) for name in training if name[0].isdigit()}
        entries = {
            number: {name.split(".")[1]: training[name] for name in training if name.startswith(f"{number}.")}
            for number in numbers
        }
        optimizer.load_state_dict({"state": entries, "param_groups": groups})
        torch.set_rng_state(training["torch_generator"])
        key = training["numpy_generator"].numpy().astype(np.uint32)
        position = int(header["numpy_position"])
        np.random.set_state(("MT19937", key, position, 0, 0.0))  # noqa: NPY002
        model._n_updates = int(header["updates"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise FileFormatError(f"checkpoint: its training state does not fit its network ({reason})") from None
    model.num_timesteps = int(header["timesteps_done"])
