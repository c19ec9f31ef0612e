"""The agents that come with the package beside the planners: ``make evaluate``.

    python -m experiments.partial_loading.agents.table

Every policy plays the same unseen episodes of the evaluation stream (`pl_env.seeds`). Intervals are 95 %, by the
bootstrap, paired by episode where two policies are compared. Writes table.md and table.json. The optima of general-hard
want OR-Tools (``pip install 'pl-env[exact]'``) and are kept in the user's cache folder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

import agents
import baselines
import pl_env
from baselines.optima import default_cache
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.files import write_atomically
from pl_env.ranges import require_integer, require_one_of

USERS = (40, 80, 120)
THETAS = (0.75, 0.85, 0.95)
DEADLINES = (0.4, 0.65, 0.9)


@dataclass(frozen=True)
class Arguments:
    """Evaluate the agents that come with the package.

    Attributes:
        only: Agents to evaluate; all unless given.
        episodes: Episodes of each scenario; the unseen libraries share them.
        seed: Seed of the episodes.
        samples: Sampled schedules that the agent chooses from.
        out: Output folder.
    """

    only: tuple[str, ...] = ("bls", "general-hard", "fading", "any-library")
    episodes: int = 1000
    seed: int = 0
    samples: int = 64
    out: Path = Path("runs/evaluation")

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, type(self).only)
        require_integer("episodes", self.episodes, 2)
        require_integer("samples", self.samples, 1)


def contestants(name: str, agent: agents.Agent, samples: int) -> dict[str, baselines.Policy | str]:
    """Who plays a scenario besides the agent."""
    policies: dict[str, baselines.Policy | str] = {"agent": agent}
    has_fast = f"partial_loading/{name}-fast" in agents.trained_agents()
    if name == "fading":
        policies["optimal-dp, today's draws (a)"] = baselines.Planner("optimal-dp")
        policies["mean rates, whole users (b)"] = baselines.Lookahead(1.0, fractional=False)
        policies["mean rates, parts of users (b)"] = baselines.Lookahead(1.0)
        policies["1.05 times the upload at mean rates"] = baselines.Lookahead()
        policies["the same, two steps"] = baselines.Lookahead(draws=8)
        policies |= {f"{name}-fast": agents.load(f"{name}-fast")} if has_fast else {}
        return policies | {"greedy": baselines.Planner("greedy")}
    if has_fast:
        fast = agents.load(f"{name}-fast")
        policies |= {f"{name}-fast": fast, f"{name}-fast-{samples}": agents.BestOf(fast, samples)}
    policies[f"agent-{samples}"] = agents.BestOf(agent, samples)
    return policies | {"greedy": "greedy"}


def table(result: agents.Evaluation) -> str:
    """A Markdown table of one scenario."""
    rows = []
    for policy, of_policy in result.items():
        share = "–" if of_policy.gap is None else f"{100 * (1 - of_policy.gap):.2f} %"
        rows.append(
            {
                "policy": policy,
                "served ratio": f"{of_policy.mean:.4f}",
                "95 % interval": f"{of_policy.low:.4f} … {of_policy.high:.4f}",
                "middle half": f"{of_policy.interquartile_mean:.4f}",
                "of the optimum": share,
                "agent above, points": "–" if policy == "agent" else _points(result.difference("agent", policy)),
                "ms a batch": f"{1e3 * of_policy.decision_seconds:.3f}",
            }
        )
    return markdown(rows)


def _points(difference: tuple[float, float, float]) -> str:
    """A paired difference with its interval, in points of served ratio."""
    mean, low, high = (100 * value for value in difference)
    return f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"


def evaluate_preset(name: str, arguments: Arguments) -> tuple[list[str], dict[str, object]]:
    """One preset: its table, and the numbers."""
    optimum = "exact" if name.startswith("general") else None
    result = agents.evaluate(
        contestants(name, agents.load(name), arguments.samples),
        name,
        episodes=arguments.episodes,
        seed=arguments.seed,
        optimum=optimum,
        cache=default_cache() if optimum else None,
        progress=True,
    )
    lines = [f"### {name}", "", table(result), ""]
    if optimum is not None:
        lines += [f"{100 * result['agent'].proven:.1f} % of the optima are proven; the others are the best found.", ""]
    return lines, dict(result.to_dict())


def evaluate_libraries(arguments: Arguments) -> tuple[list[str], dict[str, object]]:
    """Unseen libraries: a cell for each number of users, theta and deadline."""
    agent = agents.load(agents.ANY_LIBRARY)
    cells = [(users, theta, deadline) for users in USERS for theta in THETAS for deadline in DEADLINES]
    episodes = max(2, arguments.episodes // len(cells))
    rows = []
    numbers: dict[str, object] = {}
    agent_all, optimum_all = [], []
    for users, theta, deadline in cells:
        scenario = pl_env.Scenario(n_users=users, theta=theta, deadline=deadline, resample_library=True)
        result = agents.evaluate({"agent": agent, "greedy": "greedy"}, scenario, episodes=episodes, seed=arguments.seed)
        optimum = result["agent"].optimum
        assert optimum is not None
        agent_all.append(result["agent"].mean)
        optimum_all.append(optimum.mean())
        rows.append(
            {
                "users": f"{users}",
                "theta": f"{theta}",
                "deadline, ms": f"{1000 * deadline:.0f}",
                "optimal-dp": f"{optimum.mean():.4f}",
                "greedy": f"{result['greedy'].mean:.4f}",
                "agent": f"{result['agent'].mean:.4f}",
                "of the optimum": f"{100 * result['agent'].mean / optimum.mean():.2f} %",
                "above greedy, points": _points(result.difference("agent", "greedy")),
            }
        )
        numbers[f"{users} users, theta {theta}, {deadline} s"] = result.to_dict()
        print("; ".join(f"{name} {cell}" for name, cell in rows[-1].items()), flush=True)
    heading = f"### unseen libraries, {episodes} episodes a cell, each with a library of its own"
    share = 100 * np.mean(agent_all) / np.mean(optimum_all)
    said = f"In the mean of all cells the agent serves {share:.2f} % of the optimum."
    return [heading, "", markdown(rows), "", said, ""], numbers


def main(arguments: Arguments) -> None:
    """Evaluate, print and write."""
    torch.set_num_threads(1)
    lines, numbers = [], {}
    for name in arguments.only:
        evaluated = evaluate_libraries(arguments) if name == agents.ANY_LIBRARY else evaluate_preset(name, arguments)
        lines += evaluated[0]
        numbers[name] = evaluated[1]
        write_atomically(arguments.out / "table.md", "\n".join(lines).encode())
        write_atomically(arguments.out / "table.json", (json.dumps(numbers, indent=2) + "\n").encode())
        print("\n".join(evaluated[0]), flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
