"""Figure 1: loading against compute, from the layer tables and the server; no instances, nothing random."""

from __future__ import annotations

from dataclasses import dataclass

from pl_env.layers import ARCHITECTURES, layer_table
from pl_env.partial_loading.server import EdgeServer

BATCH = 32
PUBLISHED_LOADING_SHARE = 0.8894


@dataclass(frozen=True)
class Latency:
    """Seconds that one architecture takes to load into an empty GPU, and to run on a batch."""

    architecture: str
    load_seconds: float
    compute_seconds: float


def latencies(server: EdgeServer) -> list[Latency]:
    """Loading and compute time of each architecture at a batch of `BATCH`, equations (8) and (9)."""
    rows = []
    for architecture in ARCHITECTURES:
        model_bytes = sum(layer.bytes for layer in layer_table(architecture))
        profile = server.profile(architecture)
        rows.append(
            Latency(
                architecture,
                server.load_overhead + model_bytes * server.load_seconds_per_byte,
                profile.seconds_per_sample * BATCH + profile.seconds_per_batch,
            )
        )
    return rows


def loading_share(rows: list[Latency]) -> float:
    """Loading time of all architectures together / their loading and compute time."""
    load = sum(row.load_seconds for row in rows)
    return load / (load + sum(row.compute_seconds for row in rows))
