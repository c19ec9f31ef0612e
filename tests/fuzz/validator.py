"""`pl_env.check` against the reference, on schedules that are right and on schedules that were tampered with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import numpy as np

import baselines
import pl_env
from tests.fuzz.instances import LONGEST_NS, SHARING, draw_table
from tests.fuzz.reference import LONGEST_UPLOAD_NS, Batch, Plan, Problem, fault, timed, upload_time
from tests.fuzz.running import Tally, shortened

MUTANTS = 60
"""Tampered schedules in a round."""
SCALES = (3, 8, 8, 50, 10**7, 10**9, LONGEST_NS)
EXTREMES = (-(2**63) + 9, -(2**62), -1, 0, 1, 2**31, 2**32, 2**62, 2**63 - 9)
ANY_SHARING = ("greedy", "paper-greedy", "max-overlap")


def play(random: Random, tally: Tally) -> None:
    """One instance, a right schedule of it, and tampered ones."""
    if random.random() < 0.002:
        judge_endless_sum(Random(random.random()), tally)
    instance, batches, channels = draw(random)
    problem = Problem.of(instance)
    judge("as drawn", timed(problem, batches, channels), problem, instance, tally)
    judge("in full", timed(problem, batches, channels, in_full=True), problem, instance, tally)
    if random.random() < 0.3:
        batches = solved(random, instance, channels, tally) or batches
    for _ in range(MUTANTS):
        kind, case = random.choice(KINDS), Random(random.random())  # what is left out changes nothing of the rest
        if kind in tally.without:
            continue
        if kind in MALFORMED:
            judge_malformed(kind, case, timed(problem, batches, channels), instance, tally)
            continue
        plan = MUTATIONS[kind](case, problem, batches, channels)
        if case.random() < 0.1:  # a second one on top
            plan = off_by_one(case, plan, case.randrange(2, 6))
        judge(kind, plan, *with_tight_deadline(case, problem, instance, plan), tally)


def judge(kind: str, plan: Plan, problem: Problem, instance: pl_env.Instance, tally: Tally) -> None:
    """Hold the two verdicts on one schedule against each other."""
    expected = fault(problem, plan)
    with tally.case(kind):
        found = verdict(schedule_of(plan), instance)
        tally.count("schedules")
        tally.count("schedules that both accept" if expected is None else "schedules that both refuse")
        tally.count(f"kind: {kind}")
        if (found is None) != (expected is None):
            tally.fail(f"{kind}: check says {found or 'right'!r}, the reference {expected or 'right'!r}; {brief(plan)}")


def judge_malformed(kind: str, random: Random, plan: Plan, instance: pl_env.Instance, tally: Tally) -> None:
    """A schedule that no reading can make right must be refused, by the validator or by `Schedule` itself."""
    with tally.case(kind):
        try:
            found = verdict(MALFORMED[kind](random, plan), instance)
        except pl_env.PlEnvError as error:
            found = str(error)
        tally.count("schedules")
        tally.count("schedules that both refuse")
        tally.count(f"kind: {kind}")
        if found is None:
            tally.fail(f"{kind}: check accepts it; {brief(plan)}")


def judge_endless_sum(random: Random, tally: Tally) -> None:
    """One batch of so many users that the sum of their uploads passes 2^63, or even 2^64, must not be accepted."""
    kind, n_users = "sum of uploads", random.choice((92_234, 184_468, 250_000))
    if kind in tally.without:
        return
    with tally.case(kind):
        found = None
        try:
            table = draw_table(random, 1, "nothing", scale=3, most_batch=n_users)
            table = dataclasses.replace(table, max_batch=np.array([n_users]))
            uploads = np.full(n_users, LONGEST_UPLOAD_NS)
            instance = pl_env.Instance(table, np.zeros(n_users, dtype=np.int64), uploads, deadline_ns=LONGEST_NS)
            problem = Problem.of(instance)
            plan = timed(problem, [(0, list(range(n_users)), uploads.tolist())])
            for column in (2, 5):
                plan.rows[0][column] = in_64_bits(plan.rows[0][column])
            found = verdict(schedule_of(plan), instance)
        except pl_env.PlEnvError as error:
            found = str(error)
        tally.count("schedules")
        tally.count("schedules that both refuse")
        tally.count(f"kind: {kind}")
        if found is None:
            tally.fail(f"{kind}: check accepts {n_users} users in a batch")


def verdict(schedule: pl_env.Schedule, instance: pl_env.Instance) -> str | None:
    """Why the library refuses a schedule, or None."""
    try:
        pl_env.check(schedule, instance)
    except pl_env.InfeasibleSchedule as error:
        return str(error)
    return None


def schedule_of(plan: Plan) -> pl_env.Schedule:
    """The library's schedule."""
    return pl_env.Schedule(
        history=np.array(plan.rows, dtype=np.int64).reshape(-1, 6),
        users=np.array(plan.users, dtype=np.int64),
        user_upload_ns=np.array(plan.uploads, dtype=np.int64),
        n_users=plan.n_users,
        equal_bandwidth_channels=plan.channels,
        loads_in_full=plan.in_full,
    )


