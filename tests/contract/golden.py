"""One episode of a system's preset "tiny" as text, in ``golden/``: ``python -m tests.contract.golden`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import pl_env  # noqa: F401 - registers the environments
from pl_env.systems import SYSTEMS

FOLDER = Path(__file__).parent / "golden"


def path(system: str) -> Path:
    return FOLDER / f"{system}.txt"


def system_of_id(environment_id: str) -> str:
    return next(name for name, row in SYSTEMS.items() if environment_id in row["environments"])


def random_action(env: gym.Env, info: dict[str, Any]) -> Any:
    """A legal action, drawn from the action space's own generator."""
    return env.action_space.sample(mask=info["action_mask"]) if "action_mask" in info else env.action_space.sample()


def shown(value: Any) -> str:
    """A number or an array with four digits, which no machine's last bit changes."""
    array = np.asarray(value)
    if array.dtype.kind in "fiub":
        return np.array2string(array.astype(float), precision=4, suppress_small=True, max_line_width=100).replace(
            "\n", "\n    "
        )
    return str(value)


def text(system: str) -> str:
    """A random episode of preset "tiny": observations, masks, infos, rewards, and how it looks."""
    environment_id = next(iter(SYSTEMS[system]["environments"]))
    env = gym.make(environment_id, scenario="tiny", render_mode="ansi")
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    lines = [f"{environment_id}, preset tiny, seed 0"]
    step, reward, over = 0, 0.0, False
    while True:
        lines.append(f"\nstep {step}: reward {reward:.4f}{', over' if over else ''}")
        lines += [f"  {key}: {shown(value)}" for key, value in observation.items()]
        lines += [f"  info {key}: {shown(value)}" for key, value in info.items()]
        lines += [f"  | {line}".rstrip() for line in env.render().splitlines()]
        if over:
            break
        action = random_action(env, info)
        lines.append(f"action {shown(action)}")
        observation, reward, terminated, truncated, info = env.step(action)
        step, over = step + 1, terminated or truncated
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:] or SYSTEMS:
        path(name).write_text(text(name))
        print(f"written: {path(name)}")
