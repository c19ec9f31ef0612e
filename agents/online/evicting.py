"""Whose blocks leave first, where the agent may say so (``eviction="agent"``), compiled.

The rule `demand` lets single blocks leave, the least asked for first, until there is room. To name a model changes
which blocks these are, and how much room is left over. A block is worth its load times the share of recent users who
asked for a model that holds it, more for every such user who is pending, less what its room is worth. The model is
named with which least is lost, or none.
"""

from __future__ import annotations

import numpy as np

from agents.online.features import RESIDENT, Scene
from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    AGENT,
    BLOCK_BYTES,
    BLOCK_NS,
    CACHE_BYTES,
    COUNT,
    EVICTION,
    MISSING_BYTES,
    RECENT,
    USED_BYTES,
    Episode,
    Floats,
    Tables,
)

# Both numbers were chosen on the validation stream.
PENDING = 1 / 12
"""What a pending user adds to the share of recent users."""

ROOM = 1 / 36
"""What room is worth: the share of recent users that keeps a block."""

_HELD, _FIRST = 1, 2
"""Marks of the blocks of the model that runs next, and of the others of the model that is named."""


@compiled
def preferred_model(t: Tables, e: Episode, model: int, s: Scene) -> int:
    """The model whose blocks should leave first in row 0; -1 for none, and where the agent has no say.

    Args:
        t: The library.
        e: The episode.
        model: What runs next.
        s: The decision, as `features.describe` wrote it down.
    """
    t, e, s = borrowed(t), borrowed(e), borrowed(s)
    if t.options[EVICTION] != AGENT:
        return -1
    need = e.state[0, USED_BYTES] + e.models[0, MISSING_BYTES, model] - t.options[CACHE_BYTES]
    if need <= 0:
        return -1
    worth = _worths(t, e, s)
    _mark(t, e, s, model, 0, _HELD)
    best, least = -1, _loss(t, s, worth, need)
    for preferred in range(t.models.shape[1]):
        if _mark(t, e, s, preferred, 0, _FIRST):
            loss = _loss(t, s, worth, need)
            if loss < least:
                best, least = preferred, loss
        _mark(t, e, s, preferred, _FIRST, 0)
    _mark(t, e, s, model, _HELD, 0)
    return best


@inlined
def _worths(t: Tables, e: Episode, s: Scene) -> Floats:
    """What is lost with each resident block, float64 (J,) of which only those are set."""
    worth, recent = np.empty(len(t.blocks)), 0
    for i in range(t.models.shape[1]):
        recent += e.models[0, RECENT, i]
    for k in range(s.counts[RESIDENT]):
        block, asked, pending = s.order[k], 0, 0
        for place in range(t.holder_start[block], t.holder_start[block + 1]):
            asked += e.models[0, RECENT, t.holder_of[place]]
            pending += e.models[0, COUNT, t.holder_of[place]]
        worth[block] = (asked / max(1, recent) + PENDING * pending - ROOM) * t.blocks[block, BLOCK_NS]
    return worth


@inlined
def _mark(t: Tables, e: Episode, s: Scene, model: int, old: int, new: int) -> bool:
    """Mark those blocks of a model anew that have one mark; whether any of them is resident."""
    resident = False
    for place in range(t.block_start[model], t.block_start[model + 1]):
        block = t.block_of[place]
        if s.stays[block] == old:
            s.stays[block] = new
            resident |= e.resident[0, block]
    return resident


@inlined
def _loss(t: Tables, s: Scene, worth: Floats, need: int) -> float:
    """What leaves to make room for so many bytes, by its worth: first the marked blocks, then the others."""
    loss = 0.0
    for mark in (_FIRST, 0):
        k = 0
        while need > 0 and k < s.counts[RESIDENT]:
            block = s.order[k]
            if s.stays[block] == mark:
                need -= t.blocks[block, BLOCK_BYTES]
                loss += worth[block]
            k += 1
    return loss