def brief(plan: Plan) -> str:
    """A schedule in a line."""
    return shortened(f"{plan.channels} channels, rows {plan.rows}, users {plan.users}, uploads {plan.uploads}")


# ---------------------------------------------------------------- right schedules


def draw(random: Random) -> tuple[pl_env.Instance, list[Batch], int]:
    """An instance, batches that keep all constraints but perhaps the deadline, and the number of channels."""
    n_models, n_users, scale = random.randint(1, 8), random.randint(0, 24), random.choice(SCALES)
    measured = random.random() < 0.25
    table = draw_table(random, n_models, random.choice(SHARING), scale=scale, most_batch=6, measured=measured)
    redraws = random.random() < 0.25
    longest_upload = random.choice((scale // 2, scale, 10**6, LONGEST_UPLOAD_NS))
    wants = [random.randrange(n_models) for _ in range(n_users)]
    instance = pl_env.Instance(
        table=table,
        requested_model=np.array(wants, dtype=np.int64),
        upload_ns=np.array([random.randint(0, min(longest_upload, 10**14)) for _ in wants], dtype=np.int64),
        deadline_ns=0,
        resident=random.randint(-1, n_models - 1) if random.random() < 0.5 else -1,
        fading="batch" if redraws else "episode",
        mean_snr=np.ones(n_users) if redraws else None,
        unit_upload_ns=1.0 if redraws else 0.0,
    )
    channels = random.choice((0, 0, 0, 1, 2, 3, 6, 20, 1024))
    problem = Problem.of(instance)
    batches = draw_batches(random, problem, channels)
    finish = timed(problem, batches, channels).rows[-1][5] if batches else 0
    deadline = random.choice((finish, finish, finish, finish - 1, finish + random.randint(0, 10), 2 * finish))
    return with_deadline(instance, deadline), batches, channels


def draw_batches(random: Random, problem: Problem, channels: int) -> list[Batch]:
    """Batches of whatever users are pending, until nobody is or at random."""
    pending: list[list[int]] = [[] for _ in problem.blocks]
    for user, model in enumerate(problem.wants):
        pending[model].append(user)
    for users in pending:
        random.shuffle(users)
    batches: list[Batch] = []
    while random.random() > 0.05:
        ready = [model for model, users in enumerate(pending) if users and problem.largest[model]]
        if not ready:
            break
        model = random.choice(ready)
        most = min(len(pending[model]), problem.largest[model], channels or len(pending[model]))
        users = [pending[model].pop() for _ in range(random.randint(1, most))]
        batches.append((model, users, drawn_uploads(random, problem, users, first=not batches)))
    return batches


def drawn_uploads(random: Random, problem: Problem, users: list[int], *, first: bool) -> list[int]:
    """The users' uploads; of the same order but new under fading, which leaves the first batch as it is."""
    uploads = [problem.upload_ns[user] for user in users]
    if problem.redraws and not first:
        return [random.randint(0, min(2 * upload, LONGEST_UPLOAD_NS)) for upload in uploads]
    return uploads


def solved(random: Random, instance: pl_env.Instance, channels: int, tally: Tally) -> list[Batch] | None:
    """The batches of a solver's schedule, which must be right."""
    solver = random.choice(ANY_SHARING)
    with tally.case(solver):
        schedule = baselines.solve(instance, solver, equal_bandwidth_channels=channels)
        users, uploads = schedule.users.tolist(), schedule.user_upload_ns.tolist()
        problem = Problem.of(instance)
        plan = Plan(schedule.history.tolist(), users, uploads, schedule.n_users, schedule.equal_bandwidth_channels)
        judge("of a solver", plan, problem, instance, tally)
        batches, first = [], 0
        for model, size, *_ in plan.rows:
            batches.append((model, users[first : first + size], uploads[first : first + size]))
            first += size
        return batches
    return None


def with_deadline(instance: pl_env.Instance, deadline: int) -> pl_env.Instance:
    """The instance with another deadline, as near as there may be."""
    return dataclasses.replace(instance, deadline_ns=min(max(deadline, 0), LONGEST_NS))


def with_tight_deadline(
    random: Random, problem: Problem, instance: pl_env.Instance, plan: Plan
) -> tuple[Problem, pl_env.Instance]:
    """Mostly the deadline at the very end of the schedule, or a nanosecond before."""
    if not plan.rows or random.random() < 0.3:
        return problem, instance
    tight = with_deadline(instance, plan.rows[-1][5] - random.choice((0, 0, 0, 0, 1)))
    return dataclasses.replace(problem, deadline_ns=int(tight.deadline_ns)), tight


# ---------------------------------------------------------------- mutations
# Most tell the truth of their times, so that only the constraint in question is broken, or none.


def in_64_bits(number: int) -> int:
    """What is left of an integer in 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


def off_by_one(random: Random, plan: Plan, column: int) -> Plan:
    """One time of one batch, a nanosecond off; the ends of all batches after it follow or not."""
    if plan.rows:
        n, off = random.randrange(len(plan.rows)), random.choice((-1, 1))
        plan.rows[n][column] = in_64_bits(plan.rows[n][column] + off)
        if column < 5 and random.random() < 0.5:
            for row in plan.rows[n:]:
                row[5] = in_64_bits(row[5] + off)
    return plan


def wrong_time(column: int) -> Callable[..., Plan]:
    """A mutation of one column."""

    def mutate(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
        return off_by_one(random, timed(problem, batches, channels), column)

    return mutate


def truthful(change: Callable[[Random, Problem, list[Batch]], None]) -> Callable[..., Plan]:
    """A mutation that changes batches in place and tells the times they then take."""

    def mutate(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
        changed = [(model, list(users), list(uploads)) for model, users, uploads in batches]
        if changed:
            change(random, problem, changed)
        return timed(problem, changed, channels)

    return mutate


def untruthful(change: Callable[[Random, Plan], None]) -> Callable[..., Plan]:
    """A mutation of the finished schedule."""

    def mutate(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
        plan = timed(problem, batches, channels)
        if plan.rows:
            change(random, plan)
        return plan

    return mutate


def nothing(random: Random, problem: Problem, batches: list[Batch]) -> None:
    pass


def swap_batches(random: Random, problem: Problem, batches: list[Batch]) -> None:
    a, b = random.randrange(len(batches)), random.randrange(len(batches))
    batches[a], batches[b] = batches[b], batches[a]


def remove_batch(random: Random, problem: Problem, batches: list[Batch]) -> None:
    del batches[random.randrange(len(batches))]


def repeat_batch(random: Random, problem: Problem, batches: list[Batch]) -> None:
    batches.insert(random.randint(0, len(batches)), deepcopy(random.choice(batches)))


def split_batch(random: Random, problem: Problem, batches: list[Batch]) -> None:
    n = random.randrange(len(batches))
    model, users, uploads = batches[n]
    cut = random.randint(0, len(users) - 1)  # 0 leaves a batch of nobody
    batches[n : n + 1] = [(model, users[:cut], uploads[:cut]), (model, users[cut:], uploads[cut:])]


def merge_batches(random: Random, problem: Problem, batches: list[Batch]) -> None:
    n = random.randrange(len(batches))
    model, users, uploads = batches[n]
    for other in [b for b in range(len(batches)) if b != n and batches[b][0] == model][:1]:
        batches[n] = model, users + batches[other][1], uploads + batches[other][2]
        del batches[other]


def reverse_users(random: Random, problem: Problem, batches: list[Batch]) -> None:
    _, users, uploads = random.choice(batches)
    users.reverse()
    uploads.reverse()


def swap_users(random: Random, problem: Problem, batches: list[Batch]) -> None:
    (_, users, uploads), (_, others, other_uploads) = random.choice(batches), random.choice(batches)
    a, b = random.randrange(len(users)), random.randrange(len(others))
    users[a], others[b] = others[b], users[a]
    uploads[a], other_uploads[b] = other_uploads[b], uploads[a]


def replace_user(random: Random, problem: Problem, batches: list[Batch]) -> None:
    """By anybody: pending or served, of this model or another."""
    _, users, uploads = random.choice(batches)
    n = random.randrange(len(users))
    users[n] = random.randrange(len(problem.wants))
    uploads[n] = problem.upload_ns[users[n]]


def add_user(random: Random, problem: Problem, batches: list[Batch]) -> None:
    _, users, uploads = random.choice(batches)
    users.append(random.randrange(len(problem.wants)))
    uploads.append(problem.upload_ns[users[-1]])


def drop_user(random: Random, problem: Problem, batches: list[Batch]) -> None:
    _, users, uploads = random.choice(batches)
    n = random.randrange(len(users))
    del users[n], uploads[n]


def other_model(random: Random, problem: Problem, batches: list[Batch]) -> None:
    n = random.randrange(len(batches))
    batches[n] = random.randrange(len(problem.blocks)), batches[n][1], batches[n][2]


def other_upload(random: Random, problem: Problem, batches: list[Batch]) -> None:
    """Right under fading, but in the first batch."""
    _, _, uploads = random.choice(batches)
    n = random.randrange(len(uploads))
    uploads[n] = max(0, uploads[n] + random.choice((-1, 1, 1000)))


def endless_upload(random: Random, problem: Problem, batches: list[Batch]) -> None:
    _, _, uploads = random.choice(batches)
    uploads[random.randrange(len(uploads))] = random.choice((-1, LONGEST_UPLOAD_NS, LONGEST_UPLOAD_NS + 1))


def swap_uploads(random: Random, plan: Plan) -> None:
    a, b = random.randrange(len(plan.uploads)), random.randrange(len(plan.uploads))
    plan.uploads[a], plan.uploads[b] = plan.uploads[b], plan.uploads[a]


def no_such_user(random: Random, plan: Plan) -> None:
    plan.users[random.randrange(len(plan.users))] = random.choice((-1, plan.n_users, 2**32, 2**62))


def no_such_model(random: Random, plan: Plan) -> None:
    random.choice(plan.rows)[0] = random.choice((-1, 8, 2**32, -(2**62)))


def other_size(random: Random, plan: Plan) -> None:
    random.choice(plan.rows)[1] += random.choice((-1, 1, -7, 2**32))


def stray_user(random: Random, plan: Plan) -> None:
    """In the list of users, of uploads, or both, and in no batch."""
    if random.random() < 0.7:
        plan.users.append(random.randrange(plan.n_users))
    if random.random() < 0.7:
        plan.uploads.append(random.choice(plan.uploads))


def other_number_of_users(random: Random, plan: Plan) -> None:
    plan.n_users = max(0, plan.n_users + random.choice((-1, 1)))


def idle_time(random: Random, plan: Plan) -> None:
    for row in plan.rows[random.randrange(len(plan.rows)) :]:
        row[5] += 5


def extreme_number(random: Random, plan: Plan) -> None:
    row = random.choice([*plan.rows, plan.users, plan.uploads])
    row[random.randrange(len(row))] = random.choice(EXTREMES)


def other_channels(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
    return timed(problem, batches, random.choice((0, 1, 2, 5, 1024)))


def claimed_channels(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
    """The times of one division of the band under the name of another."""
    plan = timed(problem, batches, channels)
    plan.channels = random.choice((0, 1, 2, 5, 1024, -1))
    return plan


def as_if_empty(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
    """A batch is timed as if the GPU were empty, or held another model."""
    plan = timed(problem, batches, channels)
    if plan.rows:
        n = random.randrange(len(plan.rows))
        row = plan.rows[n]
        off = problem.load_ns(random.randint(-1, len(problem.blocks) - 1), row[0]) - row[3]
        row[3] += off
        for later in plan.rows[n:]:
            later[5] += off
    return plan


def wrapped_upload(random: Random, problem: Problem, batches: list[Batch], channels: int) -> Plan:
    """So many channels that the upload time passes 2^63 and comes out small, modulo 2^64."""
    plan = timed(problem, batches, 0)
    slowest = [max(uploads) for _, _, uploads in batches]
    if not slowest or not max(slowest):
        return plan
    plan.channels = -(-(2**64) // max(slowest))  # just past 2^64, for the slowest of all
    if plan.channels >= 2**63:
        plan.channels = 2**62
    now = 0
    for row, (_, _, uploads) in zip(plan.rows, batches, strict=True):
        row[2] = in_64_bits(upload_time(uploads, plan.channels))
        now = in_64_bits(now + row[2] + row[3] + row[4])
        row[5] = now
    return plan


MUTATIONS: dict[str, Callable[..., Plan]] = {
    "none": truthful(nothing),
    "upload time": wrong_time(2),
    "load time": wrong_time(3),
    "compute time": wrong_time(4),
    "finish": wrong_time(5),
    "idle time": untruthful(idle_time),
    "swap batches": truthful(swap_batches),
    "remove batch": truthful(remove_batch),
    "repeat batch": truthful(repeat_batch),
    "split batch": truthful(split_batch),
    "merge batches": truthful(merge_batches),
    "reverse users": truthful(reverse_users),
    "swap users": truthful(swap_users),
    "replace user": truthful(replace_user),
    "add user": truthful(add_user),
    "drop user": truthful(drop_user),
    "other model": truthful(other_model),
    "other upload": truthful(other_upload),
    "endless upload": truthful(endless_upload),
    "swap uploads": untruthful(swap_uploads),
    "no such user": untruthful(no_such_user),
    "no such model": untruthful(no_such_model),
    "other size": untruthful(other_size),
    "stray user": untruthful(stray_user),
    "number of users": untruthful(other_number_of_users),
    "extreme number": untruthful(extreme_number),
    "other channels": other_channels,
    "claimed channels": claimed_channels,
    "as if empty": as_if_empty,
    "wrapped upload": wrapped_upload,
}


# ---------------------------------------------------------------- what no reading can make right


def with_fields(plan: Plan, **fields: Any) -> pl_env.Schedule:
    """The schedule with fields replaced."""
    return dataclasses.replace(schedule_of(plan), **fields)


def wrong_array(random: Random, plan: Plan) -> pl_env.Schedule:
    """Another dtype, number of dimensions, number of columns, or no array at all."""
    schedule = schedule_of(plan)
    name = random.choice(("history", "users", "user_upload_ns"))
    array = getattr(schedule, name)
    wrong = random.choice(
        (
            lambda: array.astype(np.float64),
            lambda: array.astype(np.int32),
            lambda: array.astype(">i8"),
            lambda: array.astype(object),
            lambda: array[None],
            lambda: array.tolist(),
            lambda: None,
            lambda: schedule.history[:, : random.choice((0, 5))] if name == "history" else array[:, None],
        )
    )
    return dataclasses.replace(schedule, **{name: wrong()})


def wrong_channels(random: Random, plan: Plan) -> pl_env.Schedule:
    wrong = (None, "3", 1.5, float("nan"), float("inf"), 2**63, 2**70, -1, -(2**70), [1])
    return with_fields(plan, equal_bandwidth_channels=random.choice(wrong))


def wrong_bound(random: Random, plan: Plan) -> pl_env.Schedule:
    """Fewer users than the schedule serves, or no number of users."""
    wrong = (-1, float("nan"), "many", len(plan.users) - 1)
    return with_fields(plan, upper_bound=random.choice(wrong))


def wrong_status(random: Random, plan: Plan) -> pl_env.Schedule:
    return with_fields(plan, status=random.choice(("", "Optimal", "best", None, 1)))


MALFORMED: dict[str, Callable[[Random, Plan], pl_env.Schedule]] = {
    "wrong array": wrong_array,
    "wrong channels": wrong_channels,
    "wrong bound": wrong_bound,
    "wrong status": wrong_status,
}

KINDS = (*MUTATIONS, *MALFORMED)
