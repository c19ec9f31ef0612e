"""Episodes played to their ends in one compiled call, by many policies side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from agents.evolution import weights_of
from agents.pairwise import States
from agents.partial_loading.compiled.features import ACTION, EDGE, TOKEN, describe, leftover, new_scene
from agents.partial_loading.compiled.network import (
    CompiledNetwork,
    NetworkConfig,
    layers_of,
    new_codes,
    score_actions,
)
from pl_env.compiling import compiled, inlined, threaded
from pl_env.partial_loading.arrays import EpisodeArrays, episodes_at
from pl_env.partial_loading.dynamics import N_BATCHES, N_SERVED, observe, redraw_pending, serve_batch
from pl_env.partial_loading.episodes import Episodes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

NO_CHANNELS = np.zeros((1, 1, 0))
"""Where channels stay."""


class Played(NamedTuple):
    """What `play` leaves besides the episodes themselves.

    Attributes:
        value: float64 (N,), users served, and the part that is left over of the time for one user more.
        actions: int64 (N, T), by the number of the batch; -1 where there is none.
        decisions: How many were taken.
    """

    value: Floats
    actions: Ints
    decisions: int


@threaded
def _play(
    addresses: Ints,
    unloaded_ns: NDArray[Any],
    begin: int,
    end: int,
    weights: Singles,  # (policies, weights)
    sizes: tuple[int, int],
    policy: Ints,  # (N,)
    later_ns: Ints,  # (N, K), or (N, 0) for today's uploads
    channels: Floats,  # (draws, T, K) uniform numbers, by batch and user
    channel: Ints,  # (N,) which of them
    uniforms: Floats,  # (N, T) to sample actions; (N, 0), or negative, to take the highest score
    temperature: float,
    first: Ints,  # (N,) an action to begin with; -1 for none
    value: Floats,  # (N,) out
    actions: Ints,  # (N, T) out
) -> int:
    e = episodes_at(addresses, unloaded_ns)
    w, h = sizes
    n_actions = e.mask.shape[1]
    scene, codes = new_scene(e.upload_time.shape[1], n_actions), new_codes(e.upload_time.shape[1], n_actions, w, h)
    decisions = 0
    for n in range(begin, end):
        layers, given = layers_of(weights[policy[n]], w, h), first[n]
        while e.any_legal[n]:
            step, cell = e.state[n, N_BATCHES], given
            if given < 0:
                describe(e, n, later_ns[n], scene)
                score_actions(scene, layers, codes)
                scores = codes.score[: scene.counts[1]]
                best = int(scores.argmax())
                if uniforms.shape[1] > 0 and uniforms[n, step] >= 0:
                    best = _drawn(scores, scores[best], temperature, uniforms[n, step])
                cell = scene.cell[best]
                decisions += 1
            given, actions[n, step] = -1, cell
            _serve(e, n, cell, channels[channel[n], min(step, channels.shape[1] - 1)])
        value[n] = e.state[n, N_SERVED] + leftover(e, n)
    return decisions


@compiled
def _drawn(scores: Singles, highest: float, temperature: float, uniform: float) -> int:
    """An action, sampled with weight exp(score / temperature)."""
    total = 0.0
    for score in scores:
        total += np.exp((score - highest) / temperature)
    rest = uniform * total
    for n in range(len(scores)):
        rest -= np.exp((scores[n] - highest) / temperature)
        if rest < 0:
            return n
    return len(scores) - 1


@threaded
def _follow(
    addresses: Ints,
    unloaded_ns: NDArray[Any],
    begin: int,
    end: int,
    actions: Ints,  # (N, T)
    channels: Floats,
    channel: Ints,
    stop: Ints,  # (N,)
) -> int:
    e = episodes_at(addresses, unloaded_ns)
    for n in range(begin, end):
        while e.any_legal[n] and e.state[n, N_BATCHES] < stop[n]:
            step = e.state[n, N_BATCHES]
            _serve(e, n, actions[n, step], channels[channel[n], min(step, channels.shape[1] - 1)])
    return 0


@inlined
def _serve(e: EpisodeArrays, n: int, cell: int, uniforms: Floats) -> None:
    """A batch, and new channels where they are drawn anew."""
    batch_cap = e.upload_time.shape[2]
    serve_batch(e, n, cell // batch_cap, cell % batch_cap + 1)
    if e.redraws[n]:  # with room of its own, as `upload_ns` is one for all episodes, which threads play side by side
        k = e.n_users[n]
        redraw_pending(
            uniforms[:k].copy(), e.mean_snr[n, :k], e.unit_upload_ns[n], np.empty(k, dtype=np.int64),
            e.first_user[n], e.next_user[n], e.users[n, :k], e.sorted_upload[n, :k],
        )  # fmt: skip
    e.any_legal[n] = observe(e, n, e.redraws[n])


@compiled
def _scores(
    addresses: Ints,
    unloaded_ns: NDArray[Any],
    weights: Singles,  # (weights,)
    sizes: tuple[int, int],
    later_ns: Ints,
    scores: Singles,  # (N, A) out
) -> None:
    e = episodes_at(addresses, unloaded_ns)
    w, h = sizes
    n_actions = e.mask.shape[1]
    scene, codes = new_scene(e.upload_time.shape[1], n_actions), new_codes(e.upload_time.shape[1], n_actions, w, h)
    layers = layers_of(weights, w, h)
    for n in range(len(scores)):
        if e.any_legal[n]:
            describe(e, n, later_ns[n], scene)
            score_actions(scene, layers, codes)
            for c in range(scene.counts[1]):
                scores[n, scene.cell[c]] = codes.score[c]


@compiled
def _record(
    addresses: Ints,
    unloaded_ns: NDArray[Any],
    later_ns: Ints,
    cells: Ints,  # (N, C) actions, all legal
    token: Singles,
    known: NDArray[np.bool_],
    own: Ints,
    edges: Singles,
    action: Singles,
) -> None:
    e = episodes_at(addresses, unloaded_ns)
    scene = new_scene(e.upload_time.shape[1], e.mask.shape[1])
    for n in range(len(cells)):
        describe(e, n, later_ns[n], scene)
        count = scene.counts[0]
        token[n, :count], known[n, :count] = scene.token[:, :count].T, True
        for c in range(cells.shape[1]):
            for a in range(scene.counts[1]):
                if scene.cell[a] == cells[n, c]:
                    place = scene.place[a]
                    own[n, c], action[n, c] = place, scene.action[:, a]
                    edges[n, c, :count] = scene.edge[:, :count, place].T


def _sizes(config: NetworkConfig) -> tuple[int, int]:
    return config.message, config.hidden


def compiled_weights(network: CompiledNetwork) -> Singles:
    """The network's weights for the kernels, float32 (1, weights)."""
    return weights_of(network).astype(np.float32)[None]


