"""Networks without weights of their own: they are built once and take the tensors that a `BlockLoader` has.

This module needs torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pl_env.errors import InvalidValue
from pl_env.real_models.resnet import build
from pl_env.real_models.scanning import ScannedModel

Builder = Callable[[str, Mapping[str, tuple[int, ...]]], nn.Module]
"""From the name of an architecture, and the shape of each tensor of a checkpoint by name, to a network."""


def builder_named(name: str | None) -> Builder:
    """A user's builder by "package.module:function"; `pl_env.real_models.resnet.build` for None.

    Raises:
        InvalidValue: It cannot be imported.
    """
    if name is None:
        return build
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValue(f"builder is {name!r}; it must be package.module:function ({error})") from None
    if not callable(found):
        raise InvalidValue(f"builder is {name!r}; it must be a function")
    return found  # type: ignore[no-any-return]


def generated_inputs(n: int, shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    """Normally distributed inputs, float32 (n, *shape), the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, *shape), generator=generator).to(device)


class ModelRunner:
    """One network per architecture and shapes of tensors; models take turns in it.

    Args:
        models: The models.
        device: Where they run.
        builder: Makes a network; its weights are thrown away.

    Raises:
        InvalidValue: A network's state dict has other names or shapes than the checkpoint.
    """

    def __init__(self, models: tuple[ScannedModel, ...], device: torch.device, builder: Builder = build) -> None:
        made: dict[tuple[str, frozenset[tuple[str, tuple[int, ...]]]], _Network] = {}
        self._networks: list[_Network] = []
        for model in models:
            key = (model.architecture, frozenset(model.shapes.items()))
            if key not in made:
                made[key] = _Network(model, device, builder)
            self._networks.append(made[key])

    def bind(self, model: int, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Put a model's tensors into its network, without copying them; the network in evaluation mode."""
        return self._networks[model].bind(tensors)


class _Network:
    def __init__(self, model: ScannedModel, device: torch.device, builder: Builder) -> None:
        with torch.random.fork_rng(devices=[]):  # initial weights are of no use, and must not move the caller's state
            self._network = builder(model.architecture, model.shapes).eval().to(device)
        have = {name: tuple(tensor.shape) for name, tensor in self._network.state_dict().items()}
        for name in sorted(have.keys() ^ model.shapes.keys()):
            where = "checkpoint" if name in have else "network"
            raise InvalidValue(f"{model.name}: the {where} of architecture {model.architecture!r} has no {name!r}")
        for name, shape in have.items():
            if shape != model.shapes[name]:
                raise InvalidValue(f"{model.name}: {name!r} is {model.shapes[name]}, the network needs {shape}")
        self._parameters: list[tuple[str, dict[str, nn.Parameter | None], str]] = []
        self._buffers: list[tuple[str, dict[str, Tensor | None], str]] = []
        for prefix, module in self._network.named_modules(remove_duplicate=False):
            start = f"{prefix}." if prefix else ""
            for last in module._parameters:
                if start + last in have:
                    self._parameters.append((start + last, module._parameters, last))
            for last in module._buffers:
                if start + last in have:
                    self._buffers.append((start + last, module._buffers, last))

    def bind(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        for name, owner, last in self._parameters:
            owner[last] = nn.Parameter(tensors[name], requires_grad=False)
        for name, buffer_owner, last in self._buffers:
            buffer_owner[last] = tensors[name]
        return self._network
