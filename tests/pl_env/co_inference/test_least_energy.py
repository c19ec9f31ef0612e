"""The static problem: numbers worked before, KKT conditions, a general solver, random points, concavity, traps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pl_env.co_inference import Hardware, Scenario, SplitTable, split_table
from pl_env.co_inference.dynamics import quality
from pl_env.co_inference.instance import tables_of
from pl_env.co_inference.least_energy import BITS, K1, K3, X0, Y0, largest_fraction, least_energy, shortest_radio
from pl_env.co_inference.plan import Plan
from tests import co_inference_helpers as helpers

ALL = tables_of(split_table("blip2"), Hardware(), np.array([1.0]), np.arange(73))
HARDWARE = ALL.hardware


def fraction(split, gain=5e-13, deadline=4.0, energy=2.0, tables=ALL):
    return largest_fraction(tables.splits[split], tables.hardware, gain, deadline, energy)


def cost(split, gain, deadline, kept, tables=ALL):
    row = tables.splits[split]
    least = shortest_radio(tables.hardware, gain) * row[BITS] if row[BITS] > 0 else 0.0
    return least_energy(row, tables.hardware, gain, least, deadline, kept, 0.0)


@pytest.mark.parametrize(("split", "kept"), [(0, 0.673258), (1, 0.726211), (40, 0.449433), (72, 0.365622)])
def test_largest_fractions_of_the_default(split, kept):
    assert fraction(split) == pytest.approx(kept, abs=1e-5)


def test_resources_of_the_default():
    """Device and radio at their limits, the server slower."""
    instance = Scenario.preset("static").instance([[4.0, 1.0, 5e-13, 0.0, 1, 0]])
    plan = Plan.from_fractions(instance, [fraction(1)], [1])
    assert plan.device_hz[0] == pytest.approx(2e9)
    assert plan.power_w[0] == pytest.approx(0.2)
    assert plan.server_hz[0] == pytest.approx(1.490e9, rel=5e-4)
    assert plan.energy_j[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("deadline", "gain", "kept", "joules", "split"),
    [
        (6, 5e-13, 0.5, 0.36228, 1),
        (6, 5e-13, 0.75, 0.87056, 1),
        (6, 5e-13, 1.0, 1.76701, 1),
        (8, 1e-14, 0.5, 0.40920, 72),
        (8, 1e-14, 0.75, 1.29406, 40),
        (8, 1e-14, 1.0, math.inf, None),
    ],
)
def test_least_energies(deadline, gain, kept, joules, split):
    costs = [cost(s, gain, deadline, kept)[0] for s in range(73)]
    assert min(costs) == pytest.approx(joules, rel=1.5e-5)
    if split is not None:
        assert int(np.argmin(costs)) == split


def random_case(rng):
    return float(np.exp(rng.uniform(np.log(1e-14), np.log(1e-11)))), rng.uniform(2, 10), rng.uniform(0.05, 3)


# ---------------------------------------------------------------- KKT


def kkt_energy(row, gain, deadline, kept):
    """Least energy by bisection on the price of time: each stage answers it in closed form, or by bisection."""
    bandwidth, noise, power = HARDWARE[0], HARDWARE[1], HARDWARE[2]

    def radio_price(t):
        u = row[BITS] * math.log(2) / (bandwidth * t)
        return -(noise / gain) * (math.expm1(u) - u * math.exp(u))

    def times(price):
        t1 = max(kept * row[X0], kept * (2 * row[K1] / price) ** (1 / 3)) if row[X0] > 0 else 0.0
        t3 = max(kept * row[Y0], kept * (2 * row[K3] / price) ** (1 / 3)) if row[Y0] > 0 else 0.0
        if row[BITS] == 0:
            return t1, 0.0, t3
        low = row[BITS] * math.log(2) / (bandwidth * math.log1p(power * gain / noise))
        high = 1e4
        if radio_price(low) <= price:
            return t1, low, t3
        for _ in range(110):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if radio_price(middle) > price else (low, middle)
        return t1, high, t3

    low, high = 1e-15, 1e15
    if sum(times(high)) > deadline:
        return math.inf
    for _ in range(130):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if sum(times(middle)) <= deadline else (middle, high)
    t1, t2, t3 = times(high)
    energy = sum(k * kept**3 / t**2 for k, t in ((row[K1], t1), (row[K3], t3)) if t > 0)
    if t2 > 0:
        energy += t2 * noise / gain * math.expm1(row[BITS] * math.log(2) / (bandwidth * t2))
    return energy


def test_multipliers_give_the_same_energy():
    rng, finite = np.random.default_rng(0), 0
    for _ in range(200):
        gain, deadline, _ = random_case(rng)
        split, kept = int(rng.choice([0, 1, 5, 20, 39, 40, 60, 72])), rng.uniform(0.1, 1)
        found, expected = cost(split, gain, deadline, kept)[0], kkt_energy(ALL.splits[split], gain, deadline, kept)
        if math.isinf(expected) or math.isinf(found):
            assert math.isinf(found) == math.isinf(expected)
        else:
            finite += 1
            assert found == pytest.approx(expected, rel=1e-9)
    assert finite > 75


def test_a_general_solver_finds_no_more_from_any_start():
    """SLSQP on (r, p, f, f~), in units of their limits; stages with nothing to do are held fixed."""
    from scipy.optimize import minimize

    rng, compared = np.random.default_rng(1), 0
    while compared < 40:
        gain, deadline, energy = random_case(rng)
        split = int(rng.choice([0, 1, 40, 72]))
        row, best = ALL.splits[split], fraction(split, gain, deadline, energy)
        if best < 0.02:
            continue
        snr = HARDWARE[2] * gain / HARDWARE[1]

        def seconds(x, row=row, snr=snr):
            radio = row[BITS] * math.log(2) / (1e6 * np.log1p(snr * x[1])) if row[BITS] > 0 else 0.0
            return x[0] * row[X0] / x[2] + radio + x[0] * row[Y0] / x[3], radio

        def joules(x, row=row, seconds=seconds):
            total = 0.2 * x[1] * seconds(x)[1]
            for k, at, f in ((K1, X0, x[2]), (K3, Y0, x[3])):
                total += x[0] * row[k] * (f / row[at]) ** 2 if row[at] > 0 else 0.0
            return total

        result = minimize(
            lambda x: -x[0],
            rng.uniform(0.1, 1, 4),
            bounds=[(1e-4, 1)] * 4,
            constraints=[
                {"type": "ineq", "fun": lambda x, limit=deadline: 1 - seconds(x)[0] / limit},
                {"type": "ineq", "fun": lambda x, limit=energy: 1 - joules(x) / limit},
            ],
            options={"maxiter": 500, "ftol": 1e-13},
        )
        feasible = seconds(result.x)[0] <= deadline * (1 + 1e-9) and joules(result.x) <= energy * (1 + 1e-9)
        if not (result.success and feasible):
            continue
        compared += 1
        assert result.x[0] <= best * (1 + 1e-6)
        assert result.x[0] == pytest.approx(best, rel=1e-5)


def test_none_of_200000_random_points_is_better():
    rng = np.random.default_rng(2)
    gain, deadline, energy = 5e-13, 4.0, 2.0
    best = max(fraction(split, gain, deadline, energy) for split in range(73))
    n = 200_000
    kept, power, device, server = rng.random((4, n))
    row = ALL.splits[rng.integers(0, 73, n)]
    with np.errstate(divide="ignore"):
        radio = row[:, BITS] * math.log(2) / (1e6 * np.log1p(HARDWARE[2] * gain / HARDWARE[1] * power))
    time = kept * row[:, X0] / device + radio + kept * row[:, Y0] / server
    x0, y0 = np.where(row[:, X0] > 0, row[:, X0], 1.0), np.where(row[:, Y0] > 0, row[:, Y0], 1.0)
    spent = 0.2 * power * radio + kept * row[:, K1] * (device / x0) ** 2
    spent += kept * row[:, K3] * (server / y0) ** 2
    feasible = (time <= deadline) & (spent <= energy)
    assert feasible.sum() > 1000
    assert kept[feasible].max() <= best


def test_concave_and_convex_where_that_is_proven():
    """r(E) and Q(r(E)) concave, Emin(r) convex, at each split."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        gain, deadline, _ = random_case(rng)
        for split in (0, 1, 40, 72):
            kept = np.array([fraction(split, gain, deadline, e) for e in np.linspace(0.05, 3, 40)])
            start = int((kept > 0).argmax())
            for values in (kept[start:], np.array([quality(r) for r in kept[start:]])):
                assert (np.diff(values, 2) <= 1e-9).all()
            costs = np.array([cost(split, gain, deadline, r)[0] for r in np.linspace(0.1, 1, 40)])
            costs = costs[np.isfinite(costs)]
            assert (np.diff(costs, 2) >= -1e-9 * costs.max(initial=1)).all()


