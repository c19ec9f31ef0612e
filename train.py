"""Train an agent in stages, evaluate it against the baselines, and report.

    python train.py                                     # the paper's default setting, ten minutes on two cores
    python train.py --scenario any-library --out runs/any
    python train.py --override n_users=60 deadline=0.5 --imitation.rounds 20
    python train.py --resume                            # go on after a kill

Leaves in the output folder: ``checkpoint/`` (the agent, for ``agents.load``), ``results.json``, ``learning_curve.png``,
``served_ratio.png``, ``gantt.png``, and TensorBoard logs.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import agents
import baselines
import pl_env
from agents.partial_loading.recipes import recipe
from agents.plots import draw_learning_curve, draw_served_ratios
from pl_env.errors import InvalidValue, PlEnvError
from pl_env.files import write_atomically
from pl_env.partial_loading.rendering import gantt, save_figure
from pl_env.ranges import require_integer

EVALUATION_SEED = 0
"""Seed of the reported evaluation; its episodes come from a stream of their own, see `baselines.evaluation`."""

PLANNERS = ("optimal-dp", "greedy", "paper-dp", "paper-greedy", "independent", "max-overlap")


@dataclass(frozen=True)
class Arguments:
    """Train an agent, evaluate it against the baselines, and report.

    Attributes:
        scenario: Preset to train on: bls, general, general-hard, fading or tiny; or any-library. It also sets the
            default of all that follows, see `agents.partial_loading.recipes`.
        override: Scenario fields to override, each as field=value, the value in JSON (n_users=60 or n_users=[40,120]).
        out: Output folder; runs/ and the scenario's name unless given.
        resume: Continue the run in the output folder.
        episodes: Episodes of the evaluation.
        samples: Sampled schedules that the agent chooses from in a second row of the table; 0 for no such row.
        sampled_episodes: Episodes of that row; sampling takes a hundred times as long.
        training: How to train.
    """

    scenario: str = "bls"
    override: tuple[str, ...] = ()
    out: Path | None = None
    resume: bool = False
    episodes: int = 500
    samples: int = 64
    sampled_episodes: int = 25
    training: Annotated[agents.TrainingConfig, tyro.conf.arg(name="")] = field(default_factory=agents.TrainingConfig)

    def __post_init__(self) -> None:
        require_integer("episodes", self.episodes, 2)
        require_integer("samples", self.samples, 0)
        require_integer("sampled_episodes", self.sampled_episodes, 2)


def parse_overrides(texts: tuple[str, ...]) -> dict[str, Any]:
    """Read field=value, the value in JSON or else as a string; a JSON list stands for a tuple.

    Raises:
        InvalidValue: There is no "=".
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise InvalidValue(f"override is {text!r}; it must be field=value, such as n_users=60")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        overrides[name] = tuple(parsed) if isinstance(parsed, list) else parsed
    return overrides


def planners_for(scenario: pl_env.Scenario) -> dict[str, str]:
    """The planners that cover a scenario, and the random policy, by name."""
    covering = baselines.solvers(scenario.sample(np.random.default_rng(0)))
    names = [name for name in PLANNERS if name in covering]
    return {name: name for name in [*names, "random"]}


def report(arguments: Arguments, family: agents.Family, out: Path, result: agents.TrainingResult) -> None:
    """Evaluate, print the tables, and write results.json and the plots."""
    scenario = family.scenario
    policies: dict[str, baselines.Policy | str] = {"agent": result.agent, **planners_for(scenario)}
    evaluation = agents.evaluate(policies, scenario, episodes=arguments.episodes, seed=EVALUATION_SEED, progress=True)
    played = arguments.scenario
    if not family.is_one_scenario:
        played += f", all with a deadline of {scenario.deadline} s and theta {scenario.theta}"
    print(f"\n{arguments.episodes} unseen episodes of {played}; the same for everybody")
    print(evaluation)
    results = {
        "scenario": scenario.to_dict(),
        "training": asdict(arguments.training),
        "training_seconds": result.curve[-1]["seconds"],
        "evaluation_seed": EVALUATION_SEED,
        "results": evaluation.to_dict(),
        "learning_curve": result.curve,
        "versions": {"pl_env": pl_env.__version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    if arguments.samples > 0 and scenario.fading == "episode":
        sampled = _evaluate_sampling(arguments, scenario, result.agent)
        print(f"\nThe best of {arguments.samples} sampled schedules, on {arguments.sampled_episodes} of them")
        print(sampled)
        results["sampled_results"] = sampled.to_dict()
    write_atomically(out / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    save_figure(draw_learning_curve(result.curve), out / "learning_curve.png")
    save_figure(draw_served_ratios(evaluation), out / "served_ratio.png")
    schedule, instance = agents.play_episode(result.agent, scenario, seed=EVALUATION_SEED)
    title = f"agent: {schedule.served} of {schedule.n_users} users served; evaluation episode 0"
    save_figure(gantt(schedule, instance, title), out / "gantt.png")
    print(f"\nwritten to {out}: checkpoint/, results.json, learning_curve.png, served_ratio.png, gantt.png")


def _evaluate_sampling(arguments: Arguments, scenario: pl_env.Scenario, agent: agents.Agent) -> agents.Evaluation:
    policies: dict[str, baselines.Policy | str] = {
        "agent": agent,
        f"agent-{arguments.samples}": agents.BestOf(agent, arguments.samples),
    }
    return agents.evaluate(policies, scenario, episodes=arguments.sampled_episodes, seed=EVALUATION_SEED, progress=True)


def main(arguments: Arguments) -> None:
    """Train, evaluate, report."""
    family = agents.Family.named(arguments.scenario, **parse_overrides(arguments.override))
    out = arguments.out or Path("runs") / arguments.scenario
    result = agents.train(family, arguments.training, out, resume=arguments.resume)
    report(arguments, family, out, result)


def parse(command_line: list[str]) -> Arguments:
    """Read the command line; the scenario sets the defaults of the training."""
    words = [word for part in command_line for word in part.split("=", 1)]
    names = [after for before, after in pairwise(words) if before == "--scenario"]
    default = Arguments(training=recipe(names[-1] if names else "bls"))
    return tyro.cli(Arguments, args=command_line, default=default)


if __name__ == "__main__":
    try:
        main(parse(sys.argv[1:]))
    except (PlEnvError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; go on with --resume")
