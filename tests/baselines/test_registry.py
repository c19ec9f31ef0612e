"""Solvers by name, what they cover, and a user's own."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
import pl_env
from baselines import registry
from baselines.__main__ import main
from tests import helpers


@pytest.fixture
def register():
    """`baselines.register`, undone at the end."""
    known = registry._solvers_of("partial_loading")
    before = dict(known)
    yield baselines.register
    known.clear()
    known.update(before)


def most_popular(instance: pl_env.Instance, *, count: int = 1) -> pl_env.Schedule:
    """Serves some users of the model that most ask for."""
    model = int(np.bincount(instance.requested_model).argmax())
    return pl_env.Schedule.from_runs(instance, [model], [count], solver="most-popular")


@pytest.fixture
def instance() -> pl_env.Instance:
    return helpers.tiny_with_requests([0, 1, 1, 2, 2])


# ---------------------------------------------------------------- names


def test_the_default_is_the_first():
    first = next(iter(baselines.solvers()))
    assert first == "optimal-dp"
    bls = pl_env.Scenario.preset("bls").sample(np.random.default_rng(0))
    assert baselines.solve(bls).solver == first


def test_solvers_of_a_system():
    assert list(baselines.solvers()) == list(baselines.solvers("partial_loading"))
    for name, solver in baselines.solvers().items():
        assert isinstance(solver, baselines.Solver)
        assert solver.name == name
        assert solver.guarantee
        assert solver.description
        assert "equal_bandwidth_channels" in solver.options
    with pytest.raises(pl_env.UnknownName, match=r"there is no system 'moon'; known are: .*partial_loading"):
        baselines.solvers("moon")
    baselines.solvers().clear()  # a copy
    assert baselines.solvers()


def test_no_instance_gets_one_sentence():
    for thing in (3, None, pl_env.Scenario()):
        with pytest.raises(pl_env.InvalidValue, match=r"instance is .*; it must be an Instance"):
            baselines.solve(thing)
    with pytest.raises(pl_env.InvalidValue, match="instance is 3"):
        baselines.solvers(3)


# ---------------------------------------------------------------- what they cover


def covering(instance: pl_env.Instance) -> set[str]:
    names = set(baselines.solvers(instance))
    for name, solver in baselines.solvers().items():
        reason = solver.why_not(instance)
        assert (reason is None) == (name in names)
        if reason is None:
            if name != "exact":  # may need OR-Tools
                assert baselines.solve(instance, name).n_users == instance.n_users
        else:
            assert name in reason
            with pytest.raises(pl_env.UnsupportedInstance) as caught:
                baselines.solve(instance, name)
            assert str(caught.value) == reason
    return names


def test_what_the_solvers_cover():
    everything = set(baselines.solvers())
    tiny = pl_env.Scenario.preset("tiny").sample(np.random.default_rng(0))
    assert covering(tiny) == everything
    bls = pl_env.Scenario.preset("bls").sample(np.random.default_rng(0))
    assert covering(bls) == everything - {"exhaustive"}
    general = pl_env.Scenario.preset("general-hard").sample(np.random.default_rng(0))
    assert covering(general) == everything - {"exhaustive", "optimal-dp", "paper-dp"}
    many_slots = helpers.changed(bls, slot_ns=1)
    assert covering(many_slots) == everything - {"exhaustive", "paper-dp"}
    load_ns = tiny.load_ns + 1
    np.fill_diagonal(load_ns, 0)
    measured = helpers.changed(tiny, {"affine": False, "load_ns": load_ns})
    assert covering(measured) == everything - {"optimal-dp", "paper-dp", "exact"}


def test_measured_loads_that_take_longer_after_some_model_are_covered():
    """A plan that loads in full must hold whatever was resident before."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        instance = helpers.random_instance(rng, resident=True, most_users=9)
        load_ns = rng.integers(0, 20, size=instance.load_ns.shape)
        np.fill_diagonal(load_ns, 0)
        instance = helpers.changed(instance, {"affine": False, "load_ns": load_ns})
        for name in baselines.solvers(instance):
            baselines.solve(instance, name)  # checks


# ---------------------------------------------------------------- a user's own


