"""Tiny random instances, and brute force that shares no code with the library."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from math import ceil
from pathlib import Path

import numpy as np

import pl_env
from pl_env import wireless
from pl_env.partial_loading.env import PartialLoadingEnv


def clustered_blocks(rng: np.random.Generator, n_models: int) -> np.ndarray:
    """has_block of bottom-layer sharing, edge cases included: empty models, zero shared layers, all shared."""
    n_clusters = int(rng.integers(1, 4))
    depth = int(rng.integers(1, 4))
    has = np.zeros((n_models, n_clusters * depth + n_models), dtype=bool)
    for model in range(n_models):
        cluster = int(rng.integers(n_clusters))
        has[model, cluster * depth : cluster * depth + int(rng.integers(depth + 1))] = True
        has[model, n_clusters * depth + model] = rng.random() < 0.7
    return has


def arbitrary_blocks(rng: np.random.Generator, n_models: int) -> np.ndarray:
    return rng.random((n_models, int(rng.integers(0, 7)))) < rng.random()


def unshared_blocks(rng: np.random.Generator, n_models: int) -> np.ndarray:
    return np.eye(n_models, dtype=bool) & (rng.random(n_models) < 0.9)[:, None]


def random_instance(
    rng: np.random.Generator,
    blocks=clustered_blocks,
    *,
    resident: bool = False,
    most_users: int = 6,
    most_models: int = 4,
) -> pl_env.Instance:
    """A handful of users and models with small integer times, so that ties and tight deadlines are common."""
    n_models = int(rng.integers(1, most_models + 1))
    n_users = int(rng.integers(0, most_users + 1))
    has_block = blocks(rng, n_models)
    block_load_ns = rng.integers(0, 8, size=has_block.shape[1])
    table = pl_env.ServingTable(
        has_block=has_block,
        block_bytes=block_load_ns,
        block_load_ns=block_load_ns,
        compute_ns_per_sample=rng.integers(0, 3, size=n_models),
        compute_ns_per_batch=rng.integers(0, 4, size=n_models),
        max_batch=rng.integers(0 if rng.random() < 0.2 else 1, 4, size=n_models),
        load_overhead_ns=int(rng.choice([0, 0, 1, 5])),
    )
    return pl_env.Instance(
        table=table,
        requested_model=rng.integers(n_models, size=n_users),
        upload_ns=rng.integers(0, 6, size=n_users),
        deadline_ns=0 if rng.random() < 0.05 else int(rng.integers(60)),
        slot_ns=int(rng.integers(1, 8)),
        resident=int(rng.integers(-1, n_models)) if resident else -1,
    )


def load_time(instance: pl_env.Instance, resident: int, model: int) -> int:
    wanted = set(np.flatnonzero(instance.has_block[model]))
    present = set(np.flatnonzero(instance.has_block[resident])) if resident >= 0 else set()
    missing = int(sum(instance.block_load_ns[j] for j in wanted - present))
    return missing + (instance.load_overhead_ns if missing else 0)


def batch_time(instance: pl_env.Instance, resident: int, model: int, uploads: list[int], channels: int = 0) -> int:
    upload = channels * max(uploads) if channels else sum(uploads)
    compute = int(instance.compute_ns_per_sample[model]) * len(uploads) + int(instance.compute_ns_per_batch[model])
    return upload + load_time(instance, resident, model) + compute


def uploads_of(instance: pl_env.Instance) -> list[list[int]]:
    """Each model's upload times, ascending."""
    return [sorted(instance.upload_ns[instance.requested_model == i].tolist()) for i in range(instance.n_models)]


