"""A short run of every part, and faults that each of them must find."""

from __future__ import annotations

import copy
import dataclasses
import shlex
from random import Random

import gymnasium as gym
import numpy as np
import pytest

import agents
import baselines
import pl_env
from pl_env import PartialLoadingVectorEnv
from tests.fuzz import instances, loaders, reference, running, solvers, validator
from tests.fuzz.__main__ import main
from tests.helpers import brute_force_any_users

SEED = 1
ROUNDS = {"validator": 80, "solvers": 30, "vector": 12, "loaders": 20}
CASES = {"validator": "schedules", "solvers": "schedules", "vector": "environment steps", "loaders": "files"}


def play(part: str) -> running.Tally:
    return running.play_rounds(part, SEED, ROUNDS[part])


def assert_found(part: str, what: str, rounds: int) -> None:
    """A planted fault is found within a part of the short run."""
    assert rounds <= ROUNDS[part]
    tally = running.Tally()
    for number in range(rounds):
        running.play_round(part, SEED, number, tally)
        if any(what in failure for failure in tally.failures):
            return
    raise AssertionError(tally.failures)


@pytest.mark.parametrize("part", running.PARTS)
def test_short_run(part):
    tally = play(part)
    assert tally.failures == []
    assert tally.counts["rounds"] == ROUNDS[part]
    assert tally.counts[CASES[part]] > {"validator": 4000, "solvers": 2000, "vector": 2000, "loaders": 50}[part]


def test_short_run_sees_both_verdicts_of_most_mutations():
    counts = play("validator").counts
    assert counts["schedules that both accept"] > 700
    assert counts["schedules that both refuse"] > 700
    assert all(counts[f"kind: {kind}"] > 0 for kind in validator.KINDS)


# ---------------------------------------------------------------- the reference itself


def test_reference_knows_the_preset_that_is_solved_by_hand():
    """Models 0 and 1 share their base: 140 ms of loading, three batches of 10 ms and 1 ms for each of five users."""
    scenario = pl_env.Scenario.preset("tiny")
    requests = np.array([0, 0, 0, 1, 1])
    instance = scenario.instance(scenario.table, requests, np.ones(5), np.full(5, 100_000))
    problem = reference.Problem.of(instance)
    assert (problem.load_ns(-1, 0), problem.load_ns(0, 1), problem.load_ns(0, 2)) == (
        120 * 10**6,
        20 * 10**6,
        60 * 10**6,
    )
    batches = [(0, [0, 1], [100_000] * 2), (0, [2], [100_000]), (1, [3, 4], [100_000] * 2)]
    plan = reference.timed(problem, batches)
    assert plan.rows[-1][-1] == 175_500_000
    assert reference.fault(problem, plan) is None
    assert reference.most_served(problem) == 5
    assert reference.most_served(dataclasses.replace(problem, deadline_ns=175_500_000)) == 5
    assert reference.most_served(dataclasses.replace(problem, deadline_ns=175_499_999)) == 4


def test_reference_finds_the_same_optima_as_plain_recursion():
    random = Random(0)
    for _ in range(25):
        measured = random.random() < 0.3
        instance = solvers.draw(random, random.choice(instances.SHARING), measured)
        if not measured and instance.n_users < 6:
            for channels in (0, 2):
                expected = brute_force_any_users(instance, channels)
                assert reference.most_served(reference.Problem.of(instance), channels) == expected


# ---------------------------------------------------------------- planted faults


def is_in_time_but_for_the_last_batch(schedule, instance):
    return len(schedule) > 0 and (len(schedule) == 1 or schedule.history[-2, 5] <= instance.deadline_ns)


def past_the_deadline(check):
    """Accepts one batch past the deadline."""

    def lenient(schedule, instance):
        if isinstance(schedule.history, np.ndarray) and is_in_time_but_for_the_last_batch(schedule, instance):
            deadline = min(max(int(instance.deadline_ns), schedule.finish_ns), instances.LONGEST_NS)
            instance = dataclasses.replace(instance, deadline_ns=deadline)
        check(schedule, instance)

    return lenient


def a_nanosecond_early(check):
    """Wants the end before the deadline, not at it."""

    def strict(schedule, instance):
        check(schedule, dataclasses.replace(instance, deadline_ns=max(0, int(instance.deadline_ns) - 1)))

    return strict


