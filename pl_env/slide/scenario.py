"""A family of episodes: constants of the radio, the models and the devices, and named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from pl_env.configured import Configured
from pl_env.errors import InvalidValue, UnknownName
from pl_env.ranges import require, require_integer, require_real
from pl_env.slide.dynamics import USER_COLUMNS, Draws, Tables, draw_users
from pl_env.slide.instance import (
    MOST_ENERGY_NJ,
    MOST_FREQUENCY_HZ,
    MOST_POWER_NW,
    SPEED_UNIT,
    Device,
    Instance,
    Ints,
)
from pl_env.slide.library import MODELS, SUBSTITUTES, Library, Model, build_library, built_in
from pl_env.times import LONGEST_NS, NS_PER_SECOND, nanoseconds

MOST_USERS = 100_000
DRAWS_PER_USER = 7
_NJ_PER_J = 1_000_000_000

_RANGES = {"deadline_factor": (0.0, 1e6), "energy_factor": (0.0, 1e6), "flop_per_cycle": (1e-3, 1e9)}


@dataclass(frozen=True)
class Scenario(Configured):
    """Everything that is fixed from episode to episode. SI units; the constants are ours, as none are published.

    A range (low, high) is what each user draws from, all values equally likely.

    Attributes:
        n_users: Users K of an episode.
        models: Models, by name or as `Model`; users ask for each of them alike, but for those of `SUBSTITUTES`.
        samples: Samples of a task.
        window: Seconds over which users arrive; 0: all are there at the start, as in the paper.
        radius_m: Radius of the cell in metres; users stand uniformly in it.
        bandwidth_hz: Downlink band B.
        tx_power_w_per_hz: Transmit power spectral density P.
        noise_w_per_hz: Noise power spectral density N0 (-174 dBm/Hz).
        path_loss_exponent: alpha.
        min_frequency_hz: Lowest clock frequency f_min of the devices.
        max_frequency_hz: Highest clock frequency f_max.
        power_w: Power of a device at f_max, kappa · f_max³.
        flop_per_cycle: Range of n_k; a nominal device has the middle of it.
        deadline_factor: Range of the deadline T_k, as a multiple of the nominal time, which is the time that the
            requested model takes on a nominal device at f_max.
        energy_factor: Range of the energy E_k, as a multiple of what the nominal time takes at full power.

    Raises:
        InvalidValue: A field is out of range.
        UnknownName: A model does not exist.
    """

    n_users: int = 40
    models: tuple[str | Model, ...] = ("resnet18", "resnet34", "resnet50")
    samples: int = 32
    window: float = 2.0
    radius_m: float = 250.0
    bandwidth_hz: float = 100e6
    tx_power_w_per_hz: float = 5e-9
    noise_w_per_hz: float = 10**-20.4
    path_loss_exponent: float = 4.0
    min_frequency_hz: int = 306_000_000
    max_frequency_hz: int = 918_000_000
    power_w: float = 15.0
    flop_per_cycle: tuple[float, float] = (153.6, 307.2)
    deadline_factor: tuple[float, float] = (2.0, 3.5)
    energy_factor: tuple[float, float] = (0.5, 1.5)

    def __post_init__(self) -> None:
        require_integer("n_users", self.n_users, 1, MOST_USERS)
        require_integer("samples", self.samples, 1, 100_000)
        require_real("window", self.window, 0, LONGEST_NS / NS_PER_SECOND)
        require_real("radius_m", self.radius_m, 1, 1e6)
        require_real("bandwidth_hz", self.bandwidth_hz, 1, 1e12)
        require_real("tx_power_w_per_hz", self.tx_power_w_per_hz, 0, 1, above=True)
        require_real("noise_w_per_hz", self.noise_w_per_hz, 0, 1, above=True)
        require_real("path_loss_exponent", self.path_loss_exponent, 0, 10)
        require_integer("max_frequency_hz", self.max_frequency_hz, 10**6, MOST_FREQUENCY_HZ)
        require_integer("min_frequency_hz", self.min_frequency_hz, 10**6, self.max_frequency_hz)
        require_real("power_w", self.power_w, 0, MOST_POWER_NW / _NJ_PER_J, above=True)
        for name, (least, most) in _RANGES.items():
            self._check_range(name, least, most)
        self._check_models()
        longest = self.longest_deadline
        require_real("the longest deadline", longest, 0, LONGEST_NS / NS_PER_SECOND)
        energy = self.energy_factor[1] * self.power_w * float(self.nominal_seconds.max())
        require_real("the largest energy", energy, 0, MOST_ENERGY_NJ / _NJ_PER_J)

    def _check_range(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        good = isinstance(value, (tuple, list)) and len(value) == 2
        require(good, name, value, "a range (low, high)")
        require_real(f"{name}[0]", value[0], least, most)
        require_real(f"{name}[1]", value[1], value[0], most)
        object.__setattr__(self, name, (float(value[0]), float(value[1])))

    def _check_models(self) -> None:
        good = isinstance(self.models, (tuple, list)) and len(self.models) >= 1
        require(good, "models", self.models, "a tuple of models")
        object.__setattr__(self, "models", tuple(self.models))
        for model in self.models:
            if not isinstance(model, Model) and model not in MODELS:
                raise UnknownName("model", model, MODELS)
        names = self.model_names
        require(len(set(names)) == len(names), "models", names, "all different")
        require(any(name not in SUBSTITUTES for name in names), "models", names, "one that is asked for, at least")

    # ------------------------------------------------------------ what follows from the fields

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the models as they stand in ``models``; the library has `SUBSTITUTES` last."""
        return tuple(model.name if isinstance(model, Model) else model for model in self.models)

    @property
    def n_models(self) -> int:
        """Number of models I."""
        return len(self.models)

    @cached_property
    def catalogue(self) -> Library:
        """The models, layer by layer, for this scenario's tasks."""
        models = [model if isinstance(model, Model) else built_in(model) for model in self.models]
        return build_library(models, self.samples)

    @cached_property
    def device(self) -> Device:
        """What the devices have in common."""
        return Device(int(self.min_frequency_hz), int(self.max_frequency_hz), round(self.power_w * _NJ_PER_J))

    @property
    def tables(self) -> Tables:
        """The models and the device as the kernels take them."""
        return self._nobody.tables

    @cached_property
    def _nobody(self) -> Instance:
        return Instance(self.catalogue, self.device, *np.zeros((USER_COLUMNS, 0), dtype=np.int64))

    @cached_property
    def nominal_seconds(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Seconds that each request takes on a nominal device at f_max, float64 (J,)."""
        flop_per_second = sum(self.flop_per_cycle) / 2 * self.max_frequency_hz
        nominal = self.catalogue.model_flop[: self.catalogue.n_requests] / flop_per_second
        nominal.setflags(write=False)
        return np.asarray(nominal)

    @property
    def longest_deadline(self) -> float:
        """T_max in seconds: no user has more time."""
        return float(self.deadline_factor[1] * self.nominal_seconds.max())

    @property
    def longest_deadline_ns(self) -> int:
        """T_max in nanoseconds."""
        return nanoseconds(self.longest_deadline)

    def draws(self, window_ns: float | None = None) -> Draws:
        """What `dynamics.draw_users` takes.

        Args:
            window_ns: Nanoseconds over which the users arrive, in place of the scenario's.
        """
        tx_to_noise = self.tx_power_w_per_hz / self.noise_w_per_hz
        return Draws(
            radio=np.array([self.radius_m, tx_to_noise, self.path_loss_exponent, self.bandwidth_hz], dtype=np.float64),
            speed=SPEED_UNIT * _low_and_width(self.flop_per_cycle),
            deadline=_low_and_width(self.deadline_factor),
            energy_nj=self.power_w * _NJ_PER_J * _low_and_width(self.energy_factor),
            nominal_seconds=self.nominal_seconds,
            window_ns=float(self.window * NS_PER_SECOND if window_ns is None else window_ns),
        )

    # ------------------------------------------------------------ drawing

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw one episode.

        The environment's ``reset`` draws the very same numbers from the same state of the generator.

        Args:
            rng: The source of all randomness.
        """
        users = np.empty((self.n_users, USER_COLUMNS), dtype=np.int64)
        draw_users(rng.random((DRAWS_PER_USER, self.n_users)), self.draws(), users)
        return self.instance(users)

    def instance(self, users: Ints) -> Instance:
        """The instance of this scenario with the given users, int64 (K, 6), columns as in `dynamics`."""
        return Instance(self.catalogue, self.device, *users.T)

    # ------------------------------------------------------------ JSON

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["models"] = [asdict(model) if isinstance(model, Model) else model for model in self.models]
        return dict(json.loads(json.dumps(values, default=lambda number: number.item())))  # NumPy's numbers

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scenario:
        """The scenario that `to_dict` described.

        Raises:
            InvalidValue: A field is out of range.
            UnknownName: There is no such field or model.
        """
        try:
            models = tuple(model if isinstance(model, str) else Model(**model) for model in values["models"])
        except (KeyError, TypeError):
            raise InvalidValue(f"models is {values.get('models')!r}; it must be as to_dict wrote it") from None
        return cls().override(**(dict(values) | {"models": models}))


def _low_and_width(pair: tuple[float, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([pair[0], pair[1] - pair[0]], dtype=np.float64)


def _tiny() -> dict[str, Any]:
    """Three users, two models of three and two layers; an optimum can be found on paper.

    At 1 GB/s, which is 8 Gbit/s, "small" arrives after 2, 5 and 9 ms, and at 1 GHz it computes for 3, 1 and 2 ms, 6 in
    all; "large", which answers requests for it too, arrives after 4 and 12 ms and computes for 4 ms each. Everybody
    has 1 FLOP in a cycle and energy enough.
    """
    small = Model("small", (2_000_000, 3_000_000, 4_000_000), (3_000_000, 1_000_000, 2_000_000))
    large = Model("large", (4_000_000, 8_000_000), (4_000_000, 4_000_000), ("small",))
    return {
        "n_users": 3,
        "models": (small, large),
        "samples": 1,
        "window": 0.01,
        "radius_m": 50.0,
        "bandwidth_hz": 500e6,
        "min_frequency_hz": 100_000_000,
        "max_frequency_hz": 1_000_000_000,
        "flop_per_cycle": (1.0, 1.0),
        "energy_factor": (1.0, 2.0),
        "deadline_factor": (2.0, 4.0),
    }


Scenario.PRESETS = {
    "default": lambda: {},
    "paper": lambda: {"window": 0.0},
    "hard": lambda: {"bandwidth_hz": 50e6, "window": 4.0},
    "zoo": lambda: {"models": ("resnet18", "resnet34", "resnet50", "vit_b_16", "gpt2")},
    "compressed": lambda: {"models": ("resnet18", "resnet34", "resnet50", "resnet50-int8")},
    "tiny": _tiny,
}
