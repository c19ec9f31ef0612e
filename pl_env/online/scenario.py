"""A family of episodes: who comes when, the radio, the library, the server and its memory; and named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import floor
from typing import Any

import numpy as np

from pl_env import partial_loading
from pl_env.configured import Configured
from pl_env.errors import InvalidValue
from pl_env.low_level import generator_addresses
from pl_env.online.arrays import USER_COLUMNS, Ints, Tables, tables_from
from pl_env.online.arrivals import ARRIVALS, MOST_FACTOR, Draws, draw_users
from pl_env.online.instance import EVICTIONS, OVERLAPS, Instance
from pl_env.partial_loading.library import ModelLibrary
from pl_env.partial_loading.server import ComputeProfile, EdgeServer
from pl_env.partial_loading.serving_table import MOST_BYTES, ServingTable
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.times import LONGEST_NS, NS_PER_SECOND, nanoseconds

MOST_USERS = 1_000_000
UPLOADS = ("batch", "on-arrival")

_CELL = (
    *("n_models", "sharing", "backbones", "theta", "theta_spread", "library_seed", "library", "request_skew"),
    *("radius_m", "bandwidth_hz", "tx_power_w_per_hz", "noise_w_per_hz", "path_loss_exponent"),
    "link_loss_db",
    *("fading", "upload_bits", "max_batch_size", "server"),
)
"""Fields that PartialLoading's scenario has, too, and checks."""


