"""What the network sees of a state: free devices, pairs of them, and legal actions, in units of the time that is left.

The unit u is that of the free devices for the layers that are left: 1 / sum of 1 / (load + computation). In it a state
with few layers looks like one with many, so the network plays any number of devices and layers. Of every action it also
sees when all would be done if `order-dp` placed the rest: the devices in one order, slow computation first. What it
learns is where another order is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.cold_start.action_values import behind
from baselines.cold_start.orders import value_order
from baselines.cold_start.pipeline import NEVER, Pipeline
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.stepping import FINISH, LAST, N_DEVICES, N_LAYERS, POSITION, USED, Episode, allocate, begin
from pl_env.compiling import compiled

DEVICE_FEATURES, PAIR_FEATURES, ACTION_FEATURES = 13, 3, 15

PLANNED = 14
"""The action's feature that says by how much later all is done, as planned, than after the best; at most 1."""

_LEAST = 1e-3
"""Of u: shorter times look alike."""


@dataclass(frozen=True)
class Described:
    """Some states (B), their free devices (at most U) and, one after another, their legal actions (R in all).

    Attributes:
        devices: float32 (B, U, F).
        pairs: float32 (B, U, U, E), from, to.
        is_device: bool (B, U), False where a state has fewer.
        actions: float32 (R, G).
        state: int64 (R,), the state of each action, ascending.
        owner: int64 (R,), its device, of U.
        number: int64 (R,), its number in the episode's action space.
    """

    devices: Tensor
    pairs: Tensor
    is_device: Tensor
    actions: Tensor
    state: Tensor
    owner: Tensor
    number: Tensor

    def __len__(self) -> int:
        return len(self.devices)

    def take(self, rows: Tensor) -> tuple[Described, Tensor]:
        """Some of the states, and which of the actions are theirs."""
        starts = torch.searchsorted(self.state, torch.arange(len(self) + 1))
        counts = (starts[1:] - starts[:-1])[rows]
        state = torch.repeat_interleave(torch.arange(len(rows)), counts)
        first = torch.cumsum(counts, 0) - counts
        actions = starts[:-1][rows][state] + torch.arange(len(state)) - first[state]
        taken = Described(
            *(self.devices[rows], self.pairs[rows], self.is_device[rows]),
            *(self.actions[actions], state, self.owner[actions], self.number[actions]),
        )
        return taken, actions

    @classmethod
    def join(cls, parts: Sequence[Described]) -> Described:
        """All of them; there is room for as many devices as in the widest."""
        most = max(part.devices.shape[1] for part in parts)
        joined: dict[str, Any] = {}
        for field in fields(cls):
            tensors = [getattr(part, field.name) for part in parts]
            if field.name in ("devices", "pairs", "is_device"):
                tensors = [_widened(tensor, most, field.name == "pairs") for tensor in tensors]
            if field.name == "state":
                before = np.cumsum([0, *(len(part) for part in parts[:-1])])
                tensors = [tensor + int(n) for tensor, n in zip(tensors, before, strict=True)]
            joined[field.name] = torch.cat(tensors)
        return cls(**joined)


def _widened(tensor: Tensor, most: int, twice: bool) -> Tensor:
    """With room for more devices, zeros."""
    shape = list(tensor.shape)
    shape[1] = most
    if twice:
        shape[2] = most
    wider = tensor.new_zeros(shape)
    wider[tuple(slice(size) for size in tensor.shape)] = tensor
    return wider


def begun(instance: Instance) -> Episode:
    """An instance's episode at its start; what it holds is its own."""
    n_devices, n_layers = instance.n_devices, instance.n_layers
    episode = allocate(n_devices, n_layers, instance.transfer_ns.copy())
    begin(instance.tables, n_devices, n_layers, instance.previous, instance.ready_ns, episode)
    return episode


def branched(episode: Episode) -> Episode:
    """The same state, to be played on its own."""
    own = ("state", "stages", "observation", "mask")
    return episode._replace(**{name: getattr(episode, name).copy() for name in own})


