"""Readers of config.json and devices.json: what they read, and one sentence for whatever is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pl_env.cold_start import Scenario, read_devices, read_model
from pl_env.cold_start.models import MODELS
from pl_env.errors import FileFormatError, InvalidValue

QWEN = {
    "architectures": ["Qwen3ForCausalLM"],
    "_name_or_path": "qwen3-14b",
    "num_hidden_layers": 40,
    "hidden_size": 5120,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 17408,
    "vocab_size": 151936,
    "torch_dtype": "bfloat16",
}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "_name_or_path": "gpt2",
    "n_layer": 12,
    "n_embd": 768,
    "n_head": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}


def written(tmp_path, content, name="config.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(("name", "config"), [("qwen3-14b", QWEN), ("gpt2", GPT2)])
def test_configs_of_known_models(tmp_path, name, config):
    assert read_model(written(tmp_path, config)) == MODELS[name]
    assert read_model(tmp_path) == MODELS[name]


def test_what_a_config_may_leave_out(tmp_path):
    llama = {key: value for key, value in QWEN.items() if key not in ("head_dim", "_name_or_path", "torch_dtype")}
    model = read_model(written(tmp_path, llama | {"architectures": ["LlamaForCausalLM"]}))
    assert (model.head_width, model.name, model.bits) == (128, tmp_path.name, 16)
    old = {key: value for key, value in llama.items() if key != "num_key_value_heads"}
    assert read_model(written(tmp_path, old)).key_value_heads == 40
    quantised = QWEN | {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    assert read_model(written(tmp_path, quantised)).weight_bits == 4
    assert read_model(written(tmp_path, GPT2 | {"n_inner": 100})).feed_forward == 100
    assert read_model(written(tmp_path, GPT2 | {"n_inner": None})).feed_forward == 3072


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["MixtralForCausalLM"]}, "the architecture 'MixtralForCausalLM' is not known; known are: "),
        ({"architectures": None}, "architectures is None; it must name one of: LlamaForCausalLM, "),
        ({"architectures": ["A", "B"]}, "architectures is ['A', 'B']"),
        ({"hidden_size": "large"}, "hidden_size is 'large'; it must be an integer from 1 to 1000000000"),
        ({"num_hidden_layers": 600}, "layers is 600; it must be an integer from 1 to 512"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"vocab_size": None}, "vocab_size is None"),
        (
            {"head_dim": None, "num_attention_heads": 39},
            "hidden_size is 5120; it must be a multiple of num_attention_h",
        ),
        ({"torch_dtype": "int8"}, "torch_dtype is 'int8'; it must be one of float32, float16, bfloat16"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config does not say how many bits"),
        ({"quantization_config": {"bits": 7}}, "weight_bits is 7"),
    ],
)
def test_configs_that_are_refused(tmp_path, change, message):
    path = written(tmp_path, QWEN | change)
    with pytest.raises(FileFormatError) as caught:
        read_model(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


DEVICE = {"name": "desktop", "peak_tflops": 40, "read_mb_per_s": 3000, "memory_gb": 11}
OTHER = DEVICE | {"name": "laptop", "utilisation": 0.5, "saturation_per_token": 0.001}
GOOD = {"format": "pl-env-devices", "version": 1, "devices": [DEVICE, OTHER], "links_mbit_per_s": 940}


def test_devices_and_links(tmp_path):
    fields = read_devices(written(tmp_path, GOOD))
    desktop, laptop = fields["devices"]
    assert (desktop.name, desktop.peak_flops, desktop.read_bytes_per_second) == ("desktop", 40e12, 3e9)
    assert (desktop.memory_bytes, desktop.utilisation) == (11 * 10**9, 1.0)
    assert (laptop.utilisation, laptop.saturation) == (0.5, 0.001)
    assert fields["links_bps"] == ((0.0, 940e6), (940e6, 0.0))
    matrix = read_devices(written(tmp_path, GOOD | {"links_mbit_per_s": [[None, 100], [50.5, None]]}))
    assert matrix["links_bps"] == ((0.0, 100e6), (50.5e6, 0.0))


def test_devices_by_radio(tmp_path):
    """The paper's four as a file."""
    scenario = Scenario.preset("paper")
    entries = [
        {"name": device.name, "peak_tflops": device.peak_flops / 1e12, "utilisation": device.utilisation,
         "saturation_per_token": device.saturation, "read_mb_per_s": device.read_bytes_per_second / 1e6,
         "memory_gb": device.memory_bytes / 1e9, "tx_power_dbm": device.tx_power_dbm, "distance_m": device.distance_m}
        for device in scenario.devices
    ]  # fmt: skip
    content = {"format": "pl-env-devices", "version": 1, "devices": entries, "radio": {"bandwidth_hz": 160e6}}
    fields = read_devices(written(tmp_path, content))
    assert fields["devices"] == scenario.devices
    assert scenario.override(**fields) == scenario


