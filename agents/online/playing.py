"""Episodes played to their ends in one compiled call, by many policies; and what comes of other batches on the way."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from agents.evolution import weights_of
from agents.online.evicting import preferred_model
from agents.online.families import Drawn, Family
from agents.online.features import ACTION, EDGE, MOST_MODELS, TOKEN, Scene, describe, new_scene
from agents.online.looking import look_ahead
from agents.online.network import (
    Codes,
    CompiledNetwork,
    NetworkConfig,
    layers_of,
    new_codes,
    score_actions,
)
from agents.pairwise import Layers, States
from baselines.online.rules import URGENT_GREEDY, play, run
from pl_env.compiling import compiled, threaded
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    ARRIVED,
    CHOICES,
    LAST,
    NOW,
    READY,
    SERVED,
    Bools,
    Episode,
    Floats,
    Ints,
    Tables,
    allocate,
)
from pl_env.online.dynamics import begin, copy_episode
from pl_env.times import nanoseconds

Singles = NDArray[np.float32]
Sizes = tuple[int, int, int]
Answer = TypeVar("Answer")

# Columns of the uniform numbers of each decision.
_TO_PLAY, _TO_TRY, _TO_PICK = range(3)


class Tried(NamedTuple):
    """Decisions of one episode and what came of some of their batches.

    Attributes:
        token: float32 (room, M, TOKEN), models.
        known: int64 (room,), how many of them there are.
        own: int64 (room, C), place of each tried batch's model.
        edge: float32 (room, C, M, EDGE).
        action: float32 (room, C, ACTION).
        batches: int64 (room,), how many were tried.
        value: float32 (room, C), users served until the horizon and of those who are there then.
    """

    token: Singles
    known: Ints
    own: Ints
    edge: Singles
    action: Singles
    batches: Ints
    value: Singles


def room_for(room: int, n_models: int, actions: int) -> Tried:
    """Arrays of zeros for so many decisions."""
    single, n_models = np.float32, min(n_models, MOST_MODELS)
    return Tried(
        token=np.zeros((room, n_models, TOKEN), single),
        known=np.zeros(room, np.int64),
        own=np.zeros((room, actions), np.int64),
        edge=np.zeros((room, actions, n_models, EDGE), single),
        action=np.zeros((room, actions, ACTION), single),
        batches=np.zeros(room, np.int64),
        value=np.zeros((room, actions), single),
    )


@compiled
def best_place(
    t: Tables, e: Episode, scratch: Episode, ahead: int, layers: Layers, parameters: Floats, s: Scene, codes: Codes
) -> int:
    """Which of the batches of the scene has the highest score, the first of them.

    Args:
        t: The library.
        e: The episode, in row 0.
        scratch: Another one with the same users, to look ahead.
        ahead: At how many batches; 0 for no look ahead.
        layers: The network.
        parameters: A, C, P of `urgent-greedy`, as it is shown and as it plays on in looks ahead, float64 (2, 3).
        s: The scene, out.
        codes: Scores, out.
    """
    t, e, scratch, layers = borrowed(t), borrowed(e), borrowed(scratch), borrowed(layers)
    s, codes = borrowed(s), borrowed(codes)
    describe(t, e, 0, parameters[0], s)
    if ahead > 0:
        look_ahead(t, e, scratch, parameters[1], ahead, s)
    score_actions(s, layers, codes)
    best = 0
    for a in range(1, s.counts[1]):
        if codes.score[a] > codes.score[best]:
            best = a
    return best


@compiled
def play_on(
    t: Tables, e: Episode, scratch: Episode, ahead: int, layers: Layers, parameters: Floats, s: Scene, codes: Codes
) -> int:
    """Play on to the end, always the highest score; how many decisions were taken. Arguments as in `best_place`."""
    t, e, scratch, layers = borrowed(t), borrowed(e), borrowed(scratch), borrowed(layers)
    s, codes = borrowed(s), borrowed(codes)
    decisions = 0
    while e.state[0, CHOICES] > 0:
        batch = s.cell[best_place(t, e, scratch, ahead, layers, parameters, s, codes)]
        run(t, e, 0, batch, preferred_model(t, e, batch // e.cap[0], s))
        decisions += 1
    return decisions


@compiled
def room_to_think(t: Tables, e: Episode, sizes: Sizes) -> tuple[Scene, Codes]:
    """Scratch for decisions."""
    n_models, n_blocks = t.models.shape[1], len(t.blocks)
    n_actions = n_models * e.cap[0]
    return new_scene(n_models, n_blocks, n_actions), new_codes(n_models, n_actions, sizes[0], sizes[1])


@threaded
def _play_policies(
    t: Tables,
    e: Episode,
    scratch: Episode,
    n_users: int,
    empty: tuple[Bools, Ints],
    weights: Singles,  # (policies, weights)
    sizes: Sizes,
    parameters: Floats,
    served: Floats,  # (policies,) out
) -> int:
    """Let each policy play the episode whose users stand in row 0; how many decisions were taken."""
    scene, codes = room_to_think(t, e, sizes)
    decisions = 0
    for policy in range(len(weights)):
        layers = layers_of(weights[policy], sizes[0], sizes[1])
        begin(t, e, 0, n_users, 0, empty[0], empty[1])
        decisions += play_on(t, e, scratch, sizes[2], layers, parameters, scene, codes)
        served[policy] = e.state[0, SERVED]
    return decisions


@compiled
def choose_one(
    t: Tables, e: Episode, scratch: Episode, weights: Singles, sizes: Sizes, parameters: Floats
) -> tuple[int, int]:
    """The batch with the highest score in row 0, and the model whose blocks leave first; -1 for none."""
    scene, codes = room_to_think(t, e, sizes)
    layers = layers_of(weights, sizes[0], sizes[1])
    batch = int(scene.cell[best_place(t, e, scratch, sizes[2], layers, parameters, scene, codes)])
    return batch, preferred_model(t, e, batch // e.cap[0], scene)


@threaded
def _try_batches(
    t: Tables,
    e: Episode,
    scratch: Episode,
    n_users: int,
    empty: tuple[Bools, Ints],
    weights: Singles,  # (weights,)
    sizes: Sizes,
    parameters: Floats,
    uniforms: Floats,  # (decisions, 3)
    temperature: float,
    share: float,
    horizon_ns: int,
    by_rule: bool,
    other_weights: Singles,  # (weights,)
    other_sizes: Sizes,
    tried: Tried,
) -> tuple[int, int]:
    """Play an episode by sampling; on the way try some batches of some decisions, each played on to a horizon.

    Another network plays on, without a look ahead, or `urgent-greedy`, which takes a tenth of the time.

    Returns:
        Decisions that were written down, and all that were taken.
    """
    layers = layers_of(weights, sizes[0], sizes[1])
    scene, codes = room_to_think(t, e, sizes)
    other_layers = layers_of(other_weights, other_sizes[0], other_sizes[1])
    other_scene, other_codes = room_to_think(t, e, other_sizes)
    begin(t, e, 0, n_users, 0, empty[0], empty[1])
    rank = np.empty(len(codes.score))
    kept, step, decisions = 0, 0, 0
    while e.state[0, CHOICES] > 0:
        best = best_place(t, e, scratch, sizes[2], layers, parameters, scene, codes)
        total = 0.0
        for a in range(scene.counts[1]):
            total += math.exp((codes.score[a] - codes.score[best]) / temperature)
        rest, played = uniforms[step, _TO_PLAY] * total, best
        for a in range(scene.counts[1]):
            rest -= math.exp((codes.score[a] - codes.score[best]) / temperature)
            if rest < 0:
                played = a
                break
        if scene.counts[1] > 1 and kept < len(tried.batches) and uniforms[step, _TO_TRY] < share * (1 - 1 / total):
            for a in range(scene.counts[1]):
                rank[a] = -codes.score[a]
            rank[int(uniforms[step, _TO_PICK] * scene.counts[1])] = -math.inf
            order = np.argsort(rank[: scene.counts[1]])
            _write_models(tried, kept, scene)
            for c in range(min(len(order), tried.own.shape[1])):
                _write_batch(tried, kept, c, scene, order[c])
                copy_episode(e, 0, scratch, 0)
                _stop_after(scratch, horizon_ns)
                run(t, scratch, 0, scene.cell[order[c]])
                if by_rule:
                    play(t, scratch, 0, URGENT_GREEDY, parameters[0])
                else:
                    decisions += play_on(t, scratch, scratch, 0, other_layers, parameters, other_scene, other_codes)
                tried.value[kept, c] = scratch.state[0, SERVED] - e.state[0, SERVED]
            kept += 1
        run(t, e, 0, scene.cell[played])
        step += 1
    return kept, decisions + step


@compiled
def _stop_after(e: Episode, horizon_ns: int) -> None:
    """Let nobody come later than the horizon."""
    e = borrowed(e)
    end, k = e.state[0, NOW] + horizon_ns, e.state[0, ARRIVED]
    while k < e.state[0, LAST] and e.users[0, k, READY] <= end:
        k += 1
    e.state[0, LAST] = k


@compiled
def _write_models(tried: Tried, row: int, s: Scene) -> None:
    count = s.counts[0]
    tried.known[row] = count
    tried.batches[row] = min(s.counts[1], tried.own.shape[1])
    for c in range(count):
        for f in range(TOKEN):
            tried.token[row, c, f] = s.token[c, f]


@compiled
def _write_batch(tried: Tried, row: int, c: int, s: Scene, a: int) -> None:
    place = s.place[a]
    tried.own[row, c] = place
    for f in range(ACTION):
        tried.action[row, c, f] = s.action[a, f]
    for d in range(s.counts[0]):
        for f in range(EDGE):
            tried.edge[row, c, d, f] = s.edge[place, d, f]


class Player:
    """Plays the episodes of a family with networks of one size, in some threads, which change nothing."""

    def __init__(self, family: Family, config: NetworkConfig, threads: int = 1) -> None:
        self._family, self._sizes, self._threads = family, sizes_of(config), threads
        self._room = threading.local()

    def play(self, episodes: Sequence[Drawn], weights: Singles) -> tuple[Floats, int]:
        """Play every episode with every policy.

        Args:
            episodes: They.
            weights: float32 (policies, weights).

        Returns:
            Users served, float64 (policies, episodes), and how many decisions were taken.
        """
        served = np.zeros((len(episodes), len(weights)))

        def play_one(n: int) -> int:
            drawn = episodes[n]
            e, scratch, empty = self._place(drawn)
            return _play_policies(
                drawn.tables, e, scratch, len(drawn.users), empty, weights, self._sizes, drawn.parameters, served[n]
            )

        decisions = sum(self._each(play_one, len(episodes)))
        return np.ascontiguousarray(served.T), decisions

    def try_batches(
        self,
        episodes: Sequence[Drawn],
        weights: Singles,
        uniforms: Floats,
        temperature: float,
        share: float,
        horizon_seconds: float,
        plays_on: tuple[Singles, Sizes] | None,
        tried: Sequence[Tried],
    ) -> tuple[list[int], int]:
        """Play every episode by sampling, and try batches on the way; see the kernel.

        Args:
            episodes: They.
            weights: float32 (weights,).
            uniforms: float64 (episodes, decisions, 3) in [0, 1).
            temperature: What scores are divided by before sampling.
            share: Of the decisions, times the chance of another batch than the first, where batches are tried.
            horizon_seconds: Who comes later is left out.
            plays_on: Weights and sizes of the network that plays on after what is tried; `urgent-greedy` if None.
            tried: What came of it, for each episode.

        Returns:
            Decisions with tried batches in each episode, and how many were taken in all.
        """
        horizon_ns = nanoseconds(horizon_seconds)
        other_weights, other_sizes = plays_on or (weights, self._sizes)

        def try_one(n: int) -> tuple[int, int]:
            drawn = episodes[n]
            e, scratch, empty = self._place(drawn)
            return _try_batches(
                drawn.tables, e, scratch, len(drawn.users), empty, weights, self._sizes, drawn.parameters,
                uniforms[n], temperature, share, horizon_ns, plays_on is None, other_weights, other_sizes, tried[n],
            )  # fmt: skip

        kept, decisions = zip(*self._each(try_one, len(episodes)), strict=True)
        return list(kept), sum(decisions)

    def _place(self, drawn: Drawn) -> tuple[Episode, Episode, tuple[Bools, Ints]]:
        """Two episodes with its users, in arrays of this thread; and a memory with nothing in it."""
        if not hasattr(self._room, "episodes"):
            tables, cap, most = drawn.tables, self._family.scenario.max_batch_size, self._family.most_users
            self._room.episodes = [allocate(tables, cap, most, has_users=False, keeps_finish=False) for _ in range(2)]
        n_blocks = len(drawn.tables.blocks)
        e, scratch = (each._replace(users=drawn.users[None]) for each in self._room.episodes)
        return e, scratch, (np.zeros(n_blocks, dtype=np.bool_), np.zeros(n_blocks, dtype=np.int64))

    def _each(self, call: Callable[[int], Answer], count: int) -> list[Answer]:
        """A call for every number; each is on its own, so threads change nothing."""
        if self._threads == 1:
            return [call(n) for n in range(count)]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(call, range(count)))


def states_of(tried: Tried) -> States:
    """The decisions for torch, with no more models than there are."""
    most = int(tried.known.max(initial=1))
    known = np.arange(most) < tried.known[:, None]
    arrays = tried.token[:, :most], known, tried.own, tried.edge[:, :, :most], tried.action
    return States(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def compiled_weights(network: CompiledNetwork) -> Singles:
    """The network's weights for the kernels, float32 (weights,)."""
    return weights_of(network).astype(np.float32)


def sizes_of(config: NetworkConfig) -> Sizes:
    """What the kernels must know of a network."""
    return config.message, config.hidden, config.ahead
