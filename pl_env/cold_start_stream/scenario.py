"""A family of streams: the models, how often each is asked for, the prompts, the devices; and named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from pl_env import cold_start
from pl_env.cold_start.devices import Device
from pl_env.cold_start.dynamics import draw
from pl_env.cold_start.models import MOST_TOKENS, LanguageModel, model_named
from pl_env.cold_start_stream.drawing import arrivals, draw_models, draw_tokens, fill
from pl_env.cold_start_stream.dynamics import Tables
from pl_env.cold_start_stream.instance import MOST_DEVICES, MOST_MODELS, MOST_PROMPTS, Instance
from pl_env.configured import Configured
from pl_env.errors import InvalidValue
from pl_env.ranges import require, require_integer, require_real


def _default_site() -> cold_start.Scenario:
    """Few devices, with disks and memories that differ more than the cold start's."""
    return cold_start.Scenario(
        n_devices=(3, 5),
        read_bytes_per_second=(0.3e9, 6e9),
        memory_spread=(1.0, 10.0),
        memory_factor=(1.1, 1.6),
    )


@dataclass(frozen=True)
class Scenario(Configured):
    """Everything that is fixed from episode to episode. SI units.

    Attributes:
        models: The models, by names or as `LanguageModel`; one that is there twice is two with weights of their own.
        n_prompts: Prompts N.
        prompt_tokens: Tokens of a prompt, log-uniform in (low, high).
        skew: Zipf exponent of the requests over models; the ranks are drawn for every episode.
        drift: Probability that two models' ranks are swapped before a prompt.
        spacing: Mean time between two arrivals, in multiples of the prompts' mean T0.
        site: Devices and radio, as the cold start draws them; ``memory_factor`` is in multiples of the largest model's
            weights, and 5 % more until every model fits. Its model and its prompt do not count.

    Raises:
        InvalidValue: A field is out of range.
        UnknownName: A model does not exist.
    """

    models: tuple[str | LanguageModel, ...] = ("qwen3-14b", "llama3-8b", "llama3-8b")
    n_prompts: int = 40
    prompt_tokens: tuple[int, int] = (128, 2048)
    skew: float = 1.0
    drift: float = 0.03
    spacing: float = 1.5
    site: cold_start.Scenario = field(default_factory=_default_site)

    def __post_init__(self) -> None:
        good = isinstance(self.models, (tuple, list)) and 1 <= len(self.models) <= MOST_MODELS
        require(good, "models", self.models, f"1 to {MOST_MODELS} models")
        object.__setattr__(self, "models", tuple(self.models))
        for model in self.models:
            require(isinstance(model, (str, LanguageModel)), "models", model, "names or LanguageModels")
        assert self.language_models  # which refuses a model that does not exist
        require_integer("n_prompts", self.n_prompts, 1, MOST_PROMPTS)
        tokens = self.prompt_tokens
        require(isinstance(tokens, (tuple, list)) and len(tokens) == 2, "prompt_tokens", tokens, "a range (low, high)")
        require_integer("prompt_tokens[0]", tokens[0], 1, MOST_TOKENS)
        require_integer("prompt_tokens[1]", tokens[1], int(tokens[0]), MOST_TOKENS)
        object.__setattr__(self, "prompt_tokens", (int(tokens[0]), int(tokens[1])))
        require_real("skew", self.skew, 0, 100)
        require_real("drift", self.drift, 0, 1)
        require_real("spacing", self.spacing, 0, 1e6)
        require(isinstance(self.site, cold_start.Scenario), "site", self.site, "a Scenario of the cold start")
        require_integer("site's largest number of devices", self.site.most_devices, 1, MOST_DEVICES)

    # ------------------------------------------------------------ what follows from the fields

    @property
    def language_models(self) -> list[LanguageModel]:
        """The models."""
        return [model if isinstance(model, LanguageModel) else model_named(model) for model in self.models]

    @property
    def most_devices(self) -> int:
        """The largest number of devices K."""
        return self.site.most_devices

    @property
    def most_layers(self) -> int:
        """L_max, layers of the largest model."""
        return max(model.layers for model in self.language_models)

    @cached_property
    def _largest(self) -> cold_start.Scenario:
        """The site with the model that takes most memory, and the longest prompt."""
        tables = {model: model.table().weight_bytes.sum() for model in self.language_models}
        return self.site.override(
            model=max(tables, key=tables.__getitem__), weight_bits=None, ends=False, prompt_tokens=self.prompt_tokens[1]
        )

    # ------------------------------------------------------------ drawing

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw one stream.

        Args:
            rng: The source of all randomness.

        Raises:
            InvalidValue: The site's devices are given, and a model does not fit.
        """
        site, n, m = self._largest, self.n_prompts, len(self.models)
        tables, devices = site.room()
        k, _ = draw(rng.random(site.n_draws), site.draws, devices, tables)
        layers = [model.table() for model in self.language_models]
        model = draw_models(n, m, self.skew, self.drift, rng)
        tokens = draw_tokens(n, *self.prompt_tokens, rng)
        t = Tables(
            load_ns=np.zeros((k, m), dtype=np.int64),
            n_layers=np.array([len(table.weight_bytes) for table in layers]),
            weight_bytes=np.array([table.weight_bytes[0] for table in layers]),
            memory_bytes=tables.memory_bytes[:k].copy(),
            compute_ns=np.zeros((n, k), dtype=np.int64),
            transfer_ns=np.zeros((n, k, k), dtype=np.int64),
            activation_bytes=np.zeros(n, dtype=np.int64),
            model=model,
            arrival_ns=np.zeros(n, dtype=np.int64),
        )
        flop = np.stack([table.flop[:, 0] for table in layers])
        width = np.array([table.activation_bytes[0] for table in layers])
        fill(site.draws, devices, flop, width, tokens, t)
        instance = Instance(*t._replace(arrival_ns=arrivals(t, self.spacing, rng)))
        while (reason := instance.why_not_placeable) is not None:
            require(not self.site.devices, "models", self.models, f"such as fit the site's devices; {reason}")
            t = t._replace(memory_bytes=(t.memory_bytes * 1.05).astype(np.int64))
            instance = Instance(*t._replace(arrival_ns=instance.arrival_ns))
        return instance

    # ------------------------------------------------------------ JSON

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["models"] = [asdict(model) if isinstance(model, LanguageModel) else model for model in self.models]
        values["site"] = self.site.to_dict()
        return dict(json.loads(json.dumps(values, default=lambda number: number.item())))  # NumPy's numbers

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scenario:
        """The scenario that `to_dict` described.

        Raises:
            InvalidValue: A field is out of range.
            UnknownName: There is no such field or model.
        """
        try:
            models = tuple(one if isinstance(one, str) else LanguageModel(**one) for one in values["models"])
            site = cold_start.Scenario.from_dict(values["site"])
        except (KeyError, TypeError):
            raise InvalidValue("models and site must be as to_dict wrote them") from None
        return cls().override(**(dict(values) | {"models": models, "site": site}))


def _tiny() -> dict[str, Any]:
    """Two devices and two models of two layers; an optimum can be found on paper, see the hand-worked test.

    Device 1 loads a layer in 3 ms and computes it in 1, device 2 in 1 and 4. A transfer takes 2 ms. Device 1 has memory
    for three layers and an activation of 3 MB, device 2 for two.
    """
    model = LanguageModel("tiny", 2, 1000, 4, 2, 250, 4000, 1)
    devices = (Device("device 1", 54e12, 10e9, 93_000_000), Device("device 2", 13.5e12, 30e9, 63_000_000))
    return {
        "models": (model, model),
        "n_prompts": 4,
        "prompt_tokens": (1500, 1500),
        "spacing": 1.0,
        "site": cold_start.Scenario(devices=devices, links_bps=((0.0, 12e9), (12e9, 0.0))),
    }


Scenario.PRESETS = {
    "default": lambda: {},
    "tiny": _tiny,
}
