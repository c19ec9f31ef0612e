"""The agents that come with the package on what they were not trained on.

    python -m experiments.partial_loading.agents.out_of_distribution
    make real-models                     # makes, scans and measures a library of real checkpoints
    python -m experiments.partial_loading.agents.out_of_distribution --library runs/real-models/library.npz

All play the same unseen episodes of the evaluation stream. Where sharing has no clusters the best is `local-search`
with many iterations. Prints Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

import agents
import pl_env
from experiments.partial_loading.agents.table import ITERATIONS, points
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer, require_real

BACKBONES = {
    "bls": (("resnet50",), ("resnet18",)),
    "general-hard": (("resnet18",), ("resnet18", "resnet34", "resnet50")),
}
"""By preset, those that its libraries are not of."""


@dataclass(frozen=True)
class Arguments:
    """Play what was not trained on.

    Attributes:
        episodes: Episodes of each scenario.
        seed: Their seed.
        library: A library scanned from checkpoints, or none.
        server: The server that it is on; the default one unless given.
        deadline: Deadline of the scanned library in seconds.
    """

    episodes: int = 200
    seed: int = 0
    library: Path | None = None
    server: Path | None = None
    deadline: float = 0.1

    def __post_init__(self) -> None:
        require_integer("episodes", self.episodes, 2)
        require_real("deadline", self.deadline, 0, 3600, above=True)


def scenarios(arguments: Arguments) -> Iterator[tuple[str, str, pl_env.Scenario]]:
    """The agent of whose training this is a variation, what is varied, and the scenario."""
    for preset in BACKBONES:
        base = pl_env.Scenario.preset(preset)
        yield preset, "nothing", base
        yield preset, "another library", base.override(library_seed=1)
        yield preset, f"{2 * base.n_models} models", base.override(n_models=2 * base.n_models)
        yield preset, "Zipf requests, exponent 1", base.override(request_skew=1.0)
        others = (
            [("resnet50",), ("resnet18",)] if preset == "bls" else [("resnet18",), ("resnet18", "resnet34", "resnet50")]
        )
        for backbones in others:
            yield preset, f"of {', '.join(backbones)}", base.override(backbones=backbones)
    if arguments.library is not None:
        library = pl_env.ModelLibrary.load(arguments.library)
        server = pl_env.EdgeServer() if arguments.server is None else pl_env.EdgeServer.load(arguments.server)
        preset = "bls" if library.sharing == "bls" else "general-hard"
        scanned = pl_env.Scenario(library=library, server=server, deadline=arguments.deadline)
        yield preset, f"{library.n_models} scanned models, {1e3 * arguments.deadline:.0f} ms", scanned


def main(arguments: Arguments) -> None:
    """Play and print."""
    torch.set_num_threads(1)
    rows = []
    for preset, varied, scenario in scenarios(arguments):
        clustered = scenario.table.clusters is not None
        options: dict[str, object] = {} if clustered else {"iterations": ITERATIONS}
        policies = {
            "agent": agents.load(preset),
            "any": agents.load(agents.ANY_LIBRARY),
            "greedy": "greedy",
            "best": ("optimal-dp" if clustered else "local-search", options),
        }
        result = agents.evaluate(policies, scenario, episodes=arguments.episodes, seed=arguments.seed)
        best = result["best"].mean
        rows.append(
            {
                "agent": preset,
                "what is varied": varied,
                "best": f"{best:.4f}",
                **{
                    name: f"{100 * result[policy].mean / best:.2f} %"
                    for name, policy in (("greedy", "greedy"), ("the agent", "agent"), ("any-library", "any"))
                },
                "the agent above greedy, points": points(result.difference("agent", "greedy")),
            }
        )
        print("; ".join(f"{name} {value}" for name, value in rows[-1].items()), file=sys.stderr, flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
