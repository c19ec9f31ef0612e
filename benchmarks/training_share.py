"""Share of MaskablePPO's wall time that the environment takes: ``python benchmarks/training_share.py``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import agents
import pl_env
from agents.partial_loading.sb3_vec_env import PartialLoadingVecEnv

N_ENVS = 256
UPDATES = 4


class _Clock:
    """Adds up the seconds spent in some methods."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, owner: type, name: str) -> None:
        """Count the time of a method from now on."""
        method = getattr(owner, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, name, timed)


def main() -> None:
    """Train for a few updates in the default setting and print the share."""
    config = agents.TrainingConfig(
        imitation=agents.ImitationConfig(rounds=0),
        fine_tuning=agents.FineTuningConfig(rounds=UPDATES, n_envs=N_ENVS, rollout_steps=16),
    )
    family = agents.Family(pl_env.Scenario())
    with tempfile.TemporaryDirectory() as folder:  # once without the clock: kernels compile at their first call
        agents.train(family, config, Path(folder) / "warm-up", progress=False)
        clock = _Clock()
        for name in ("reset", "step_wait", "env_method"):
            clock.watch(PartialLoadingVecEnv, name)
        start = time.perf_counter()
        agents.train(family, config, Path(folder) / "run", progress=False)
        total = time.perf_counter() - start
    share = 100 * clock.seconds / total
    print(
        f"{N_ENVS} environments: {clock.seconds:.2f} s of {total:.2f} s in the environment, {share:.1f} % (target: 5 %)"
    )


if __name__ == "__main__":
    sys.exit(main())
