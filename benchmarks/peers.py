"""This environment beside its peers, in one run on one core: ``make peers``.

The same loop for all: random actions drawn inside the loop, legal ones where the peer has masks, resets included, the
median of five repetitions of half a second each; the repetitions of all peers take turns. jumanji is measured in the
way that suits it: some hundred steps of 1,024 environments in one jitted scan, actions drawn from the mask inside it,
so that Python plays no part. Peers come with the extra ``peers``; one that cannot be used is named and left out.
"""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np

import pl_env  # noqa: F401 - registers
from benchmarks.measuring import Run, describe_machine, keep_to_one_core, print_table, single, steps_per_second, vector

SCAN_LENGTH = 200
JUMANJI_ENVS = 1024

OURS_SINGLE = "PartialLoading-v0, gym.make"
OURS_64 = "PartialLoading-v0, make_vec, 64, copy=False"
OURS_1024 = "PartialLoading-v0, make_vec, 1024, copy=False"


def jumanji(name: str) -> Run:
    """A jumanji environment, vmapped and reset by its own wrappers, with a scan of random legal steps in one jit."""
    import jax
    import jax.numpy as jnp
    import jumanji as library
    from jumanji.wrappers import AutoResetWrapper, VmapWrapper

    env = VmapWrapper(AutoResetWrapper(library.make(name)))

    def legal(mask, uniform):
        """The k-th legal action along the last axis; less work than jax.random.categorical."""
        counted = jnp.cumsum(mask, axis=-1, dtype=jnp.int32)
        k = (uniform * counted[..., -1]).astype(jnp.int32)
        return jnp.argmax(counted > k[..., None], axis=-1).astype(jnp.int32)

    def one(carry, key):
        state, timestep = carry
        mask = timestep.observation.action_mask
        action = legal(mask, jax.random.uniform(key, mask.shape[:-1]))
        return env.step(state, action), None

    @jax.jit
    def scan(carry, key):
        return jax.lax.scan(one, carry, jax.random.split(key, SCAN_LENGTH))[0]

    key = jax.random.PRNGKey(0)
    carry = jax.jit(env.reset)(jax.random.split(key, JUMANJI_ENVS))
    latest = [carry, key]

    def run(rounds: int) -> float:
        carry, key = latest
        for _ in range(rounds):
            key, draw = jax.random.split(key)
            carry = scan(carry, draw)
        jax.block_until_ready(carry)
        latest[:] = carry, key
        return rounds * SCAN_LENGTH * JUMANJI_ENVS

    return run


def job_shop_lib() -> Run:
    """job_shop_lib's environment on new instances of 10 jobs and 5 machines; its legal actions come as a list."""
    from job_shop_lib.dispatching.feature_observers import FeatureObserverType
    from job_shop_lib.generation import GeneralInstanceGenerator
    from job_shop_lib.reinforcement_learning import MultiJobShopGraphEnv

    env = MultiJobShopGraphEnv(
        instance_generator=GeneralInstanceGenerator(num_jobs=10, num_machines=5, seed=0),
        feature_observer_configs=[FeatureObserverType.IS_READY],
    )
    rng = np.random.default_rng(0)

    def run(rounds: int) -> float:
        _, info = env.reset()
        for _ in range(rounds):
            legal = info["available_operations_with_ids"]
            _, machine, job = legal[int(rng.random() * len(legal))]
            _, _, terminated, truncated, info = env.step((job, machine))
            if terminated or truncated:
                _, info = env.reset()
        return rounds

    return run


def mobile_env() -> Run:
    """mobile-env's small centrally controlled scenario: 3 stations, 5 users, no masks."""
    import mobile_env  # noqa: F401 - registers

    env = gymnasium.make("mobile-small-central-v0")
    rng = np.random.default_rng(0)
    choices = env.action_space.nvec

    def run(rounds: int) -> float:
        env.reset()
        for _ in range(rounds):
            _, _, terminated, truncated, _ = env.step((rng.random(len(choices)) * choices).astype(np.int64))
            if terminated or truncated:
                env.reset()
        return rounds

    return run


def taxi() -> Run:
    """Taxi with its masks, the newest version there is."""
    name = "Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3"
    return single(gymnasium.make(name))


def _ours(n: int, copy: bool) -> Callable[[], Run]:
    return lambda: vector(gymnasium.make_vec("PartialLoading-v0", num_envs=n, copy=copy))


def _cartpole(n: int, mode: str) -> Callable[[], Run]:
    return lambda: vector(gymnasium.make_vec("CartPole-v1", num_envs=n, vectorization_mode=mode))


def _online(n: int) -> Callable[[], Run]:
    return lambda: vector(gymnasium.make_vec("PartialLoadingOnline-v0", num_envs=n, copy=False))


LOOPS: dict[str, Callable[[], Run]] = {
    OURS_SINGLE: lambda: single(gymnasium.make("PartialLoading-v0")),
    OURS_64: _ours(64, False),
    "PartialLoading-v0, make_vec, 64, copy=True": _ours(64, True),
    OURS_1024: _ours(1024, False),
    "PartialLoading-v0, make_vec, 1024, copy=True": _ours(1024, True),
    "PartialLoadingOnline-v0, gym.make": lambda: single(gymnasium.make("PartialLoadingOnline-v0")),
    "PartialLoadingOnline-v0, make_vec, 64, copy=False": _online(64),
    "PartialLoadingOnline-v0, make_vec, 1024, copy=False": _online(1024),
    "Gymnasium CartPole-v1, gym.make": lambda: single(gymnasium.make("CartPole-v1")),
    "Gymnasium CartPole-v1, sync, 64": _cartpole(64, "sync"),
    "Gymnasium CartPole-v1, sync, 1024": _cartpole(1024, "sync"),
    "Gymnasium CartPole-v1, its own vector environment, 64": _cartpole(64, "vector_entry_point"),
    "Gymnasium CartPole-v1, its own vector environment, 1024": _cartpole(1024, "vector_entry_point"),
    "Gymnasium Taxi with masks, gym.make": taxi,
    "jumanji Knapsack-v1, jitted scan, 1024": lambda: jumanji("Knapsack-v1"),
    "jumanji JobShop-v0, jitted scan, 1024": lambda: jumanji("JobShop-v0"),
    "job_shop_lib MultiJobShopGraphEnv, 10 × 5": job_shop_lib,
    "mobile-env mobile-small-central-v0": mobile_env,
}


def main() -> None:
    """Measure all that can be used here, and print the table."""
    keep_to_one_core()
    describe_machine()
    runs: dict[str, Run] = {}
    for name, make in LOOPS.items():
        try:
            runs[name] = make()
            runs[name](1)
        except Exception as error:  # whatever a peer does, the others are measured
            runs.pop(name, None)
            print(f"left out: {name}: {type(error).__name__}: {error}".splitlines()[0], flush=True)
    rates = steps_per_second(runs)
    print_table(
        ["loop", "steps/s", "single / it", "vector 64 / it", "vector 1024 / it"],
        [
            [name, f"{rate:,.0f}", *(f"{rates[ours] / rate:.2f}" for ours in (OURS_SINGLE, OURS_64, OURS_1024))]
            for name, rate in rates.items()
        ],
    )


if __name__ == "__main__":
    main()