def from_an_empty_gpu(check):
    """Does not know the model that is resident at the start."""
    return lambda schedule, instance: check(schedule, dataclasses.replace(instance, resident=-1))


def blind(constraint):
    """Does not look at one constraint."""

    def fault(check):
        def careless(schedule, instance):
            try:
                check(schedule, instance)
            except pl_env.InfeasibleSchedule as error:
                if constraint not in str(error):
                    raise

        return careless

    return fault


EQUATIONS = ("(1)", "(3)", "(5)", "(8)", "(9)", "(10c)", "(10d)", "(11)", "(13c)")


@pytest.mark.parametrize(
    "fault",
    [
        past_the_deadline,
        a_nanosecond_early,
        from_an_empty_gpu,
        *map(blind, (*EQUATIONS, "alone on the band", "does not exist")),
    ],
)
def test_faults_of_the_validator_are_found(monkeypatch, fault):
    monkeypatch.setattr(pl_env, "check", fault(pl_env.check))
    assert_found("validator", "the reference", rounds=30)


def test_a_validator_that_raises_something_else_is_found(monkeypatch):
    monkeypatch.setattr(pl_env, "check", lambda schedule, instance: instance.no_such_name)
    assert_found("validator", "AttributeError", rounds=1)


def one_user_less(solve):
    """Calls optimal what lacks the last batch."""

    def worse(instance, *arguments, **options):
        schedule = solve(instance, *arguments, **options)
        if len(schedule) == 0:
            return schedule
        left = schedule.served - int(schedule.history[-1, 1])
        shorter = {"users": schedule.users[:left], "user_upload_ns": schedule.user_upload_ns[:left]}
        return dataclasses.replace(schedule, history=schedule.history[:-1], **shorter)

    return worse


def a_nanosecond_too_long(solve):
    def late(instance, *arguments, **options):
        longer = dataclasses.replace(instance, deadline_ns=int(instance.deadline_ns) + 1)
        return solve(longer, *arguments, **options)

    return late


def low_bound(solve):
    def worse(instance, *arguments, **options):
        schedule = solve(instance, *arguments, **options)
        return dataclasses.replace(schedule, upper_bound=schedule.upper_bound - 1)

    return worse


def modest(solve):
    """Proves nothing."""
    return lambda *arguments, **options: dataclasses.replace(solve(*arguments, **options), status="feasible")


def refusing(solve):
    def refuse(instance, *arguments, **options):
        raise pl_env.UnsupportedInstance("not today")

    return refuse


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (one_user_less, "to be optimal"),
        (a_nanosecond_too_long, "deadline (13c)"),
        (low_bound, "is too low"),
        (modest, "does not prove"),
        (refusing, "refuses"),
    ],
)
def test_faults_of_solvers_are_found(monkeypatch, fault, message):
    monkeypatch.setattr(baselines, "solve", fault(baselines.solve))
    assert_found("solvers", message, rounds=10)


def test_a_bound_that_is_too_low_is_found(monkeypatch):
    bound = baselines.upper_bound
    monkeypatch.setattr(baselines, "upper_bound", lambda *args, **options: max(0, bound(*args, **options) - 1))
    assert_found("solvers", "upper_bound", rounds=3)


class RoundedRewards(PartialLoadingVectorEnv):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, rewards.astype(np.float32).astype(np.float64), *rest


class ForgivingActions(PartialLoadingVectorEnv):
    def step(self, actions):
        masks = self.action_masks()
        legal = masks[np.arange(len(masks)), actions]
        return super().step(np.where(legal, actions, masks.argmax(axis=1)))


class SharedCopies(PartialLoadingVectorEnv):
    def __deepcopy__(self, memo):
        return self


class LostFinals(PartialLoadingVectorEnv):
    def step(self, actions):
        *rest, infos = super().step(actions)
        return *rest, {key: value for key, value in infos.items() if "final_obs" not in key}


class LongEpisodes(PartialLoadingVectorEnv):
    def step(self, actions):
        *rest, infos = super().step(actions)
        for name in {"episode", "final_episode"} & infos.keys():
            infos[name]["l"] = infos[name]["l"] + 1
        return *rest, infos


