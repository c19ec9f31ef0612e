"""A loader that keeps blocks on the device and reads only the missing ones of the next model.

It keeps those of the resident model, or a cache of blocks within a number of bytes, whose owner says what leaves.

Loading goes the two ways of equation (8), one after the other: the missing tensors are read from their files into one
buffer in system memory (V1; pinned where the device is a GPU), and each block is copied to the device from there (V2).
Without a GPU the device is memory too, and V2 is a copy from memory to memory. `measure` times this code and `execute`
runs it. Both buffers are set aside once: the first touch of fresh memory would take longer than the copy.

This module needs torch.
"""

from __future__ import annotations

import os
import time
from bisect import insort
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from pl_env.errors import FileFormatError
from pl_env.ranges import require
from pl_env.real_models.checkpoints import PYTORCH_SUFFIXES, TORCH_DTYPES, file_state
from pl_env.real_models.scanning import CheckpointScan

_ALIGNMENT_BYTES = 64
_MOST_TARGETS = 1024  # of one preadv


@dataclass(frozen=True)
class Load:
    """What one load took.

    Attributes:
        n_bytes: Bytes of the tensors loaded.
        read_seconds: V1, from the files into system memory.
        copy_seconds: V2, from system memory to the device.
    """

    n_bytes: int
    read_seconds: float
    copy_seconds: float


@dataclass(frozen=True)
class _Block:
    """Where the pieces of a block lie in the block's buffer, which has gaps between them."""

    start: Mapping[str, int]
    n_bytes: int
    content_bytes: int


@dataclass
class _Run:
    """Tensors that lie one after the other in a file, and where to they are read."""

    path: Path
    begin: int
    end: int
    targets: list[memoryview]


class _Arena:
    """Memory set aside on a device, from which blocks take contiguous parts (first fit)."""

    def __init__(self, n_bytes: int, device: torch.device) -> None:
        self._memory = torch.zeros(n_bytes, dtype=torch.uint8, device=device)
        self._taken: list[tuple[int, int]] = []  # (begin, end), ascending

    def take(self, n_bytes: int) -> Tensor:
        """Uninitialised memory, uint8 (n_bytes,); fresh memory where no gap is large enough."""
        if n_bytes == 0:
            return self._memory[:0]
        begin = 0
        for taken_begin, taken_end in self._taken:
            if begin + n_bytes <= taken_begin:
                break
            begin = taken_end
        if begin + n_bytes > len(self._memory):
            return torch.empty(n_bytes, dtype=torch.uint8, device=self._memory.device)
        insort(self._taken, (begin, begin + n_bytes))
        return self._memory[begin : begin + n_bytes]

    def give_back(self, part: Tensor) -> None:
        """Make a part free again; nothing where it is memory of its own."""
        if part.untyped_storage().data_ptr() == self._memory.untyped_storage().data_ptr() and len(part):
            begin = int(part.storage_offset())
            self._taken.remove((begin, begin + len(part)))


