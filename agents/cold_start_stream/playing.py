"""Streams played to their ends in one compiled call, by many policies side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.cold_start_stream.features import describe, new_scene
from agents.cold_start_stream.network import Layers, choose_victim, layers_of, set_prices
from baselines.cold_start_stream.planning import Prices, plan_prompt
from pl_env.cold_start_stream.dynamics import PROMPT, Memory, Tables, place
from pl_env.cold_start_stream.stepping import legal_victim
from pl_env.compiling import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@compiled
def plan_with_prices(t: Tables, m: Memory, layers: Layers, stages: Ints) -> int:
    """The stages of what is left of the present prompt, int64 (K, 3), out, and the models that are to leave first.

    Returns:
        How many stages.
    """
    k = len(t.memory_bytes)
    scene = new_scene(k, len(t.n_layers))
    describe(t, m, scene)
    zeros = np.zeros((k, k), dtype=np.int64)
    prices = Prices(np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64), zeros)
    set_prices(t, m, scene, layers, prices)
    planned = np.empty((k, 2), dtype=np.int64)
    count = plan_prompt(t, m, m.used_at, prices, planned)
    for n in range(count):
        stages[n, :2] = planned[n]
        stages[n, 2] = choose_victim(scene, layers, planned[n, 0])
    return count


@compiled
def play(t: Tables, m: Memory, weights: Floats) -> None:
    """Serve all prompts that are left by one policy, of so many weights (weights,)."""
    layers = layers_of(weights)
    stages = np.empty((len(t.memory_bytes), 3), dtype=np.int64)
    while m.state[PROMPT] < len(t.model):
        count = plan_with_prices(t, m, layers, stages)
        for n in range(count):
            device, layers_there = stages[n, 0], stages[n, 1]
            place(t, m, device, layers_there, legal_victim(t, m, device, layers_there, stages[n, 2]))


@compiled
def play_many(t: Tables, begun: Memory, weights: Floats, latency: Floats) -> None:
    """Let policies play the same stream; the sum of latencies of each in nanoseconds, float64 (policies,), out."""
    for policy in range(len(weights)):
        m = Memory(begun.used_at.copy(), begun.state.copy(), begun.stages, begun.finish_ns.copy())
        play(t, m, weights[policy])
        latency[policy] = float((m.finish_ns - t.arrival_ns).sum())
