"""A family of episodes: constants of the radio, the library and the server, and named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.configured import Configured
from pl_env.errors import InvalidValue, UnknownName
from pl_env.layers import ARCHITECTURES
from pl_env.partial_loading.dynamics import draw_users
from pl_env.partial_loading.instance import FADING, Instance
from pl_env.partial_loading.library import SHARING, ModelLibrary, build_library, most_blocks
from pl_env.partial_loading.server import ComputeProfile, EdgeServer
from pl_env.partial_loading.serving_table import LARGEST_BATCH, ServingTable
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.times import LONGEST_NS, NS_PER_SECOND, nanoseconds

MOST_USERS = 1_000_000


@dataclass(frozen=True)
class Scenario(Configured):
    """Everything that is fixed from episode to episode. SI units; the defaults are the paper's setting.

    Attributes:
        n_users: Users K of an episode, or a range (low, high), both included, from which each episode draws.
        n_models: Models I in the library; 50 or, where a ``library`` is given, its own number, unless given.
        sharing: "bls" (bottom layers shared within a cluster) or "general" (layers at arbitrary positions).
        backbones: Architectures that models are fine-tuned from, round-robin; one cluster each.
        theta: Mean fraction of a model's layers that are shared.
        theta_spread: Half width of the range from which each model's fraction is drawn.
        library_seed: Seed of the library, which is drawn once and stays.
        resample_library: Draw a new library for every episode instead, from the episode's generator.
        library: A given `ModelLibrary`, in place of a drawn one; ``n_models`` must agree with it.
        request_skew: Zipf exponent of the requests over models; 0 is uniform.
        radius_m: Radius of the cell in metres; users stand uniformly in it.
        bandwidth_hz: Uplink bandwidth B.
        tx_power_w_per_hz: Transmit power spectral density P.
        noise_w_per_hz: Noise power spectral density N0 (-174 dBm/Hz).
        path_loss_exponent: alpha.
        link_loss_db: Loss of every link in dB besides d^-alpha (antennas, noise figure, reference loss). Not published;
            the default makes the paper's ablation of bandwidth come out (docs/model.md).
        fading: "episode" (one channel draw, as in the paper) or "batch" (pending users are drawn anew before every
            batch).
        upload_bits: Bits D_k that a user sends (a raw 128×128 RGB image).
        deadline: T_bar in seconds, from a nanosecond to one hour.
        slot: Slot length in seconds; only the slotted planners use it.
        max_batch_size: Batch cap b_cap besides GPU memory; it sizes the action space.
        server: The `EdgeServer`.

    Raises:
        InvalidValue: A field is out of range.
        UnknownName: A backbone, or the server's profile of an architecture, does not exist.
    """

    n_users: int | tuple[int, int] = 80
    n_models: int = None  # type: ignore[assignment]  # set in __post_init__
    sharing: str = "bls"
    backbones: tuple[str, ...] = ("resnet18", "resnet34", "resnet50")
    theta: float = 0.85
    theta_spread: float = 0.15
    library_seed: int = 0
    resample_library: bool = False
    library: ModelLibrary | None = None
    request_skew: float = 0.0
    radius_m: float = 250.0
    bandwidth_hz: float = 200e6
    tx_power_w_per_hz: float = 5e-9
    noise_w_per_hz: float = 10**-20.4
    path_loss_exponent: float = 4.0
    link_loss_db: float = 16.0
    fading: str = "episode"
    upload_bits: float = 128 * 128 * 3 * 8
    deadline: float = 0.7
    slot: float = 0.010
    max_batch_size: int = 8
    server: EdgeServer = EdgeServer()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        require(isinstance(self.server, EdgeServer), "server", self.server, "an EdgeServer")
        self._check_users()
        self._check_library()
        require_real("radius_m", self.radius_m, 1, 1e6)
        require_real("bandwidth_hz", self.bandwidth_hz, 1, 1e12)
        require_real("tx_power_w_per_hz", self.tx_power_w_per_hz, 0, 1, above=True)
        require_real("noise_w_per_hz", self.noise_w_per_hz, 0, 1, above=True)
        require_real("path_loss_exponent", self.path_loss_exponent, 0, 10)
        require_real("link_loss_db", self.link_loss_db, 0, 200)
        require_one_of("fading", self.fading, FADING)
        require_real("upload_bits", self.upload_bits, 0, 1e15, above=True)
        require_real("deadline", self.deadline, 1 / NS_PER_SECOND, LONGEST_NS / NS_PER_SECOND)
        require_real("slot", self.slot, 1e-6, LONGEST_NS / NS_PER_SECOND)
        require_integer("max_batch_size", self.max_batch_size, 1, LARGEST_BATCH)

    def _check_users(self) -> None:
        if isinstance(self.n_users, (tuple, list)):
            require(len(self.n_users) == 2, "n_users", self.n_users, "an integer or a range (low, high)")
            low, high = self.n_users
            require_integer("n_users[0]", low, 1, MOST_USERS)
            require_integer("n_users[1]", high, low, MOST_USERS)
            object.__setattr__(self, "n_users", (int(low), int(high)))
        else:
            require_integer("n_users", self.n_users, 1, MOST_USERS)
        require_real("request_skew", self.request_skew, 0, 10)

    def _check_library(self) -> None:
        require(
            self.library is None or isinstance(self.library, ModelLibrary), "library", self.library, "a ModelLibrary"
        )
        if self.n_models is None:
            object.__setattr__(self, "n_models", 50 if self.library is None else self.library.n_models)
        require_integer("n_models", self.n_models, 1, 100_000)
        require_one_of("sharing", self.sharing, SHARING)
        require(isinstance(self.backbones, (tuple, list)), "backbones", self.backbones, "a tuple of architectures")
        object.__setattr__(self, "backbones", tuple(self.backbones))
        require(len(self.backbones) >= 1, "backbones", self.backbones, "at least one architecture")
        require_real("theta", self.theta, 0, 1)
        require_real("theta_spread", self.theta_spread, 0, 1)
        require_integer("library_seed", self.library_seed, 0)
        require(isinstance(self.resample_library, bool), "resample_library", self.resample_library, "True or False")
        if self.library is None:
            for backbone in self.backbones:
                if backbone not in ARCHITECTURES:
                    raise UnknownName("backbone", backbone, ARCHITECTURES)
                self.server.profile(backbone)
            return
        require(not self.resample_library, "resample_library", True, "False where a library is given")
        same = self.library.n_models == self.n_models
        require(same, "n_models", self.n_models, f"{self.library.n_models}, as in the library")
        for architecture in self.library.architectures:
            self.server.profile(architecture)

    # ------------------------------------------------------------ presets

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

    @property
    def most_users(self) -> int:
        """Largest number of users of any episode."""
        return self.n_users[1] if isinstance(self.n_users, tuple) else self.n_users

    @cached_property
    def most_blocks(self) -> int:
        """Largest number of parameter blocks J of any episode; the size of the observation ``resident``."""
        if self.resample_library:
            return most_blocks(self.sharing, self.n_models, self.backbones)
        return self.table.n_blocks

    @cached_property
    def table(self) -> ServingTable:
        """The library on the server, in nanoseconds; drawn from ``library_seed`` unless given."""
        if self.library is not None:
            return self.server.table(self.library, self.max_batch_size)
        return self.draw_table(np.random.default_rng(self.library_seed))

    def draw_table(self, rng: np.random.Generator) -> ServingTable:
        """Draw a library and put it on the server."""
        library = build_library(self.sharing, self.n_models, self.backbones, self.theta, self.theta_spread, rng)
        return self.server.table(library, self.max_batch_size)

    @cached_property
    def request_cumulative(self) -> NDArray[np.float64]:
        """Cumulative request probabilities of the models, float64 (I,): Zipf with exponent ``request_skew``."""
        weights = np.arange(1, self.n_models + 1, dtype=np.float64) ** -self.request_skew
        return np.cumsum(weights / weights.sum())

    @property
    def unit_upload_ns(self) -> float:
        """Nanoseconds D / B of an upload at 1 bit/s/Hz."""
        return self.upload_bits / self.bandwidth_hz * NS_PER_SECOND

    @property
    def deadline_ns(self) -> int:
        """The deadline in nanoseconds."""
        return nanoseconds(self.deadline)

    @property
    def slot_ns(self) -> int:
        """The length of a slot in nanoseconds."""
        return nanoseconds(self.slot)

    @property
    def radio(self) -> tuple[float, float, float, float]:
        """Radius, P · 10^(-loss / 10) / N0, alpha and D / B in nanoseconds: what `dynamics.draw_users` takes."""
        tx_to_noise = self.tx_power_w_per_hz / self.noise_w_per_hz * 10 ** (-self.link_loss_db / 10)
        return float(self.radius_m), tx_to_noise, float(self.path_loss_exponent), self.unit_upload_ns

    # ------------------------------------------------------------ drawing

    def draw_n_users(self, rng: np.random.Generator) -> int:
        """Number of users of the next episode; takes from the generator only where it is a range."""
        if isinstance(self.n_users, tuple):
            return int(rng.integers(self.n_users[0], self.n_users[1] + 1))
        return self.n_users

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw one episode.

        The environment's ``reset`` draws the very same numbers from the same state of the generator.

        Args:
            rng: The source of all randomness.
        """
        table = self.draw_table(rng) if self.resample_library else self.table
        n_users = self.draw_n_users(rng)
        requested_model = np.empty(n_users, dtype=np.int64)
        mean_snr = np.empty(n_users)
        upload_ns = np.empty(n_users, dtype=np.int64)
        draw_users(rng.random((3, n_users)), self.request_cumulative, *self.radio, requested_model, mean_snr, upload_ns)
        return self.instance(table, requested_model, mean_snr, upload_ns)

    def instance(
        self,
        table: ServingTable,
        requested_model: NDArray[np.int64],
        mean_snr: NDArray[np.float64],
        upload_ns: NDArray[np.int64],
    ) -> Instance:
        """The instance of this scenario with the given draws."""
        return Instance(
            table=table,
            requested_model=requested_model,
            upload_ns=upload_ns,
            deadline_ns=self.deadline_ns,
            slot_ns=self.slot_ns,
            fading=self.fading,
            mean_snr=mean_snr,
            unit_upload_ns=self.unit_upload_ns,
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

        One without ``link_loss_db`` was written before there was a link loss, and has none.

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
        return cls().override(**({"link_loss_db": 0.0} | dict(values) | {"library": library, "server": server}))


def _tiny() -> dict[str, Any]:
    """Five users, three models; the optimum can be found on paper.

    At 1 GB/s, model 0 = base (100 ms) + head (20 ms), model 1 = base + head (20 ms), model 2 = 60 ms of its own. A
    batch computes for 10 ms and 1 ms per user; every upload takes about 0.1 ms; two users at most share a batch;
    T_bar is 180 ms. So models 0 and 1 together cost 140 ms of loading, and model 2 fits beside neither of them alone
    (at most 60 + 120 + 22 ms) nor both.
    """
    base, head, own = 100_000_000, 20_000_000, 60_000_000
    library = ModelLibrary(
        has_block=np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], dtype=np.bool_),
        block_bytes=np.array([base, head, head, own]),
        architectures=("toy", "toy", "toy"),
        model_names=("base-a", "base-b", "other"),
    )
    server = EdgeServer(2e9, 2e9, 0.0, 1_000_000_000, (ComputeProfile("toy", 1e-3, 10e-3, 0),))
    return {
        "n_users": 5,
        "library": library,
        "server": server,
        "radius_m": 50.0,
        "link_loss_db": 0.0,
        "deadline": 0.18,
        "max_batch_size": 2,
    }


Scenario.PRESETS = {
    "bls": lambda: {},
    "general": lambda: {"sharing": "general", "n_models": 25, "backbones": ("resnet50",)},
    "general-hard": lambda: {"sharing": "general", "n_models": 25, "backbones": ("resnet50",), "deadline": 0.35},
    "fading": lambda: {"bandwidth_hz": 20e6, "fading": "batch"},
    "tiny": _tiny,
}
