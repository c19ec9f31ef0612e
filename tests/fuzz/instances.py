"""Random tables and instances: every kind of sharing, ties, empty models, times from 0 ns to an hour."""

from __future__ import annotations

from random import Random

import numpy as np

import pl_env

SHARING = ("bottom layers", "anywhere", "nothing")
LONGEST_NS = 3_600 * 10**9
"""Longest deadline, load or compute time that a table or an instance may hold."""


def draw_blocks(random: Random, n_models: int, sharing: str) -> list[list[bool]]:
    """Which model holds which block. Models without blocks, and blocks of nobody, are among them."""
    if sharing == "nothing":
        return [[i == j and random.random() < 0.9 for j in range(n_models)] for i in range(n_models)]
    if sharing == "anywhere":
        n_blocks, density = random.randrange(8), random.random()
        return [[random.random() < density for _ in range(n_blocks)] for _ in range(n_models)]
    n_clusters, depth = random.randint(1, 3), random.randint(1, 3)
    rows = []
    for model in range(n_models):
        row = [False] * (n_clusters * depth + n_models)
        first = random.randrange(n_clusters) * depth
        for layer in range(random.randint(0, depth)):
            row[first + layer] = True
        row[n_clusters * depth + model] = random.random() < 0.7
        rows.append(row)
    return rows


def draw_table(
    random: Random, n_models: int, sharing: str, *, scale: int, most_batch: int, measured: bool = False
) -> pl_env.ServingTable:
    """A table whose times are of the order of ``scale`` nanoseconds.

    Args:
        random: The source of all randomness.
        n_models: Number of models.
        sharing: One of `SHARING`.
        scale: Nanoseconds.
        most_batch: Largest batch of any model.
        measured: Loading times are a matrix that no blocks imply.
    """
    has_block = np.array(draw_blocks(random, n_models, sharing), dtype=np.bool_).reshape(n_models, -1)
    block_ns = np.array([random.randint(0, scale) for _ in range(has_block.shape[1])], dtype=np.int64)
    load_ns = None
    if measured:
        load_ns = np.array([[random.randint(0, scale) for _ in range(n_models)] for _ in range(n_models + 1)])
        load_ns[np.arange(n_models), np.arange(n_models)] = 0
    fewest = 0 if random.random() < 0.2 else 1
    return pl_env.ServingTable(
        has_block=has_block,
        block_bytes=block_ns,
        block_load_ns=block_ns,
        compute_ns_per_sample=np.array([random.randint(0, scale // 3) for _ in range(n_models)]),
        compute_ns_per_batch=np.array([random.randint(0, scale // 2) for _ in range(n_models)]),
        max_batch=np.array([random.randint(fewest, most_batch) for _ in range(n_models)]),
        load_overhead_ns=random.choice([0, 0, random.randint(0, scale)]),
        affine=not measured,
        load_ns=load_ns,
    )
