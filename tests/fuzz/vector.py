"""The vector environment against as many single ones in Gymnasium's `SyncVectorEnv`, bit for bit."""

from __future__ import annotations

import copy
import pickle
from random import Random
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import pl_env  # noqa: F401 - registers the environments
from tests.fuzz.running import Tally

STEPS = 150
"""Steps of each pair in a round."""
IDS = ("PartialLoading-v0", "PartialLoadingGeneral-v0", "PartialLoadingFading-v0")
STATISTICS = ("episode", "final_episode")
"""Where the vector environment tells return and length of what has ended; single environments do not."""
TWINS = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


def play(random: Random, tally: Tally) -> None:
    """One pair of the same random scenario, through resets, illegal actions, copies and ends of episodes."""
    name, scenario = draw_scenario(random)
    mode, n_envs, keep = random.choice(list(AutoresetMode)), random.randint(1, 6), random.random() < 0.3
    illegal = random.choice((0.0, 0.02, 0.3))
    tally.count("pairs")
    tally.count(f"kind: {mode.value}")
    ours = gym.make_vec(name, num_envs=n_envs, autoreset_mode=mode, copy=not keep, **scenario)
    theirs = gym.make_vec(
        name, num_envs=n_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **scenario
    )
    told = f"{name}, {n_envs} environments, {mode}, copy={not keep}, {scenario}"
    episodes = Episodes(n_envs, next_step=mode == AutoresetMode.NEXT_STEP)
    seed = draw_seed(random, n_envs)
    wrong = compared(ours.reset(seed=seed), theirs.reset(seed=seed))
    done = np.zeros(n_envs, dtype=np.bool_)
    for step in range(STEPS):
        if not wrong and random.random() < 0.03:
            ours = continued_by_a_twin(random, ours, tally)
        if not wrong and random.random() < 0.03:
            replace_one_by_its_twin(random, theirs, tally)
        if not wrong and (done.any() if mode == AutoresetMode.DISABLED else random.random() < 0.02):
            arguments = draw_reset(random, done, mode, n_envs)
            mask = (arguments.get("options") or {}).get("reset_mask", np.ones(n_envs, dtype=np.bool_))
            wrong = compared(ours.reset(**copy.deepcopy(arguments)), theirs.reset(**copy.deepcopy(arguments)))
            episodes.restart(mask)
            done &= ~mask
        if wrong:
            tally.fail(f"step {step}: {wrong}; {told}")
            return
        if mode == AutoresetMode.DISABLED and done.any():
            continue
        actions = draw_actions(random, ours.unwrapped.action_masks(), illegal)
        result, expected = ours.step(actions), theirs.step(actions)
        done = expected[2] | expected[3]
        statistics = [result[4].pop(key) for name in STATISTICS for key in (name, f"_{name}") if key in result[4]]
        wrong = compared(result, expected) or episodes.objection(expected[1], done, statistics, tally)
        tally.count("environment steps", n_envs)
        tally.count("episodes ended", int(done.sum()))
    if wrong:
        tally.fail(f"last step: {wrong}; {told}")


def draw_scenario(random: Random) -> tuple[str, dict[str, Any]]:
    """An id and arguments of `gym.make`: small numbers of models, so that episodes are short and all sizes occur."""
    if random.random() < 0.15:
        fields = {"scenario": "tiny", "n_users": random.randint(1, 8), "deadline": random.uniform(0.1, 0.5)}
        return IDS[0], fields | {"fading": random.choice(("episode", "batch"))}
    low = random.randint(1, 20)
    fields = {
        "n_models": random.randint(1, 8),
        "n_users": random.choice((low, (low, low + random.randint(0, 20)))),
        "deadline": random.uniform(0.1, 1.0),
        "max_batch_size": random.randint(1, 8),
        "bandwidth_hz": random.choice((1e6, 20e6, 200e6)),
        "theta": random.uniform(0.3, 1.0),
        "request_skew": random.choice((0.0, 1.0)),
        "library_seed": random.randrange(1000),
        "resample_library": random.random() < 0.3,
        "backbones": tuple(random.sample(("resnet18", "resnet34", "resnet50"), random.randint(1, 3))),
    }
    return random.choice(IDS), fields | {"max_episode_steps": random.choice((None, None, 1, 3, 10))}


def draw_seed(random: Random, n_envs: int) -> int | list[int]:
    """One for all, or one for each."""
    return random.choice((random.randrange(2**31), [random.randrange(2**31) for _ in range(n_envs)]))


