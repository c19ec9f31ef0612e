"""From checkpoints to a `ModelLibrary`: parameter blocks that models share are found by their content.

The smallest unit is the *piece*: a tensor, known by the hash of its dtype, shape and bytes. Names do not matter, so
what two models share may be named differently. A tensor of less than `SMALL_BYTES` is shared only together with the
whole layer (module) that it belongs to: counters and vectors of zeros are equal by chance in models that have nothing
to do with each other. Pieces that belong to exactly the same models are one block (`ModelLibrary.compact`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import FileFormatError, InvalidValue
from pl_env.layers import ARCHITECTURES, layer_table
from pl_env.partial_loading.library import ModelLibrary
from pl_env.real_models.checkpoints import Checkpoint, StoredTensor, checkpoint_files, file_state, read_checkpoint

UNKNOWN = "unknown"
"""Architecture of a model whose file does not say it."""

SMALL_BYTES = 4096
"""A smaller tensor is shared only together with its whole layer."""


@dataclass(frozen=True)
class ScannedModel:
    """One model: its tensors, those of its base included.

    Attributes:
        name: Name of its file.
        architecture: Its architecture.
        tensors: Its tensors by name.
        pieces: The piece that each of them is, by name. Tied tensors are one piece.
    """

    name: str
    architecture: str
    tensors: dict[str, StoredTensor]
    pieces: dict[str, str]

    @cached_property
    def piece_bytes(self) -> dict[str, int]:
        """Size of each of its pieces in bytes, in the order of the file."""
        return {self.pieces[name]: tensor.n_bytes for name, tensor in self.tensors.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by name."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    @property
    def tied_names(self) -> tuple[str, ...]:
        """Names of tensors that equal another one of the model: they are counted, stored and loaded once."""
        seen: set[str] = set()
        return tuple(name for name, piece in self.pieces.items() if piece in seen or seen.add(piece))  # type: ignore[func-returns-value]


@dataclass(frozen=True)
class CheckpointScan:
    """What a scan found.

    Attributes:
        models: The models, in the order of the library.
        library: Who holds which block, compacted.
        block_of: The library's block that each piece belongs to.
        states: Every file's state when it was read, by path.
    """

    models: tuple[ScannedModel, ...]
    library: ModelLibrary
    block_of: dict[str, int]
    states: dict[Path, tuple[int, int, int]]


def layer_name(tensor: str) -> str:
    """Name of the layer (module) that a tensor belongs to: its own without the last part; itself where it has one."""
    return tensor.rpartition(".")[0] or tensor


def scan(
    paths: tuple[Path, ...],
    base: Path | None = None,
    architecture: str | None = None,
    names: tuple[str, ...] | None = None,
) -> CheckpointScan:
    """Read checkpoints and find what they share.

    Args:
        paths: Files, and folders of files.
        base: A checkpoint whose tensors every model has besides its own (LoRA adapters over one base); where both have
            a tensor of one name, the model's own counts.
        architecture: Architecture of the models whose files do not say it (safetensors metadata "architecture") and
            that are not recognised as ResNets.
        names: Order of the models; that of ``paths`` unless given.

    Raises:
        FileFormatError: A file is missing or damaged, or changes meanwhile.
        InvalidValue: There are no files, two of one name, or other ones than ``names``.
    """
    files = list(checkpoint_files(paths))
    if base is not None:
        for path in (base, *files):
            file_state(path)  # that it is there
        files = [path for path in files if path.resolve() != base.resolve()]
    if not files:
        raise InvalidValue(f"there is no checkpoint besides the base {base}")
    if names is not None:
        files = _in_order(files, names)
    base_checkpoint = None if base is None else read_checkpoint(base)
    checkpoints = [read_checkpoint(path) for path in files]
    models = tuple(_model(checkpoint, base_checkpoint, architecture) for checkpoint in checkpoints)
    library, block_of = _library(models)
    every = [*checkpoints, base_checkpoint] if base_checkpoint else checkpoints
    states = {checkpoint.path: checkpoint.state for checkpoint in every}
    for path, state in states.items():
        if file_state(path) != state:
            raise FileFormatError(f"{path}: changed during the scan; try again when nobody writes to it")
    return CheckpointScan(models, library, block_of, states)


def scan_as(library: ModelLibrary, paths: tuple[Path, ...], base: Path | None = None) -> CheckpointScan:
    """Scan again, and make sure that the files are what a library says.

    Raises:
        FileFormatError: A file is damaged.
        InvalidValue: The files are other models, or share other bytes, than the library says.
    """
    found = scan(paths, base, names=library.model_names)
    expected = library.compact()
    same_blocks = np.array_equal(found.library.has_block, expected.has_block)
    if not same_blocks or not np.array_equal(found.library.block_bytes, expected.block_bytes):
        raise InvalidValue("the checkpoints do not share what the library says; scan them again")
    models = tuple(
        replace(model, architecture=name) for model, name in zip(found.models, expected.architectures, strict=True)
    )
    return replace(found, models=models, library=expected)


def _in_order(files: list[Path], names: tuple[str, ...]) -> list[Path]:
    of_name = {path.stem: path for path in files}
    unknown, missing = sorted(set(of_name) - set(names)), sorted(set(names) - set(of_name))
    if unknown:
        raise InvalidValue(f"{of_name[unknown[0]]} is not in the library; scan again, or leave it out")
    if missing:
        raise InvalidValue(f"the library has a model {missing[0]!r}, of which there is no checkpoint")
    return [of_name[name] for name in names]


def _model(checkpoint: Checkpoint, base: Checkpoint | None, architecture: str | None) -> ScannedModel:
    tensors = {tensor.name: tensor for tensor in base.tensors} if base else {}
    tensors |= {tensor.name: tensor for tensor in checkpoint.tensors}
    said = checkpoint.metadata.get("architecture") or (base.metadata.get("architecture") if base else None)
    named = said or recognised_architecture(tensors) or architecture or UNKNOWN
    return ScannedModel(checkpoint.name, named, tensors, _pieces(tensors))


def _pieces(tensors: dict[str, StoredTensor]) -> dict[str, str]:
    layers: dict[tuple[Path, str], list[str]] = {}  # an adapter's file does not change the layers of its base
    for name, tensor in tensors.items():
        layers.setdefault((tensor.path, layer_name(name)), []).append(name)
    pieces = {}
    for members in layers.values():
        whole = hashlib.sha256()
        for name in sorted(members):
            whole.update(f"{name.rpartition('.')[2]} {tensors[name].content}\n".encode())
        for name in members:
            small = tensors[name].n_bytes < SMALL_BYTES
            pieces[name] = tensors[name].content + (f" {whole.hexdigest()}" if small else "")
    return {name: pieces[name] for name in tensors}


def recognised_architecture(tensors: dict[str, StoredTensor]) -> str | None:
    """Name of the ResNet whose layer table has exactly these layers and bytes, or None."""
    if "fc.bias" not in tensors or len(tensors["fc.bias"].shape) != 1:
        return None
    found: Counter[str] = Counter()
    for name, tensor in tensors.items():
        found[layer_name(name)] += tensor.n_bytes
    n_classes = tensors["fc.bias"].shape[0]
    for architecture in ARCHITECTURES if n_classes else ():
        if found == {layer.name: layer.state_bytes for layer in layer_table(architecture, n_classes)}:
            return architecture
    return None


def _library(models: tuple[ScannedModel, ...]) -> tuple[ModelLibrary, dict[str, int]]:
    """The library, compacted, and the block of each piece."""
    sizes: dict[str, int] = {}
    for model in models:
        sizes |= {piece: size for piece, size in model.piece_bytes.items() if piece not in sizes}
    column = {piece: j for j, piece in enumerate(sizes)}
    has_piece = np.zeros((len(models), len(sizes)), dtype=np.bool_)
    for i, model in enumerate(models):
        has_piece[i, [column[piece] for piece in model.piece_bytes]] = True
    library = ModelLibrary(
        has_piece,
        np.array(list(sizes.values()), dtype=np.int64),
        tuple(model.architecture for model in models),
        tuple(model.name for model in models),
    ).compact()
    block = {library.has_block[:, j].tobytes(): j for j in range(library.n_blocks)}
    return library, {piece: block[has_piece[:, j].tobytes()] for piece, j in column.items()}


def shared_bytes(library: ModelLibrary) -> NDArray[np.int64]:
    """Bytes that every two models have in common, int64 (I, I); the diagonal has each model's size."""
    has = library.has_block.astype(np.int64)
    shared: NDArray[np.int64] = (has * library.block_bytes) @ has.T
    return shared


def private_bytes(library: ModelLibrary) -> NDArray[np.int64]:
    """Bytes of each model that no other one has, int64 (I,)."""
    private = library.has_block.sum(axis=0) == 1
    found: NDArray[np.int64] = library.has_block[:, private].astype(np.int64) @ library.block_bytes[private]
    return found
