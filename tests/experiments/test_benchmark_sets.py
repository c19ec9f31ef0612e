"""Making and verifying benchmark sets: what is wrong is found, of sets of three tiny instances of every system."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.benchmark_sets import Recipe, certify, make
from experiments.co_inference import benchmark_sets as co_inference
from pl_env.errors import PlEnvError, UnknownName
from pl_env.protocols import Scenario
from pl_env.systems import SYSTEMS, face


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_set_is_made_and_verified(system, tmp_path, monkeypatch):
    room = import_module(f"experiments.{system}.benchmark_sets")
    recipe = next(iter(room.RECIPES.values()))
    tiny = replace(recipe, scenario=_small(system, recipe), n_instances=3)
    monkeypatch.setattr(room, "RECIPES", {"small": tiny})
    line = certify(system, "small", write=True, folder=tmp_path)
    assert line.startswith("small: 3 instances, 3 with a proven optimum, ")
    assert certify(system, "small", folder=tmp_path) == line
    assert make(system, "small").made_by["solver"] == recipe.solver
    monkeypatch.setattr(room, "RECIPES", {"small": replace(tiny, n_instances=4)})
    with pytest.raises(PlEnvError, match="small: its scenario or number of instances is not the recipe's"):
        certify(system, "small", folder=tmp_path)
    with pytest.raises(UnknownName, match="there is no benchmark set 'large'; known are: small"):
        certify(system, "large", folder=tmp_path)


def _small(system: str, recipe: Recipe) -> Scenario:
    """Tiny; a set of PartialLoading keeps no library, so each of its instances draws one."""
    if system == "partial_loading":
        return recipe.scenario.override(n_models=4, n_users=5)
    return face(system).Scenario.preset("tiny")


def test_what_is_wrong_is_found(tmp_path, monkeypatch):
    recipe = co_inference.RECIPES["co-inference-100"]
    tiny = replace(recipe, scenario=face("co_inference").Scenario.preset("tiny"), n_instances=3)
    monkeypatch.setattr(co_inference, "RECIPES", {"small": tiny})
    right = make("co_inference", "small")
    tasks, levels = np.array(right.tasks), np.array(right.levels)
    tasks[1, 0, 2] *= 2
    levels[2] = levels[2].max()
    for wrong, message in (
        ({"upper_bound": right.upper_bound + 0.1}, r"small, instance 0: .* of at most .*, says the set; now"),
        ({"tasks": tasks}, "small, instance 1: drawn again, it is another one"),
        ({"levels": np.full_like(levels, -1)}, "small, instance 2: the stored plan attains 0.0, not "),
        ({"levels": levels}, "small, instance 2: "),
    ):
        replace(right, **wrong).save(tmp_path / "small.npz")
        with pytest.raises(PlEnvError, match=message):
            certify("co_inference", "small", folder=tmp_path)


def test_a_second_solver_need_not_say_the_same():
    """Of a stored plan that attains .5 of at most .7."""
    alone = Recipe(None, 3, "greedy")
    checked = Recipe(None, 3, "greedy", second_solver="exact")
    stored = _plan(0.5, 0.7)
    for again, same_solver, other_solver in (
        (_plan(0.5, 0.7), True, True),
        (_plan(0.4, 0.9), False, True),
        (_plan(0.7, 0.7), False, True),
        (_plan(0.6, 0.6), False, False),
        (_plan(0.8, 0.9), False, False),
        (_plan(0.3, 0.4), False, False),
    ):
        assert alone.agree(stored, again) is same_solver
        assert checked.agree(stored, again) is other_solver
    assert checked.agree(_plan(0.7, 0.5, "min"), _plan(0.9, 0.4, "min"))
    assert not checked.agree(_plan(0.7, 0.5, "min"), _plan(0.9, 0.8, "min"))


def _plan(objective: float, bound: float, sense: str = "max") -> SimpleNamespace:
    status = "optimal" if objective == bound else "feasible"
    return SimpleNamespace(objective=objective, bound=bound, status=status, SENSE=sense)
