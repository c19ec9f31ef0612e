"""PartialLoadingOnline's agents that come with the package, beside the planners, at several loads.

    python -m experiments.online.agents.table                       # an hour, most of it `replan` and `clairvoyant`
    python -m experiments.online.agents.table --rates 120 --episodes 1000 --clairvoyant-episodes 0
    python -m experiments.online.agents.table ablation
    python -m experiments.online.agents.table eviction --episodes 1000    # half an hour

Episodes of the evaluation stream (`pl_env.seeds`), seed 0, the same for all policies; nothing was trained or tuned on
them. Intervals are 95 %, by the bootstrap, paired by episode where two policies are compared.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

import agents
import baselines
from agents.online.agent import Agent
from agents.online.families import Drawn, Family, parameters_of
from agents.online.playing import Player, compiled_weights
from agents.online.recipes import RECIPES
from baselines.statistics import bootstrap_interval
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.online.instance import EVICTIONS, Instance
from pl_env.online.scenario import Scenario
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import EVALUATION_STREAM

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Arguments:
    """Evaluate the agents that come with the package, one of them without some of its inputs, or what it adds to evict.

    Attributes:
        what: "loads", "ablation", or "eviction": what ``eviction="agent"`` adds to "demand".
        rates: Users a second; not of "ablation".
        evictions: Rules of eviction; not of "eviction".
        episodes: Evaluation episodes of each load and rule.
        solvers: Solvers to evaluate beside the agents.
        agents: Names of the agents; not of "ablation".
        clairvoyant_episodes: The first of the episodes, which `clairvoyant` plays, of 8 s with "eviction"; 0 to leave
            it out.
    """

    what: tyro.conf.Positional[str] = "loads"
    rates: tuple[float, ...] = (60.0, 90.0, 120.0, 160.0, 200.0)
    evictions: tuple[str, ...] = ("demand", "lru")
    episodes: int = 100
    solvers: tuple[str, ...] = ("replan", "urgent-greedy", "edf", "greedy")
    clairvoyant_episodes: int = 8
    agents: tuple[str, ...] = tuple(RECIPES)

    def __post_init__(self) -> None:
        require_one_of("what", self.what, tuple(PARTS))
        for name in self.evictions:
            require_one_of("evictions", name, EVICTIONS)
        require_integer("episodes", self.episodes, 2)
        require_integer("clairvoyant_episodes", self.clairvoyant_episodes, 0, self.episodes)


def instances(scenario: Scenario, count: int) -> list[Instance]:
    """Evaluation episodes."""
    return [scenario.sample(np.random.default_rng((EVALUATION_STREAM, 0, n))) for n in range(count)]


def goodput_of(agent: Agent, scenario: Scenario, drawn: list[Instance]) -> Floats:
    """What an agent attains in each episode, in one compiled call for each."""
    family = Family(scenario, (scenario.arrival_rate, scenario.arrival_rate), (scenario.eviction,))
    parameters = parameters_of(scenario.tables)
    episodes = [Drawn(scenario.tables, instance.users, parameters) for instance in drawn]
    served, _ = Player(family, agent.network.config).play(episodes, compiled_weights(agent.network)[None])
    return np.asarray(served[0] / [instance.n_users for instance in drawn])


def _interval(values: Floats, form: str) -> str:
    low, high = bootstrap_interval(values)
    return f"{low:{form}} … {high:{form}}"


def _table(goodput: Mapping[str, Floats], milliseconds: Mapping[str, float], reference: str) -> str:
    """Everybody beside a reference, on the episodes that both have played."""
    rows = []
    for name, values in goodput.items():
        above = values - goodput[reference][: len(values)]
        rows.append(
            {
                "policy": name,
                "goodput": f"{values.mean():.4f}",
                "95 % interval": _interval(values, ".4f"),
                f"above {reference}": "–" if name == reference else f"{above.mean():+.4f} ({_interval(above, '+.4f')})",
                "episodes": str(len(values)),
                "ms for an episode": f"{milliseconds[name]:.0f}",
            }
        )
    return markdown(rows)


def loads(arguments: Arguments) -> Iterator[str]:
    """A table for each load and rule of eviction."""
    for eviction in arguments.evictions:
        for rate in arguments.rates:
            scenario = Scenario(arrival_rate=rate, eviction=eviction)
            drawn = instances(scenario, arguments.episodes)
            names = [*(f"agent {name}" for name in arguments.agents), *arguments.solvers]
            names += ["clairvoyant"] if arguments.clairvoyant_episodes else []
            goodput, milliseconds = {}, {}
            for name in names:
                start = time.process_time()
                if name.startswith("agent "):
                    goodput[name] = goodput_of(agents.load(f"online/{name.removeprefix('agent ')}"), scenario, drawn)
                else:
                    count = arguments.clairvoyant_episodes if name == "clairvoyant" else arguments.episodes
                    goodput[name] = np.array([baselines.solve(each, name).objective for each in drawn[:count]])
                milliseconds[name] = 1e3 * (time.process_time() - start) / len(goodput[name])
            reference = "replan" if "replan" in goodput else next(iter(goodput))
            yield f"### {rate:g} users a second, `{eviction}`\n\n{_table(goodput, milliseconds, reference)}\n"


GROUPS: dict[str, tuple[str, slice]] = {
    "what it hears of other models": ("message", slice(None)),
    "what its batch does to memory": ("token", slice(9, 12)),
    "demand and age": ("token", slice(7, 9)),
    "load and rate of all": ("token", slice(12, 20)),
    "who is left behind, and who else becomes late": ("action", slice(9, 12)),
}
"""Inputs by the rows of the weights that read them."""


def without(agent: Agent, group: str) -> Agent:
    """The agent with the weights of a group of inputs set to zero; not trained again."""
    network = copy.deepcopy(agent.network)
    name, rows = GROUPS[group]
    with torch.no_grad():
        getattr(network, name)[rows] = 0.0
        if name == "token":
            network.own[rows] = 0.0
            network.other[rows] = 0.0
    return Agent(network)


def ablation(arguments: Arguments) -> Iterator[str]:
    """What the agent without a look ahead loses without a group of inputs."""
    agent = agents.load("online/reactive")
    for eviction in arguments.evictions:
        scenario = Scenario(eviction=eviction)
        drawn = instances(scenario, arguments.episodes)
        whole, rows = goodput_of(agent, scenario, drawn), []
        for group in GROUPS:
            lost = goodput_of(without(agent, group), scenario, drawn) - whole
            rows.append({"without": group, "goodput": f"{lost.mean():+.4f} ({_interval(lost, '+.4f')})"})
        yield f"### 120 users a second, `{eviction}`, {len(drawn)} episodes\n\n{markdown(rows)}\n"


def eviction_by_agent(arguments: Arguments) -> Iterator[str]:
    """What is gained where the agent says which model's blocks leave first, on the same episodes under `demand`."""
    for rate in arguments.rates:
        demand, agent = (Scenario(arrival_rate=rate, eviction=name) for name in ("demand", "agent"))
        rows = []
        for name in arguments.agents:
            player = agents.load(f"online/{name}")
            scenarios = (demand, agent)
            rows.append(
                _gain(name, *(goodput_of(player, each, instances(each, arguments.episodes)) for each in scenarios))
            )
        if arguments.clairvoyant_episodes:
            drawn = instances(demand.override(episode_seconds=8.0), arguments.clairvoyant_episodes)
            both = (
                [baselines.solve(each, "clairvoyant", free_evictions=free).objective for each in drawn]
                for free in (False, True)
            )
            rows.append(_gain("clairvoyant, free evictions, 8 s", *map(np.array, both)))
        yield f"### {rate:g} users a second\n\n{markdown(rows)}\n"


def _gain(name: str, demand: Floats, agent: Floats) -> dict[str, str]:
    """A row of the table: goodput by the rule and by choice."""
    gain = agent - demand
    return {
        "policy": name,
        "`demand`": f"{demand.mean():.4f} ({_interval(demand, '.4f')})",
        "`agent`": f"{agent.mean():.4f} ({_interval(agent, '.4f')})",
        "gain": f"{gain.mean():+.4f} ({_interval(gain, '+.4f')})",
        "episodes": str(len(gain)),
    }


PARTS = {"loads": loads, "ablation": ablation, "eviction": eviction_by_agent}


def main(arguments: Arguments) -> None:
    """Evaluate and print."""
    torch.set_num_threads(1)
    for part in PARTS[arguments.what](arguments):
        print(part, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