def test_useful_splits_are_as_good_as_all():
    rng, scenario = np.random.default_rng(4), Scenario.preset("static")
    assert scenario.nothing.useful_splits.tolist() == [0, 1, 40, 72]
    for _ in range(60):
        gain, deadline, energy = random_case(rng)
        of_all = [fraction(split, gain, deadline, energy) for split in range(73)]
        useful = [of_all[split] for split in (0, 1, 40, 72)]
        assert max(useful) == pytest.approx(max(of_all), rel=1e-12)


def test_all_splits_are_tried_where_the_server_is_not_better():
    scenario = Scenario.preset("static", server_coefficient=1e-20)
    assert scenario.n_splits == 73
    assert Scenario.preset("static", max_server_hz=1e8).n_splits == 73


# ---------------------------------------------------------------- traps


def test_stages_without_work_by_hand():
    """On the server alone: all time to it. On the device alone: all time to that, and no radio."""
    row = ALL.splits[72]
    assert cost(72, 1e-12, 20.0, 0.5)[0] == pytest.approx(row[K1] * 0.5**3 / 20.0**2)
    no_bits = SplitTable("m", (0.0, 1e10), (0.0, 0.0))
    tables = tables_of(no_bits, Hardware(), np.array([1.0]), np.arange(2))
    for split, k in ((0, K3), (1, K1)):
        assert cost(split, 0.0, 3.0, 0.7, tables)[0] == pytest.approx(tables.splits[split, k] * 0.7**3 / 9)