def describe(episodes: Sequence[Episode]) -> Described:
    """What the network sees of states in which something is legal."""
    most = max(len(episode.load_sum) for episode in episodes)
    room = sum(int(np.count_nonzero(episode.mask)) for episode in episodes)
    devices = np.zeros((len(episodes), most, DEVICE_FEATURES), dtype=np.float32)
    pairs = np.zeros((len(episodes), most, most, PAIR_FEATURES), dtype=np.float32)
    actions = np.zeros((room, ACTION_FEATURES), dtype=np.float32)
    whose = np.zeros((3, room), dtype=np.int64)  # state, owner, number
    counts = np.zeros(len(episodes), dtype=np.int64)
    start = 0
    for n, episode in enumerate(episodes):
        counts[n], end = _describe(episode, devices[n], pairs[n], actions, whose, start)
        whose[0, start:end] = n
        start = end
    most = max(1, int(counts.max()))
    return Described(
        torch.from_numpy(devices[:, :most]),
        torch.from_numpy(pairs[:, :most, :most]),
        torch.from_numpy(np.arange(most) < counts[:, None]),
        torch.from_numpy(actions),
        *(torch.from_numpy(row) for row in whose),
    )


@compiled
def _log(time: float, unit: float) -> float:
    return math.log(time / unit + _LEAST)


@compiled
def _fraction(time: float, unit: float) -> float:
    return time / (time + unit)


@compiled
def _describe(
    e: Episode,
    devices: NDArray[np.float32],
    pairs: NDArray[np.float32],
    actions: NDArray[np.float32],
    whose: NDArray[np.int64],
    row: int,
) -> tuple[int, int]:
    """Describe a state; its actions go into the rows from ``row`` on.

    Returns:
        Free devices, and the row after the last action.
    """
    position, finish, last, used = e.state[POSITION], e.state[FINISH], e.state[LAST], e.state[USED]
    n_devices, n_layers, room = e.state[N_DEVICES], e.state[N_LAYERS], e.load_sum.shape[1] - 1
    left = n_layers - position
    free = np.empty(n_devices, dtype=np.int64)
    n_free = 0
    for k in range(n_devices):
        if not used >> k & 1 and e.lowest[k, position + 1] <= position:
            free[n_free] = k
            n_free += 1
    load, compute, holds = np.empty(n_free), np.empty(n_free), np.empty(n_free)
    speed = 0.0
    for n in range(n_free):
        k = free[n]
        load[n] = e.load_sum[k, n_layers] - e.load_sum[k, position]
        compute[n] = e.compute_sum[k, n_layers] - e.compute_sum[k, position]
        speed += 1.0 / max(1.0, load[n] + compute[n])
        holds[n] = 0
        while holds[n] < left and e.lowest[k, position + int(holds[n]) + 1] <= position:
            holds[n] += 1
    unit, cut = 1.0 / speed, max(1, position) if n_layers > 1 else 0
    slack = math.log(max(1.0, holds.sum() / left))
    for n in range(n_free):
        k, into, out_of = free[n], 0.0, 0.0
        for m in range(n_free):
            if m != n:
                there, back = e.transfer_ns[cut, free[m], k], e.transfer_ns[cut, k, free[m]]
                into, out_of = into + there, out_of + back
                pairs[m, n, 0] = _log(there, unit)
                pairs[m, n, 1] = math.log(max(1.0, load[m]) / max(1.0, load[n]))
                pairs[m, n, 2] = math.log(max(1.0, compute[m]) / max(1.0, compute[n]))
        others = max(1, n_free - 1)
        entry = e.transfer_ns[position, last, k] if last >= 0 else 0
        devices[n, 0] = _log(load[n], unit)
        devices[n, 1] = _log(compute[n], unit)
        devices[n, 2] = holds[n] / left
        devices[n, 3] = _log(entry, unit) if last >= 0 else 0.0
        devices[n, 4] = _log(into / others, unit)
        devices[n, 5] = _log(out_of / others, unit)
        devices[n, 6] = _fraction(finish, unit)
        devices[n, 7] = position / n_layers
        devices[n, 8] = math.log(left) / 4.0
        devices[n, 9] = n_free / 8.0
        devices[n, 10] = slack
        devices[n, 11] = 1.0 if last >= 0 else 0.0
        devices[n, 12] = unit / max(1.0, load[n] + compute[n])
    part, first, least = _pipeline(e, free[:n_free]), row, NEVER
    planned = np.empty(len(e.mask), dtype=np.int64)
    for n in range(n_free):
        for count in range(1, int(holds[n]) + 1):
            number = free[n] * room + count - 1
            if e.mask[number]:
                _describe_action(e, free[:n_free], load, compute, holds, n, count, unit, actions[row])
                planned[row - first] = _planned(part, n, count)
                least = min(least, planned[row - first])
                whose[1, row], whose[2, row] = n, number
                row += 1
    for own in range(first, row):
        later = min(1.0, planned[own - first] / least - 1.0)
        actions[own, PLANNED - 1] = math.log(later + _LEAST)
        actions[own, PLANNED] = later
    return n_free, row