def test_a_registered_solver_is_known_everywhere(register, instance, capsys):
    register("most-popular", most_popular, guarantee="one user", description="of the model that most ask for")
    schedule = baselines.solve(instance, "most-popular")
    assert (schedule.solver, schedule.served) == ("most-popular", 1)
    assert baselines.solvers()["most-popular"].guarantee == "one user"
    assert "most-popular" in baselines.solvers(instance)
    env = pl_env.PartialLoadingEnv("tiny")
    observation, info = env.reset(options={"instance": instance})
    planner = baselines.Planner("most-popular")
    *_, info = env.step(planner.act(observation, info, env))
    assert info["served"] == 1
    assert main(["compare", "--preset", "tiny", "--solver", "most-popular"]) == 0
    assert "one user" in capsys.readouterr().out
    assert main(["list-solvers"]) == 0
    assert "of the model that most ask for" in capsys.readouterr().out


def test_options_and_cover_of_a_registered_solver(register, instance):
    def one_or_two(name: str, value: object) -> None:
        if value not in (1, 2):
            raise pl_env.InvalidValue(f"{name} is {value!r}; it must be 1 or 2")

    register(
        "mine",
        most_popular,
        options={"count": one_or_two},
        why_not=lambda instance: None if instance.n_users else "mine needs users",
    )
    assert baselines.solve(instance, "mine", count=2).served == 2
    with pytest.raises(pl_env.InvalidValue, match="count is 3; it must be 1 or 2"):
        baselines.solve(instance, "mine", count=3)
    with pytest.raises(pl_env.UnknownName, match="there is no option of mine 'equal_bandwidth_channels'"):
        baselines.solve(instance, "mine", equal_bandwidth_channels=8)
    nobody = helpers.tiny_with_requests([])
    assert "mine" not in baselines.solvers(nobody)
    with pytest.raises(pl_env.UnsupportedInstance, match="mine needs users"):
        baselines.solve(nobody, "mine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("greedy", most_popular), "name is 'greedy'; it must be one that no solver of partial_loading has"),
        ((3, most_popular), "name is 3; it must be a string that is not empty"),
        (("", most_popular), "name is ''; it must be a string that is not empty"),
        (("mine", 3), "function is 3; it must be a function from an instance to a plan"),
    ],
)
def test_what_cannot_be_registered(register, arguments, message):
    before = baselines.solvers()
    with pytest.raises(pl_env.InvalidValue) as caught:
        register(*arguments)
    assert str(caught.value) == message
    assert baselines.solvers() == before


def test_keywords_of_the_wrong_kind(register):
    with pytest.raises(pl_env.InvalidValue, match="why_not is 3; it must be a function"):
        register("mine", most_popular, why_not=3)
    with pytest.raises(pl_env.InvalidValue, match=r"options\['count'\] is 3; it must be a function"):
        register("mine", most_popular, options={"count": 3})
    with pytest.raises(pl_env.UnknownName, match="there is no system 'moon'"):
        register("mine", most_popular, system="moon")
    assert "mine" not in baselines.solvers()


@pytest.mark.parametrize("returned", [None, 3, [(0, 1)], helpers.tiny_with_requests([0])])
def test_what_is_no_plan_is_refused(register, instance, returned):
    register("mine", lambda instance: returned)
    with pytest.raises(pl_env.InvalidValue, match=r"solver 'mine' returned a value of type \w+; it must be a plan"):
        baselines.solve(instance, "mine")


def test_a_plan_that_breaks_a_constraint_is_refused(register, instance):
    register("mine", lambda instance: pl_env.Schedule.from_runs(instance, [0, 1, 2], [1, 2, 2]))
    with pytest.raises(pl_env.InfeasibleSchedule, match="ends after the deadline"):
        baselines.solve(instance, "mine")
    register("another's", lambda instance: baselines.solve(helpers.tiny_with_requests([0])))
    with pytest.raises(pl_env.InfeasibleSchedule, match="is for 1 users"):
        baselines.solve(instance, "another's")


# ---------------------------------------------------------------- importing


def test_importing_loads_nothing_heavy():
    code = """
import sys
import baselines
print(sorted({"torch", "ortools", "stable_baselines3", "matplotlib"} & set(sys.modules)))
"""
    assert helpers.run_python(code).strip() == "[]"
