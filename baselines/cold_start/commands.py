"""The cold start's own command: ``python -m baselines plan`` says which machine should hold which layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from baselines.cold_start.bounds import lower_bound
from baselines.cold_start.pipeline import NEVER
from baselines.registry import solve, solvers
from pl_env.cold_start.devices import read_devices
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.model_config import read_model
from pl_env.cold_start.models import MODELS, MOST_TOKENS, LanguageModel
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.rendering import gantt, text_gantt
from pl_env.cold_start.scenario import Scenario
from pl_env.cold_start.validation import check
from pl_env.errors import FileFormatError, InfeasibleSchedule, UnknownName, UnsupportedInstance
from pl_env.figures import save_figure
from pl_env.ranges import require_integer

MINE = "your plan"


def plan(
    devices: Path,
    model: str,
    prompt: int,
    system: Literal["cold_start"] = "cold_start",
    weight_bits: int | None = None,
    ends: bool = True,
    solver: str | None = None,
    mine: str | None = None,
    out: Path | None = None,
) -> None:
    """Plan which of your devices holds which layers of a model, so that a first prompt is through soonest.

    Args:
        devices: The devices and their links, a JSON file as examples/cold_start/devices.json.
        model: A config.json as of Hugging Face, its folder, or qwen3-14b, llama3-8b or gpt2.
        prompt: Tokens of the prompt.
        system: The system.
        weight_bits: Bits of a weight, such as 4; as the model's config says unless given.
        ends: Embedding and head are layers, too.
        solver: Solver; optimal-dp unless given, order-search for more than 16 devices.
        mine: A plan of your own to compare, in the order of the layers, such as "desktop:20 laptop:14".
        out: Write the chart of the best plan to this PNG file.
    """
    cold_start = _scenario(devices, model, prompt, weight_bits, ends)
    instance = cold_start.sample(np.random.default_rng(0))
    known = solvers(system)
    if solver is None:
        solver = next((name for name in ("optimal-dp", "order-search") if known[name].why_not(instance) is None), None)
    if solver is None:
        raise UnsupportedInstance(_why_nothing(cold_start, instance))
    if solver not in known:
        raise UnknownName("solver", solver, known)
    best: Plan = solve(instance, solver)
    rows = [_Row(solver, known[solver].guarantee, best)]
    if mine is not None:
        rows.append(_checked(MINE, "", Plan.parse(mine, instance, solver=MINE), instance))
    others = [_rule(name, cold_start, instance) for name in known if name not in (solver, "exhaustive", "order-search")]
    others.append(_alone(instance))
    rows += sorted(others, key=lambda row: row.plan.finish_ns if row.plan else NEVER)
    if out is not None:
        save_figure(
            gantt(best, instance, f"{best.solver}: {best.finish_seconds:.3f} s, {cold_start.language_model.name}"), out
        )
    print(_about(cold_start, instance))
    print(f"\n{_verdict(best, instance)}\n\n{text_gantt(best, instance)}\n░ loads  · waits  ▒ receives  █ computes\n")
    Console(width=110).print(_table(rows, best, instance))
    if out is not None:
        print(f"written: {out}")


@dataclass(frozen=True)
class _Row:
    """A line of the table: a plan, or why there is none."""

    name: str
    guarantee: str
    plan: Plan | None
    reason: str = ""


def _scenario(devices: Path, model: str, prompt: int, weight_bits: int | None, ends: bool) -> Scenario:
    language_model = _model(model)
    require_integer("prompt", prompt, 1, language_model.positions or MOST_TOKENS)
    fields = read_devices(devices)
    return Scenario(
        model=language_model, prompt_tokens=prompt, weight_bits=weight_bits, ends=ends, fading=False, **fields
    )


def _why_nothing(scenario: Scenario, instance: Instance) -> str:
    """Why no solver has a plan, and how many bits of a weight would be few enough."""
    if instance.why_not_placeable is None:
        return str(solvers("cold_start")["order-search"].why_not(instance))
    weights, memory = (int(array.sum()) / 1e9 for array in (instance.weight_bytes, instance.memory_bytes))
    reason = f"the model does not fit: {weights:.1f} GB of weights and room for activations, {memory:.1f} GB of memory"
    for bits in (8, 4):
        smaller = scenario.override(weight_bits=bits).sample(np.random.default_rng(0))
        if smaller.weight_bytes.sum() < instance.weight_bytes.sum() and smaller.why_not_placeable is None:
            return f"{reason}; with --weight-bits {bits} it would"
    return reason


def _model(name: str) -> LanguageModel:
    if name in MODELS:
        return MODELS[name]
    if not Path(name).exists():
        raise FileFormatError(f"{name}: there is no such file; models known by name are {', '.join(MODELS)}")
    return read_model(name)


def _checked(name: str, guarantee: str, found: Plan, instance: Instance) -> _Row:
    """A plan that somebody proposes, or what is wrong with it."""
    try:
        check(found, instance)
    except InfeasibleSchedule as error:
        return _Row(name, guarantee, None, str(error).removeprefix("plan: "))
    if not found.is_whole:
        return _Row(name, guarantee, None, f"places {int(found.counts.sum())} of {found.n_layers} layers")
    return _Row(name, guarantee, found)


def _rule(name: str, scenario: Scenario, instance: Instance) -> _Row:
    """What a rule plans. Rules for equal layers share those between the ends, which go to the first and the last."""
    solver = solvers("cold_start")[name]
    reason = solver.why_not(instance)
    if reason is None:
        return _Row(name, solver.guarantee, solve(instance, name))
    if not scenario.ends or instance.equal_layers:
        return _Row(name, solver.guarantee, None, reason)
    between = scenario.override(ends=False).sample(np.random.default_rng(0))
    if (reason := solver.why_not(between)) is not None:
        return _Row(name, solver.guarantee, None, reason)
    shared: Plan = solve(between, name)
    counts = shared.counts.copy()
    counts[0] += 1
    counts[-1] += 1
    stages = list(zip(shared.devices.tolist(), counts.tolist(), strict=True))
    return _checked(name, solver.guarantee, Plan.of(instance, stages, solver=name), instance)


def _alone(instance: Instance) -> _Row:
    """All layers on the device that is done first, of those that can hold them."""
    name = "one device alone"
    plans = [Plan.of(instance, [(k, instance.n_layers)]) for k in range(instance.n_devices)
             if instance.capacity[k] == instance.n_layers]  # fmt: skip
    if not plans:
        return _Row(name, "", None, "none has the memory")
    return _Row(name, "", min(plans, key=lambda one: one.finish_ns))


def _about(scenario: Scenario, instance: Instance) -> str:
    model = scenario.language_model
    ends = ", embedding and head included" if scenario.ends else ""
    weights, memory = (int(array.sum()) / 1e9 for array in (instance.weight_bytes, instance.memory_bytes))
    return (
        f"{model.name}: {instance.n_layers} layers{ends}, {weights:.1f} GB of weights; "
        f"{scenario.prompt_tokens} tokens; {instance.n_devices} devices with {memory:.1f} GB"
    )


def _verdict(best: Plan, instance: Instance) -> str:
    proof = "no plan is done earlier"
    if best.status != "optimal":
        proof = f"no plan is done before {lower_bound(instance) / 1e9:.3f} s"
    return f"Done after {best.finish_seconds:.3f} s ({best.solver}; {proof})"


def _table(rows: list[_Row], best: Plan, instance: Instance) -> Table:
    table = Table("plan", "guarantee", "done (s)", "later", "device:layers, in order")
    for column in table.columns[2:4]:
        column.justify = "right"
    for row in rows:
        if row.plan is None:
            table.add_row(row.name, row.guarantee, "–", "", row.reason)
            continue
        later = 100 * (row.plan.finish_ns / best.finish_ns - 1)
        pairs = zip(row.plan.devices, row.plan.counts, strict=True)
        text = " ".join(f"{instance.names[device]}:{count}" for device, count in pairs)
        table.add_row(row.name, row.guarantee, f"{row.plan.finish_seconds:.3f}", f"{later:+.1f} %", text)
    return table


COMMANDS = (plan,)
"""What ``python -m baselines`` offers besides the commands of all systems."""