class Drifting(PartialLoadingVectorEnv):
    """The last bit of one cell of one observation, and seldom."""

    def step(self, actions):
        observations, *rest = super().step(actions)
        if actions[0] == 1:
            observations = copy.deepcopy(observations)
            observations["batch_time"][-1, 0, 0] = np.nextafter(observations["batch_time"][-1, 0, 0], np.float32(2))
        return observations, *rest


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (RoundedRewards, "[1]"),
        (ForgivingActions, ""),
        (SharedCopies, ""),
        (LostFinals, "final_obs"),
        (LongEpisodes, "statistics"),
        (Drifting, "batch_time"),
    ],
)
def test_faults_of_the_vector_environment_are_found(monkeypatch, faulty, message):
    make_vec = gym.make_vec

    def make_faulty(*arguments, vectorization_mode=None, **options):
        environments = make_vec(*arguments, vectorization_mode=vectorization_mode, **options)
        if vectorization_mode is None:
            environments.unwrapped.__class__ = faulty
        return environments

    monkeypatch.setattr(gym, "make_vec", make_faulty)
    assert_found("vector", message, rounds=ROUNDS["vector"])


def foreign_exception(load, path):
    try:
        return load(path)
    except pl_env.FileFormatError as error:
        raise KeyError("header") from error


def long_message(load, path):
    try:
        return load(path)
    except pl_env.FileFormatError as error:
        raise pl_env.PlEnvError(f"{error} {'x' * 300}") from error


def left_file(load, path):
    (path.parent / ".left").write_bytes(b"")
    return load(path)


def anything_goes(load, path):
    try:
        return load(path)
    except pl_env.FileFormatError:
        return pl_env.Scenario.preset("tiny").sample(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (foreign_exception, "KeyError"),
        (long_message, "a message of"),
        (left_file, "left or changed files"),
        (anything_goes, "the content is another one"),
    ],
)
def test_faults_of_loaders_are_found(monkeypatch, fault, message):
    load = pl_env.Instance.load
    loaders.facts_of("instance")  # is loaded without the fault
    monkeypatch.setattr(pl_env.Instance, "load", lambda path: fault(load, path))
    assert_found("loaders", message, rounds=ROUNDS["loaders"])


def test_a_loader_that_takes_too_much_memory_is_found(monkeypatch):
    loaders.facts_of("instance")
    monkeypatch.setattr(pl_env.Instance, "load", lambda path: np.ones(1 << 28))  # 2 GB
    assert_found("loaders", "MemoryError", rounds=ROUNDS["loaders"])


def test_an_agent_of_other_weights_is_found(monkeypatch):
    expected = loaders.facts_of("agent")
    other = agents.load("any-library")
    assert loaders.agent_facts(other) != expected


# ---------------------------------------------------------------- the command


def test_a_failure_is_repeated_by_its_command(monkeypatch, capsys):
    monkeypatch.setattr(pl_env, "check", past_the_deadline(pl_env.check))
    first = play("validator").failures[0]
    command = shlex.split(first.partition("repeat: ")[2])
    assert command[:3] == ["python", "-m", "tests.fuzz"]
    assert main(command[3:]) == 1
    assert first in capsys.readouterr().out


def test_the_command_prints_its_seed_and_what_it_did(capsys):
    assert main(["--only", "validator", "--minutes", "0.001", "--workers", "2", "--seed", "5", "--without",
                 "wrong bound"]) == 0  # fmt: skip
    printed = capsys.readouterr().out
    assert printed.startswith("seed 5\n")
    assert "schedules that both accept" in printed
    assert printed.endswith("0 failures, seed 5\n")


def test_what_is_left_out_changes_nothing_of_the_rest():
    everything = running.play_rounds("validator", 3, 5)
    part = running.play_rounds("validator", 3, 5, frozenset({"wrong bound"}))
    del everything.counts["kind: wrong bound"]
    kinds = {kind: n for kind, n in everything.counts.items() if kind.startswith("kind: ")}
    assert kinds == {kind: n for kind, n in part.counts.items() if kind.startswith("kind: ")}


def test_a_seed_repeats():
    first, second = running.play_rounds("loaders", 2, 2), running.play_rounds("loaders", 2, 2)
    assert first.counts == second.counts
