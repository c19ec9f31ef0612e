"""Cold start: the instances of the hand tests, tiny random ones, and brute force that shares no code with ours."""

from __future__ import annotations

import itertools

import numpy as np

from pl_env.cold_start import Device, Instance, LanguageModel, Scenario
from pl_env.cold_start.env import ColdStartEnv

PAPER_NS = {  # by tokens: the optimum with MiB and with MB = 1e6, and what the paper's figure shows in seconds
    256: (2463155314, 2561989982, 2.50),
    512: (2572061807, 2657739317, 2.63),
    1024: (2756369736, 2848178376, 2.83),
    2048: (3245828724, 3337637364, 3.35),
    4096: (4395795030, 4496627570, 4.51),
    8192: (6952599912, 7029107112, 7.21),
}


def instance(load, compute, transfer, weights, activations, memory, **fields) -> Instance:
    """From nested lists."""
    arrays = (np.array(values, dtype=np.int64) for values in (load, compute, transfer, weights, activations, memory))
    return Instance(*arrays, **fields)


def test_a() -> Instance:
    """Two devices, four layers: loading 3 and 1 a layer, computing 1 and 4, transfers of 2; two layers fit."""
    transfer = [[[0, 2], [2, 0]]] * 4
    return instance([[3] * 4, [1] * 4], [[1] * 4, [4] * 4], transfer, [10] * 4, [1] * 4, [21, 21])


test_a.__test__ = False


def test_b() -> Instance:
    """Three devices, five layers, all different."""
    activations = [2, 3, 1, 3, 1]
    one = np.array([[0, 1, 1], [1, 0, 1], [3, 0, 0]])
    transfer = [0 * one, *(a * one for a in activations[:-1])]
    return instance(
        [[1, 8, 6, 5, 8], [3, 8, 4, 9, 3], [4, 4, 3, 8, 2]],
        [[1, 9, 4, 2, 8], [7, 7, 7, 6, 9], [2, 7, 4, 7, 8]],
        transfer,
        [3, 2, 8, 3, 3],
        activations,
        [14, 17, 12],
    )


test_b.__test__ = False


def random_instance(rng: np.random.Generator, *, equal=False, going_on=False, most=4, most_layers=6) -> Instance:
    """Small times, so that ties are common; it may be that the layers do not fit, and zeros are among the times."""
    k, n = int(rng.integers(1, most + 1)), int(rng.integers(1, most_layers + 1))

    def rows(high, count):
        if equal:
            return np.repeat(rng.integers(0, high, size=(count, 1)), n, axis=1)
        return rng.integers(0, high, size=(count, n))

    transfer = np.repeat(rng.integers(0, 6, size=(1, k, k)), n, axis=0) if equal else rng.integers(0, 6, size=(n, k, k))
    previous = int(rng.integers(k)) if going_on else -1
    memory = rng.integers(0, 25, size=k)
    memory[previous if going_on else []] = 0
    ready = int(rng.integers(0, 12)) if going_on else 0
    weights, activations = rows(6, 1)[0], 1 + rows(4, 1)[0]
    return instance(rows(10, k), rows(10, k), transfer, weights, activations, memory, previous=previous, ready_ns=ready)


def placeable(rng: np.random.Generator, **arguments) -> Instance:
    """The first random instance whose layers fit."""
    while brute_force(given := random_instance(rng, **arguments)) is None:
        pass
    return given


def plans_of(given: Instance):
    """Every plan as (device, first, last) stages, memory not yet tested."""
    k, n = given.n_devices, given.n_layers
    for count in range(1, min(k, n) + 1):
        for devices in itertools.permutations(range(k), count):
            for cuts in itertools.combinations(range(1, n), count - 1):
                edges = [0, *cuts, n]
                yield list(zip(devices, edges, edges[1:], strict=False))


def finish_of(given: Instance, stages) -> int | None:
    """When a plan is done; None where a memory overflows."""
    finish, previous = given.ready_ns, given.previous
    for device, first, last in stages:
        own = slice(first, last)
        if given.activation_bytes[own].max() + given.weight_bytes[own].sum() > given.memory_bytes[device]:
            return None
        start = max(int(given.load_ns[device, own].sum()), finish)
        if previous >= 0:
            start += int(given.transfer_ns[first, previous, device])
        finish, previous = start + int(given.compute_ns[device, own].sum()), device
    return finish


def brute_force(given: Instance) -> int | None:
    """The least finish in nanoseconds; None where nothing fits."""
    found = [finish for stages in plans_of(given) if (finish := finish_of(given, stages)) is not None]
    return min(found) if found else None


def scenario_for(n_devices: int, n_layers: int) -> Scenario:
    """A scenario with room for an instance of that size."""
    model = LanguageModel("room", n_layers, 8, 1, 1, 8, 8, 8)
    devices = tuple(Device(f"device {n}", 1e9, 1e9, 10**9) for n in range(1, n_devices + 1))
    return Scenario(model=model, devices=devices, prompt_tokens=1)


def env_for(given: Instance, **arguments) -> ColdStartEnv:
    """An environment that can replay the instance."""
    return ColdStartEnv(scenario_for(given.n_devices, max(1, given.n_layers)), **arguments)
