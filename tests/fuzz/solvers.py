"""Every solver, and the bounds, against brute force over all sets and orders of users, on tiny instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import gymnasium as gym
import numpy as np

import baselines
import pl_env
from tests.fuzz.instances import SHARING, draw_blocks, draw_table
from tests.fuzz.reference import Plan, Problem, fault, most_served
from tests.fuzz.running import Tally, shortened

INSTANCES = 10
"""Instances in a round."""
MOST_USERS, MOST_MODELS = 6, 4
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "paper-dp": ({}, {"as_printed": True}),
    "independent": ({}, {"slotted": True}),
    "local-search": ({"iterations": 50},),
}
"""Options that are tried, of solvers that have some."""
PROVES = ("optimal-dp", "exact", "exhaustive")
"""What these accept with affine loading, they solve to the optimum and say so."""
NEEDS_CLUSTERS = ("optimal-dp", "paper-dp")
NEEDS_AFFINE = ("exact",)


def play(random: Random, tally: Tally) -> None:
    """Some instances, each with every solver; some in mid-episode of an environment with fading channels."""
    for _ in range(INSTANCES):
        sharing, measured = random.choice(SHARING), random.random() < 0.2
        if random.random() < 0.15:
            measured = False
            for instance in mid_episode(random, sharing):
                hold(random, instance, sharing, measured, tally)
                tally.count("instances in mid-episode")
        else:
            hold(random, draw(random, sharing, measured), sharing, measured, tally)


def draw(random: Random, sharing: str, measured: bool) -> pl_env.Instance:
    """A handful of users and models with small times, so that ties and tight deadlines are common."""
    n_models, n_users = random.randint(1, MOST_MODELS), random.randint(0, MOST_USERS)
    table = draw_table(random, n_models, sharing, scale=8, most_batch=3, measured=measured)
    return pl_env.Instance(
        table=table,
        requested_model=np.array([random.randrange(n_models) for _ in range(n_users)], dtype=np.int64),
        upload_ns=np.array([random.randint(0, 6) for _ in range(n_users)], dtype=np.int64),
        deadline_ns=random.randint(0, 60),
        slot_ns=random.randint(1, 8),
        resident=random.randint(-1, n_models - 1) if random.random() < 0.5 else -1,
    )


@cache
def environment(sharing: str, number: int) -> gym.Env[Any, Any]:
    """A small environment whose channels are drawn anew before every batch; one of a few for each kind of sharing."""
    random = Random(f"{sharing} {number}")
    blocks = np.array(draw_blocks(random, MOST_MODELS, sharing), dtype=np.bool_).reshape(MOST_MODELS, -1)
    sizes = np.array([random.randint(1, 8) * 1_000_000 for _ in range(blocks.shape[1])], dtype=np.int64)
    profile = pl_env.ComputeProfile("toy", 1e-3 * random.randint(0, 2), 1e-3 * random.randint(0, 3), 0)
    overhead = 1e-3 * random.choice((0, 0, 2))
    return gym.make(
        "PartialLoading-v0",
        n_users=MOST_USERS,
        n_models=MOST_MODELS,
        library=pl_env.ModelLibrary(blocks, sizes, ("toy",) * MOST_MODELS),
        server=pl_env.EdgeServer(2e9, 2e9, overhead, 1_000_000_000, (profile,)),
        max_batch_size=3,
        fading="batch",
        bandwidth_hz=20e6,
        deadline=1e-3 * random.randint(20, 50),
        slot=1e-3 * random.randint(1, 5),
    )


def mid_episode(random: Random, sharing: str) -> Iterator[pl_env.Instance]:
    """What remains at each moment of an episode that is played at random."""
    env = environment(sharing, random.randrange(8))
    _, info = env.reset(seed=random.randrange(2**31))
    terminated = False
    while not terminated:
        yield env.unwrapped.remaining()
        legal = np.flatnonzero(info["action_mask"]).tolist()
        _, _, terminated, _, info = env.step(random.choice(legal))


def hold(random: Random, instance: pl_env.Instance, sharing: str, measured: bool, tally: Tally) -> None:
    """Hold all that is claimed of one instance against the truth."""
    channels = random.choice((0, 0, 1, 2, 3))
    problem = Problem.of(instance)
    best = most_served(problem, channels)
    tally.count("instances")
    tally.count(f"kind: {'measured' if measured else sharing}, {'equal channels' if channels else 'optimal shares'}")
    told = f"{channels} channels, optimum {best}, {problem}"
    if "upper bound" not in tally.without:
        with tally.case("upper_bound"):
            bound = baselines.upper_bound(instance, equal_bandwidth_channels=channels)
            tally.count("bounds")
            if bound < best:
                tally.fail(f"upper_bound: {bound} is too low; {shortened(told, 1000)}")
    for solver in baselines.solvers():
        if measured and f"{solver} measured" in tally.without:
            continue
        for options in OPTIONS.get(solver, ({},)):
            name = " ".join([solver, *options])
            with tally.case(f"{name}: {shortened(told, 1000)}"):
                wrong = tried(instance, problem, best, solver, options, channels, sharing, measured, tally)
                if wrong:
                    tally.fail(f"{name}: {wrong}; {shortened(told, 1000)}")


def tried(
    instance: pl_env.Instance,
    problem: Problem,
    best: int,
    solver: str,
    options: dict[str, Any],
    channels: int,
    sharing: str,
    measured: bool,
    tally: Tally,
) -> str | None:
    """Run one solver; what is wrong with what it says, or None."""
    try:
        schedule = baselines.solve(instance, solver, equal_bandwidth_channels=channels, **options)
    except pl_env.UnsupportedInstance as error:
        tally.count("refusals")
        return None if may_refuse(solver, sharing, measured) else f"refuses: {error}"
    tally.count("schedules")
    tally.count("schedules proven optimal", int(schedule.status == "optimal"))
    if proves(solver, options, sharing, measured) and schedule.status != "optimal":
        return "does not prove its optimum"
    return objection(schedule, problem, best)


def may_refuse(solver: str, sharing: str, measured: bool) -> bool:
    """Whether the solver says that it does not cover such an instance."""
    if measured:
        return solver in (*NEEDS_CLUSTERS, *NEEDS_AFFINE)
    return sharing == "anywhere" and solver in NEEDS_CLUSTERS


def proves(solver: str, options: dict[str, Any], sharing: str, measured: bool) -> bool:
    """Whether the solver guarantees the optimum of such an instance."""
    independent = solver == "independent" and not options and sharing == "nothing"
    return not measured and (solver in PROVES or independent)


def objection(schedule: pl_env.Schedule, problem: Problem, best: int) -> str | None:
    """What is wrong with a solver's schedule, or None."""
    plan = Plan(
        schedule.history.tolist(),
        schedule.users.tolist(),
        schedule.user_upload_ns.tolist(),
        schedule.n_users,
        schedule.equal_bandwidth_channels,
        schedule.loads_in_full,
    )
    # A planner's schedule is made of present channels: under fading, too, its uploads are those of the instance.
    broken = fault(dataclasses.replace(problem, redraws=False), plan)
    if broken:
        return f"its schedule is wrong: {broken}"
    if schedule.served > best:
        return f"serves {schedule.served}, more than there can be: brute force is wrong"
    if schedule.upper_bound < best:
        return f"its bound {schedule.upper_bound} is too low"
    if schedule.status == "optimal" and schedule.served < best:
        return f"claims {schedule.served} to be optimal"
    return None
