"""Trained agents of all systems: a network and what it was trained on, saved to a folder and found by its name."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from agents.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from pl_env.errors import FileFormatError, InvalidValue, UnknownName, shown
from pl_env.systems import FIRST, SYSTEMS

TRAINED = Path(__file__).parent / "trained"
"""Where the agents lie that come with the package."""


class TrainedAgent:
    """What the agents of all systems share. ``agents.<system>.Agent`` is its system's, and can build a network and act.

    Attributes:
        SYSTEM: The system whose environments it plays.
        KIND: Name of the class in its system's room.
    """

    SYSTEM: ClassVar[str]
    KIND: ClassVar[str] = "Agent"

    def __init__(self, network: nn.Module, trained_on: dict[str, Any] | None = None) -> None:
        """Wrap a network.

        Args:
            network: The network; set to evaluation mode.
            trained_on: What to remember of its training, as JSON types.
        """
        self.network = network.eval()
        self.trained_on = trained_on or {}

    @property
    def network_config(self) -> dict[str, Any]:
        """What `build_network` builds such a network from, as JSON types."""
        raise NotImplementedError

    @classmethod
    def build_network(cls, config: dict[str, Any]) -> nn.Module:
        """A network with fresh weights.

        Raises:
            InvalidValue: A number is out of range.
        """
        raise NotImplementedError

    def act(self, observation: Any, info: dict[str, Any], env: Any) -> Any:
        """The next action in an environment, unwrapped; `observation` and `info` are what it returned last."""
        raise NotImplementedError

    def __repr__(self) -> str:
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        rounds = self.trained_on.get("rounds")
        trained = "not trained" if rounds is None else f"trained for {shown(rounds)} rounds"
        return f"<Agent of {self.SYSTEM}: {weights:,} weights, {trained}>"

    def header(self) -> dict[str, Any]:
        """What a checkpoint says besides the weights, as JSON types."""
        return {
            "system": self.SYSTEM,
            "agent": self.KIND,
            "network": self.network_config,
            "trained_on": self.trained_on,
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the agent to a folder: weights.safetensors and checkpoint.json.

        Raises:
            InvalidValue: The folder holds something else than an agent, which would be lost.
        """
        save_checkpoint(folder, self.header(), {"weights": self.network.state_dict()})


def trained_agents() -> list[str]:
    """Names of the agents that come with the package, such as "partial_loading/bls"."""
    return sorted(path.parent.relative_to(TRAINED).as_posix() for path in TRAINED.glob("*/*/checkpoint.json"))


def _kind(system: str, name: object, folder: Path) -> type[TrainedAgent]:
    """The class of a system's agent; the first release named none."""
    kind = getattr(import_module(f"agents.{system}"), str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, TrainedAgent)):
        raise FileFormatError(f"{folder}: an agent of the kind {name!r}, which this release does not have")
    return kind


def load(name_or_folder: str | os.PathLike[str]) -> Any:
    """An agent that comes with the package, by its name; or one that `TrainedAgent.save` or a training run wrote.

    Args:
        name_or_folder: One of `trained_agents()`, which have precedence ("bls" is short for "partial_loading/bls"), or
            a folder.

    Returns:
        An ``Agent`` of the system that the checkpoint names.

    Raises:
        UnknownName: There is no agent of that name, and no such folder.
        FileFormatError: The folder is no checkpoint, or damaged; nothing in it is executed.
    """
    name = os.fspath(name_or_folder)
    named = name if "/" in name else f"{FIRST}/{name}"
    folder = TRAINED / named if named in trained_agents() else Path(name_or_folder)
    if named.partition("/")[0] in SYSTEMS and not is_checkpoint(folder):
        raise UnknownName("agent or folder", name, trained_agents())
    header, parts = load_checkpoint(folder, "weights")
    system = str(header.get("system", FIRST))  # the first release wrote none
    if system not in SYSTEMS:
        raise FileFormatError(f"{folder}: an agent of the system {system!r}, which this release does not have")
    kind = _kind(system, header.get("agent", "Agent"), folder)
    try:
        network = kind.build_network(header["network"])
        network.load_state_dict(parts["weights"])
    except (KeyError, TypeError, RuntimeError, InvalidValue) as error:
        reason = str(error).splitlines()[0]
        raise FileFormatError(f"{folder}: its weights do not fit its network ({reason})") from None
    return kind(network, header.get("trained_on"))
