"""Figure 1: loading against compute, from the layer tables and the server; no instances, nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure as Picture

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


def loading_share(rows: Sequence[Latency]) -> float:
    """Loading time of all architectures together / their loading and compute time."""
    load = sum(row.load_seconds for row in rows)
    return load / (load + sum(row.compute_seconds for row in rows))


def draw(rows: Sequence[Latency]) -> Picture:
    """Stacked bars: loading below, compute above."""
    picture = Picture(figsize=(5.2, 3.6), layout="constrained")
    axes = picture.subplots()
    names = [row.architecture for row in rows]
    load = [row.load_seconds * 1e3 for row in rows]
    compute = [row.compute_seconds * 1e3 for row in rows]
    axes.bar(names, load, color="#ee6677", width=0.55, label="loading")
    axes.bar(names, compute, bottom=load, color="#228833", width=0.55, label="compute")
    for place, (below, above) in enumerate(zip(load, compute, strict=True)):
        text = f"{100 * below / (below + above):.1f} % loading"
        axes.annotate(text, (place, below + above), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.margins(y=0.12)
    axes.set_ylabel(f"time at batch {BATCH} (ms)")
    axes.legend(loc="upper left", frameon=False)
    return picture
