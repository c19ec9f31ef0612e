"""What was decided for every prompt, and the timeline that it implies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start_stream.dynamics import (
    FINISH,
    LAST,
    LRU,
    N_STAGES,
    PLACED,
    PROMPT,
    START,
    Memory,
    capacity,
    missing,
    place,
)
from pl_env.cold_start_stream.instance import Instance
from pl_env.errors import InvalidValue
from pl_env.times import NS_PER_SECOND

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """One device's part in a prompt; times are nanoseconds.

    Attributes:
        prompt: Which prompt.
        model: Its model.
        device: The device.
        first: Its first layer, from 0.
        count: How many layers it has.
        loaded: How many of them it had to load.
        start_ns: When the prompt began, and loading with it.
        load_ns: How long the device loads.
        before_ns: When the stage before is done.
        transfer_ns: How long the activation takes on its way here, from the later of the two on.
        compute_ns: How long it computes, from then on.
        finish_ns: When it is done.
    """

    prompt: int
    model: int
    device: int
    first: int
    count: int
    loaded: int
    start_ns: int
    load_ns: int
    before_ns: int
    transfer_ns: int
    compute_ns: int
    finish_ns: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Which devices get how many layers of each prompt's model, one prompt after the other.

    Attributes:
        stages: int64 (S, 3), of all prompts: device, layers, and the model whose layers leave first where room is
            needed, -1 for those used longest ago. A prompt ends where all layers of its model are placed.
        finish_ns: int64, when each prompt is done whose layers are all placed.
        n_prompts: Number of prompts N of the instance; of an episode under way fewer are done.
        latency_ns: Sum over the prompts done of the time from arrival to finish.
        worst_ns: What counts instead while not all are done: no plan is worse.
        solver: Name of what made the plan.
        status: "optimal" where no plan has a lower mean latency, else "feasible".
        bound: No plan has a lower mean latency than this, in seconds.
        elapsed: Seconds the solver took.
    """

    SENSE: ClassVar[str] = "min"

    stages: Ints
    finish_ns: Ints
    n_prompts: int
    latency_ns: int
    worst_ns: int
    solver: str = ""
    status: str = "feasible"
    bound: float = 0.0
    elapsed: float = 0.0

    @classmethod
    def of(cls, instance: Instance, stages: Iterable[tuple[int, int, int]] | Ints, **about: Any) -> Plan:
        """The plan of some stages; nobody has checked it yet, but for devices and layers that are not there.

        Args:
            instance: The instance.
            stages: Device, layers, and the model evicted first or -1, of each stage.
            **about: ``solver``, ``status``, ``bound`` and ``elapsed``.

        Raises:
            InvalidValue: A stage has a device, layers or a model that are not there, or too many layers to be held.
        """
        rows = np.array(list(stages), dtype=np.int64).reshape(-1, 3)
        memory = instance.begun()
        for device, count, victim in rows.tolist():
            _require_possible(instance, memory, device, count, victim)
            place(instance.tables, memory, device, count, victim)
        return cls.so_far(instance, memory, **about)

    @classmethod
    def so_far(cls, instance: Instance, memory: Memory, **about: Any) -> Plan:
        """The plan that an episode has come to."""
        done = int(memory.state[PROMPT])
        finish = memory.finish_ns[:done].copy()
        latency = sum(finish.tolist()) - sum(instance.arrival_ns[:done].tolist())
        stages = memory.stages[: memory.state[N_STAGES]].copy()
        return cls(stages, finish, instance.n_prompts, latency, instance.worst_latency_ns, **about)

    def __len__(self) -> int:
        return len(self.stages)

    @property
    def is_whole(self) -> bool:
        """Whether all prompts are done."""
        return len(self.finish_ns) == self.n_prompts

    @property
    def objective(self) -> float:
        """Mean seconds from arrival to finish where all prompts are done; else the worst there is."""
        total = self.latency_ns if self.is_whole else self.worst_ns
        return total / NS_PER_SECOND / max(1, self.n_prompts)

    def actions(self, env: Any) -> list[int]:
        """What to play in an environment, unwrapped, to get it: (device · L_max + layers − 1) · (M + 1) + model + 1."""
        most, choices = env.most_layers, env.most_models + 1
        return [(device * most + count - 1) * choices + victim + 1 for device, count, victim in self.stages.tolist()]

    def timeline(self, instance: Instance) -> list[Stage]:
        """The stages with their times, equations (17) to (21)."""
        t, m, found = instance.tables, instance.begun(), list[Stage]()
        for device, count, victim in self.stages.tolist():
            prompt, first, start, before, last = (int(m.state[e]) for e in (PROMPT, PLACED, START, FINISH, LAST))
            model = int(instance.model[prompt])
            loaded = int(missing(t, m, prompt, device, first, first + count))
            transfer = int(instance.transfer_ns[prompt, last, device]) if last >= 0 else 0
            place(t, m, device, count, victim)
            load, compute = loaded * int(t.load_ns[device, model]), count * int(t.compute_ns[prompt, device])
            finish = max(start + load, before) + transfer + compute
            found.append(
                Stage(prompt, model, device, first, count, loaded, start, load, before, transfer, compute, finish)
            )
        return found

    def __repr__(self) -> str:
        return f"<Plan {self}>"

    def __str__(self) -> str:
        done = f"mean latency {self.objective:.6f} s" if self.is_whole else f"{len(self.finish_ns)} prompts done"
        return (
            f"{self.solver or 'plan'}: {done}, {self.n_prompts} prompts, {len(self)} stages "
            f"({self.elapsed:.3f} s, {self.status})"
        )


def _require_possible(instance: Instance, memory: Memory, device: int, count: int, victim: int) -> None:
    """Raise unless the kernels can take a stage."""
    state = memory.state
    prompt, placed = int(state[PROMPT]), int(state[PLACED])
    stage = f"stage {int(state[N_STAGES]) + 1} is ({device}, {count}, {victim})"
    if prompt >= instance.n_prompts:
        raise InvalidValue(f"{stage}; all prompts are done by then")
    left = int(instance.n_layers[instance.model[prompt]]) - placed
    if not (0 <= device < instance.n_devices and LRU <= victim < instance.n_models and 1 <= count <= left):
        sizes = f"a device below {instance.n_devices}, 1 to {left} layers, a model below {instance.n_models} or -1"
        raise InvalidValue(f"{stage}; it must be {sizes}")
    if count > capacity(instance.tables, prompt, device):
        raise InvalidValue(f"{stage}; the device cannot hold so many layers")
