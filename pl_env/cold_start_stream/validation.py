"""An independent judge of plans: everything recomputed from the instance in plain Python integers, without tolerance.

It shares no code with ``dynamics.py``, so that an error there cannot hide here.
"""

from __future__ import annotations

import numpy as np

from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.errors import InfeasibleSchedule

Held = dict[tuple[int, int], int]
"""What a device has in memory: the number of the last prompt that used it, by model and layer."""


def check(plan: Plan, instance: Instance) -> None:
    """Accept a plan that the instance allows: devices, layers, memory, and when every prompt is done.

    A plan may place the layers of the first prompts alone, as one of an episode under way does.

    Raises:
        InfeasibleSchedule: A constraint is broken; the message says which, and by which stage.
    """
    _check_form(plan, instance)
    finish = _replay(plan, instance)
    if plan.finish_ns.tolist() != finish:
        raise InfeasibleSchedule(f"plan: says that prompts are done after {plan.finish_ns.tolist()[:5]} ...; not so")
    latency = sum(done - int(arrival) for done, arrival in zip(finish, instance.arrival_ns, strict=False))
    if plan.latency_ns != latency:
        raise InfeasibleSchedule(f"plan: says that latencies sum to {plan.latency_ns} ns; that is {latency}")
    _check_claims(plan, instance, latency)


def _replay(plan: Plan, instance: Instance) -> list[int]:
    """When each prompt is done whose layers are all placed."""
    held = [_held_at_first(instance, device) for device in range(len(instance.memory_bytes))]
    used = {device for device, is_used in enumerate(instance.used.tolist()) if is_used}
    prompt, layer, previous = 0, int(instance.placed), int(instance.previous)
    start, before = int(instance.start_ns), int(instance.ready_ns)
    finish: list[int] = []
    for number, (device, count, victim) in enumerate(plan.stages.tolist(), start=1):
        where = f"plan: stage {number}"
        if prompt >= len(instance.model):
            raise InfeasibleSchedule(f"{where}: all prompts are done by then")
        model = int(instance.model[prompt])
        n_layers = int(instance.n_layers[model])
        if not 0 <= device < len(held):
            raise InfeasibleSchedule(f"{where}: there is no device {device + 1}")
        if device in used:
            raise InfeasibleSchedule(f"{where}: device {device + 1} has layers of prompt {prompt + 1} already")
        if count < 1 or layer + count > n_layers:
            raise InfeasibleSchedule(f"{where}: {count} layers; prompt {prompt + 1} has {n_layers - layer} left")
        if not -1 <= victim < len(instance.n_layers):
            raise InfeasibleSchedule(f"{where}: there is no model {victim + 1} to evict")
        if layer == 0:
            start = before = max(start, int(instance.arrival_ns[prompt]))
        own = {(model, n) for n in range(layer, layer + count)}
        loaded = start + sum(int(instance.load_ns[device, model]) for key in own if key not in held[device])
        _make_room(where, instance, prompt, device, held[device], own, victim)
        held[device] |= dict.fromkeys(own, int(instance.stamp) + prompt)
        ready = loaded if loaded > before else before
        if previous != -1:
            ready += int(instance.transfer_ns[prompt, previous, device])
        before = ready + count * int(instance.compute_ns[prompt, device])
        used.add(device)
        layer, previous = layer + count, device
        if layer == n_layers:
            finish.append(before)
            prompt, layer, previous, start, used = prompt + 1, 0, -1, before, set()
    return finish


def _held_at_first(instance: Instance, device: int) -> Held:
    models, layers = np.nonzero(instance.used_at[device])
    pairs = zip(models.tolist(), layers.tolist(), strict=True)
    return {(model, layer): int(instance.used_at[device, model, layer]) for model, layer in pairs}


def _make_room(
    where: str, instance: Instance, prompt: int, device: int, held: Held, own: set[tuple[int, int]], victim: int
) -> None:
    """Let layers leave: the victim's, then the longest unused; of these the lower model's, and the highest layer."""
    room = int(instance.memory_bytes[device]) - int(instance.activation_bytes[prompt])
    needed = sum(int(instance.weight_bytes[model]) for model, _ in own | held.keys())
    others = [(model != victim, stamp, model, -layer) for (model, layer), stamp in held.items()]
    for _, _, model, negative in sorted(others):
        if needed <= room:
            return
        if (model, -negative) not in own:
            del held[model, -negative]
            needed -= int(instance.weight_bytes[model])
    if needed > room:
        raise InfeasibleSchedule(f"{where}: its layers take {needed} bytes, device {device + 1} has room for {room}")


def _check_form(plan: Plan, instance: Instance) -> None:
    for name, ndim in (("stages", 2), ("finish_ns", 1)):
        array = getattr(plan, name)
        if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.ndim != ndim:
            raise InfeasibleSchedule(f"plan: its {name} are not an int64 array of {ndim} dimensions")
    if plan.stages.shape[1] != 3:
        raise InfeasibleSchedule(f"plan: its stages have {plan.stages.shape[1]} numbers each, not 3")
    if plan.n_prompts != instance.n_prompts:
        raise InfeasibleSchedule(f"plan: is for {plan.n_prompts} prompts, the instance has {instance.n_prompts}")


def _check_claims(plan: Plan, instance: Instance, latency_ns: int) -> None:
    """A plan is not better than its bound, and an optimal one attains it."""
    if plan.status not in ("optimal", "feasible"):
        raise InfeasibleSchedule(f"plan: its status is {plan.status!r}, neither 'optimal' nor 'feasible'")
    if len(plan.finish_ns) < instance.n_prompts:
        return
    mean = latency_ns / 1e9 / max(1, instance.n_prompts)
    if not plan.bound <= mean:
        raise InfeasibleSchedule(f"plan: its mean latency is {mean} s, below its bound of {plan.bound} s")
    if plan.status == "optimal" and plan.bound != mean:
        raise InfeasibleSchedule(f"plan: is called optimal, {mean} s, and its bound is {plan.bound} s")