def brute_force_served(instance: pl_env.Instance) -> int:
    """Most users served by any sequence of batches, the cheapest pending users of a model in each."""
    uploads = uploads_of(instance)
    start = (tuple([0] * instance.n_models), int(instance.resident))
    least = {start: 0}
    frontier, best = [start], 0
    while frontier:
        following = set()
        for state in frontier:
            counts, resident = state
            for model in range(instance.n_models):
                done = counts[model]
                for size in range(1, min(int(instance.max_batch[model]), len(uploads[model]) - done) + 1):
                    time = batch_time(instance, resident, model, uploads[model][done : done + size])
                    finish = least[state] + time
                    if finish > instance.deadline_ns:
                        continue
                    after = ((*counts[:model], done + size, *counts[model + 1 :]), model)
                    if finish < least.get(after, finish + 1):
                        least[after] = finish
                        following.add(after)
                        best = max(best, sum(after[0]))
        frontier = list(following)
    return best


def brute_force_any_users(instance: pl_env.Instance, channels: int = 0) -> int:
    """Most users served by any sequence of batches of any users whatsoever."""

    def most(pending: frozenset[int], resident: int, elapsed: int) -> int:
        best = 0
        for model in range(instance.n_models):
            asking = [k for k in pending if instance.requested_model[k] == model]
            largest = int(instance.max_batch[model])
            for size in range(1, min(len(asking), largest, channels or largest) + 1):
                for users in itertools.combinations(asking, size):
                    uploads = [int(instance.upload_ns[k]) for k in users]
                    finish = elapsed + batch_time(instance, resident, model, uploads, channels)
                    if finish <= instance.deadline_ns:
                        best = max(best, size + most(pending - set(users), model, finish))
        return best

    return most(frozenset(range(instance.n_users)), int(instance.resident), 0)


def run_time(instance: pl_env.Instance, model: int, uploads: list[int], count: int) -> int:
    """Upload and compute of a model's ``count`` cheapest users in as few batches as possible."""
    batches = ceil(count / int(instance.max_batch[model]))
    mu, beta = int(instance.compute_ns_per_sample[model]), int(instance.compute_ns_per_batch[model])
    return sum(uploads[:count]) + mu * count + beta * batches


def slotted_served(instance: pl_env.Instance, orders: list[tuple[int, ...]], *, share: bool = True) -> int:
    """Most users when every model's run takes whole slots, over the given orders of models and all counts."""
    uploads = uploads_of(instance)
    choices = [range(len(uploads[i]) + 1 if instance.max_batch[i] else 1) for i in range(instance.n_models)]
    n_slots = instance.deadline_ns // instance.slot_ns
    best = 0
    for order in orders:
        for counts in itertools.product(*choices):
            resident, slots = int(instance.resident), 0
            for model in order:
                if counts[model]:
                    present = resident if share or resident == model else -1
                    time = load_time(instance, present, model) + run_time(
                        instance, model, uploads[model], counts[model]
                    )
                    slots += ceil(time / instance.slot_ns)
                    resident = model if share else resident
            if slots <= n_slots:
                best = max(best, sum(counts))
    return best


# ---------------------------------------------------------------- instances in environments


def changed(instance: pl_env.Instance, table: dict | None = None, **fields) -> pl_env.Instance:
    """The instance with fields replaced, and fields of its table; loading times follow from the blocks again."""
    if table:
        fields["table"] = dataclasses.replace(instance.table, **({"load_ns": None} | table))
    return dataclasses.replace(instance, **fields)


def tiny_with_requests(requests: list[int], deadline: float = 0.18, upload_ns: int = 100_000) -> pl_env.Instance:
    """The preset tiny with given requests and equal upload times."""
    scenario = pl_env.Scenario.preset("tiny", deadline=deadline)
    uploads = np.full(len(requests), upload_ns, dtype=np.int64)
    return scenario.instance(scenario.table, np.array(requests, dtype=np.int64), np.ones(len(requests)), uploads)


def scenario_for(instance: pl_env.Instance, **fields) -> pl_env.Scenario:
    """A scenario with the dimensions of an instance, so that its environment can replay it."""
    server = pl_env.EdgeServer(profiles=(pl_env.ComputeProfile("toy", 0, 0, 0),))
    library = pl_env.ModelLibrary(instance.has_block, instance.block_bytes, ("toy",) * instance.n_models)
    largest = max(1, int(instance.max_batch.max()))
    return pl_env.Scenario(**({"library": library, "n_models": instance.n_models, "server": server,
                               "max_batch_size": largest} | fields))  # fmt: skip


