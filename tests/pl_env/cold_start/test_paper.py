"""The published plans and times, and the model's numbers, to the nanosecond where they are known to that."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
from pl_env.cold_start import LanguageModel, Plan, Scenario, check, paper_devices
from pl_env.cold_start.devices import MB, MIB
from pl_env.cold_start.dynamics import rate_bps
from pl_env.cold_start.models import MODELS
from pl_env.errors import InvalidValue, UnknownName
from tests import cold_start_helpers as helpers


def paper(tokens: int, megabyte: int = MIB, **fields):
    scenario = Scenario.preset("paper", prompt_tokens=tokens, devices=paper_devices(megabyte), **fields)
    return scenario.sample(np.random.default_rng(0))


@pytest.mark.parametrize("tokens", helpers.PAPER_NS)
def test_optima_in_both_units(tokens):
    """Test C; the figure of the paper is within 4 % of either."""
    in_mib, in_mb, shown = helpers.PAPER_NS[tokens]
    assert baselines.solve(paper(tokens)).finish_ns == in_mib
    assert baselines.solve(paper(tokens, MB)).finish_ns == in_mb
    assert in_mib / 1e9 == pytest.approx(shown, rel=0.04)
    assert in_mb / 1e9 == pytest.approx(shown, rel=0.04)


@pytest.mark.parametrize(
    ("tokens", "text"), [(256, "3:7 4:5 1:14 2:14"), (2048, "4:3 3:6 2:12 1:19"), (8192, "3:3 2:10 1:27")]
)
def test_optimal_plans(tokens, text):
    assert baselines.solve(paper(tokens)).text == text


@pytest.mark.parametrize(
    ("tokens", "text", "seconds"),
    [
        (256, "3:7 4:5 2:11 1:17", 2.517005),
        (2048, "4:3 3:6 2:11 1:20", 3.323029),
        (8192, "3:3 2:9 1:28", 6.973005),
    ],
)
def test_the_charts_plans(tokens, text, seconds):
    """Test D: what the paper's Gantt charts show is not optimal for its table."""
    instance = paper(tokens)
    plan = Plan.parse(text, instance)
    check(plan, instance)
    assert plan.finish_seconds == pytest.approx(seconds, abs=1e-6)


def test_the_other_curves():
    """Test E: a single device that had the memory, equal parts, and the heuristic; the gain is 17.50 %."""
    single, even, harmonic, gains = [], [], [], []
    for tokens, (best, _, _) in helpers.PAPER_NS.items():
        instance = paper(tokens)
        single.append(int(instance.problem.load_sum[0, -1] + instance.problem.compute_sum[0, -1]) / 1e9)
        even.append(baselines.solve(instance, "even").finish_seconds)
        harmonic.append(baselines.solve(instance, "harmonic").finish_seconds)
        gains.append(1 - best / 1e9 / min(single[-1], even[-1], harmonic[-1]))
    assert (single[0], single[-1]) == pytest.approx((5.884, 9.217), abs=5e-4)
    assert even == pytest.approx([3.459, 3.547, 3.750, 4.235, 6.434, 12.387], abs=1e-3)
    assert harmonic == pytest.approx([2.606, 2.784, 3.276, 4.155, 6.245, 11.078], abs=5e-4)
    assert 100 * np.mean(gains) == pytest.approx(17.50, abs=0.005)


def test_rates_of_the_radio():
    """Test E, in Mbit/s."""
    scenario = Scenario.preset("paper")
    radio = scenario.draws.radio
    numbers = [np.array(device.numbers) for device in scenario.devices]
    up = [
        rate_bps(radio, device.tx_power_dbm, row) / 1e6 for device, row in zip(scenario.devices, numbers, strict=True)
    ]
    down = [rate_bps(radio, 25.0, row) / 1e6 for row in numbers]
    assert np.round(up).tolist() == [1721, 1287, 1031, 914]
    assert np.round(down).tolist() == [1854, 1473, 1297, 1180]


@pytest.mark.parametrize(
    ("model", "bits", "finish"),
    [
        ("qwen3-14b", None, 3088123104),
        ("qwen3-14b", 4, 1530950989),
        ("llama3-8b", None, 1735283117),
        ("gpt2", None, 93581064),
    ],
)
def test_other_models(model, bits, finish):
    """Test F: with embedding and head, t = 1024."""
    instance = paper(1024, MB, model=model, weight_bits=bits, ends=True)
    assert baselines.solve(instance).finish_ns == finish


# ---------------------------------------------------------------- tables of layers


def test_tables_of_models():
    rows = {
        "qwen3-14b": (40, 660_602_880, 1_555_824_640, 1_555_824_640, 14.768e9),
        "llama3-8b": (32, 436_207_616, 1_050_673_152, 1_050_673_152, 8.030e9),
        "gpt2": (12, 28_311_552, 157_535_232, 154_389_504, 124.3e6),
    }
    for name, (layers, layer, embedding, head, parameters) in rows.items():
        table = MODELS[name].table(ends=True)
        assert table.weight_bytes.tolist() == [embedding, *[layer] * layers, head]
        assert MODELS[name].parameters == pytest.approx(parameters, rel=5e-4)
        assert len(MODELS[name].table().weight_bytes) == layers


def test_work_is_that_of_the_equations():
    """W = 4 t d_h (d_m h_q + d_m h_k + t h_q) + 6 t d_m d_ff, A = 2 t d_m; the head computes one position."""
    t, (dm, hq, hk, dh, dff) = 777, (5120, 40, 8, 128, 17408)
    table = MODELS["qwen3-14b"].table(ends=True)
    flop = table.flop[0] + table.flop[1] * t + table.flop[2] * t * t
    expected = 4 * t * dh * (dm * hq + dm * hk + t * hq) + 6 * t * dm * dff
    assert flop.tolist() == [0, *[expected] * 40, 2 * dm * 151936]
    assert (t * table.activation_bytes == 2 * t * dm).all()
    gpt2 = MODELS["gpt2"].table()
    assert gpt2.flop[1, 0] == 4 * 64 * 768 * 24 + 4 * 768 * 3072
    assert gpt2.activation_bytes[0] == 4 * 768


def test_bits_of_weights_change_the_weights_alone():
    whole, quarter = MODELS["qwen3-14b"].table(), MODELS["qwen3-14b"].table(weight_bits=4)
    assert (4 * quarter.weight_bytes == whole.weight_bytes).all()
    assert (quarter.flop == whole.flop).all()
    assert (quarter.activation_bytes == whole.activation_bytes).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": 0}, "layers is 0; it must be an integer from 1 to 512"),
        ({"width": 2.5}, "width is 2.5"),
        ({"bits": 8}, "bits is 8; it must be 16 or 32"),
        ({"weight_bits": 7}, "weight_bits is 7; it must be one of 2, 3, 4, 5, 6, 8, 16, 32"),
        ({"gated": 1}, "gated is 1; it must be True or False"),
        ({"name": ""}, "name is ''"),
    ],
)
def test_models_out_of_range(fields, message):
    good = {"name": "m", "layers": 2, "width": 8, "query_heads": 1, "key_value_heads": 1, "head_width": 8,
            "feed_forward": 8, "vocabulary": 8}  # fmt: skip
    with pytest.raises(InvalidValue) as caught:
        LanguageModel(**(good | fields))
    assert message in str(caught.value)


def test_models_by_name():
    with pytest.raises(UnknownName, match="there is no model 'gpt5'; known are: gpt2, llama3-8b, qwen3-14b"):
        Scenario(model="gpt5")