@compiled
def _pipeline(e: Episode, free: NDArray[np.int64]) -> Pipeline:
    """What is left of the episode, for the planner."""
    position, last, n_layers = e.state[POSITION], e.state[LAST], e.state[N_LAYERS]
    n, n_left = len(free), n_layers - position
    load, compute = np.empty((n, n_left + 1), dtype=np.int64), np.empty((n, n_left + 1), dtype=np.int64)
    highest, entry = np.empty((n, n_left + 1), dtype=np.int64), np.zeros(n, dtype=np.int64)
    transfer = np.empty((n_left, n, n), dtype=np.int64)
    for row in range(n):
        k = free[row]
        load[row] = e.load_sum[k, position : n_layers + 1] - e.load_sum[k, position]
        compute[row] = e.compute_sum[k, position : n_layers + 1] - e.compute_sum[k, position]
        if last >= 0:
            entry[row] = e.transfer_ns[position, last, k]
        end = 0
        for start in range(n_left + 1):
            end = max(end, start)
            while end < n_left and e.lowest[k, position + end + 1] <= position + start:
                end += 1
            highest[row, start] = end
        for column in range(n):
            transfer[:, row, column] = e.transfer_ns[position:n_layers, k, free[column]]
    return Pipeline(load, compute, highest, transfer, entry, e.state[FINISH])


@compiled
def _planned(part: Pipeline, device: int, count: int) -> int:
    """When all is done if a device gets the next layers and `order-dp` places the rest; late where it cannot."""
    n_devices, n_left = len(part.load_sum), part.load_sum.shape[1] - 1
    finish = max(part.load_sum[device, count], part.ready) + part.entry[device] + part.compute_sum[device, count]
    if count == n_left or n_devices == 1:
        return int(finish)
    others = np.array([other for other in range(n_devices) if other != device], dtype=np.int64)
    rest = behind(part, device, others, count, finish)
    order = np.argsort(-rest.compute_sum[:, -1], kind="mergesort")
    table = np.empty((n_devices - 1, n_left - count + 1), dtype=np.int64)
    value = value_order(rest, order, table)
    return int(value if value < NEVER else 2 * (finish + (rest.load_sum + rest.compute_sum)[:, -1].max()))


@compiled
def _describe_action(
    e: Episode,
    free: NDArray[np.int64],
    load: NDArray[np.float64],
    compute: NDArray[np.float64],
    holds: NDArray[np.float64],
    n: int,
    count: int,
    unit: float,
    out: NDArray[np.float32],
) -> None:
    position, finish, last, n_layers = e.state[POSITION], e.state[FINISH], e.state[LAST], e.state[N_LAYERS]
    k, end, left = free[n], position + count, n_layers - position
    own_load = e.load_sum[k, end] - e.load_sum[k, position]
    own_compute = e.compute_sum[k, end] - e.compute_sum[k, position]
    entry = e.transfer_ns[position, last, k] if last >= 0 else 0
    done = max(own_load, finish) + entry + own_compute
    speed = 0.0
    for m in range(len(free)):
        if m != n:
            rest = e.load_sum[free[m], n_layers] - e.load_sum[free[m], end]
            rest += e.compute_sum[free[m], n_layers] - e.compute_sum[free[m], end]
            speed += 1.0 / max(1.0, rest)
    out[0] = count / left
    out[1] = count / holds[n]
    out[2] = math.log(count) / 4.0
    out[3] = _log(done, unit)
    out[4] = _fraction(done - finish, unit)
    out[5] = _fraction(max(0, finish - own_load), unit)
    out[6] = _fraction(max(0, own_load - finish), unit)
    out[7] = _log(own_compute, unit)
    out[8] = math.log(max(1.0, (holds.sum() - holds[n]) / (left - count))) if count < left else 0.0
    out[9] = 1.0 if count == left else 0.0
    out[10] = _log(1.0 / speed, unit) if count < left else 0.0
    out[11] = math.log(count / left * (load[n] + compute[n]) / unit)
    out[12] = _log(done + (1.0 / speed if count < left else 0.0), unit)
