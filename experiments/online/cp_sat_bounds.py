"""What CP-SAT can say of the users that no plan serves, beside the Lagrangean bound; it needs OR-Tools.

    python -m experiments.online.cp_sat_bounds                # short episodes; minutes of a core
    python -m experiments.online.cp_sat_bounds set            # the relaxation of windows on `online-10`

Two relaxations, in which every plan is a solution; so what CP-SAT proves of solutions holds for plans. Both leave out
c0, and their times are microseconds, rounded in the plans' favour.

**Visits.** One interval of the server for each visit of a model, which is a batch or nothing: its users' uploads, the
blocks that it loads, and its pass. Between two visits of a model a block that nobody else asks for is kept, or loaded
again by the second. A block of several models has stays: one visit loads it, at the start, and every visit of a model
that holds it lies in a stay. Memory is taken by stays, and by what is kept. After `STAYS` stays a block costs no more.

**Windows.** Energetic reasoning: who comes after a and must be served until b is served by batches that lie between.
They take uploads, passes, one pass's fixed part for each model, and load each block that was not in memory at a; what
was is at most M. That must fit into b - a, for all a and b on a grid; memory is free to be another in each window.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tyro

import baselines
from baselines.online.bounds import possible_users, upper_bound
from baselines.online.relaxation import lagrangean_bound
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.online import benchmark
from pl_env.online.instance import Instance
from pl_env.online.scenario import Scenario
from pl_env.packages import require_package
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.seeds import EVALUATION_STREAM

STAYS = 4
"""Stays of a block of several models that are charged."""

LONGEST_NS = 1_200_000_000
"""Windows are no longer."""

_NS = 1_000


@dataclass
class _Visit:
    """A batch, or none: when it starts and ends, whether there is one, and what it takes."""

    start: Any
    end: Any
    present: Any
    length: Any


@dataclass
class _Relaxation:
    """A constraint program under construction.

    Attributes:
        instance: The instance.
        program: OR-Tools' model.
        latest: No time is later, microseconds.
        memory: Intervals, and bytes.
        served: A literal for each way to serve a user.
    """

    instance: Instance
    program: Any
    latest: int
    memory: list[tuple[Any, int]] = field(default_factory=list)
    served: list[Any] = field(default_factory=list)

    def time(self) -> Any:
        """A variable."""
        return self.program.new_int_var(0, self.latest, "")

    def keep(self, start: Any, end: Any, n_bytes: int, present: Any) -> None:
        """Take memory, if present."""
        interval = self.program.new_optional_interval_var(start, self.time(), end, present, "")
        self.memory.append((interval, n_bytes))


def bound_by_visits(instance: Instance, *, work: float, seed: int = 0) -> int:
    """A number of users that no plan exceeds: the relaxation of visits.

    Args:
        instance: The instance, without overlap of uploads and loads, and with a cache.
        work: CP-SAT's deterministic seconds, of one thread; the result does not depend on the machine's load.
        seed: Seed of CP-SAT.
    """
    cp_model = _cp_model(instance)
    relaxation = _Relaxation(instance, cp_model.CpModel(), int(-(-instance.deadline_ns.max() // _NS)))
    program = relaxation.program
    possible = possible_users(instance)
    visits = {
        i: _add_visits(relaxation, i, np.flatnonzero(possible & (instance.requested_model == i)))
        for i in np.unique(instance.requested_model[possible]).tolist()
    }
    if not visits:
        return 0
    for block in np.flatnonzero(instance.has_block.any(axis=0)).tolist():
        holders = np.flatnonzero(instance.has_block[:, block])
        asked = [i for i in holders.tolist() if i in visits]
        if len(asked) == 1:
            _add_own_block(relaxation, block, visits[asked[0]])
        elif asked:
            _add_stays(relaxation, block, [visit for i in asked for visit in visits[i]])
    server = []
    for visit in (visit for own in visits.values() for visit in own):
        length = relaxation.time()
        program.add(length == visit.length)
        server.append(program.new_optional_interval_var(visit.start, length, visit.end, visit.present, ""))
    program.add_no_overlap(server)
    intervals, sizes = zip(*relaxation.memory, strict=True)
    program.add_cumulative(intervals, sizes, instance.cache_bytes)
    return _solved(program, relaxation.served, upper_bound(instance), work, seed)


def _cp_model(instance: Instance) -> Any:
    require(instance.overlap == "none", "overlap", instance.overlap, "none")
    require(instance.eviction != "previous", "eviction", instance.eviction, "one with a cache")
    return require_package("ortools.sat.python.cp_model", "exact")


def _solved(program: Any, served: list[Any], simple: int, work: float, seed: int) -> int:
    """What is proven of the most literals that can be true, at most a simple bound."""
    cp_model = require_package("ortools.sat.python.cp_model", "exact")
    program.maximize(sum(served))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.interleave_search = True
    solver.parameters.linearization_level = 2
    solver.parameters.max_deterministic_time = work
    solver.parameters.random_seed = seed
    status = solver.solve(program)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):  # it has found nothing, and may not have looked at bounds
        return simple
    return min(simple, int(solver.best_objective_bound + 1e-6))


def _add_visits(relaxation: _Relaxation, model: int, users: Any) -> list[_Visit]:
    """As many visits as users, one after the other, and who is served at which."""
    instance, program, table = relaxation.instance, relaxation.program, relaxation.instance.table
    per_user, per_batch = (int(ns[model]) // _NS for ns in (table.compute_ns_per_sample, table.compute_ns_per_batch))
    ready = (np.maximum(instance.ready_ns, 0) // _NS).tolist()
    uploads = (instance.upload_ns // _NS).tolist()
    deadlines = (-(-instance.deadline_ns // _NS)).tolist()
    ways: dict[int, list[Any]] = {int(k): [] for k in users}
    visits: list[_Visit] = []
    for _ in users:
        start, end, present = relaxation.time(), relaxation.time(), program.new_bool_var("")
        is_in = {k: program.new_bool_var("") for k in ways}
        program.add_bool_or(list(is_in.values())).only_enforce_if(present)
        program.add(sum(is_in.values()) <= int(table.max_batch[model]))
        for k, literal in is_in.items():
            ways[k].append(literal)
            program.add_implication(literal, present)
            program.add(start >= ready[k]).only_enforce_if(literal)
            program.add(end <= deadlines[k]).only_enforce_if(literal)
        if visits:
            program.add(start >= visits[-1].end)
            program.add_implication(present, visits[-1].present)
        length = per_batch * present + sum((per_user + uploads[k]) * literal for k, literal in is_in.items())
        visits.append(_Visit(start, end, present, length))
    for literals in ways.values():
        program.add_at_most_one(literals)
        relaxation.served += literals
    return visits


def _add_own_block(relaxation: _Relaxation, block: int, visits: list[_Visit]) -> None:
    """A block that only one model asks for is kept from visit to visit, or loaded."""
    instance, program = relaxation.instance, relaxation.program
    load, n_bytes = int(instance.table.block_load_ns[block]) // _NS, int(instance.block_bytes[block])
    for n, visit in enumerate(visits):
        kept, loaded, begin = program.new_bool_var(""), program.new_bool_var(""), relaxation.time()
        program.add_exactly_one([kept, loaded, visit.present.negated()])
        program.add(begin == visit.start).only_enforce_if(loaded)
        if n > 0:
            program.add(begin == visits[n - 1].end).only_enforce_if(kept)
        elif instance.resident_blocks[block]:
            program.add(begin == 0).only_enforce_if(kept)
        else:
            program.add(kept == 0)
        visit.length += load * loaded
        relaxation.keep(begin, visit.end, n_bytes, visit.present)


def _add_stays(relaxation: _Relaxation, block: int, visits: list[_Visit]) -> None:
    """A block of several models has stays; each visit lies in one of them, or comes after the last that is charged."""
    instance, program = relaxation.instance, relaxation.program
    load, n_bytes = int(instance.table.block_load_ns[block]) // _NS, int(instance.block_bytes[block])
    ways: list[list[Any]] = [[visit.present.negated()] for visit in visits]
    last_end, last_present = 0, None
    for n in range(min(STAYS, len(visits))):
        start, end, present = relaxation.time(), relaxation.time(), program.new_bool_var("")
        relaxation.keep(start, end, n_bytes, present)
        program.add(start >= last_end)
        if last_present is not None:
            program.add_implication(present, last_present)
        last_end, last_present = end, present
        loaders = []
        for way, visit in zip(ways, visits, strict=True):
            loads, follows = program.new_bool_var(""), program.new_bool_var("")
            way += [loads, follows]
            loaders.append(loads)
            program.add_implication(follows, present)
            program.add(start == visit.start).only_enforce_if(loads)
            for inside in (loads, follows):
                program.add(start <= visit.start).only_enforce_if(inside)
                program.add(visit.end <= end).only_enforce_if(inside)
            visit.length += (0 if n == 0 and instance.resident_blocks[block] else load) * loads
        program.add_exactly_one([*loaders, present.negated()])
    if len(visits) > STAYS:
        for way, visit in zip(ways, visits, strict=True):
            after = program.new_bool_var("")
            program.add_implication(after, last_present)
            program.add(visit.start >= last_end).only_enforce_if(after)
            way.append(after)
    for way in ways:
        program.add_exactly_one(way)


def bound_by_windows(instance: Instance, *, work: float, seed: int = 0, grid_ns: int = 100_000_000) -> int:
    """A number of users that no plan exceeds: the relaxation of windows.

    Args:
        instance: As in `bound_by_visits`.
        work: As there.
        seed: Seed of CP-SAT.
        grid_ns: Windows begin and end at multiples of it, of microseconds.
    """
    program = _cp_model(instance).CpModel()
    served = {int(k): program.new_bool_var("") for k in np.flatnonzero(possible_users(instance))}
    ready, last = np.maximum(instance.ready_ns, 0), int(instance.deadline_ns.max())
    for begin in range(0, last, grid_ns):
        if begin == 0:
            resident: list[Any] = instance.resident_blocks.tolist()
        else:
            resident = [program.new_bool_var("") for _ in range(instance.n_blocks)]
            sizes = instance.block_bytes.tolist()
            program.add(sum(n * r for n, r in zip(sizes, resident, strict=True)) <= instance.cache_bytes)
        for end in range(begin + grid_ns, min(begin + LONGEST_NS, last + grid_ns) + 1, grid_ns):
            within = {k: z for k, z in served.items() if ready[k] >= begin and instance.deadline_ns[k] <= end}
            if within:
                _add_window(program, instance, within, resident, (end - begin) // _NS)
    return _solved(program, list(served.values()), len(served), work, seed)


def _add_window(program: Any, instance: Instance, served: dict[int, Any], resident: list[Any], length: int) -> None:
    """What must be done within a window fits into it.

    Args:
        program: OR-Tools' model.
        instance: The instance.
        served: A literal for each user who can only be served within the window.
        resident: Literals of the blocks in memory at its begin.
        length: Of the window, microseconds.
    """
    table, model = instance.table, instance.requested_model
    visited = {int(i): program.new_bool_var("") for i in np.unique(model[list(served)])}
    held = table.has_block[list(visited)].any(axis=0)
    loaded = {int(j): program.new_bool_var("") for j in np.flatnonzero(held)}
    work = [(int(table.block_load_ns[j]) // _NS, literal) for j, literal in loaded.items()]
    for i, literal in visited.items():
        work.append((int(table.compute_ns_per_batch[i]) // _NS, literal))
        for j in np.flatnonzero(table.has_block[i]).tolist():
            program.add_bool_or([literal.negated(), loaded[j], resident[j]])
    for k, literal in served.items():
        program.add_implication(literal, visited[int(model[k])])
        work.append((int(instance.upload_ns[k] + table.compute_ns_per_sample[model[k]]) // _NS, literal))
    program.add(sum(amount * literal for amount, literal in work) <= length)


@dataclass(frozen=True)
class Arguments:
    """Compare bounds on short episodes of the preset `online`, or on the set `online-10`.

    Attributes:
        what: "short" or "set".
        rate: Users a second of the short episodes, Poisson; 300/s are what bursts of the preset have.
        seconds: Their lengths.
        episodes: Evaluation episodes of each length, the same for all bounds.
        work: CP-SAT's deterministic seconds for each bound; each takes one to five seconds of an idle core.
        grid_ms: Windows begin and end at multiples of so many milliseconds.
    """

    what: tyro.conf.Positional[str] = "short"
    rate: float = 300.0
    seconds: tuple[float, ...] = (0.2, 0.3, 0.5)
    episodes: int = 2
    work: float = 4.0
    grid_ms: int = 100

    def __post_init__(self) -> None:
        require_one_of("what", self.what, ("short", "set"))
        require_integer("episodes", self.episodes, 1)
        require_real("work", self.work, 0.01, 1e6)
        require_integer("grid_ms", self.grid_ms, 1, 1000)

    def windows(self, instance: Instance) -> int:
        """The bound by windows."""
        return bound_by_windows(instance, work=self.work, grid_ns=self.grid_ms * 1_000_000)


def short(arguments: Arguments) -> Iterator[dict[str, str]]:
    """Users of the episodes of each length, and what is known of them, summed over episodes."""
    for seconds in arguments.seconds:
        scenario = Scenario(arrivals="poisson", arrival_rate=arguments.rate, episode_seconds=seconds)
        total = Counter[str]()
        for n in range(arguments.episodes):
            instance = scenario.sample(np.random.default_rng((EVALUATION_STREAM, 0, n)))
            total["users"] += instance.n_users
            total["`clairvoyant`"] += baselines.solve(instance, "clairvoyant").served
            total["visits"] += bound_by_visits(instance, work=arguments.work)
            total["windows"] += arguments.windows(instance)
            total["Lagrangean"] += lagrangean_bound(instance)
            total["alone"] += upper_bound(instance)
        yield {"seconds": f"{seconds:g}"} | {name: f"{value:,}" for name, value in total.items()}


def of_set(arguments: Arguments) -> Iterator[dict[str, str]]:
    """The instances of `online-10` whose optimum is not proven."""
    known = benchmark("online-10")
    for n in np.flatnonzero(known.upper_bound > known.served).tolist():
        instance = known.instances[n]
        yield {
            "instance": str(n),
            "users": str(instance.n_users),
            "`clairvoyant`": str(known.served[n]),
            "windows": str(arguments.windows(instance)),
            "bound of the set": str(known.upper_bound[n]),
        }


def main(arguments: Arguments) -> None:
    """Compare and print."""
    print(markdown(list((short if arguments.what == "short" else of_set)(arguments))))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
