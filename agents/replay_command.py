"""``pl-env replay``: play a result file of ``evaluate --out`` again, and refuse it where something else comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tyro

import agents
from agents.evaluate_command import DECODINGS, Arguments
from baselines import evaluation, results
from baselines.registry import solvers
from pl_env.errors import UnknownName
from pl_env.systems import FIRST, split


def replay(
    file: tyro.conf.Positional[Path],
    policy: tuple[str, ...] = (),
    agent: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    workers: int = 1,
) -> None:
    """Play a result file again, and refuse it where anything else comes out.

    Solvers and the agents that come with the package are found by name. Nothing else that a file names is run.

    Args:
        file: A result file of evaluate --out on a benchmark set.
        policy: Those of the file's own policies, as module:attribute, whose code may be run.
        agent: Those of the file's agents that are folders here.
        skip: Names in the file that are not to be played, such as what takes too long.
        workers: Processes; 0 for one per core.
    """
    saved = results.read(file)
    names = [name for name in saved.results if name not in skip]
    players: dict[str, object] = {}
    for name in names:
        players |= _player(name, saved.place, policy, agent)
    replayed = evaluation.evaluate(
        {name: players[name] for name in names},
        saved.place,
        episodes=saved.episodes,
        seed=saved.seed,
        progress=True,
        workers=workers,
    )
    results.require_same(saved, replayed)
    print(f"{file}: {len(names)} of {len(saved.results)} policies give the same in all {saved.episodes} episodes")
    print(replayed)


def _player(name: str, place: str, policies: tuple[str, ...], folders: tuple[str, ...]) -> dict[str, object]:
    """Who plays under a name of the file: nobody who is not of the package and whom the user does not name."""
    known = ["random", *solvers(split(place)[0])]
    if name in policies:
        return Arguments(policy=(name,)).players()
    if name in known:
        return {name: name}
    if name.startswith("agent "):
        shipped = agents.trained_agents()
        trusted = {*folders, *shipped, *(short.removeprefix(f"{FIRST}/") for short in shipped)}
        word = name.removeprefix("agent ")
        if word in trusted:
            return Arguments(agent=(word,)).players()
        for field, (_, label) in DECODINGS.items():
            of_agent, _, count = word.rpartition(label)
            if count.isdecimal() and of_agent in trusted:
                options: dict[str, Any] = {field: int(count)}
                return Arguments(agent=(of_agent,), **options).players()
        known = [f"agent {each}" for each in trusted]
    raise UnknownName("player without --policy, --agent or --skip", name, known)
