"""The judge: every way to be refused, and that it agrees with dynamics that it shares no code with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pl_env.cold_start_stream import Instance, Plan, check
from pl_env.errors import InfeasibleSchedule, InvalidValue
from tests import cold_start_stream_helpers as helpers

STREAM = helpers.by_hand([0, 1, 0], [0, 5, 10])
GOOD = [(0, 2, -1), (1, 1, -1), (0, 1, -1), (0, 2, -1)]


def good(**fields) -> Plan:
    return replace(Plan.of(STREAM, GOOD), **fields)


def with_stages(*stages) -> Plan:
    return good(stages=np.array(stages, dtype=np.int64))


def test_what_is_accepted():
    check(good(), STREAM)
    check(Plan.of(STREAM, GOOD[:2]), STREAM)  # an episode under way
    check(good(status="optimal", bound=27e6 / 1e9 / 3), STREAM)


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (good(finish_ns=np.array([8, 16, 17]) * helpers.MS), "says that prompts are done after"),
        (good(latency_ns=26_000_000), "says that latencies sum to 26000000 ns; that is 27000000"),
        (with_stages((2, 2, -1)), "stage 1: there is no device 3"),
        (with_stages((-1, 2, -1)), "stage 1: there is no device 0"),
        (with_stages((0, 1, -1), (0, 1, -1)), "stage 2: device 1 has layers of prompt 1 already"),
        (with_stages((0, 3, -1)), "stage 1: 3 layers; prompt 1 has 2 left"),
        (with_stages((0, 0, -1)), "stage 1: 0 layers"),
        (with_stages((0, 2, 2)), "stage 1: there is no model 3 to evict"),
        (with_stages(*GOOD, (0, 1, -1)), "stage 5: all prompts are done by then"),
        (good(stages=[1]), "its stages are not an int64 array"),
        (good(stages=np.zeros((1, 2), dtype=np.int64)), "its stages have 2 numbers each"),
        (good(n_prompts=4), "is for 4 prompts, the instance has 3"),
        (good(bound=0.01), "below its bound of 0.01 s"),
        (good(status="optimal", bound=0.008), "is called optimal"),
        (good(status="best"), "its status is 'best'"),
    ],
)
def test_what_is_refused(plan, problem):
    with pytest.raises(InfeasibleSchedule) as caught:
        check(plan, STREAM)
    assert problem in str(caught.value)


def test_memory_that_overflows_is_refused():
    starved = Instance(*STREAM.tables._replace(memory_bytes=np.array([33_000_000, 33_000_000])))
    with pytest.raises(InfeasibleSchedule, match="its layers take 60000000 bytes, device 1 has room for 30000000"):
        check(good(), starved)


@pytest.mark.parametrize("stage", [(2, 1, -1), (0, 0, -1), (0, 3, -1), (0, 1, 5), (-1, 1, -1)])
def test_plans_of_what_is_not_there(stage):
    with pytest.raises(InvalidValue, match=r"stage 1 is .*; it must be a device below 2, 1 to 2 layers"):
        Plan.of(STREAM, [stage])


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=80, deadline=None)
def test_random_episodes_pass(seed, going_on):
    """Whatever legal actions do, memory and times are what the judge finds, in pieces, too."""
    rng = np.random.default_rng(seed)
    given_ = helpers.placeable(rng, n_prompts=4, going_on=going_on)
    env = helpers.env_for(given_)
    _, info = env.reset(options={"instance": given_})
    while env.any_legal:
        *_, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))
        check(env.plan, given_)
        left = env.remaining()
        held = ((left.used_at > 0).sum(axis=2) * left.weight_bytes).sum(axis=1)
        assert (held <= left.memory_bytes).all()
