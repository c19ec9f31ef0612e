"""What was decided, and the timeline that it implies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.dynamics import stage_end
from pl_env.cold_start.instance import Instance
from pl_env.errors import InvalidValue, abbreviated
from pl_env.times import NS_PER_SECOND

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """One device's part; times are nanoseconds since the start.

    Attributes:
        device: The device.
        first: Its first layer, from 0.
        count: How many layers it has.
        load_ns: When its layers are loaded.
        before_ns: When the stage before is done.
        transfer_ns: How long the activation takes on its way here, from the later of the two on.
        compute_ns: How long it computes, from then on.
        finish_ns: When it is done.
    """

    device: int
    first: int
    count: int
    load_ns: int
    before_ns: int
    transfer_ns: int
    compute_ns: int
    finish_ns: int

    @property
    def idle_ns(self) -> int:
        """How long its layers wait for the stage before, equation (24)."""
        return max(0, self.before_ns - self.load_ns)


@dataclass(frozen=True, eq=False)
class Plan:
    """Which devices get how many layers, one after the other.

    Attributes:
        devices: int64 (N,), in the order of the layers.
        counts: int64 (N,), how many layers each gets.
        n_layers: Number of layers L of the instance; of an episode under way fewer are placed.
        finish_ns: When the last stage is done.
        worst_ns: What counts instead while not all layers are placed: no plan is worse.
        solver: Name of what made the plan.
        status: "optimal" where no plan is done earlier, else "feasible".
        bound: No plan is done earlier than this many seconds.
        elapsed: Seconds the solver took.
    """

    SENSE: ClassVar[str] = "min"

    devices: Ints
    counts: Ints
    n_layers: int
    finish_ns: int
    worst_ns: int
    solver: str = ""
    status: str = "feasible"
    bound: float = 0.0
    elapsed: float = 0.0

    @classmethod
    def of(cls, instance: Instance, stages: list[tuple[int, int]], **about: Any) -> Plan:
        """The plan of pairs of a device and a number of layers; nobody has checked it yet.

        Args:
            instance: The instance.
            stages: The pairs.
            **about: ``solver``, ``status``, ``bound`` and ``elapsed``.
        """
        devices, counts = np.array(stages, dtype=np.int64).reshape(-1, 2).T.copy()
        stages_ns = timeline(instance, devices, counts)
        finish = stages_ns[-1].finish_ns if stages_ns else instance.ready_ns
        return cls(devices, counts, instance.n_layers, finish, instance.ready_ns + instance.worst_ns, **about)

    @classmethod
    def parse(cls, text: str, instance: Instance, **about: Any) -> Plan:
        """A plan from text such as "3:7 4:5 1:14 2:14", device (from 1, or its name) and layers.

        Raises:
            InvalidValue: It is something else, or layers or devices are too many.
        """
        stages: list[tuple[int, int]] = []
        names = {name: device for device, name in enumerate(instance.names)}
        for word in text.split():
            device, _, count = word.rpartition(":")
            if not device or not re.fullmatch(r"\d{1,6}", count):
                raise InvalidValue(f"plan is {text!r}; it must be device:layers, such as '3:7 4:5 1:14 2:14'")
            place = names.get(device, int(device) - 1 if re.fullmatch(r"\d{1,6}", device) else -1)
            if not 0 <= place < instance.n_devices:
                devices = f"from 1 to {instance.n_devices}, or one of: {', '.join(instance.names)}"
                raise InvalidValue(f"plan is {text!r}; its devices must be {abbreviated(devices, 200)}")
            stages.append((place, int(count)))
        total = sum(count for _, count in stages)
        if total > instance.n_layers:
            raise InvalidValue(f"plan is {text!r}, of {total} layers; the model has {instance.n_layers}")
        return cls.of(instance, stages, **about)

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def is_whole(self) -> bool:
        """Whether all layers are placed."""
        return int(self.counts.sum()) == self.n_layers

    @property
    def finish_seconds(self) -> float:
        """T, when the last stage is done."""
        return self.finish_ns / NS_PER_SECOND

    @property
    def objective(self) -> float:
        """`finish_seconds` where all layers are placed; else the worst there is."""
        return (self.finish_ns if self.is_whole else self.worst_ns) / NS_PER_SECOND

    def actions(self, env: Any) -> list[int]:
        """What to play in an environment, unwrapped, to get it: device · L_max + layers − 1."""
        most = env.most_layers
        return [int(device) * most + int(count) - 1 for device, count in zip(self.devices, self.counts, strict=True)]

    def stages(self, instance: Instance) -> list[Stage]:
        """The timeline."""
        return timeline(instance, self.devices, self.counts)

    @property
    def text(self) -> str:
        """Device (from 1) and layers of each stage, such as "3:7 4:5 1:14 2:14"."""
        pairs = zip(self.devices, self.counts, strict=True)
        return " ".join(f"{device + 1}:{count}" for device, count in pairs) or "nothing"

    def __repr__(self) -> str:
        return f"<Plan {self}>"

    def __str__(self) -> str:
        when = (
            f"{self.finish_seconds:.6f} s" if self.is_whole else f"{int(self.counts.sum())} of {self.n_layers} layers"
        )
        return f"{self.solver or 'plan'}: {when}, {self.text} ({self.elapsed:.3f} s, {self.status})"


def timeline(instance: Instance, devices: Ints, counts: Ints) -> list[Stage]:
    """The stages of a plan, equations (17) to (21)."""
    problem = instance.problem
    stages: list[Stage] = []
    first, previous, finish = 0, instance.previous, instance.ready_ns
    for device, count in zip(devices.tolist(), counts.tolist(), strict=True):
        last = first + count
        done = int(stage_end(problem, device, first, last, previous, finish))
        load = int(problem.load_sum[device, last] - problem.load_sum[device, first])
        transfer = int(instance.transfer_ns[first, previous, device]) if previous >= 0 and count else 0
        compute = int(problem.compute_sum[device, last] - problem.compute_sum[device, first])
        stages.append(Stage(device, first, count, load, finish, transfer, compute, done))
        first, previous, finish = last, device, done
    return stages
