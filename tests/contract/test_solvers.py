"""Solvers: plans pass the check, replay gives the same plan, exact ones equal brute force, nothing beats a bound."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import baselines
import pl_env
from pl_env.systems import face, system_of

ROUNDS = 25


def is_better(plan, objective: float, than: float) -> bool:
    """By more than rounding, in the plan's sense."""
    gain = objective - than if plan.SENSE == "max" else than - objective
    return gain > 1e-9 * max(1.0, abs(than))


@pytest.fixture
def instances(case):
    rng = np.random.default_rng(0)
    return [instance for _ in range(ROUNDS) for instance in case.instances(rng)]


def test_solvers_say_of_themselves_what_they_are(system):
    found = baselines.solvers(system)
    assert len(found) >= 2
    for name, solver in found.items():
        assert solver.name == name
        assert solver.guarantee
        assert solver.description


def test_the_tiny_instance_that_was_solved_by_hand(case, system):
    instance, optimum = case.tiny()
    assert system_of(instance) == system
    for name in case.EXACT:
        plan = baselines.solve(instance, name)
        assert plan.objective == pytest.approx(optimum)
        assert plan.status == "optimal"
        assert plan.bound == pytest.approx(optimum)
        assert plan.solver == name
    for name in baselines.solvers(instance):
        assert not is_better(baselines.solve(instance, name), baselines.solve(instance, name).objective, optimum)


def test_plans_of_all_solvers(instances, case, system):
    """Checked again by the judge; exact solvers reach the optimum of brute force, nobody passes it, no bound does."""
    check, counts = face(system).check, dict.fromkeys(baselines.solvers(system), 0)
    for instance in instances:
        best = case.brute_force(instance)
        for name in baselines.solvers(instance):
            plan = baselines.solve(instance, name)
            check(plan, instance)
            counts[name] += 1
            assert not is_better(plan, plan.objective, best)
            assert not is_better(plan, best, plan.bound), f"the bound of {name} is beaten"
            if plan.status == "optimal" or name in case.EXACT:
                assert plan.objective == pytest.approx(best)
    assert all(count > 0 for count in counts.values()), f"never tried: {counts}"


def test_a_solver_says_why_it_does_not_cover_an_instance(instances, system):
    for instance in instances:
        covering = baselines.solvers(instance)
        for name, solver in baselines.solvers(system).items():
            reason = solver.why_not(instance)
            assert (reason is None) == (name in covering)
            if reason is not None:
                with pytest.raises(pl_env.UnsupportedInstance) as caught:
                    baselines.solve(instance, name)
                assert str(caught.value) == reason


def test_the_first_solver_is_the_default(case, system):
    instance, _ = case.tiny()
    assert baselines.solve(instance).solver == next(iter(baselines.solvers(system)))


def test_playing_a_plan_gives_the_plan(instances, case):
    for instance in instances[: 10 * len(instances) // ROUNDS]:
        env = case.environment(instance)
        for name in baselines.solvers(instance):
            plan = baselines.solve(instance, name)
            env.reset(seed=0, options={"instance": instance})
            actions = plan.actions(env)
            assert len(actions) == len(plan)
            for action in actions:
                env.step(action)
            assert env.plan.objective == pytest.approx(plan.objective)
            assert env.plan.actions(env) == actions


def test_planning_again_in_mid_episode_loses_nothing(instances, case, system):
    """What remains, solved exactly, and what was done are together what was planned from the start."""
    solver = next(iter(baselines.solvers(system)))
    tried = 0
    for instance in instances:
        if solver not in baselines.solvers(instance):
            continue
        env = case.environment(instance)
        env.reset(seed=0, options={"instance": instance})
        planner = baselines.Planner(solver)
        plan = baselines.solve(instance, solver)
        for action in plan.actions(env)[:1]:
            env.step(action)
        while env.any_legal and baselines.solve(env.remaining(), solver).actions(env):
            info = {"action_mask": env.action_masks().astype(np.int8)}
            env.step(planner.act({}, info, env))
        assert env.plan.objective == pytest.approx(plan.objective)
        tried += 1
    assert tried >= ROUNDS


def test_instances_are_saved_and_pickled(case, tmp_path):
    instance, _ = case.tiny()
    instance.save(tmp_path / "instance.npz")
    loaded = type(instance).load(tmp_path / "instance.npz")
    assert loaded == instance
    assert loaded.content_hash() == instance.content_hash()
    assert pickle.loads(pickle.dumps(instance)) == instance
    plan = baselines.solve(instance)
    twin = pickle.loads(pickle.dumps(plan))
    face(system_of(instance)).check(twin, instance)
    assert twin.objective == plan.objective


def test_everything_is_shown_on_one_short_line(case, system):
    """As the last line of a notebook's cell, and in messages."""
    room = face(system)
    instance, _ = case.tiny()
    things = [instance, baselines.solve(instance)]
    for name in room.benchmark_names():
        benchmark = room.benchmark(name)
        things += [benchmark, benchmark.instances[0], benchmark.plan(0)]
    for thing in things:
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 200, repr(thing)


def test_scenarios(system):
    kind = face(system).Scenario
    assert "tiny" in kind.presets()
    for name in kind.presets():
        scenario = kind.preset(name)
        library = {"library": scenario.library} if hasattr(scenario, "library") else {}
        assert kind.from_dict(scenario.to_dict(), **library) == scenario
        first, second = (scenario.sample(np.random.default_rng(0)) for _ in range(2))
        assert first.content_hash() == second.content_hash()
        assert isinstance(first, face(system).Instance)


def test_benchmark_sets_hold_what_they_say(system):
    """The first instances of every set: their plans pass the check, and the certified optimum is not passed."""
    room = face(system)
    assert room.benchmark_names()
    for name in room.benchmark_names():
        benchmark = room.benchmark(name)
        for n in range(3):
            plan = benchmark.plan(n)
            room.check(plan, benchmark.instances[n])
            found = baselines.solve(benchmark.instances[n], "greedy") if "greedy" in baselines.solvers(system) else None
            if found is not None:
                assert not is_better(found, found.objective, plan.bound)