def test_the_deadline_just_enough():
    """At full speed for the whole deadline, where rounding may go either way; no clamp may fire for it."""
    for kept in np.linspace(0.01, 1, 200):
        for split, k, x in ((0, K3, Y0), (72, K1, X0)):
            row = ALL.splits[split]
            least = shortest_radio(HARDWARE, 1e-11) * row[BITS] if row[BITS] > 0 else 0.0
            deadline = least + kept * row[x]
            energy = least_energy(row, HARDWARE, 1e-11, least, deadline, kept, 0.0)[0]
            if math.isfinite(energy):
                radio = HARDWARE[2] * least
                assert energy == pytest.approx(kept * row[k] / row[x] ** 2 + radio, rel=1e-9)


def test_free_energy_of_one_side():
    """Without weight the device runs at full speed and leaves all other time to the server; and the reverse."""
    for weights, free, paid in (((0.0, 1.0), X0, (K3, Y0)), ((1.0, 0.0), Y0, (K1, X0))):
        hardware = Hardware(device_weight=weights[0], server_weight=weights[1])
        tables = tables_of(SplitTable("m", (0.0, 1e10, 2e10), (1.0, 1.0, 0.0)), hardware, np.array([1.0]), np.arange(3))
        row = tables.splits[1].copy()
        row[BITS] = 0.0
        energy = least_energy(row, tables.hardware, 1e-11, 0.0, 2.0, 0.5, 0.0)[0]
        expected = row[paid[0]] * 0.5**3 / (2.0 - 0.5 * row[free]) ** 2
        assert energy == pytest.approx(expected)
    nothing = Hardware(device_weight=0.0, server_weight=0.0)
    tables = tables_of(split_table("blip2"), nothing, np.array([1.0]), np.array([1]))
    assert least_energy(tables.splits[0], tables.hardware, 1e-11, 0.5, 8.0, 0.5, 0.0)[0] == 0


def test_no_channel_at_all():
    assert cost(1, 0.0, 8.0, 0.5)[0] == math.inf
    assert fraction(1, gain=0.0) == 0
    assert fraction(72, gain=0.0) > 0


def test_the_guess_changes_nothing():
    rng = np.random.default_rng(5)
    for _ in range(200):
        gain, deadline, _ = random_case(rng)
        row, kept = ALL.splits[int(rng.choice([0, 1, 40]))], rng.uniform(0.3, 1)
        least = shortest_radio(HARDWARE, gain) * row[BITS]
        costs = [least_energy(row, HARDWARE, gain, least, deadline, kept, guess)[0] for guess in (0.0, 0.1, 1.0, 5.0)]
        assert costs == pytest.approx([costs[0]] * 4, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    gain=st.floats(1e-15, 1e-10),
    deadline=st.floats(0.01, 30),
    energy=st.floats(0, 10),
    split=st.sampled_from([0, 1, 3]),
)
def test_golden_sections_agree(gain, deadline, energy, split):
    """A small model, against the brute force in plain Python."""
    instance = helpers.random_instance(np.random.default_rng(0), n_tasks=1, continuous=True)
    tables = tables_of(instance.model, instance.hardware, instance.levels, np.arange(4))
    one = replace(instance, gain=np.array([gain]), deadline=np.array([deadline]))
    found = fraction(split, gain, deadline, energy, tables)
    if found > 1e-6:
        assert helpers.least_energy(one, 0, split, found) == pytest.approx(
            cost(split, gain, deadline, found, tables)[0], rel=1e-6
        )