class BlockLoader:
    """Blocks of checkpoints on a device.

    Args:
        scan: The models; of safetensors files.
        device: "cpu" or a GPU of torch, such as "cuda".
        block_of: Block of each piece; the scan's unless given.
        cache_bytes: Most bytes of blocks on the device, gaps between tensors apart; those of the largest model unless
            given.

    Raises:
        FileFormatError: A file has changed since the scan, or is not of safetensors.
        InvalidValue: A model is larger than ``cache_bytes``.
    """

    def __init__(
        self,
        scan: CheckpointScan,
        device: str = "cpu",
        block_of: Mapping[str, int] | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        for path, state in scan.states.items():
            if path.suffix in PYTORCH_SUFFIXES:
                raise FileFormatError(f"{path}: only safetensors files can be loaded block by block; convert it first")
            if file_state(path) != state:
                raise FileFormatError(f"{path}: changed since it was scanned")
        self.device = torch.device(device)
        self._models = scan.models
        self._block_of = scan.block_of if block_of is None else block_of
        self._resident: dict[int, Tensor] = {}
        self._blocks = self._layout()
        models = [[self._blocks[j] for j in self.blocks(i)] for i in range(len(scan.models))]
        largest = max(sum(block.n_bytes for block in blocks) for blocks in models)
        needed = max(sum(block.content_bytes for block in blocks) for blocks in models)
        self.cache_bytes = needed if cache_bytes is None else cache_bytes
        require(needed <= self.cache_bytes, "cache_bytes", cache_bytes, f"at least {needed}, the largest model")
        self._staging = torch.empty(largest, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        self._staging.zero_()  # its pages exist before the first load
        self._view = memoryview(self._staging.numpy())  # type: ignore[arg-type]  # NumPy's types hide the buffer
        room = largest if cache_bytes is None else cache_bytes
        self._arena = _Arena(room + largest, self.device)  # a model more, so that gaps are seldom too small
        self._files: dict[Path, int] = {}

    def _layout(self) -> dict[int, _Block]:
        start: dict[int, dict[str, int]] = {}
        end: dict[int, int] = {}
        content: dict[int, int] = {}
        for model in self._models:
            for piece, size in model.piece_bytes.items():
                block = self._block_of[piece]
                if piece not in start.setdefault(block, {}):
                    start[block][piece] = end.get(block, 0)
                    end[block] = start[block][piece] + -(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
                    content[block] = content.get(block, 0) + size
        return {block: _Block(pieces, end[block], content[block]) for block, pieces in start.items()}

    def __enter__(self) -> BlockLoader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _file(self, path: Path) -> int:
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDONLY)
        return self._files[path]

    def blocks(self, model: int) -> list[int]:
        """Blocks of a model, in the order in which they begin in its file."""
        return list(dict.fromkeys(self._block_of[piece] for piece in self._models[model].piece_bytes))

    @property
    def resident(self) -> frozenset[int]:
        """Blocks on the device."""
        return frozenset(self._resident)

    @property
    def resident_bytes(self) -> int:
        """Bytes of the blocks on the device."""
        return sum(self._blocks[block].content_bytes for block in self._resident)

    def clear(self) -> None:
        """Forget all blocks."""
        self._keep([])

    def _keep(self, blocks: Collection[int]) -> None:
        for block in [block for block in self._resident if block not in blocks]:
            self._arena.give_back(self._resident.pop(block))

    def load(self, model: int, only: Collection[int] | None = None, evict: Collection[int] | None = None) -> Load:
        """Bring a model onto the device: keep its resident blocks, let others leave, load the missing ones.

        Args:
            model: The model, by index.
            only: Blocks to have, of those of the model; all unless given.
            evict: Blocks that leave first; all that are not wanted unless given.

        Raises:
            FileFormatError: A file ends early.
            InvalidValue: There would be more than ``cache_bytes`` on the device.
        """
        wanted = [block for block in self.blocks(model) if only is None or block in only]
        self._keep(wanted if evict is None else self._resident.keys() - set(evict))
        missing = [block for block in wanted if block not in self._resident]
        needed = self.resident_bytes + sum(self._blocks[block].content_bytes for block in missing)
        fits = needed <= self.cache_bytes
        require(fits, "bytes on the device", needed, f"at most {self.cache_bytes}, cache_bytes; more must leave")
        begin = time.perf_counter()
        place: dict[int, int] = {}
        staged = 0
        for block in missing:
            place[block] = staged
            staged += self._blocks[block].n_bytes
        n_bytes = self._read(model, place)
        read = time.perf_counter()
        for block in missing:
            size = self._blocks[block].n_bytes
            on_device = self._arena.take(size)
            on_device.copy_(self._staging[place[block] : place[block] + size])
            self._resident[block] = on_device
        synchronize(self.device)
        return Load(n_bytes, read - begin, time.perf_counter() - read)

    def _read(self, model: int, place: Mapping[int, int]) -> int:
        """Read the model's pieces of some blocks to their places in system memory; return their bytes.

        Tensors that lie one after the other in a file are read in one go.
        """
        scanned = self._models[model]
        runs: list[_Run] = []
        seen: set[str] = set()  # tied tensors are read once
        for name, tensor in scanned.tensors.items():
            piece = scanned.pieces[name]
            block = self._block_of[piece]
            if block not in place or piece in seen:
                continue
            seen.add(piece)
            start = place[block] + self._blocks[block].start[piece]
            last = runs[-1] if runs else None
            follows = last is not None and (last.path, last.end) == (tensor.path, tensor.offset)
            if last is None or not follows or len(last.targets) == _MOST_TARGETS:
                last = _Run(tensor.path, tensor.offset, tensor.offset, [])
                runs.append(last)
            last.targets.append(self._view[start : start + tensor.n_bytes])
            last.end += tensor.n_bytes
        for run in runs:
            self._read_run(run)
        return sum(run.end - run.begin for run in runs)

    def _read_run(self, run: _Run) -> None:
        position, targets = run.begin, run.targets
        while position < run.end:
            got = os.preadv(self._file(run.path), targets, position)
            if got == 0:
                raise FileFormatError(f"{run.path}: truncated since it was scanned")
            position += got
            while targets and got >= len(targets[0]):
                got -= len(targets.pop(0))
            if got:
                targets[0] = targets[0][got:]

    def tensors(self, model: int) -> dict[str, Tensor]:
        """The tensors of a model that is on the device, by name; views of its blocks."""
        scanned = self._models[model]
        found = {}
        for name, tensor in scanned.tensors.items():
            piece = scanned.pieces[name]
            block = self._block_of[piece]
            start = self._blocks[block].start[piece]
            dtype = getattr(torch, TORCH_DTYPES[tensor.dtype])
            found[name] = self._resident[block][start : start + tensor.n_bytes].view(dtype).view(tensor.shape)
        return found

    # ------------------------------------------------------------ the page cache

    def _paths(self, model: int) -> set[Path]:
        return {tensor.path for tensor in self._models[model].tensors.values()}

    def drop_pages(self, model: int) -> None:
        """Ask the operating system to forget what it keeps of a model's files in memory (the page cache)."""
        for path in self._paths(model):
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self._file(path), 0, 0, os.POSIX_FADV_DONTNEED)

    def can_drop_pages(self, model: int) -> bool:
        """Whether `drop_pages` has an effect; it has none in a file system that lives in memory, such as tmpfs."""
        if not hasattr(os, "posix_fadvise") or not hasattr(os, "RWF_NOWAIT"):
            return False
        self.load(model)
        for path in self._paths(model):
            os.fsync(self._file(path))  # pages that are not yet written stay
        self.drop_pages(model)
        kept = 0
        tensors = [tensor for tensor in self._models[model].tensors.values() if tensor.n_bytes]
        probes = tensors[:: max(1, len(tensors) // 16)]
        for tensor in probes:
            try:
                kept += os.preadv(self._file(tensor.path), [bytearray(1)], tensor.offset, os.RWF_NOWAIT)
            except BlockingIOError:
                continue  # not in memory
            except OSError:
                return False  # this file system cannot tell
        self.drop_pages(model)
        return kept <= len(probes) // 2


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