def env_for(instance: pl_env.Instance, *, batch_cap: int | None = None, **arguments) -> PartialLoadingEnv:
    """An environment that replays the instance."""
    fields = {} if batch_cap is None else {"max_batch_size": batch_cap}
    return PartialLoadingEnv(scenario_for(instance, **fields), **arguments)


def with_batch_fading(instance: pl_env.Instance, rng: np.random.Generator) -> pl_env.Instance:
    """The instance with channels that are drawn anew before every batch; uploads stay of the order of a nanosecond."""
    return changed(instance, fading="batch", mean_snr=rng.uniform(1, 50, instance.n_users), unit_upload_ns=5.0)


class PlainEpisode:
    """An episode in plain Python, to hold the environment against."""

    def __init__(self, instance: pl_env.Instance, batch_cap: int) -> None:
        self.instance, self.batch_cap = instance, batch_cap
        self.uploads = instance.upload_ns.tolist()
        self.pending = set(range(instance.n_users))
        self.resident, self.elapsed = int(instance.resident), 0

    def cheapest(self, model: int) -> list[int]:
        asking = [user for user in self.pending if self.instance.requested_model[user] == model]
        return sorted(asking, key=lambda user: (self.uploads[user], user))

    def batch(self, action: int) -> tuple[int, list[int], int]:
        """Model, users (too few of them where too few are pending) and time of the batch of an action."""
        model, size = action // self.batch_cap, action % self.batch_cap + 1
        users = self.cheapest(model)[:size]
        uploads = [self.uploads[user] for user in users]
        return model, users, batch_time(self.instance, self.resident, model, uploads)

    def is_legal(self, action: int) -> bool:
        model, users, time = self.batch(action)
        size = action % self.batch_cap + 1
        enough = len(users) == size <= self.instance.max_batch[model]
        return enough and self.elapsed + time <= self.instance.deadline_ns

    def legal(self) -> list[bool]:
        return [self.is_legal(action) for action in range(self.instance.n_models * self.batch_cap)]

    def mask(self) -> list[int]:
        """The mask, all ones where nothing is legal."""
        legal = self.legal()
        return [int(good or not any(legal)) for good in legal]

    def serve(self, action: int) -> list[int]:
        """Run the batch; return its users."""
        model, users, time = self.batch(action)
        self.pending -= set(users)
        self.resident, self.elapsed = model, self.elapsed + time
        return users

    def redraw(self, uniforms: np.ndarray) -> None:
        """Draw the channels of the pending users anew, one uniform number for each user of the episode."""
        for user in self.pending:
            snr = self.instance.mean_snr[user] * wireless.draw_fading_power(uniforms[user])
            efficiency = wireless.spectral_efficiency(snr)
            self.uploads[user] = wireless.upload_time_ns(self.instance.unit_upload_ns, efficiency)


def random_rollout(env, rng: np.random.Generator, mask: np.ndarray, n_steps: int = 10**6) -> tuple[float, bool]:
    """Take random legal actions from a state with this mask; return the sum of rewards, and whether it is over."""
    total, terminated = 0.0, not env.unwrapped.any_legal
    while not terminated and n_steps > 0:
        _, reward, terminated, _, info = env.step(int(rng.choice(np.flatnonzero(mask))))
        mask = info["action_mask"]
        total += reward
        n_steps -= 1
    return total, terminated


ROOT = Path(__file__).resolve().parent.parent


def run_python(code: str, folder: Path = ROOT, **environment: str) -> str:
    """Output of a piece of code in a fresh interpreter, which imports from a folder; raises where it fails."""
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "stable_baselines3", "sb3_contrib", "safetensors", "tqdm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""
"""What a piece of code begins with to run as if the extra ``agents`` were not installed."""
