"""The recursion, least shares and frequencies against plain Python, and the band against an LP and a simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pl_env.slide import Plan, Scenario, check
from pl_env.slide.dynamics import (
    DAI_SHARE,
    FREQUENCY,
    N_STEPS,
    SHARE,
    divided_up,
    largest_frequency,
    least_dai_share,
    least_share,
)
from pl_env.slide.edf import slices_of
from tests import slide_helpers as helpers

W = 1_000_000


def shares_of(download, compute, deadline):
    due = np.array(helpers.due_of(compute, deadline))
    download = np.array(download)
    return least_share(download, due, len(due)), least_dai_share(download, due, len(due))


# ---------------------------------------------------------------- one user


def test_the_example_of_the_document():
    download, compute = [2, 5, 9], [3, 1, 2]
    received = [helpers.up(amount * W, 500_000) for amount in download]
    assert helpers.recursion(received, compute) == 20
    assert shares_of(download, compute, 20) == (500_000, 642_858)
    assert shares_of(download, compute, 11) == (W, 0)
    assert shares_of(download, compute, 10)[0] == 0


def test_the_same_example_as_a_plan():
    instance = helpers.instance([([2, 3, 4], [3, 1, 2])], [20])
    plan = Plan(np.array([0]), np.array([10**9]), 1, shares=np.array([500_000]))
    check(plan, instance)
    [task] = plan.tasks(instance)
    assert task.received_ns == (4, 10, 18)
    assert task.finish_ns == (7, 11, 20)
    assert task.due_ns == 20


def test_recursion_and_least_share_of_4000_random_users():
    """F_L = max over l of (D_l + G_l); the least share meets the deadline, and a millionth less does not."""
    rng = np.random.default_rng(0)
    seen = {"in time": 0, "too late": 0}
    for _ in range(4000):
        n_layers = int(rng.integers(1, 6))
        scale = int(rng.choice([1, 1000, 10**9]))
        compute = (rng.integers(0, 5, size=n_layers) * scale).tolist()
        download = np.cumsum(rng.integers(0, 6, size=n_layers) * scale).tolist()
        share, deadline = int(rng.integers(1, W + 1)), int(rng.integers(0, 40) * scale)
        received = [helpers.up(amount * W, share) for amount in download]
        rest = [sum(compute[layer:]) for layer in range(n_layers)]
        assert helpers.recursion(received, compute) == max(d + g for d, g in zip(received, rest, strict=True))
        found, found_dai = shares_of(download, compute, deadline)
        assert found == (helpers.least_share_by_trial(download, compute, deadline) or 0)
        assert found_dai == (helpers.least_share_by_trial(download, compute, deadline, streams=False) or 0)
        seen["in time" if found else "too late"] += 1
    assert min(seen.values()) > 500


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 9 * 10**18), st.integers(1, 10**15))
def test_divided_up(number, divisor):
    if number // divisor < 10**14:
        assert divided_up(number, divisor, 1.0 / divisor) == -(-number // divisor)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**11), st.integers(0, 10**12), st.integers(1, 10**12), st.integers(10**6, 4 * 10**9))
def test_the_largest_frequency_within_the_energy(cycles, energy, power, high):
    device = np.array([10**6, high, power])
    found = int(largest_frequency(cycles, energy, device))

    def fits(frequency):
        return helpers.up(power * frequency**2 * cycles, high**3) <= energy

    if found:
        assert 10**6 <= found <= high
        assert fits(found)
        assert found == high or not fits(found + 1)
    else:
        assert not fits(10**6)


def test_the_largest_frequency_where_it_is_all_but_whole():
    """Energies that are just enough for a frequency, where a square root in floating point may go either way."""
    rng, high, power = np.random.default_rng(0), 918_000_000, 15 * 10**9
    device = np.array([306_000_000, high, power])
    for _ in range(2000):
        cycles, wanted = int(rng.integers(1, 10**10)), int(rng.integers(306_000_001, high))
        enough = helpers.up(power * wanted**2 * cycles, high**3)
        found = largest_frequency(cycles, enough, device)
        best = helpers.isqrt(enough * high**3 // (power * cycles))
        assert found == min(best, high)
        assert found >= wanted
        assert largest_frequency(cycles, enough - 1, device) == helpers.isqrt(
            (enough - 1) * high**3 // (power * cycles)
        )


def test_pairs_and_steps_of_random_instances_and_of_real_models():
    rng = np.random.default_rng(1)
    instances = [helpers.random_instance(rng, arrivals=True) for _ in range(200)]
    instances += [Scenario.preset(name, n_users=8).sample(rng) for name in ("default", "zoo", "compressed")]
    n_out = 0
    for instance in instances:
        pairs, steps = instance.pairs_and_steps()
        for user, model in itertools.product(range(instance.n_users), range(instance.n_models)):
            expected = helpers.pair_of(instance, user, model)
            if expected is None:
                assert not pairs[user, model].any()
                n_out += 1
                continue
            download, compute, frequency = expected
            deadline, arrival = int(instance.deadline_ns[user]), int(instance.arrival_ns[user])
            due = helpers.due_of(compute, deadline)
            assert pairs[user, model, FREQUENCY] == frequency
            assert pairs[user, model, SHARE] == (helpers.least_share_by_trial(download, compute, deadline) or 0)
            dai = helpers.least_share_by_trial(download, compute, deadline, streams=False)
            assert pairs[user, model, DAI_SHARE] == (dai or 0)
            if pairs[user, model, SHARE]:
                n = pairs[user, model, N_STEPS]
                when, size = steps[user, model, :, :n]
                assert (np.diff(when) > 0).all()
                assert (size > 0).all()
                for time in {arrival + time for time in due}:
                    needed = max(amount for amount, at in zip(download, due, strict=True) if arrival + at <= time)
                    assert size[when <= time].sum() == needed
    assert n_out > 50


def test_gpt2s_head_has_no_bytes_and_its_embedding_comes_first():
    library = Scenario.preset("zoo").catalogue
    layers = library.layers(library.names.index("gpt2"))
    sizes = library.layer_bytes[layers]
    assert sizes[-1] == 0
    assert library.layer_flop[layers][-1] > 0
    assert sizes[0] / sizes.sum() == pytest.approx(0.31, abs=0.005)


# ---------------------------------------------------------------- the band


def is_servable_by_lp(jobs) -> bool:
    """Whether the band can be divided in every interval between two moments so that all steps are in time."""
    from scipy.optimize import linprog

    moments = sorted({arrival for arrival, _, _ in jobs} | {time for _, due, _ in jobs for time in due})
    intervals = [pair for pair in itertools.pairwise(moments) if pair[1] > pair[0]]
    n = len(jobs) * len(intervals)
    rows, sides = [], []
    for place, (start, end) in enumerate(intervals):
        row = np.zeros(n)
        row[place :: len(intervals)] = 1
        rows.append(row)
        sides.append(end - start)
    for k, (arrival, due, download) in enumerate(jobs):
        for time, amount in zip(due, download, strict=True):
            row = np.zeros(n)
            for place, (start, end) in enumerate(intervals):
                if arrival <= start and end <= time:
                    row[k * len(intervals) + place] = -1
            rows.append(row)
            sides.append(-amount)
    if any(time < arrival for arrival, due, _ in jobs for time in due):
        return False  # computing alone takes too long
    if n == 0:
        return all(amount == 0 for _, _, download in jobs for amount in download)
    return linprog(np.zeros(n), A_ub=np.array(rows), b_ub=np.array(sides), method="highs").status == 0


def test_801_sets_are_servable_by_the_queue_the_condition_an_lp_and_a_simulation_alike():
    rng = np.random.default_rng(2)
    tried = {True: 0, False: 0}
    while sum(tried.values()) < 801:
        instance = helpers.random_instance(rng, arrivals=rng.random() < 0.6, committed=rng.random() < 0.3)
        models = np.array([rng.choice([-1, *np.flatnonzero(row)]) for row in instance.accepted], dtype=np.int64)
        jobs = helpers.jobs_of(instance, models)
        if jobs is None or not (models >= 0).any():
            continue
        expected = helpers.is_servable(jobs)
        assert helpers.simulate(jobs) == expected
        assert is_servable_by_lp(jobs) == expected
        pairs, steps = instance.pairs_and_steps()
        users = np.arange(instance.n_users)
        found = False
        if (pairs[users, models, SHARE][models >= 0] > 0).all():
            n_steps = np.where(models < 0, -1, pairs[users, models, N_STEPS])
            committed = instance.committed_due_ns, instance.committed_rest_ns
            _, late = slices_of(instance.arrival_ns, steps[users, models], n_steps, *committed)
            found = late == instance.n_users
        assert found == expected
        tried[expected] += 1
    assert min(tried.values()) > 100


def test_hardness_200_times():
    """With two layers, one deadline and all present, k users fit iff k of some numbers add up to A."""
    rng = np.random.default_rng(3)
    outcomes = {True: 0, False: 0}
    for _ in range(200):
        n, k = int(rng.integers(2, 7)), int(rng.integers(1, 4))
        numbers, target = rng.integers(1, 12, size=n).tolist(), int(rng.integers(1, 25))
        whole = 2 * (sum(numbers) + target) + 1
        jobs = [(0, [target, k * whole - target], [number, whole - number]) for number in numbers]
        expected = any(sum(chosen) == target for chosen in itertools.combinations(numbers, k))
        found = any(helpers.is_servable(list(chosen)) for chosen in itertools.combinations(jobs, k))
        assert found == expected
        outcomes[expected] += 1
    assert min(outcomes.values()) > 20
