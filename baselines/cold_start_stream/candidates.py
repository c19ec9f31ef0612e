"""Candidate plans for a prompt, and what can be seen of each: for a planner that looks ahead, and for the agent.

What is seen is what an observer of the devices sees: what is in memory, who has asked so far, and who waits. Prompts
that arrive later are in the instance, too, and are not looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start_stream.planning import least_time, no_prices, plan_prompt
from baselines.cold_start_stream.search import copy_memory
from baselines.cold_start_stream.serving import serve_myopically
from pl_env.cold_start_stream.dynamics import LAST, LRU, N_STAGES, PROMPT, START, Memory, Tables, place
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.stepping import legal_victim, unit_ns
from pl_env.compiling import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CANDIDATES, AFTER, CONTEXT = 12, 12, 8
"""Plans to choose from; what is seen of where each leads; and of the prompt."""

_RECENT = 0.85
"""What a request counts for a prompt later."""

_AHEAD = 3
"""Prompts of the queue that are played behind a candidate."""


class Scene(NamedTuple):
    """A prompt that begins, and its candidates."""

    context: Floats  # (8,)
    after: Floats  # (12, 12), see `describe`
    stages: Ints  # (12, K, 3) device, layers, model that is to leave first
    counts: Ints  # (12,) stages of each
    asked: Floats  # (M,) recent requests, a share of all
    soon: Floats  # (M,) 1 / the model's first place in the queue; 0 where nobody waits for it
    latest: Ints  # (M,) the last prompt for the model that has arrived, or -1


@compiled
def new_scene(n_devices: int, n_models: int) -> Scene:
    """Room for a prompt."""
    return Scene(
        np.zeros(CONTEXT),
        np.zeros((CANDIDATES, AFTER)),
        np.zeros((CANDIDATES, n_devices, 3), dtype=np.int64),
        np.zeros(CANDIDATES, dtype=np.int64),
        np.zeros(n_models),
        np.zeros(n_models),
        np.zeros(n_models, dtype=np.int64),
    )


@compiled
def describe(t: Tables, m: Memory, trial: Memory, scene: Scene) -> None:
    """Plan all candidates for the present prompt, and say where each leads.

    Args:
        t: The instance.
        m: Where it stands.
        trial: Room for another such.
        scene: Out. Its ``after`` is, in T0 where it is a time: the prompt's own; the sum until it and the first three
            who wait are done; until the last of these; that times those behind; loads that are missing, of models
            asked and of models waited for; computation where layers are warm, likewise; changes of device; and how
            long prompts such as each model's last would take, of models asked, waited for, and of this model.
    """
    prompt, unit = m.state[PROMPT], unit_ns(t)
    waiting = _look_at_prompts(t, m, scene)
    _see_context(t, m, waiting, unit, scene)
    for candidate in range(CANDIDATES):
        _plan(t, m, candidate, scene)
        copy_memory(m, trial)
        take(t, trial, scene, candidate)
        first = m.state[N_STAGES]
        for n in range(scene.counts[candidate]):  # as played: the victim counts only where something has to leave
            scene.stages[candidate, n] = trial.stages[first + n]
        out, same = scene.after[candidate], _same_before(scene, candidate)
        if same >= 0:
            out[:] = scene.after[same]
            continue
        out[0] = (trial.finish_ns[prompt] - m.state[START]) / unit
        _see_memory(t, trial, prompt, unit, scene, out)
        _see_times(t, trial, prompt, unit, scene, out)
        ahead = min(waiting, _AHEAD)
        serve_myopically(t, trial, prompt + 1 + ahead, True)
        out[1] = 0.0
        for n in range(prompt, prompt + 1 + ahead):
            out[1] += (trial.finish_ns[n] - m.state[START]) / unit
        out[2] = (trial.finish_ns[prompt + ahead] - m.state[START]) / unit
        out[3] = out[2] * min(waiting - ahead, 10) / 4.0


@compiled
def _same_before(scene: Scene, candidate: int) -> int:
    """A candidate before this one that is the same plan, or -1."""
    count = scene.counts[candidate]
    for other in range(candidate):
        if scene.counts[other] == count and (scene.stages[other, :count] == scene.stages[candidate, :count]).all():
            return other
    return -1


@compiled
def take(t: Tables, m: Memory, scene: Scene, candidate: int) -> None:
    """Serve the present prompt by a candidate."""
    for n in range(scene.counts[candidate]):
        device, count, victim = scene.stages[candidate, n]
        place(t, m, device, count, legal_victim(t, m, device, count, victim))


@compiled
def _look_at_prompts(t: Tables, m: Memory, scene: Scene) -> int:
    """Who has asked, and who waits; gives how many wait."""
    prompt = m.state[PROMPT]
    scene.asked[:] = 0.0
    scene.soon[:] = 0.0
    scene.latest[:] = -1
    for n in range(prompt + 1):
        scene.asked[:] *= _RECENT
        scene.asked[t.model[n]] += 1.0
        scene.latest[t.model[n]] = n
    scene.asked[:] /= scene.asked.sum()
    waiting = 0
    while prompt + 1 + waiting < len(t.model) and t.arrival_ns[prompt + 1 + waiting] <= m.state[START]:
        waiting += 1
        other = t.model[prompt + waiting]
        scene.latest[other] = prompt + waiting
        if scene.soon[other] == 0.0:
            scene.soon[other] = 1.0 / waiting
    return waiting


@compiled
def _see_context(t: Tables, m: Memory, waiting: int, unit: float, scene: Scene) -> None:
    prompt = m.state[PROMPT]
    model = t.model[prompt]
    out = scene.context
    out[0], out[1] = scene.asked[model], scene.soon[model]
    out[2], out[3] = min(waiting, 10) / 4.0, prompt / len(t.model)
    out[4] = t.memory_bytes.sum() / (t.n_layers[model] * t.weight_bytes[model]) - 1.0
    out[5] = t.n_layers[model] * t.compute_ns[prompt].mean() / unit
    out[6] = len(t.memory_bytes) / 4.0 - 1.0
    out[7] = (t.n_layers * t.weight_bytes).sum() / t.memory_bytes.sum() - 1.0


@compiled
def _plan(t: Tables, m: Memory, candidate: int, scene: Scene) -> None:
    """A candidate's stages: six ways to price, the first is myopic, and two to evict: last use, and least asked for."""
    k_all, prompt = len(t.memory_bytes), m.state[PROMPT]
    model = t.model[prompt]
    load, compute = t.load_ns[:, model], t.compute_ns[prompt]
    kept = np.zeros(k_all)  # no comprehension: numba mixes its variable up with the loop's below
    for device in range(k_all):
        kept[device] = _worth(t, m, device, model, scene)
    prices = no_prices(k_all)
    way = candidate % 6
    for k in range(k_all):
        if way == 1:  # loads are dear where they drive out what is asked for
            prices.loaded[k] = int(0.5 * load[k] * kept[k])
        elif way == 2:
            prices.loaded[k] = int(1.5 * load[k] * kept[k])
        elif way == 3:  # computation counts more
            prices.layer[k] = compute[k] // 2
        elif way == 4 and k == kept.argmax():  # spare the memory that is worth most
            prices.loaded[k] = load[k]
        elif way == 5 and compute[k] < compute.mean():  # go to fast devices
            prices.loaded[k] = -load[k] // 2
    planned = np.empty((k_all, 2), dtype=np.int64)
    count = plan_prompt(t, m, m.used_at, prices, planned)
    scene.counts[candidate] = count
    victim = LRU if candidate < 6 else int((scene.asked + scene.soon).argmin())
    for n in range(count):
        scene.stages[candidate, n, 0], scene.stages[candidate, n, 1] = planned[n, 0], planned[n, 1]
        scene.stages[candidate, n, 2] = victim


