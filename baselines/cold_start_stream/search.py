"""Searches that know all arrivals: rollouts with random prices for real streams, all plans for tiny ones."""

from __future__ import annotations

from math import comb, perm

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start_stream.bounds import lower_bound
from baselines.cold_start_stream.planning import Prices, no_prices, plan_prompt
from baselines.cold_start_stream.serving import serve_myopically
from pl_env.cold_start_stream.dynamics import LRU, PROMPT, Memory, Tables, new_memory, place
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.stepping import legal_victim, see_actions
from pl_env.compiling import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_PLANS = 300_000
"""That `exhaustive` may look at."""

_TAIL = 4
"""Prompts behind the horizon that wait for what the rollouts leave behind."""


# ---------------------------------------------------------------- rollouts


def rollout_search(instance: Instance, *, candidates: int = 40, horizon: int = 8, seed: int = 0) -> Plan:
    """For every prompt the best of some plans, each followed by myopic ones; all arrivals are known.

    The first candidate is the myopic plan; the others minimise time and random prices of layers and loads, and evict
    random models or the one that is asked for last.

    Args:
        instance: The instance.
        candidates: Plans that are tried for a prompt.
        horizon: Prompts that follow each in the trial.
        seed: Seed of prices and victims.
    """
    memory, trial = instance.begun(), instance.begun()
    k, tables = instance.n_devices, instance.tables
    rng, lru = np.random.default_rng(seed), np.full(k, LRU, dtype=np.int64)
    while memory.state[PROMPT] < instance.n_prompts:
        prompt, best = int(memory.state[PROMPT]), None
        for candidate in range(candidates):
            prices, victims = (no_prices(k), lru) if candidate == 0 else _random_prices(instance, prompt, rng)
            value = try_plan(tables, memory, trial, prices, victims, horizon)
            if best is None or value < best[0]:
                best = value, prices, victims
        assert best is not None
        serve_one(tables, memory, best[1], best[2])
    return Plan.so_far(instance, memory, bound=_bound_seconds(instance))


def _random_prices(instance: Instance, prompt: int, rng: np.random.Generator) -> tuple[Prices, Ints]:
    """Prices of layers and loads, in multiples of their times, and a victim for each device."""
    k, m = instance.n_devices, instance.n_models
    load = instance.load_ns[:, instance.model[prompt]]
    layer = rng.choice([0.0, 0.0, 0.5, 2.0, 5.0]) * instance.compute_ns[prompt]
    loaded = rng.choice([0.0, 0.3, 1.0]) * rng.standard_normal(k) * load
    if rng.random() < 0.4:
        loaded = np.where(rng.random(k) < 0.4, 3 * rng.random(k) * load, loaded)
    victims = np.where(rng.random(k) < 0.3, rng.integers(m, size=k), LRU)
    if rng.random() < 0.5:
        ahead = instance.model[prompt + 1 :].tolist()
        victims[:] = max(range(m), key=lambda q: ahead.index(q) if q in ahead else len(ahead))
    return Prices(layer.astype(np.int64), loaded.astype(np.int64)), victims.astype(np.int64)


@compiled
def serve_one(t: Tables, m: Memory, prices: Prices, victims: Ints) -> None:
    """Serve what is left of the present prompt by the plan of least time and prices."""
    stages = np.empty((len(t.memory_bytes), 2), dtype=np.int64)
    count = plan_prompt(t, m, m.used_at, prices, stages)
    for n in range(count):
        device, layers = stages[n]
        place(t, m, device, layers, legal_victim(t, m, device, layers, victims[device]))


@compiled
def try_plan(t: Tables, m: Memory, trial: Memory, prices: Prices, victims: Ints, horizon: int) -> float:
    """What a plan for the present prompt leads to: latencies of it and those behind it, myopic, and of some more."""
    copy_memory(m, trial)
    first = m.state[PROMPT]
    serve_one(t, trial, prices, victims)
    serve_myopically(t, trial, first + 1 + horizon, True)
    last, value = trial.state[PROMPT], 0.0
    for n in range(first, last):
        value += trial.finish_ns[n] - t.arrival_ns[n]
    return float(value + float(trial.finish_ns[last - 1]) * min(len(t.model) - last, _TAIL))


@compiled
def copy_memory(source: Memory, target: Memory) -> None:
    """Make one memory as another is."""
    target.used_at[:] = source.used_at
    target.state[:] = source.state
    target.stages[:] = source.stages
    target.finish_ns[:] = source.finish_ns


def _bound_seconds(instance: Instance) -> float:
    return lower_bound(instance) / 1e9 / max(1, instance.n_prompts)


# ---------------------------------------------------------------- all plans


def why_not_exhaustive(instance: Instance) -> str | None:
    """Why there are too many plans; None where there are not."""
    k, victims, plans = instance.n_devices, instance.n_models + 1, 1
    for layers in instance.n_layers[instance.model].tolist():
        plans *= sum(perm(k, n) * comb(layers - 1, n - 1) * victims**n for n in range(1, min(k, layers) + 1))
    if plans > MOST_PLANS:
        return f"there are up to {float(plans):.3g} plans; it looks at {MOST_PLANS} at most"
    return instance.why_not_placeable


def exhaustive(instance: Instance) -> Plan:
    """The best of all plans; what cannot become better than the best so far is left."""
    k, layers, n = instance.n_devices, instance.used_at.shape[2], instance.n_prompts
    depth = n * min(k, layers) + 1
    begun, best = instance.begun(), new_memory(n, instance.used_at)
    used_at = np.repeat(begun.used_at[None], depth, axis=0)
    state = np.repeat(begun.state[None], depth, axis=0)
    masks = np.zeros((depth, k, layers, instance.n_models + 1), dtype=np.int8)
    if n:
        search_all(instance.tables, used_at, state, begun, masks, best)
    plan = Plan.so_far(instance, best)
    return Plan.so_far(instance, best, status="optimal", bound=plan.latency_ns / 1e9 / max(1, n))


@compiled
def search_all(t: Tables, used_at: Ints, state: Ints, begun: Memory, masks: NDArray[np.int8], best: Memory) -> None:
    """Depth first over all legal actions; memories and masks have a row for every number of stages."""
    least, depth, actions = 2**62, 0, masks[0].size
    cursor = np.zeros(len(masks), dtype=np.int64)
    choices = masks.shape[3]
    see_actions(t, Memory(used_at[0], state[0], begun.stages, begun.finish_ns), masks[0])
    while depth >= 0:
        flat = masks[depth].reshape(-1)
        action = cursor[depth]
        while action < actions and flat[action] == 0:
            action += 1
        cursor[depth] = action + 1
        if action >= actions:
            depth -= 1
            continue
        used_at[depth + 1], state[depth + 1] = used_at[depth], state[depth]
        child = Memory(used_at[depth + 1], state[depth + 1], begun.stages, begun.finish_ns)
        stage, victim = action // choices, action % choices - 1
        place(t, child, stage // masks.shape[2], stage % masks.shape[2] + 1, victim)
        done, latency = child.state[PROMPT], 0
        for n in range(done):
            latency += child.finish_ns[n] - t.arrival_ns[n]
        if latency >= least:
            continue
        if done == len(t.model):
            least = latency
            copy_memory(child, best)
            continue
        depth += 1
        cursor[depth] = 0
        see_actions(t, child, masks[depth])
