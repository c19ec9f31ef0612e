"""Sampling with best-of-n: the exact model says which of many sampled plans is done first."""

from __future__ import annotations

import numpy as np
import torch

from agents.cold_start.agent import Agent
from agents.cold_start.describing import begun, branched, describe
from baselines.policies import Replanning
from pl_env.cold_start.env import ColdStartEnv
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.stepping import FINISH, N_STAGES, POSITION, place
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import DECODING_STREAM


class BestOf(Replanning):
    """A policy that samples plans from an agent, arg-max being the first of them, and follows the best one."""

    def __init__(self, agent: Agent, samples: int = 64, *, temperature: float = 1.0, seed: int = 0) -> None:
        """Make a policy of an agent.

        Args:
            agent: The agent.
            samples: Plans to choose from.
            temperature: What scores are divided by before sampling.
            seed: Seed of the sampling; the same instance gives the same plan.

        Raises:
            InvalidValue: An argument is out of range.
        """
        require_integer("samples", samples, 1)
        require_real("temperature", temperature, 0, above=True)
        require_integer("seed", seed, 0)
        self.agent, self.samples, self.temperature, self.seed = agent, samples, temperature, seed

    def plan(self, instance: Instance) -> list[tuple[int, int]]:
        """Devices and layers of the best of the sampled plans."""
        rng = np.random.default_rng((DECODING_STREAM, self.seed, int(instance.content_hash()[:15], 16)))
        first = begun(instance)
        episodes = [branched(first) for _ in range(self.samples)]
        while running := [n for n, one in enumerate(episodes) if one.state[POSITION] < instance.n_layers]:
            states = describe([episodes[n] for n in running])
            with torch.inference_mode():
                scores = self.agent.network(states).numpy() / self.temperature
            state = states.state.numpy()
            noise = rng.gumbel(size=len(scores))
            scores = scores + np.where(np.array(running)[state] > 0, noise, 0.0)
            order = np.lexsort((scores, state))
            ends = np.append(np.flatnonzero(np.diff(state[order])), len(order) - 1)
            for n, action in zip(running, states.number.numpy()[order[ends]].tolist(), strict=True):
                place(episodes[n], action)
        best = min(episodes, key=lambda episode: int(episode.state[FINISH]))
        return [(int(device), int(count)) for device, count in best.stages[: best.state[N_STAGES]]]

    def planned_actions(self, env: ColdStartEnv) -> list[int]:
        """The plan for what is left of the environment's episode."""
        return [device * env.most_layers + count - 1 for device, count in self.plan(env.remaining())]