@compiled
def _worth(t: Tables, m: Memory, k: int, present: int, scene: Scene) -> float:
    """What other models' layers in a device's memory are worth: their share of it, times how much they are asked."""
    held = 0.0
    for q in range(len(t.n_layers)):
        if q != present:
            count = 0
            for layer in range(t.n_layers[q]):
                if m.used_at[k, q, layer]:
                    count += 1
            held += count * t.weight_bytes[q] * (scene.asked[q] + scene.soon[q])
    return float(held / max(1, t.memory_bytes[k]))


@compiled
def _see_memory(t: Tables, m: Memory, prompt: int, unit: float, scene: Scene, out: Floats) -> None:
    """What the memories are worth: loads that are missing, computation where layers are warm, and changes of device."""
    out[4:9] = 0.0
    compute = t.compute_ns[prompt]
    for q in range(len(t.n_layers)):
        together = 0.0
        for k in range(len(t.memory_bytes)):
            together += 1.0 / max(1, t.load_ns[k, q])
        missing, work, changes, before = 0, 0.0, 0, -1
        for layer in range(t.n_layers[q]):
            best = -1
            for k in range(len(t.memory_bytes)):
                if m.used_at[k, q, layer] and (best < 0 or compute[k] < compute[best] or k == before):
                    best = k
                    if k == before:
                        break
            if best < 0:
                missing += 1
                work += compute.mean()
            else:
                work += compute[best]
                changes += 1 if before >= 0 and best != before else 0
                before = best
        load = missing / together / unit
        out[4] += scene.asked[q] * load
        out[5] += scene.soon[q] * load
        out[6] += scene.asked[q] * work / unit
        out[7] += scene.soon[q] * work / unit
        out[8] += scene.asked[q] * changes / 4.0


@compiled
def _see_times(t: Tables, m: Memory, prompt: int, unit: float, scene: Scene, out: Floats) -> None:
    """How long prompts such as the last ones for each model would take with what is in memory."""
    out[9:12] = 0.0
    state = np.zeros_like(m.state)
    for q in range(len(t.n_layers)):
        if scene.latest[q] >= 0:
            state[PROMPT], state[LAST] = scene.latest[q], -1
            time = least_time(t, state, m.used_at) / unit
            out[9] += scene.asked[q] * time
            out[10] += scene.soon[q] * time
            if q == t.model[prompt]:
                out[11] = time


def lookahead(instance: Instance) -> Plan:
    """For every prompt the candidate after which those who wait, and a prompt to come, are soonest done.

    It looks at prompts that have arrived alone.
    """
    memory, trial = instance.begun(), instance.begun()
    serve_looking_ahead(instance.tables, memory, trial)
    return Plan.so_far(instance, memory)


@compiled
def serve_looking_ahead(t: Tables, m: Memory, trial: Memory) -> None:
    """Serve all prompts like that; ``trial`` is room for another memory."""
    scene = new_scene(len(t.memory_bytes), len(t.n_layers))
    while m.state[PROMPT] < len(t.model):
        describe(t, m, trial, scene)
        after = scene.after
        take(t, m, scene, int((after[:, 1] + 4.0 * after[:, 3] + after[:, 9]).argmin()))
