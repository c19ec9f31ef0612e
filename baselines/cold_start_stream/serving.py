"""Policies that serve prompt after prompt without a look ahead: myopic replanning, plans as if cold, fixed shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start.shares import shares, why_not_shares
from baselines.cold_start_stream.planning import no_prices, plan_prompt
from pl_env import cold_start
from pl_env.cold_start_stream.dynamics import LRU, PROMPT, Memory, Tables, place
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


@compiled
def serve_myopically(t: Tables, m: Memory, until: int, is_warm: bool) -> None:
    """Serve prompts up to one by the plan that is done first, given what is warm, or as if nothing were."""
    stages = np.empty((len(t.memory_bytes), 2), dtype=np.int64)
    nothing, prices = np.zeros_like(m.used_at), no_prices(len(t.memory_bytes))
    while m.state[PROMPT] < min(until, len(t.model)):
        count = plan_prompt(t, m, m.used_at if is_warm else nothing, prices, stages)
        for n in range(count):
            place(t, m, stages[n, 0], stages[n, 1], LRU)


def myopic(instance: Instance) -> Plan:
    """Every prompt by the plan that is done first given what is warm: the cold start's dynamic program, replanned."""
    memory = instance.begun()
    serve_myopically(instance.tables, memory, instance.n_prompts, True)
    return Plan.so_far(instance, memory)


def cold_plans(instance: Instance) -> Plan:
    """Every prompt by the plan that would be done first if nothing were warm; what is warm still loads in no time."""
    memory = instance.begun()
    serve_myopically(instance.tables, memory, instance.n_prompts, False)
    return Plan.so_far(instance, memory)


# ---------------------------------------------------------------- fixed shares


def fixed_shares(instance: Instance) -> Plan:
    """The same plan for all prompts of a model: layers in proportion to 1 / (load + computation), see `shares`."""
    plans = {model: shares(_reference(instance, model)) for model in set(instance.model.tolist())}
    stages = [
        (device, count, LRU)
        for model in instance.model.tolist()
        for device, count in zip(plans[model].devices.tolist(), plans[model].counts.tolist(), strict=True)
    ]
    return Plan.of(instance, stages)


def why_not_fixed(instance: Instance) -> str | None:
    """Why fixed shares do not cover an instance; None where they do."""
    if instance.placed:
        return "a prompt is under way, whose shares nobody knows; it covers streams that begin with a whole prompt"
    if instance.why_not_placeable is not None:
        return instance.why_not_placeable
    for model in set(instance.model.tolist()):
        reason = why_not_shares(_reference(instance, model))
        if reason is not None:
            return reason
    return None


def _reference(instance: Instance, model: int) -> cold_start.Instance:
    """A cold start of the model's first prompt, with room for the activation of its longest."""
    prompts = np.flatnonzero(instance.model == model)
    n, layers = int(prompts[0]), int(instance.n_layers[model])
    transfer = np.repeat(instance.transfer_ns[n : n + 1], layers, axis=0)
    transfer[0] = 0
    return cold_start.Instance(
        np.repeat(instance.load_ns[:, model, None], layers, axis=1),
        np.repeat(instance.compute_ns[n][:, None], layers, axis=1),
        transfer,
        np.repeat(instance.weight_bytes[model], layers),
        np.repeat(instance.activation_bytes[prompts].max(), layers),
        instance.memory_bytes,
    )