def changed(**fields):
    return GOOD | fields


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON, or truncated"),
        ({"devices": []}, 'not a file of devices, which says "format": "pl-env-devices"'),
        (changed(version=2), "format version 2; this release reads version 1"),
        (changed(devices=[]), "devices is []; it must be a list of at least one device"),
        (changed(devices=[3]), "device 1 is 3; it must be an object"),
        (changed(devices=[DEVICE, DEVICE]), "the names of devices are ['desktop', 'desktop']; they must be all diff"),
        (changed(devices=[{"name": "a"}]), "device 1 has no peak_tflops"),
        (changed(devices=[DEVICE | {"memory": 3}]), "device 1 has 'memory'; known are: comment, distance_m, memory_gb"),
        (changed(devices=[DEVICE | {"memory_gb": "11"}]), "memory_gb of device 1 is '11'; it must be a number"),
        (changed(devices=[DEVICE | {"memory_gb": -1}]), "device 1: memory_bytes is -1000000000; it must be an integer"),
        (changed(devices=[DEVICE | {"utilisation": 40}]), "device 1: utilisation is 40.0; it must be a finite number"),
        (changed(devices=[DEVICE | {"name": 3}]), "device 1: name is 3"),
        (changed(links_mbit_per_s=[[0, 1]]), "links_mbit_per_s must be a number, or 2 rows of 2 numbers"),
        (changed(links_mbit_per_s="fast"), "the link from device 1 to 2 is 'fast'; it must be a number"),
        (changed(radio={}), 'it must have either "links_mbit_per_s" or "radio"'),
        ({key: GOOD[key] for key in ("format", "version", "devices")}, 'it must have either "links_mbit_per_s" or'),
        (changed(speed=3), "the file has 'speed'; known are: comment, devices, "),
    ],
)
def test_devices_that_are_refused(tmp_path, content, message):
    path = written(tmp_path, content, "devices.json")
    with pytest.raises(FileFormatError) as caught:
        read_devices(path)
    assert message in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 300


def test_a_radio_needs_places(tmp_path):
    content = {key: GOOD[key] for key in ("format", "version", "devices")} | {"radio": {}}
    with pytest.raises(FileFormatError, match="device 1 has no tx_power_dbm, which links by radio need"):
        read_devices(written(tmp_path, content))
    with pytest.raises(FileFormatError, match="radio has 'band'; known are: band_share, "):
        read_devices(written(tmp_path, content | {"radio": {"band": 3}}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([QWEN, GPT2, GOOD]), st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_file_is_read_or_refused(tmp_path, content, data):
    key = data.draw(st.sampled_from(sorted(content)))
    changed_ = content | {key: data.draw(JSON)}
    if content is GOOD and data.draw(st.booleans()):
        changed_ = GOOD | {"devices": [DEVICE | {data.draw(st.sampled_from(sorted(OTHER))): data.draw(JSON)}]}
    path = written(tmp_path, changed_)
    reader = read_devices if content is GOOD else read_model
    try:
        found = reader(path)
        assert Scenario(**found) if content is GOOD else found.table(ends=True)
    except (FileFormatError, InvalidValue):  # anything else is an error of the reader's
        pass