def draw_reset(random: Random, done: np.ndarray, mode: AutoresetMode, n_envs: int) -> dict[str, Any]:
    """Arguments of a reset in the middle: of all environments, or of those that have ended and perhaps others."""
    seed = random.choice((None, None, draw_seed(random, n_envs)))
    if mode != AutoresetMode.DISABLED or random.random() < 0.2:
        return {"seed": seed}
    others = np.array([random.random() < 0.3 for _ in range(n_envs)])
    return {"seed": seed, "options": {"reset_mask": done | others}}


def draw_actions(random: Random, masks: np.ndarray, illegal: float) -> np.ndarray:
    """Legal actions, and now and then any action."""
    chosen = []
    for mask in masks:
        anything = random.random() < illegal
        legal = range(len(mask)) if anything else np.flatnonzero(mask).tolist()
        chosen.append(random.choice(legal))
    return np.array(chosen, dtype=np.int64)


def continued_by_a_twin(random: Random, env: Any, tally: Tally) -> Any:
    """A copy goes on; what becomes of the original must not matter."""
    kind = random.choice(list(TWINS))
    twin = TWINS[kind](env)
    tally.count(f"kind: {kind}")
    for _ in range(random.randint(0, 3)):
        if env.unwrapped.autoreset_mode != AutoresetMode.DISABLED:
            env.step(draw_actions(random, env.unwrapped.action_masks(), 0.1))
    env.reset()
    return twin


def replace_one_by_its_twin(random: Random, environments: Any, tally: Tally) -> None:
    """The same with one of the single environments."""
    kind, n = random.choice(list(TWINS)), random.randrange(len(environments.envs))
    original = environments.envs[n]
    environments.envs[n] = TWINS[kind](original)
    tally.count(f"kind: {kind} of a single environment")
    original.reset(seed=1)


class Episodes:
    """Returns and lengths of the episodes, added up from the rewards of the single environments."""

    def __init__(self, n_envs: int, *, next_step: bool) -> None:
        self.returns, self.lengths = [0.0] * n_envs, [0] * n_envs
        self.next_step = next_step
        self.ended = np.zeros(n_envs, dtype=np.bool_)

    def restart(self, mask: np.ndarray) -> None:
        """These environments were reset."""
        for n in np.flatnonzero(mask).tolist():
            self.returns[n], self.lengths[n], self.ended[n] = 0.0, 0, False

    def objection(self, rewards: np.ndarray, done: np.ndarray, told: list[Any], tally: Tally) -> str | None:
        """What is wrong with the statistics that are told, and for whom; called once a step."""
        for n, reward in enumerate(rewards.tolist()):
            if self.next_step and self.ended[n]:  # this step was the reset
                self.returns[n], self.lengths[n] = 0.0, 0
            else:
                self.returns[n] += reward
                self.lengths[n] += 1
        wrong = None if bool(told) == bool(done.any()) else f"statistics {told}, ended have {done}"
        if told and not wrong:
            values, whose = told
            wrong = None if whose.tolist() == done.tolist() else f"statistics for {whose}, ended have {done}"
            for n in np.flatnonzero(done).tolist():
                found = float(values["r"][n]), int(values["l"][n])
                tally.count("episode statistics")
                # the vector environment divides once, at the end, by the number of users
                if abs(found[0] - self.returns[n]) > 1e-9 or found[1] != self.lengths[n]:
                    wrong = f"statistics {found}, added up {self.returns[n], self.lengths[n]}"
        self.ended = done.copy()
        if not self.next_step:
            self.restart(done)
        return wrong


def compared(ours: Any, theirs: Any, path: str = "") -> str | None:
    """Where two results of reset or step differ: types, keys, dtypes, shapes or bits; None where they do not."""
    if isinstance(theirs, dict):
        if set(ours) != set(theirs):
            return f"{path}: keys {sorted(ours)} and {sorted(theirs)}"
        pairs = [(ours[key], theirs[key], f"{path}.{key}") for key in theirs]
    elif isinstance(theirs, tuple) or (isinstance(theirs, np.ndarray) and theirs.dtype == object):
        if len(ours) != len(theirs):
            return f"{path}: lengths {len(ours)} and {len(theirs)}"
        pairs = [(ours[n], theirs[n], f"{path}[{n}]") for n in range(len(theirs))]
    elif theirs is None:
        return None if ours is None else f"{path}: {ours!r} instead of None"
    else:
        same = ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()
        return None if same else f"{path}: {ours!r} and {theirs!r}"
    return next(filter(None, (compared(*pair) for pair in pairs)), None)
