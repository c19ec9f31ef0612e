"""FLOP and embedding sizes of a user's own torch model, measured by hooks: a `SplitTable` of any sequential model."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pl_env.co_inference.split_tables import BITS_PER_NUMBER, SplitTable, split_table_of
from pl_env.errors import InvalidValue, MissingPackage, abbreviated, shown
from pl_env.ranges import require, require_integer, require_real


def load_model(name: str) -> nn.Module:
    """The model that a module's function makes, or its attribute is.

    Args:
        name: Such as "my_module:build".

    Raises:
        InvalidValue: There is no such module or attribute, it needs arguments, or it is no torch module.
        MissingPackage: The module needs a package that is not installed.
    """
    module_name, colon, path = name.partition(":")
    require(bool(module_name and colon and path), "model", name, "module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise MissingPackage(f"model is {name!r}; its module needs {error.name}, which is missing") from None
        raise InvalidValue(f"model is {name!r}; there is no module {error.name!r} here") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise InvalidValue(f"model is {name!r}; {module_name} has no {path!r}")
        found = getattr(found, part)
    if not isinstance(found, nn.Module):
        require(callable(found), "model", name, "a function without arguments, or a torch.nn.Module")
        try:
            inspect.signature(found).bind()
        except (TypeError, ValueError):
            raise InvalidValue(f"model is {name!r}; it must be a function that needs no arguments") from None
        found = found()
    require(
        isinstance(found, nn.Module), "model", name, f"a function that returns a torch.nn.Module, not {shown(found)}"
    )
    return found  # type: ignore[no-any-return]


def measure(
    model: nn.Module,
    input_shape: tuple[int, ...],
    *,
    name: str = "model",
    vocabulary: int | None = None,
    input_bits: float | None = None,
    bits_per_number: int = BITS_PER_NUMBER,
) -> SplitTable:
    """The splits between the children of a model that runs one after another, as `torch.nn.Sequential` does.

    A module with a single child stands for that child. FLOP are those of matrix products and convolutions, two for a
    multiply-accumulate.

    Args:
        model: The model; put into evaluation mode for the measurement.
        input_shape: Shape of one sample, without the batch.
        name: Name of the table.
        vocabulary: Inputs are integers below this; real numbers unless given.
        input_bits: Bits of the raw input; the input's own size unless given.
        bits_per_number: Of an embedding.

    Raises:
        InvalidValue: An argument is out of range, the model does not take the input, or its children do not run one
            after another, each on what the one before gives.
    """
    require(len(input_shape) > 0, "input_shape", input_shape, "at least one integer")
    for place, size in enumerate(input_shape):
        require_integer(f"input_shape[{place}]", size, 1, 10**6)
    require_integer("bits_per_number", bits_per_number, 1, 64)
    if vocabulary is not None:
        require_integer("vocabulary", vocabulary, 1)
    if input_bits is not None:
        require_real("input_bits", input_bits, 0)
    sample = _sample(input_shape, vocabulary)
    blocks = _blocks(model)
    record = _Record(blocks)
    was_training = model.training
    model.eval()
    try:
        _run(model, sample, record)
    finally:
        model.train(was_training)
        record.remove()
    record.require_all_ran()
    raw = sample.numel() * bits_per_number if input_bits is None else input_bits
    measured = [(float(flop), float(count * bits_per_number)) for flop, count in record.measured]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return split_table_of(name, float(raw), measured, parameters)


def _sample(shape: tuple[int, ...], vocabulary: int | None) -> Tensor:
    """One sample with the batch in front."""
    generator = torch.Generator().manual_seed(0)
    if vocabulary is None:
        return torch.randn((1, *shape), generator=generator)
    return torch.randint(vocabulary, (1, *shape), generator=generator)


def _blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    children = list(model.named_children())
    while len(children) == 1:
        children = list(children[0][1].named_children())
    require(len(children) > 0, "model", type(model).__name__, "a module with children, which are its blocks")
    return children


def _run(model: nn.Module, sample: Tensor, record: _Record) -> None:
    """One forward pass; attention in its plain form, as the counter does not know all fused ones."""
    try:
        with sdpa_kernel(SDPBackend.MATH), record.counter:
            model(sample)
    except InvalidValue:
        raise
    except Exception as error:  # whatever a user's model raises
        why = abbreviated(str(error) or type(error).__name__, 120)
        raise InvalidValue(f"input_shape is {tuple(sample.shape[1:])}; the model cannot run on it ({why})") from None


class _Record:
    """Hooks on the blocks: FLOP and output size of each, and whether they run one after another."""

    def __init__(self, blocks: list[tuple[str, nn.Module]]) -> None:
        self.counter = FlopCounterMode(display=False)
        self.measured: list[tuple[int, int]] = []
        self._names = [name for name, _ in blocks]
        self._before, self._output = 0, torch.empty(0)
        self._hooks = []
        for place, (_, block) in enumerate(blocks):
            self._hooks.append(block.register_forward_pre_hook(self._starts(place)))
            self._hooks.append(block.register_forward_hook(self._ends(place)))

    def _starts(self, place: int) -> Any:
        def starts(block: nn.Module, inputs: tuple[Any, ...]) -> None:
            name = self._names[place]
            if place != len(self.measured):
                raise InvalidValue(f"model runs its block {name!r} out of order, or twice; blocks must run one by one")
            good = len(inputs) == 1 and isinstance(inputs[0], Tensor)
            if place > 0 and not (good and _is_same(inputs[0], self._output)):
                before = self._names[place - 1]
                raise InvalidValue(f"model runs its block {name!r} on something else than what {before!r} gives")
            self._before = self.counter.get_total_flops()

        return starts

    def _ends(self, place: int) -> Any:
        def ends(block: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, Tensor):
                raise InvalidValue(f"model has a block {self._names[place]!r} that gives no single tensor")
            self._output = output
            self.measured.append((self.counter.get_total_flops() - self._before, output.numel()))

        return ends

    def remove(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def require_all_ran(self) -> None:
        """Raise unless every block ran."""
        if len(self.measured) < len(self._names):
            raise InvalidValue(f"model never runs its block {self._names[len(self.measured)]!r}; all must run")


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether they are the same numbers in memory, perhaps in another shape."""
    return one.numel() == other.numel() and one.data_ptr() == other.data_ptr()
