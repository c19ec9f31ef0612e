"""Where a model can be split: FLOP before each split and bits of the embedding that crosses it.

The built-in tables are derived from the architectures, not typed in. FLOP are two for a multiply-accumulate;
embeddings are fp16. A transformer block has 4 t d² + 2 t² d + 2 t d m multiply-accumulates (t tokens, width d, MLP m);
the patch embedding joins block 1, the head, which reads one token, the last block; projections between towers, biases
and normalisations are not counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pl_env.errors import FileFormatError, InvalidValue, UnknownName, shown
from pl_env.files import read_json, write_atomically
from pl_env.ranges import require, require_real

FLOP_PER_MAC = 2
BITS_PER_NUMBER = 16
IMAGE_BITS = 640 * 480 * 24
"""The raw input of a vision model is the camera's image, not the tensor that the network reads."""

_FORMAT, _VERSION = "pl-env-split-table", 1

MOST_SPLITS = 100_000
MOST_FLOP, MOST_BITS = 1e21, 1e18


@dataclass(frozen=True)
class SplitTable:
    """A model of S blocks, split after block s = 0 ... S: the device runs the first s, the server the rest.

    Attributes:
        name: Its name.
        device_flop: S + 1 numbers: FLOP of the blocks before each split; 0 first, that of the whole model last.
        embedding_bits: S + 1 numbers: bits to send at each split; the raw input first, 0 last.
        parameters: Parameters of the model; 0 where that is not known.

    Raises:
        InvalidValue: A number is out of range.
    """

    name: str
    device_flop: tuple[float, ...]
    embedding_bits: tuple[float, ...]
    parameters: int = 0

    def __post_init__(self) -> None:
        require(isinstance(self.name, str), "name", self.name, "a string")
        for field, most in (("device_flop", MOST_FLOP), ("embedding_bits", MOST_BITS)):
            value = getattr(self, field)
            good = isinstance(value, (tuple, list, np.ndarray)) and 1 <= len(value) <= MOST_SPLITS
            require(good, field, value, f"from 1 to {MOST_SPLITS} numbers")
            for place, number in enumerate(value):
                require_real(f"{field}[{place}]", number, 0, most)
            object.__setattr__(self, field, tuple(float(number) for number in value))
        n_splits = len(self.device_flop)
        require(len(self.embedding_bits) == n_splits, "embedding_bits", self.embedding_bits, f"{n_splits} numbers")
        require(self.device_flop[0] == 0, "device_flop[0]", self.device_flop[0], "0")
        ascending = all(a <= b for a, b in zip(self.device_flop, self.device_flop[1:], strict=False))
        require(ascending, "device_flop", self.device_flop, "ascending")
        require(self.embedding_bits[-1] == 0, "embedding_bits[-1]", self.embedding_bits[-1], "0")

    def __repr__(self) -> str:
        return f"<SplitTable {shown(self.name)}: {self.n_splits} splits, {self.total_flop / 1e9:.4g} GFLOP>"

    @property
    def n_splits(self) -> int:
        """Number of splits S + 1."""
        return len(self.device_flop)

    @property
    def total_flop(self) -> float:
        """FLOP of the whole model."""
        return self.device_flop[-1]

    @property
    def server_flop(self) -> tuple[float, ...]:
        """FLOP of the blocks after each split."""
        return tuple(self.total_flop - flop for flop in self.device_flop)

    def smaller_embeddings(self) -> tuple[int, ...]:
        """The splits that send less than all before them."""
        found, least = [], float("inf")
        for split, bits in enumerate(self.embedding_bits):
            if bits < least:
                found.append(split)
                least = bits
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {
            "name": self.name,
            "device_flop": list(self.device_flop),
            "embedding_bits": list(self.embedding_bits),
            "parameters": int(self.parameters),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, whole or not at all."""
        content = {"format": _FORMAT, "version": _VERSION, "table": self.to_dict()}
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SplitTable:
        """Read what `save` wrote.

        Raises:
            FileFormatError: The file is missing, damaged or of another kind.
        """
        content = read_json(path, _FORMAT, _VERSION, "a split table")
        try:
            return cls.from_dict(content.get("table"))  # type: ignore[arg-type]
        except InvalidValue as error:
            raise FileFormatError(f"{os.fspath(path)}: not a valid split table ({error})") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SplitTable:
        """The table that `to_dict` described.

        Raises:
            InvalidValue: It is not such a description, or a number is out of range.
        """
        fields = {"name", "device_flop", "embedding_bits", "parameters"}
        if not isinstance(values, Mapping) or set(values) != fields:
            raise InvalidValue(f"model is {shown(values)}; it must have the entries {', '.join(sorted(fields))}")
        return cls(**values)


def split_table_of(
    name: str, input_bits: float, blocks: Iterable[tuple[float, float]], parameters: int = 0
) -> SplitTable:
    """A table from blocks in order.

    Args:
        name: Name of the model.
        input_bits: Bits of the raw input.
        blocks: FLOP of each block and bits of its output; nobody sends those of the last.
        parameters: Parameters of the model.
    """
    flop, bits = zip(*blocks, strict=True)
    done = [sum(flop[:n]) for n in range(len(flop) + 1)]
    return SplitTable(name, tuple(done), (input_bits, *bits[:-1], 0.0), parameters)


# ---------------------------------------------------------------- architectures

_Block = tuple[float, float]


def _transformer(
    tokens: int, width: int, blocks: int, *, mlp: int = 0, copies: int = 1, first: float = 0.0, last: float = 0.0
) -> list[_Block]:
    """FLOP and output bits of each block.

    Args:
        tokens: Tokens t.
        width: Width d.
        blocks: How many.
        mlp: Width m of the MLP's hidden layer; 4 d unless given.
        copies: How often they run side by side, as on the frames of a video.
        first: Multiply-accumulates that join block 1, of one copy.
        last: Multiply-accumulates that join the last block, of one copy.
    """
    macs = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * (mlp or 4 * width)
    flop = [float(FLOP_PER_MAC * copies * macs)] * blocks
    flop[0] += FLOP_PER_MAC * copies * first
    flop[-1] += FLOP_PER_MAC * copies * last
    return [(each, float(copies * tokens * width * BITS_PER_NUMBER)) for each in flop]


def _block_parameters(width: int, mlp: int = 0) -> int:
    """Parameters of a transformer block with biases: attention, MLP, two normalisations."""
    mlp = mlp or 4 * width
    return 4 * (width**2 + width) + 2 * width * mlp + mlp + width + 4 * width


def _patches(tokens: int, patch: int, width: int) -> int:
    """Multiply-accumulates of a patch embedding; one of the tokens is no patch."""
    return (tokens - 1) * 3 * patch**2 * width


def _patch_parameters(tokens: int, patch: int, width: int) -> int:
    """Parameters of a patch embedding with class token and positions."""
    return 3 * patch**2 * width + width + width + tokens * width


def _blip2() -> SplitTable:
    """BLIP-2 with ViT-g/14, the Q-Former, which is one block here, and OPT-2.7b, 33 tokens."""
    vision, queries, text, words = (257, 1408, 6144), (32, 768), (33, 2560), 50272
    cross = 2 * queries[0] * queries[1] ** 2 + 2 * vision[0] * vision[1] * queries[1]
    cross += 2 * vision[0] * queries[0] * queries[1]
    q_former = sum(flop for flop, _ in _transformer(*queries, 12)) + FLOP_PER_MAC * 6 * cross
    blocks = [
        *_transformer(vision[0], vision[1], 39, mlp=vision[2], first=_patches(257, 14, 1408)),
        (q_former, float(queries[0] * queries[1] * BITS_PER_NUMBER)),
        *_transformer(*text, 32, last=text[1] * words),
    ]
    d, e = queries[1], vision[1]
    crossings = 6 * (2 * (d**2 + d) + 2 * (e + 1) * d + 2 * d)
    parameters = _patch_parameters(257, 14, e) + 39 * _block_parameters(e, vision[2]) + 2 * 2 * e
    parameters += queries[0] * d + 12 * _block_parameters(d) + crossings + 2 * d
    parameters += (words + 2050) * text[1] + 32 * _block_parameters(text[1]) + 2 * text[1]
    return split_table_of("blip2", IMAGE_BITS, blocks, parameters)


def _git_base() -> SplitTable:
    """GIT-base on 6 frames: a ViT-B/16 on each, then 6 blocks over all their tokens and one of text."""
    frames, tokens, width, words = 6, 197, 768, 30522
    vision = _transformer(tokens, width, 12, copies=frames, first=_patches(tokens, 16, width))
    together = frames * tokens + 1
    text = _transformer(together, width, 6, last=width * words)
    return split_table_of("git_base", frames * IMAGE_BITS, [*vision, *text])


def _vit_b_16() -> SplitTable:
    blocks = _transformer(197, 768, 12, first=_patches(197, 16, 768), last=768 * 1000)
    parameters = _patch_parameters(197, 16, 768) + 12 * _block_parameters(768) + 2 * 768 + 769 * 1000
    return split_table_of("vit_b_16", IMAGE_BITS, blocks, parameters)


def _bert_large() -> SplitTable:
    """BERT-large on 128 tokens; the input is their numbers. The head is the pooler."""
    width = 1024
    parameters = (30522 + 512 + 2) * width + 2 * width + 24 * _block_parameters(width) + width**2 + width
    blocks = _transformer(128, width, 24, last=width**2)
    return split_table_of("bert_large", 128 * BITS_PER_NUMBER, blocks, parameters)


def _resnet152() -> SplitTable:
    """The stem with its pool, 50 bottleneck blocks, of which the last has the pool behind it, and fc."""
    side, channels = 56, 64
    blocks: list[_Block] = [(FLOP_PER_MAC * 112**2 * 64 * 3 * 49, side**2 * 64 * BITS_PER_NUMBER)]
    parameters = 64 * 3 * 49 + 2 * 64
    for stage, count in enumerate((3, 8, 36, 3)):
        width = 64 * 2**stage
        for block in range(count):
            out, before = 4 * width, side
            side = side // 2 if stage > 0 and block == 0 else side  # the stride sits in the 3×3 convolution
            shortcut = channels * out if block == 0 else 0
            macs = before**2 * channels * width + side**2 * (9 * width**2 + width * out + shortcut)
            parameters += channels * width + 9 * width**2 + width * out + shortcut
            parameters += 2 * (2 * width + out + (out if shortcut else 0))
            channels = out
            blocks.append((FLOP_PER_MAC * macs, side**2 * channels * BITS_PER_NUMBER))
    blocks[-1] = (blocks[-1][0], channels * BITS_PER_NUMBER)
    blocks.append((FLOP_PER_MAC * channels * 1000, 0))
    parameters += (channels + 1) * 1000
    return split_table_of("resnet152", IMAGE_BITS, blocks, parameters)


_BUILDERS: dict[str, Callable[[], SplitTable]] = {
    "blip2": _blip2,
    "git_base": _git_base,
    "resnet152": _resnet152,
    "vit_b_16": _vit_b_16,
    "bert_large": _bert_large,
}

MODELS = tuple(_BUILDERS)
"""Names of the models that are built in."""


@cache
def split_table(name: str) -> SplitTable:
    """The table of a model that is built in.

    Raises:
        UnknownName: There is no such model.
    """
    if name not in _BUILDERS:
        raise UnknownName("model", name, MODELS)
    return _BUILDERS[name]()
