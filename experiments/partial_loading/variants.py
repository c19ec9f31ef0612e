"""The sensitivity study: constants that the paper does not publish, each changed on its own, and a few pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.server import EdgeServer

UNCHANGED = "nothing"
"""Label of the constants as they are, on the instances of the study."""

_DEFAULT = Scenario()


@dataclass(frozen=True)
class Variant:
    """A change of constants.

    Attributes:
        label: What is changed.
        overrides: The fields changed.
        presets: Presets it applies to; the others stay as they are.
        alone: One constant; two of them are no answer to which constant moves what.
    """

    label: str
    overrides: Mapping[str, Any]
    presets: tuple[str, ...] = ("bls", "general")
    alone: bool = True


def _server(loading: float = 1.0, computing: float = 1.0) -> EdgeServer:
    """The default server, so many times as fast."""
    server = _DEFAULT.server
    return replace(
        server,
        disk_bytes_per_second=server.disk_bytes_per_second * loading,
        gpu_bytes_per_second=server.gpu_bytes_per_second * loading,
        profiles=tuple(
            replace(
                profile,
                seconds_per_sample=profile.seconds_per_sample / computing,
                seconds_per_batch=profile.seconds_per_batch / computing,
            )
            for profile in server.profiles
        ),
    )


def _upload(times: float) -> dict[str, float]:
    return {"upload_bits": _DEFAULT.upload_bits * times}


VARIANTS = (
    Variant("loading rate × 0.5", {"server": _server(loading=0.5)}),
    Variant("loading rate × 1.5", {"server": _server(loading=1.5)}),
    Variant("loading rate × 2", {"server": _server(loading=2.0)}),
    Variant("compute rate × 2", {"server": _server(computing=2.0)}),
    Variant("request skew 0.5", {"request_skew": 0.5}),
    Variant("request skew 1", {"request_skew": 1.0}),
    Variant("θ spread 0", {"theta_spread": 0.0}),
    Variant("slots of 1 ms", {"slot": 1e-3}),
    Variant("slots of 5 ms", {"slot": 5e-3}),
    Variant("slots of 20 ms", {"slot": 20e-3}),
    Variant("upload size × 2", _upload(2)),
    Variant("upload size × 4", _upload(4)),
    Variant("no link loss", {"link_loss_db": 0.0}),
    Variant("link loss 15 dB", {"link_loss_db": 15.0}),
    Variant("link loss 17 dB", {"link_loss_db": 17.0}),
    Variant("link loss 20 dB", {"link_loss_db": 20.0}),
    Variant("batch cap 20", {"max_batch_size": 20}),
    Variant(
        "general: bls' 50 models",
        {"n_models": _DEFAULT.n_models, "backbones": _DEFAULT.backbones},
        presets=("general",),
    ),
    Variant("slots of 5 ms, no link loss", {"slot": 5e-3, "link_loss_db": 0.0}, alone=False),
    Variant("upload size × 4, no link loss", _upload(4) | {"link_loss_db": 0.0}, alone=False),
)
"""An upload of four times the bits is the image in single precision instead of 8-bit pixels. The spread of θ cannot
grow: at θ = 85 % it already reaches 100 %."""
