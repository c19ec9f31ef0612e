"""What the agent sees when a prompt begins, compiled: of each device, and of each model on each device.

It sees what an observer of the devices sees: what is in memory, who has asked so far, and who waits. Prompts that
arrive later are in the instance, too, and are not looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start_stream.dynamics import PROMPT, STAMP, START, Memory, Tables
from pl_env.compiling import compiled

Floats = NDArray[np.float64]

DEVICE, KEPT = 16, 9
"""Features of a device, and of a model on a device."""

_RECENT = 0.85
"""What a request counts for a prompt later."""


class Scene(NamedTuple):
    """A prompt that begins."""

    device: Floats  # (K, 16)
    kept: Floats  # (K, M, 9)
    asked: Floats  # (M,) recent requests, a share of all
    soon: Floats  # (M,) 1 / the model's first place in the queue; 0 where nobody waits for it


@compiled
def new_scene(n_devices: int, n_models: int) -> Scene:
    """Room for a prompt."""
    return Scene(
        np.zeros((n_devices, DEVICE)), np.zeros((n_devices, n_models, KEPT)), np.zeros(n_models), np.zeros(n_models)
    )


@compiled
def describe(t: Tables, m: Memory, scene: Scene) -> None:
    """Fill a scene with the prompt that is served."""
    prompt, k_all = m.state[PROMPT], len(t.memory_bytes)
    model, waiting = t.model[prompt], _look_at_prompts(t, m, scene)
    load, compute = t.load_ns[:, model].astype(np.float64), t.compute_ns[prompt].astype(np.float64)
    mean_load, mean_compute = load.mean() + 1.0, compute.mean() + 1.0
    total = float(t.memory_bytes.sum())
    size = float(t.n_layers[model] * t.weight_bytes[model])
    progress = prompt / len(t.model)
    for k in range(k_all):
        out = scene.device[k]
        held, popular, awaited = _describe_kept(t, m, k, scene)
        memory = max(1.0, float(t.memory_bytes[k]))
        out[0] = 1.0
        out[1], out[2] = np.log((load[k] + 1.0) / mean_load), np.log((compute[k] + 1.0) / mean_compute)
        out[3] = np.log(mean_load / mean_compute) / 3.0
        out[4], out[5] = memory / total, memory / size
        out[6] = scene.kept[k, model, 0]
        out[7] = 1.0 - min(1.0, held / memory)
        out[8], out[9] = popular / memory, awaited / memory
        out[10], out[11] = scene.asked[model], scene.soon[model]
        out[12], out[13] = waiting / (waiting + 2.0), progress
        out[14] = np.log(1.0 + t.transfer_ns[prompt, :, k].mean() / mean_compute) / 3.0
        out[15] = total / size - 1.0


@compiled
def _look_at_prompts(t: Tables, m: Memory, scene: Scene) -> int:
    """Who has asked, and who waits; gives how many wait."""
    prompt = m.state[PROMPT]
    scene.asked[:] = 0.0
    scene.soon[:] = 0.0
    for n in range(prompt + 1):
        scene.asked[:] *= _RECENT
        scene.asked[t.model[n]] += 1.0
    scene.asked[:] /= scene.asked.sum()
    waiting = 0
    while prompt + 1 + waiting < len(t.model) and t.arrival_ns[prompt + 1 + waiting] <= m.state[START]:
        waiting += 1
        other = t.model[prompt + waiting]
        if scene.soon[other] == 0.0:
            scene.soon[other] = 1.0 / waiting
    return waiting


@compiled
def _describe_kept(t: Tables, m: Memory, k: int, scene: Scene) -> tuple[float, float, float]:
    """A device's models; gives bytes in memory, and of other models' times their requests, and their queue."""
    prompt = m.state[PROMPT]
    present, now = t.model[prompt], m.state[STAMP] + prompt
    bytes_held, popular, awaited = 0.0, 0.0, 0.0
    for q in range(len(t.n_layers)):
        count, newest, elsewhere = 0, 0, 0
        for layer in range(t.n_layers[q]):
            at = m.used_at[k, q, layer]
            if at:
                count += 1
                newest = max(newest, at)
                for other in range(len(t.memory_bytes)):
                    if other != k and m.used_at[other, q, layer]:
                        elsewhere += 1
                        break
        size = float(count * t.weight_bytes[q])
        bytes_held += size
        if q != present:
            popular += size * scene.asked[q]
            awaited += size * scene.soon[q]
        out = scene.kept[k, q]
        out[0] = count / t.n_layers[q]
        out[1], out[2] = scene.asked[q], scene.soon[q]
        out[3] = 1.0 if q == present else 0.0
        out[4] = elsewhere / max(1, count)
        age = float(now - newest) if newest else 0.0
        out[5] = age / (age + 4.0)
        out[6] = np.log((t.load_ns[k, q] + 1.0) / (t.load_ns[:, q].mean() + 1.0))
        out[7] = size / max(1.0, float(t.memory_bytes[k]))
        out[8] = 1.0
    return bytes_held, popular, awaited