@dataclass(frozen=True)
class Scenario(Configured):
    """Everything that is fixed from episode to episode. SI units.

    Attributes:
        arrivals: "bursty" (2.5 · rate for a second and half the rate for three, both on average), "poisson", or
            "diurnal" (one wave an episode, the rate ± 70 %).
        arrival_rate: Users a second, lambda, on average.
        episode_seconds: Seconds T in which users arrive.
        drift: How often a second two models swap their popularity.
        relative_deadline: Seconds (low, high) of d_k - a_k, all equally likely.
        cache_bytes: GPU memory M for parameter blocks.
        eviction: "demand", "lru", "previous" or "agent", see `Instance`.
        upload: "batch": in the batch; "on-arrival": before, one user after the other.
        overlap: "none", or "upload": models load while users upload.
        n_models: Models I; 50 or, where a ``library`` is given, its own number, unless given.
        sharing: "bls" or "general", as in PartialLoading.
        backbones: Architectures that models are fine-tuned from, round-robin.
        theta: Mean fraction of a model's layers that are shared.
        theta_spread: Half width of the range from which each model's fraction is drawn.
        library_seed: Seed of the library, which is drawn once and stays.
        library: A given `ModelLibrary`, in place of a drawn one.
        request_skew: Zipf exponent of the requests over models; the ranks are drawn for every episode.
        radius_m: Radius of the cell in metres; users stand uniformly in it.
        bandwidth_hz: Uplink bandwidth B.
        tx_power_w_per_hz: Transmit power spectral density P.
        noise_w_per_hz: Noise power spectral density N0 (-174 dBm/Hz).
        path_loss_exponent: alpha.
        link_loss_db: Loss of every link in dB on top of d^-alpha, as in PartialLoading.
        fading: Only "episode": each user's channel is drawn once.
        upload_bits: Bits D that a user sends.
        max_batch_size: Batch cap b_cap besides GPU memory; it sizes the action space.
        server: The `EdgeServer`; its memory limits batches, as in PartialLoading.

    Raises:
        InvalidValue: A field is out of range, or a model does not fit into ``cache_bytes``.
        UnknownName: A backbone, or the server's profile of an architecture, does not exist.
    """

    arrivals: str = "bursty"
    arrival_rate: float = 120.0
    episode_seconds: float = 20.0
    drift: float = 0.0
    relative_deadline: tuple[float, float] = (0.2, 0.6)
    cache_bytes: int = 300_000_000
    eviction: str = "demand"
    upload: str = "batch"
    overlap: str = "none"
    n_models: int = None  # type: ignore[assignment]  # set in __post_init__
    sharing: str = "bls"
    backbones: tuple[str, ...] = ("resnet18", "resnet34", "resnet50")
    theta: float = 0.85
    theta_spread: float = 0.15
    library_seed: int = 0
    library: ModelLibrary | None = None
    request_skew: float = 0.9
    radius_m: float = 250.0
    bandwidth_hz: float = 200e6
    tx_power_w_per_hz: float = 5e-9
    noise_w_per_hz: float = 10**-20.4
    path_loss_exponent: float = 4.0
    link_loss_db: float = partial_loading.Scenario.link_loss_db
    fading: str = "episode"
    upload_bits: float = 128 * 128 * 3 * 8
    max_batch_size: int = 8
    server: EdgeServer = EdgeServer()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        require_one_of("arrivals", self.arrivals, ARRIVALS)
        require_real("arrival_rate", self.arrival_rate, 0, MOST_USERS, above=True)
        require_real("episode_seconds", self.episode_seconds, 0, LONGEST_NS / NS_PER_SECOND, above=True)
        expected = self.arrival_rate * self.episode_seconds
        most = MOST_USERS / MOST_FACTOR
        require_real("arrival_rate · episode_seconds", expected, 0.5, most)
        require_real("drift", self.drift, 0, 1e6)
        self._check_deadlines()
        require_integer("cache_bytes", self.cache_bytes, 0, MOST_BYTES)
        require_one_of("eviction", self.eviction, EVICTIONS)
        require_one_of("upload", self.upload, UPLOADS)
        require_one_of("overlap", self.overlap, OVERLAPS)
        require_one_of("fading", self.fading, ("episode",))
        cell = self.cell
        for name in ("n_models", "backbones"):
            object.__setattr__(self, name, getattr(cell, name))
        if self.eviction != "previous":
            largest = int((self.table.has_block @ self.table.block_bytes).max())
            fits = largest <= self.cache_bytes
            require(fits, "cache_bytes", self.cache_bytes, f"at least {largest}, the largest model")

    def _check_deadlines(self) -> None:
        value, name = self.relative_deadline, "relative_deadline"
        require(isinstance(value, (tuple, list)) and len(value) == 2, name, value, "a range (low, high)")
        require_real(f"{name}[0]", value[0], 1 / NS_PER_SECOND, LONGEST_NS / NS_PER_SECOND)
        require_real(f"{name}[1]", value[1], value[0], LONGEST_NS / NS_PER_SECOND)
        object.__setattr__(self, name, (float(value[0]), float(value[1])))

    def override(self, **overrides: Any) -> Scenario:
        """This scenario with fields replaced; a given ``library`` sets ``n_models`` as well.

        Raises:
            UnknownName: There is no such field.
            InvalidValue: A field is out of range.
        """
        if isinstance(overrides.get("library"), ModelLibrary):
            overrides = {"n_models": overrides["library"].n_models} | overrides
        return super().override(**overrides)

    # ------------------------------------------------------------ what follows from the fields

    @cached_property
    def cell(self) -> partial_loading.Scenario:
        """PartialLoading's scenario of the same library, server and radio."""
        return partial_loading.Scenario(**{name: getattr(self, name) for name in _CELL})

    @property
    def table(self) -> ServingTable:
        """The library on the server, in nanoseconds."""
        return self.cell.table

    @property
    def most_users(self) -> int:
        """Most users of an episode: 2.5 · lambda · T; one with more, or with none, is drawn anew."""
        return max(1, floor(MOST_FACTOR * self.arrival_rate * self.episode_seconds))

    @property
    def longest_deadline_ns(self) -> int:
        """The longest d_k - a_k in nanoseconds, of which observed times are fractions."""
        return nanoseconds(self.relative_deadline[1])

    @cached_property
    def tables(self) -> Tables:
        """The library on the server as the kernels take it."""
        eviction = EVICTIONS.index(self.eviction)
        return tables_from(
            self.table, int(self.cache_bytes), eviction, self.overlap == "upload", self.longest_deadline_ns
        )

    @cached_property
    def draws(self) -> Draws:
        """What `arrivals.draw_users` takes."""
        low, high = (NS_PER_SECOND * seconds for seconds in self.relative_deadline)
        kind = ARRIVALS.index(self.arrivals)
        numbers = (kind, self.arrival_rate, self.episode_seconds, self.drift, low, high - low)
        return Draws(
            radio=np.array(self.cell.radio, dtype=np.float64),
            cumulative=self.cell.request_cumulative,
            numbers=np.array([*numbers, self.upload == "on-arrival"], dtype=np.float64),
        )

    # ------------------------------------------------------------ drawing

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw one episode.

        The environment's ``reset`` draws the very same numbers from the same state of the generator.

        Args:
            rng: The source of all randomness.
        """
        users = np.empty((self.most_users, USER_COLUMNS), dtype=np.int64)
        function, state = generator_addresses([rng])[0].tolist()
        count = draw_users(function, state, self.draws, np.empty(self.n_models, dtype=np.int64), users)
        return self.instance(users[:count])

    def instance(self, users: Ints) -> Instance:
        """The instance of this scenario with the given users, int64 (K, 5), columns as in `arrays`."""
        model, ready, deadline, upload, arrival = users.T
        return Instance(
            table=self.table,
            requested_model=model,
            arrival_ns=arrival,
            deadline_ns=deadline,
            upload_ns=upload,
            cache_bytes=int(self.cache_bytes),
            ready_ns=ready,
            eviction=self.eviction,
            overlap=self.overlap,
        )

    # ------------------------------------------------------------ JSON

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; a given library stands as its content hash, and `from_dict` needs it handed in."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["library"] = None if self.library is None else self.library.content_hash()
        values["server"] = asdict(self.server)
        return dict(json.loads(json.dumps(values, default=lambda number: number.item())))  # NumPy's numbers

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], library: ModelLibrary | None = None) -> Scenario:
        """The scenario that `to_dict` described.

        Raises:
            InvalidValue: A field is out of range, or the library is not the one described.
            UnknownName: There is no such field.
        """
        found = None if library is None else library.content_hash()
        require(values.get("library") == found, "library", found, f"the library with hash {values.get('library')}")
        try:
            parts = dict(values["server"])
            profiles = tuple(ComputeProfile(**profile) for profile in parts.pop("profiles"))
            server = EdgeServer(**parts, profiles=profiles)
        except (KeyError, TypeError, AttributeError):
            raise InvalidValue(f"server is {values.get('server')!r}; it must be as to_dict wrote it") from None
        return cls().override(**(dict(values) | {"library": library, "server": server}))


def _tiny() -> dict[str, Any]:
    """About four users, three models of PartialLoading's tiny library; the case that is worked by hand.

    At 1 GB/s, model 0 = base (100 ms) + head (20 ms), model 1 = base + head (20 ms), model 2 = 60 ms of its own. A
    batch computes for 10 ms and 1 ms per user; every upload takes about 0.1 ms. Models 0 and 2 fit into memory
    together, and 0 and 1, but not all three.
    """
    offline = partial_loading.Scenario.preset("tiny")
    return {
        "library": offline.library,
        "server": offline.server,
        "radius_m": 50.0,
        "link_loss_db": 0.0,
        "max_batch_size": 2,
        "arrivals": "poisson",
        "arrival_rate": 16.0,
        "episode_seconds": 0.25,
        "relative_deadline": (0.2, 0.2),
        "request_skew": 0.0,
        "cache_bytes": 180_000_000,
    }


Scenario.PRESETS = {"online": lambda: {}, "online-lru": lambda: {"eviction": "lru"}, "tiny": _tiny}
