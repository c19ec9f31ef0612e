"""What ``python train.py`` and ``python -m agents train`` do: train an agent, evaluate it against the planners, report.

Leaves in the output folder: ``checkpoint/`` (the agent, for ``agents.load``), ``results.json``, ``learning_curve.png``,
a plot of what everybody attains such as ``served_ratio.png``, ``gantt.png``, and TensorBoard logs.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import agents
import baselines
import pl_env
from agents.jobs import Job, jobs
from agents.plots import draw_learning_curve, draw_objectives
from pl_env.errors import InvalidValue, UnknownName
from pl_env.figures import save_figure
from pl_env.files import write_atomically
from pl_env.ranges import require_integer

EVALUATION_SEED = 0
"""Seed of the reported evaluation; its episodes come from a stream of their own, see `baselines.evaluation`."""


@dataclass(frozen=True)
class Arguments:
    """Train an agent, evaluate it against the planners, and report.

    Attributes:
        job: What to train on, and how.
        out: Output folder; it is made where there is none.
        resume: Continue the run in the output folder.
        episodes: Episodes of the evaluation.
        sampled_episodes: Episodes of the second table; sampling takes a hundred times as long.
    """

    job: Annotated[Any, tyro.conf.arg(name="")]
    out: Path
    resume: bool = False
    episodes: int = 500
    sampled_episodes: int = 25

    def __post_init__(self) -> None:
        require_integer("episodes", self.episodes, 2)
        require_integer("sampled_episodes", self.sampled_episodes, 2)


def planners_for(job: Job) -> dict[str, baselines.Policy | str]:
    """The job's planners that cover its scenario, and the random policy, by name."""
    covering = baselines.solvers(job.evaluated_on.sample(np.random.default_rng(0)))
    return {name: name for name in (*(name for name in job.planners if name in covering), "random")}


def report(arguments: Arguments, result: agents.TrainingResult[Any]) -> None:
    """Evaluate, write results.json and the plots, and print the tables."""
    job: Job = arguments.job
    out = arguments.out
    scenario, agent = job.evaluated_on, result.agent

    def evaluate(policies: dict[str, baselines.Policy | str], episodes: int) -> agents.Evaluation:
        return agents.evaluate(policies, scenario, episodes=episodes, seed=EVALUATION_SEED, progress=True)

    evaluation = evaluate({"agent": agent, **planners_for(job)}, arguments.episodes)
    slower = job.slower_policies(agent)
    sampled = evaluate({"agent": agent, **slower}, arguments.sampled_episodes) if slower else None
    results = {
        **job.to_dict(),
        "training_seconds": result.curve[-1]["seconds"],
        "evaluation_seed": EVALUATION_SEED,
        "results": evaluation.to_dict(),
        "learning_curve": result.curve,
        "versions": {"pl_env": pl_env.__version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    if sampled is not None:
        results["sampled_results"] = sampled.to_dict()
    write_atomically(out / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    pictures = {
        "learning_curve.png": draw_learning_curve(result, job.trained_on()),
        f"{job.objective.replace(' ', '_')}.png": draw_objectives(evaluation, job.objective, job.episodes()),
        "gantt.png": job.picture(*agents.play_episode(agent, scenario, seed=EVALUATION_SEED)),
    }
    for name, figure in pictures.items():
        save_figure(figure, out / name)
    print(f"\n{arguments.episodes} unseen episodes of {job.episodes()}; the same for everybody\n{evaluation}")
    if sampled is not None:
        print(f"\nWith more time, on {arguments.sampled_episodes} of them\n{sampled}")
    print(f"\nwritten to {out}: {', '.join(['checkpoint/', 'results.json', *pictures])}")


def parse(words: Sequence[str], prog: str = "train.py") -> Arguments:
    """Read the command line: a name, the first one unless given, and its arguments.

    Args:
        words: The words after the program's name.
        prog: The program's name.

    Raises:
        UnknownName: There is no such name.
        InvalidValue: It is spelt as in the first release.
    """
    if any(word.split("=")[0] in ("--scenario", "--override") for word in words):
        now = "python train.py NAME --scenario.FIELD VALUE, such as python train.py bls --scenario.n-users 60"
        raise InvalidValue(f"--scenario NAME and --override FIELD=VALUE are spelt otherwise now: {now}")
    known = jobs()
    default = next(iter(known))
    first = words[0] if words else ""
    if first not in (*known, "-h", "--help"):
        if first and not first.startswith("-"):
            raise UnknownName("preset", first, known)
        words = [default, *words]
    offered = {name: (job.description, Arguments(job, Path("runs") / name)) for name, job in known.items()}
    what = f"Train an agent, evaluate it against the planners, and report. Without a name it is {default}."
    arguments: Arguments = tyro.extras.overridable_config_cli(
        offered, args=words, prog=prog, description=f"{what} {prog} NAME --help lists its arguments."
    )
    return arguments


def run(arguments: Arguments) -> None:
    """Train, evaluate, report."""
    report(arguments, arguments.job.train(arguments.out, resume=arguments.resume))
