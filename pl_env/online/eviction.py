"""Which blocks leave memory, compiled: just enough room for the next model, block by block, smallest key first."""

from __future__ import annotations

from pl_env.compiling import inlined
from pl_env.online.arrays import (
    AT_RANK,
    BLOCK_BYTES,
    BLOCK_NS,
    BYTES,
    CACHE_BYTES,
    GIVEN,
    LOAD_NS,
    LRU,
    MISSING_BYTES,
    MISSING_NS,
    N_BATCHES,
    N_EVICTED,
    PREVIOUS,
    RANK,
    RECENT,
    USED_BYTES,
    Bools,
    Episode,
    Ints,
    Tables,
)

OTHERS = 2**42
"""Added to the keys of blocks that do not leave first. Keys of rules are below that, of planners below twice that."""

_RANKS = 20
"""Bits of a block's rank."""

_HELD = -1
"""Key of the blocks of the next model, which stay."""

_LRU_BASE = 2**31
"""Makes numbers of batches positive, those before the start included."""


@inlined
def fetch(t: Tables, e: Episode, n: int, model: int, rule: int, preferred: int) -> None:
    """Let blocks leave, and load those of the model that are missing; memory is then as (O4) says.

    Args:
        t: The library.
        e: The episodes.
        n: Which of them.
        model: The model that runs next.
        rule: Which blocks leave; with `GIVEN` ``e.keys`` holds their keys, at least 0 and below 2 · `OTHERS`.
        preferred: Model whose blocks leave first; -1 for none.
    """
    if rule == PREVIOUS:
        _evict_all_but(t, e, n, model)
    else:
        need = e.state[n, USED_BYTES] + e.models[n, MISSING_BYTES, model] - t.options[CACHE_BYTES]
        if need > 0:
            _evict(t, e, n, model, rule, preferred, need)
    number = e.state[n, N_BATCHES] + 1
    for place in range(t.block_start[model], t.block_start[model + 1]):
        block = t.block_of[place]
        e.last_used[n, block] = number
        if not e.resident[n, block]:
            e.resident[n, block] = True
            _move(t, e, n, block, -1)


@inlined
def _move(t: Tables, e: Episode, n: int, block: int, sign: int) -> None:
    """Tell all models that hold a block that it has left (1) or come (-1)."""
    size, load = sign * t.blocks[block, BLOCK_BYTES], sign * t.blocks[block, BLOCK_NS]
    e.state[n, USED_BYTES] -= size
    for place in range(t.holder_start[block], t.holder_start[block + 1]):
        holder = t.holder_of[place]
        e.models[n, MISSING_BYTES, holder] += size
        e.models[n, MISSING_NS, holder] += load


@inlined
def _leave(t: Tables, e: Episode, n: int, block: int) -> None:
    """Let a block leave, and note it if evicted blocks are kept."""
    e.resident[n, block] = False
    _move(t, e, n, block, 1)
    if e.evicted.shape[1] > 0:
        e.evicted[n, e.state[n, N_EVICTED]] = block
    e.state[n, N_EVICTED] += 1


@inlined
def _evict_all_but(t: Tables, e: Episode, n: int, model: int) -> None:
    """Let all blocks leave but the model's."""
    for place in range(t.block_start[model], t.block_start[model + 1]):
        e.keys[t.block_of[place]] = _HELD
    for block in range(len(t.blocks)):
        if e.resident[n, block] and e.keys[block] != _HELD:
            _leave(t, e, n, block)
    for place in range(t.block_start[model], t.block_start[model + 1]):
        e.keys[t.block_of[place]] = 0


@inlined
def _candidates(t: Tables, e: Episode, n: int, model: int) -> int:
    """Put the resident blocks that the model does not hold into the heap; how many there are.

    Without a branch: which blocks are resident no processor foresees.
    """
    for place in range(t.block_start[model], t.block_start[model + 1]):
        e.keys[t.block_of[place]] = _HELD
    size = 0
    for block in range(len(t.blocks)):
        e.heap[size] = block
        size += e.resident[n, block] & (e.keys[block] != _HELD)
    for place in range(t.block_start[model], t.block_start[model + 1]):
        e.keys[t.block_of[place]] = 0
    return size


@inlined
def key_of(t: Tables, e: Episode, n: int, block: int, rule: int) -> int:
    """Key of a block by `LRU`, the number of the last batch that used it, or `DEMAND`, recent users of all its models.

    At least 0 and below `OTHERS`.
    """
    key = 0
    if rule == LRU:
        key = e.last_used[n, block] + _LRU_BASE
    else:
        for place in range(t.holder_start[block], t.holder_start[block + 1]):
            key += e.models[n, RECENT, t.holder_of[place]]
    return key


@inlined
def _set_keys(t: Tables, e: Episode, n: int, size: int, rule: int, preferred: int) -> None:
    """Set the keys of the candidates."""
    base = OTHERS if preferred >= 0 else 0
    for candidate in range(size):
        block = e.heap[candidate]
        e.keys[block] = base + key_of(t, e, n, block, rule)
    if preferred >= 0:
        for place in range(t.block_start[preferred], t.block_start[preferred + 1]):
            block = t.block_of[place]
            e.keys[block] -= OTHERS * e.resident[n, block]


@inlined
def _evict(t: Tables, e: Episode, n: int, model: int, rule: int, preferred: int, need: int) -> None:
    """Let blocks leave, smallest key first, until there are so many bytes more."""
    size = _candidates(t, e, n, model)
    if rule != GIVEN:
        _set_keys(t, e, n, size, rule, preferred)
    for candidate in range(size):
        block = e.heap[candidate]
        e.heap[candidate] = e.keys[block] << _RANKS | t.blocks[block, RANK]
    for root in range(size // 2 - 1, -1, -1):
        _sift(e.heap, root, size)
    while need > 0:
        block = t.blocks[e.heap[0] & ((1 << _RANKS) - 1), AT_RANK]
        size -= 1
        e.heap[0] = e.heap[size]
        _sift(e.heap, 0, size)
        need -= t.blocks[block, BLOCK_BYTES]
        _leave(t, e, n, block)


@inlined
def _sift(heap: Ints, root: int, size: int) -> None:
    """Restore the order of a heap, the smallest on top, below one entry."""
    entry = heap[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[root] = heap[child]
        root = child
    heap[root] = entry


@inlined
def set_memory(t: Tables, e: Episode, n: int, resident: Bools, last_used: Ints) -> None:
    """Set what is resident, and what every model misses, at the start of an episode."""
    for model in range(t.models.shape[1]):
        e.models[n, MISSING_BYTES, model] = t.models[BYTES, model]
        e.models[n, MISSING_NS, model] = t.models[LOAD_NS, model]
    e.state[n, USED_BYTES] = 0
    for block in range(len(t.blocks)):
        e.resident[n, block] = resident[block]
        e.last_used[n, block] = last_used[block]
        if resident[block]:
            _move(t, e, n, block, -1)
