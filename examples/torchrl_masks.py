"""TorchRL's PPO with action masks, on any environment whose actions are discrete.

pip install 'pl-env[ecosystem]'
python examples/torchrl_masks.py ColdStart-v0
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import gymnasium as gym
import torch
import tyro
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.envs import EnvBase, GymWrapper, TransformedEnv
from torchrl.envs.transforms import ActionMask, Compose, DTypeCastTransform, RewardSum
from torchrl.modules import MaskedCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import pl_env
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer


@dataclass(frozen=True)
class Arguments:
    """Train PPO with action masks.

    Attributes:
        env: Id of an environment of discrete actions.
        iterations: Rounds of playing and learning.
        steps: Environment steps of a round.
        epochs: Passes over the steps of a round.
        seed: Seed of episodes and weights.
    """

    env: tyro.conf.Positional[str] = "Slide-v0"
    iterations: int = 5
    steps: int = 1000
    epochs: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "steps", "epochs"):
            require_integer(name, getattr(self, name), 1)
        require_integer("seed", self.seed, 0)


def masked(name: str) -> EnvBase:
    """The environment: "observations", one Box, and "action_mask", of which TorchRL draws no illegal action."""
    flat = pl_env.MaskedObservation(pl_env.FlatObservation(gym.make(name)))
    to_bool = DTypeCastTransform(torch.int8, torch.bool, in_keys=["action_mask"])
    return TransformedEnv(
        GymWrapper(flat, categorical_action_encoding=True), Compose(to_bool, ActionMask(), RewardSum())
    )


def networks(env: EnvBase) -> tuple[ProbabilisticActor, ValueOperator]:
    """Actor and critic."""

    def layers(outputs: int) -> nn.Module:
        return nn.Sequential(nn.LazyLinear(64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))

    scores = TensorDictModule(layers(env.action_spec.space.n), in_keys=["observations"], out_keys=["logits"])
    actor = ProbabilisticActor(
        scores,
        in_keys={"logits": "logits", "mask": "action_mask"},
        distribution_class=MaskedCategorical,
        spec=env.action_spec,
        return_log_prob=True,
    )
    return actor, ValueOperator(layers(1), in_keys=["observations"])


def train(arguments: Arguments) -> list[float]:
    """Mean return of the episodes that ended in each round."""
    torch.manual_seed(arguments.seed)
    env = masked(arguments.env)
    env.set_seed(arguments.seed)
    actor, critic = networks(env)
    with torch.no_grad():  # which gives the lazy layers their sizes
        critic(actor(env.reset()))
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.01)
    advantage = GAE(gamma=1.0, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    returns = []
    for iteration in range(arguments.iterations):
        with torch.no_grad():
            played = env.rollout(arguments.steps, actor, break_when_any_done=False)
        ended = played["next", "done"][:, 0]
        returns.append(float(played["next", "episode_reward"][ended].mean()))
        print(f"iteration {iteration + 1}: mean return {returns[-1]:.4f} of {int(ended.sum())} episodes")
        for _ in range(arguments.epochs):
            with torch.no_grad():
                advantage(played)
            for part in played[torch.randperm(len(played))].split(100):
                values = loss(part)
                optimizer.zero_grad()
                (values["loss_objective"] + values["loss_critic"] + values["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
                optimizer.step()
    return returns


if __name__ == "__main__":
    sys.exit(exit_code(lambda: train(tyro.cli(Arguments))))