class Player:
    """Plays episodes with networks of one size, in some threads."""

    def __init__(self, config: NetworkConfig, threads: int = 1) -> None:
        self._sizes, self._threads = _sizes(config), threads

    def play(
        self,
        episodes: Episodes,
        weights: Singles,
        later_ns: Ints,
        *,
        policy: Ints | None = None,
        channels: Floats = NO_CHANNELS,
        channel: Ints | None = None,
        uniforms: Floats | None = None,
        temperature: float = 1.0,
        first: Ints | None = None,
    ) -> Played:
        """Play every episode from where it stands to its end.

        Args:
            episodes: They; no generators, and what is drawn anew is drawn from ``channels``.
            weights: float32 (policies, weights).
            later_ns: What `later_upload_ns` gives.
            policy: int64 (N,), who plays each; None for the first.
            channels: float64 (draws, T, K) in [0, 1), by number of the batch and user, where channels are drawn anew.
            channel: int64 (N,), whose of them each has; None for the first.
            uniforms: float64 (N, T) in [0, 1) to sample actions with; negative, or None, to take the highest score.
            temperature: What scores are divided by before sampling.
            first: int64 (N,), an action to begin with; None for none.
        """
        n, most = len(episodes.n_users), int(episodes.n_users.max())
        none = np.zeros(n, dtype=np.int64)
        value, actions = np.zeros(n), np.full((n, most), -1, dtype=np.int64)
        arguments = (
            weights, self._sizes, none if policy is None else policy, later_ns, channels,
            none if channel is None else channel, np.zeros((n, 0)) if uniforms is None else uniforms, temperature,
            np.full(n, -1) if first is None else first, value, actions,
        )  # fmt: skip
        decisions = self._in_threads(_play, episodes, n, arguments)
        return Played(value, actions, decisions)

    def follow(self, episodes: Episodes, actions: Ints, stop: Ints, channels: Floats, channel: Ints) -> None:
        """Play given actions (N, T) up to some number of batches (N,)."""
        self._in_threads(_follow, episodes, len(actions), (actions, channels, channel, stop))

    def scores(self, episodes: Episodes, weights: Singles, later_ns: Ints) -> Singles:
        """Scores of all actions, float32 (N, A); -inf where not legal."""
        scores = np.full(episodes.arrays.mask.shape, -np.inf, dtype=np.float32)
        _scores(episodes.addresses, episodes.arrays.unloaded_ns, weights[0], self._sizes, later_ns, scores)
        return scores

    def _in_threads(self, kernel: Any, episodes: Episodes, n: int, arguments: tuple[Any, ...]) -> int:
        """Call a kernel for parts of the episodes; every episode is played on its own, so parts change nothing."""
        bounds = np.linspace(0, n, self._threads * 8 + 1 if self._threads > 1 else 2).astype(int)
        head = (episodes.addresses, episodes.arrays.unloaded_ns)
        parts = [(*head, int(a), int(b), *arguments) for a, b in pairwise(bounds) if a < b]
        if self._threads == 1:
            return sum(kernel(*part) for part in parts)
        with ThreadPoolExecutor(self._threads) as pool:
            return sum(pool.map(lambda part: kernel(*part), parts))


def record(episodes: Episodes, later_ns: Ints, cells: Ints) -> States:
    """The present states and some legal actions (N, C) of each, for torch."""
    n, count = cells.shape
    n_models = episodes.arrays.upload_time.shape[1]
    token = np.zeros((n, n_models, TOKEN), dtype=np.float32)
    known = np.zeros((n, n_models), dtype=np.bool_)
    own = np.zeros((n, count), dtype=np.int64)
    edges = np.zeros((n, count, n_models, EDGE), dtype=np.float32)
    action = np.zeros((n, count, ACTION), dtype=np.float32)
    _record(
        episodes.addresses, episodes.arrays.unloaded_ns, later_ns, cells, token, known, own, edges, action
    )  # fmt: skip
    return States(*(torch.from_numpy(array) for array in (token, known, own, edges, action)))
