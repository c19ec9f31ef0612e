"""Points whose plans are measured in more ways than by their goodput, trained agents among the curves."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from baselines.playing import Acts, Player
from baselines.trials import Trials
from experiments.points import Curve, Point, Result
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan

QUANTITIES = {
    "goodput": "goodput",
    "fairness": "goodput, least popular tenth",
    "median": "median response (ms)",
    "tail": "99th percentile of responses (ms)",
    "bytes": "MB loaded per user served",
}
"""What is measured of a plan, and its words on an axis."""

TENTH = 0.1
_AGENT = "agent"


def measured(plan: Plan, instance: Instance) -> dict[str, float]:
    """The `QUANTITIES` of a plan; responses and bytes are 0 where nobody was served.

    The least popular tenth are the models that fewest users ask for in the episode; of equals those of highest index.
    """
    model, n_models = instance.requested_model, instance.n_models
    asked = np.bincount(model, minlength=n_models)
    had = np.bincount(model[plan.users], minlength=n_models)
    least = np.lexsort((-np.arange(n_models), asked))[: max(1, round(TENTH * n_models))]
    responses = plan.response_ns(instance) / 1e6
    median, tail = np.percentile(responses, [50, 99]) if plan.served else (0.0, 0.0)
    return {
        "goodput": plan.goodput,
        "fairness": float(had[least].sum() / asked[least].sum()) if asked[least].any() else 1.0,
        "median": float(median),
        "tail": float(tail),
        "bytes": float(plan.loaded_bytes(instance).sum() / 1e6 / max(1, plan.served)),
    }


class MeasuredPoint(Point):
    """A point whose curves are those of `for_all_quantities`: its result has a row for each policy and quantity."""

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of everything that decides the result, this file included."""
        return hashlib.sha256(super().key.encode() + Path(__file__).read_bytes()).hexdigest()

    def compute(self) -> Result:
        """Play all episodes with all curves."""
        trials = Trials(self.scenario, self.realisations, self.seed, self.stream)
        players = [_player(curve) for curve in self.curves[:: len(QUANTITIES)]]
        env = trials.environment()
        objective, seconds = np.zeros((2, len(players), len(QUANTITIES), self.realisations))
        for n in range(self.realisations):
            episode = trials.episode(n)
            for row, player in enumerate(players):
                outcome = player(env, episode)
                plan: Any = outcome.plan
                seconds[row, :, n] = outcome.seconds
                objective[row, :, n] = list(measured(plan, episode.instance).values())  # type: ignore[arg-type]
        shape = (len(self.curves), self.realisations)
        return Result(self, objective.reshape(shape), seconds.reshape(shape))


def for_all_quantities(curves: tuple[Curve, ...]) -> tuple[Curve, ...]:
    """A curve for each policy's curve and each of the `QUANTITIES`, policy by policy."""
    return tuple(replace(curve, label=f"{curve.label}, {name}") for curve in curves for name in QUANTITIES)


def in_quantity(result: Result, quantity: str) -> Result:
    """The rows of one of the `QUANTITIES`, a row for each policy."""
    rows = slice(list(QUANTITIES).index(quantity), None, len(QUANTITIES))
    curves = tuple(
        replace(curve, label=curve.label.removesuffix(f", {quantity}")) for curve in result.point.curves[rows]
    )
    return Result(replace(result.point, curves=curves), result.objective[rows], result.seconds[rows])


def _player(curve: Curve) -> Player:
    if curve.solver != _AGENT:
        return curve.player
    import agents  # needs torch, which other curves do not

    return Acts(agents.load(curve.options["name"]))


def agent_curve(name: str, colour: str) -> tuple[Curve, ...]:
    """The curve of an agent that comes with the package; none where there is no such agent, or no torch."""
    if find_spec("torch") is None:
        return ()
    from agents.agent import TRAINED, trained_agents

    if name not in trained_agents():
        return ()
    weights = hashlib.sha256((TRAINED / name / "weights.safetensors").read_bytes()).hexdigest()[:12]
    return (Curve(_AGENT, _AGENT, {"name": name, "weights": weights}, colour),)
