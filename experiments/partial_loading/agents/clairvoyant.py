"""How much there is to win where channels are drawn anew: ``python -m experiments.partial_loading.agents.clairvoyant``.

All play the same validation episodes under the same draws. Besides policies, which know only what is drawn already:

- the clairvoyant, who knows all draws of the episode: a beam search, whose schedules are feasible, so at least so much
  is possible to one who knows;
- a bound on what anybody serves: every user uploads at the best of all his draws, and `optimal-dp` plans with that.

The optimal policy lies between the best policy found and the bound, as does the best clairvoyant; nobody who does not
know the draws is above the latter. Intervals are 95 %, by the bootstrap over episodes. Prints Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

import agents
import baselines
import pl_env
from agents.partial_loading.compiled.agent import CompiledAgent
from agents.partial_loading.observing import loading_of, present_scores
from baselines.partial_loading.action_values import ILLEGAL, action_values
from baselines.partial_loading.expected_uploads import later_upload_ns
from baselines.partial_loading.lookahead import sampled_values
from baselines.statistics import bootstrap_interval
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.partial_loading.dynamics import draw_channels
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require_integer
from pl_env.seeds import VALIDATION_STREAM

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = Callable[[Episodes, Ints], NDArray[np.float32]]


@dataclass(frozen=True)
class Arguments:
    """Say how much there is to win under fading.

    Attributes:
        agents: Agents to play, names or folders.
        episodes: Validation episodes.
        seed: Their seed, and that of all draws.
        beam: States that the clairvoyant keeps after each batch.
    """

    agents: tuple[str, ...] = ("fading",)
    episodes: int = 300
    seed: int = 2
    beam: int = 48

    def __post_init__(self) -> None:
        require_integer("episodes", self.episodes, 2)
        require_integer("seed", self.seed, 0)
        require_integer("beam", self.beam, 1)


def upload_times(instance: pl_env.Instance, uniforms: Floats) -> Ints:
    """Upload nanoseconds of every user before every batch, int64 (T + 1, K): today's, then as drawn from (T, K)."""
    assert instance.mean_snr is not None
    found = np.tile(instance.upload_ns, (len(uniforms) + 1, 1))
    for row, drawn in zip(found[1:], uniforms, strict=True):
        draw_channels(drawn.copy(), instance.mean_snr, instance.unit_upload_ns, row)
    return found


def bound(instance: pl_env.Instance, uniforms: Floats) -> float:
    """More than this share nobody serves: all users upload at the best of their draws."""
    best = upload_times(instance, uniforms).min(axis=0)
    return float(baselines.solve(replace(instance, upload_ns=best, fading="episode"), "optimal-dp").served_ratio)


def clairvoyant(instance: pl_env.Instance, uniforms: Floats, width: int, batch_cap: int) -> float:
    """Served ratio of the best schedule of a beam search that meets the draws as they will be.

    A state is worth its users and what an action gains, with today's channels for the action and, for what follows,
    the mean over the next draws of each user.
    """
    uploads = upload_times(instance, uniforms)
    beam = Episodes([instance], batch_cap)
    best = 0
    for step in range(len(uniforms)):
        ahead = np.sort(uploads[step + 1 : step + 9], axis=0)[: max(1, min(3, len(uploads) - step - 1))]
        later = ahead.mean(axis=0).astype(np.int64) if len(ahead) else uploads[step]
        values = action_values(beam, np.tile(later, (len(beam.n_users), 1)), fractional=True)
        total = np.where(values > ILLEGAL, values + beam.served[:, None], -1.0)
        flat = np.argsort(-total, axis=None, kind="stable")[: 4 * width]
        rows, actions = np.unravel_index(flat[total.ravel()[flat] >= 0], total.shape)
        if len(rows) == 0:
            break
        beam = beam.branch(rows)
        beam.step(actions, np.tile(uniforms[step], (len(rows), 1)))
        best = max(best, int(beam.served.max()))
        beam = beam.branch(_different(beam)[:width])
    return best / instance.n_users


def _different(beam: Episodes) -> Ints:
    """Rows of states that differ in who is left or in the resident model; of equals the first."""
    seen: dict[tuple[bytes, int], int] = {}
    for n in np.flatnonzero(beam.running).tolist():
        who = beam.pending_users(n).tobytes()
        seen.setdefault((who, int(beam.arrays.state[n, 1])), n)
    return np.array(list(seen.values()) or [0], dtype=np.int64)


def play(instances: list[pl_env.Instance], uniforms: Floats, batch_cap: int, values: Values) -> Floats:
    """Served ratio of each episode of a policy that takes the action of the highest value, float64 (N,)."""
    episodes, step = Episodes(instances, batch_cap), 0
    later_ns = later_upload_ns(episodes)
    while episodes.running.any():
        episodes.step(values(episodes, later_ns).argmax(axis=1), uniforms[:, step].copy())
        step += 1
    return np.asarray(episodes.served / episodes.n_users)


def scores_of(agent: agents.Agent) -> Values:
    """An agent's scores, in place of values."""
    if isinstance(agent, CompiledAgent):
        return lambda episodes, later_ns: agent.scores(episodes, later_ns)

    def scores(episodes: Episodes, later_ns: Ints) -> NDArray[np.float32]:
        rows = np.flatnonzero(episodes.running)
        found = np.full(episodes.arrays.mask.shape, -np.inf, dtype=np.float32)
        found[rows] = present_scores(agent.network, episodes, loading_of(episodes), rows, later_ns)
        return found

    return scores


def main(arguments: Arguments) -> None:
    """Play, search, bound, print."""
    torch.set_num_threads(1)
    scenario = pl_env.Scenario.preset("fading")
    rng = np.random.default_rng((VALIDATION_STREAM, arguments.seed))
    instances = [scenario.sample(rng) for _ in range(arguments.episodes)]
    uniforms = rng.random((arguments.episodes, scenario.most_users, scenario.most_users))
    cap, imagined = scenario.max_batch_size, np.random.default_rng((VALIDATION_STREAM, arguments.seed, 2))
    policies: dict[str, Values] = {
        "two steps ahead": lambda episodes, later_ns: sampled_values(episodes, imagined, 8, later_ns=later_ns),
        "one step ahead": lambda episodes, later_ns: action_values(episodes, later_ns, fractional=True),
    } | {f"agent {name}": scores_of(agents.load(name)) for name in arguments.agents}
    served = {name: play(instances, uniforms, cap, values) for name, values in policies.items()}
    each = list(zip(instances, uniforms, strict=True))
    served["clairvoyant, at least"] = np.array([clairvoyant(*one, arguments.beam, cap) for one in each])
    served["anybody, at most"] = np.array([bound(*one) for one in each])
    first = served["two steps ahead"]
    rows = []
    for name, ratios in served.items():
        low, high = bootstrap_interval(100 * (ratios - first))
        more = f"{100 * (ratios - first).mean():+.2f} ({low:+.2f} … {high:+.2f})"
        rows.append({"who": name, "served ratio": f"{ratios.mean():.4f}", "more than two steps ahead, points": more})
    print(markdown(rows))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
