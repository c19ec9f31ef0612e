"""Streams: the instance of the hand test, tiny random ones, and brute force that shares no code with ours."""

from __future__ import annotations

import itertools

import numpy as np

from pl_env import cold_start
from pl_env.cold_start import Device, LanguageModel
from pl_env.cold_start_stream import Instance, Scenario
from pl_env.cold_start_stream.env import ColdStartStreamEnv

MS = 1_000_000


def by_hand(models, arrivals_ms) -> Instance:
    """The two devices of preset "tiny", both models of two layers, with these prompts."""
    n = len(models)
    arrays = {
        "load_ns": [[3 * MS] * 2, [1 * MS] * 2],
        "n_layers": [2, 2],
        "weight_bytes": [30_000_000] * 2,
        "memory_bytes": [93_000_000, 63_000_000],
        "compute_ns": [[1 * MS, 4 * MS]] * n,
        "transfer_ns": [[[0, 2 * MS], [2 * MS, 0]]] * n,
        "activation_bytes": [3_000_000] * n,
        "model": models,
        "arrival_ns": [round(time * MS) for time in arrivals_ms],
    }
    return Instance(**{name: np.array(values, dtype=np.int64) for name, values in arrays.items()})


def random_instance(rng: np.random.Generator, *, n_prompts=2, going_on=False) -> Instance:
    """Two devices, two models of one or two layers; memory holds some of both, or it may be that it holds none."""
    k, m = 2, 2
    n_layers, weights = rng.integers(1, 3, size=m), rng.integers(2, 6, size=m)
    instance = Instance(
        rng.integers(0, 40, size=(k, m)),
        n_layers,
        weights,
        rng.integers(5, 16, size=k),
        rng.integers(0, 30, size=(n_prompts, k)),
        rng.integers(0, 10, size=(n_prompts, k, k)),
        rng.integers(1, 3, size=n_prompts),
        rng.integers(m, size=n_prompts),
        np.sort(rng.integers(0, 60, size=n_prompts)),
    )
    if going_on and instance.why_not_placeable is None:
        env = env_for(instance)
        _, info = env.reset(options={"instance": instance})
        for _ in range(int(rng.integers(1, 4))):
            *_, over, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))
            if over:
                break
        return env.remaining()
    return instance


def placeable(rng: np.random.Generator, **arguments) -> Instance:
    """The first random instance whose models fit."""
    while (given := random_instance(rng, **arguments)).why_not_placeable is not None:
        pass
    return given


def brute_force(given: Instance) -> int:
    """The least sum of latencies in nanoseconds, over all stages and all victims, in plain Python."""
    memory = [{key: int(given.used_at[k][key]) for key in zip(*np.nonzero(given.used_at[k]), strict=True)}
              for k in range(given.n_devices)]  # fmt: skip
    memory = [{(int(q), int(layer)): at for (q, layer), at in held.items()} for held in memory]
    used = frozenset(np.flatnonzero(given.used).tolist())
    return _least(given, 0, given.placed, given.start_ns, given.ready_ns, given.previous, used, memory)


def _least(given, n, layer, start, before, previous, used, memory):
    if n == given.n_prompts:
        return 0
    model, arrival = int(given.model[n]), int(given.arrival_ns[n])
    if layer == 0:
        start = before = max(start, arrival)
    n_layers, found = int(given.n_layers[model]), []
    free = [k for k in range(given.n_devices) if k not in used]
    for device, count in itertools.product(free, range(1, n_layers - layer + 1)):
        for victim in range(-1, given.n_models):
            own = [(model, i) for i in range(layer, layer + count)]
            held = _after(given, n, memory[device], own, victim, device)
            if held is None:
                continue
            load = int(given.load_ns[device, model]) * sum(key not in memory[device] for key in own)
            finish = max(start + load, before) + count * int(given.compute_ns[n, device])
            if previous >= 0:
                finish += int(given.transfer_ns[n, previous, device])
            after = [*memory[:device], held, *memory[device + 1 :]]
            if layer + count == n_layers:
                rest = _least(given, n + 1, 0, finish, finish, -1, frozenset(), after)
                found.append(None if rest is None else finish - arrival + rest)
            else:
                found.append(_least(given, n, layer + count, start, finish, device, used | {device}, after))
    possible = [value for value in found if value is not None]
    return min(possible) if possible else None


def _after(given, n, held, own, victim, device):
    """What a device holds then; None where its segment does not fit."""
    kept = dict(held)
    size = lambda: sum(int(given.weight_bytes[q]) for q, _ in {*kept, *own}) + int(given.activation_bytes[n])  # noqa: E731
    while size() > given.memory_bytes[device]:
        may = [key for key in kept if key not in own]
        if not may:
            return None
        of_victim = [key for key in may if key[0] == victim]
        gone = min(of_victim or may, key=lambda key: (kept[key], key[0], -key[1]))
        del kept[gone]
    return kept | dict.fromkeys(own, given.stamp + n)


def scenario_for(n_devices: int, n_models: int, n_layers: int) -> Scenario:
    """A scenario with room for an instance of that size."""
    model = LanguageModel("room", n_layers, 8, 1, 1, 8, 8, 8)
    devices = tuple(Device(f"device {n}", 1e9, 1e9, 10**9) for n in range(1, n_devices + 1))
    return Scenario(models=(model,) * n_models, site=cold_start.Scenario(devices=devices), prompt_tokens=(1, 1))


def env_for(given: Instance, **arguments) -> ColdStartStreamEnv:
    """An environment that can replay the instance."""
    sizes = given.n_devices, given.n_models, int(given.n_layers.max())
    return ColdStartStreamEnv(scenario_for(*sizes), **arguments)
