"""``python -m baselines plan``: what it prints, and its one sentence for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.__main__ import main

EXAMPLES = Path(__file__).parents[3] / "examples" / "cold_start"


def run(capsys, *words: str, devices: str | Path = EXAMPLES / "devices.json", model: str | Path = EXAMPLES) -> str:
    assert main(["plan", "--system", "cold_start", "--devices", str(devices), "--model", str(model), *words]) == 0
    return capsys.readouterr().out


def row(text: str, name: str) -> list[str]:
    return next([cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if f"│ {name} " in line)


def test_the_example(capsys, tmp_path):
    text = run(capsys, "--prompt", "1024", "--mine", "desktop:20 2:14", "--out", str(tmp_path / "plan.png"))
    assert "34 layers, embedding and head included, 16.1 GB of weights; 1024 tokens; 4 devices with 29.0 GB" in text
    assert "Done after 2.916 s (optimal-dp; no plan is done earlier)" in text
    assert row(text, "optimal-dp") == [
        "optimal-dp",
        "optimal",
        "2.916",
        "+0.0 %",
        "board:1 mini:7 laptop:11 desktop:15",
    ]
    assert row(text, "your plan") == ["your plan", "", "4.248", "+45.7 %", "desktop:20 laptop:14"]
    assert row(text, "one device alone")[2:] == ["–", "", "none has the memory"]
    for rule in ("shares", "harmonic", "even"):
        assert row(text, rule)[2] != "–", "rules for equal layers share those between the ends"
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_models_by_name_bits_and_another_solver(capsys):
    words = ("--prompt", "512", "--weight-bits", "4", "--no-ends", "--solver", "order-search")
    text = run(capsys, *words, model="qwen3-14b")
    assert "qwen3-14b: 40 layers, 6.6 GB of weights" in text
    assert "(order-search; no plan is done before 1." in text
    assert row(text, "one device alone")[4] == "desktop:40"


@pytest.mark.parametrize(
    ("mine", "reason"),
    [
        ("desktop:34", "stage 1: layers 1 to 34 take"),
        ("desktop:20 laptop:10", "places 30 of 34 layers"),
        ("desktop:10 desktop:10", "stage 2: desktop has layers already"),
    ],
)
def test_what_is_wrong_with_a_plan_of_ones_own(capsys, mine, reason):
    assert row(run(capsys, "--prompt", "64", "--mine", mine), "your plan")[4].startswith(reason[:30])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--prompt", "0"), "prompt is 0; it must be an integer from 1 to 1000000"),
        (("--prompt", "9", "--model", "qwen3-14b"), "the model does not fit: 29.5 GB of weights and room for "
         "activations, 29.0 GB of memory; with --weight-bits 8 it would"),
        (("--prompt", "9", "--model", "gpt5"), "gpt5: there is no such file; models known by name are qwen3-14b, "),
        (("--prompt", "1025", "--model", "gpt2"), "prompt is 1025; it must be an integer from 1 to 1024"),
        (("--prompt", "9", "--weight-bits", "7"), "weight_bits is 7; it must be one of 2, 3, 4, 5, 6, 8, 16, 32"),
        (("--prompt", "9", "--solver", "best"), "there is no solver 'best'; known are: even, exhaustive, "),
        (("--prompt", "9", "--solver", "shares"), "its layers differ; shares of layers are for layers that are all "),
        (("--prompt", "9", "--mine", "tower:3"), "plan is 'tower:3'; its devices must be from 1 to 4, or one of: "),
        (("--prompt", "9", "--devices", "nowhere.json"), "nowhere.json: there is no such file"),
    ],
)  # fmt: skip
def test_mistakes(capsys, words, sentence):
    assert main(["plan", "--devices", str(EXAMPLES / "devices.json"), "--model", str(EXAMPLES), *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {sentence}")
    assert error.count("\n") == 1


def test_many_machines(capsys, tmp_path):
    """18 of a kind: the sets of these are too many, and the search says how far off it may be."""
    device = {"peak_tflops": 10, "read_mb_per_s": 1000, "memory_gb": 3}
    content = {"format": "pl-env-devices", "version": 1, "devices": [device] * 18, "links_mbit_per_s": 940}
    for n, one in enumerate(content["devices"]):
        content["devices"][n] = {**one, "name": f"machine-{n}"}
    (tmp_path / "devices.json").write_text(json.dumps(content))
    text = run(capsys, "--prompt", "128", "--no-ends", devices=tmp_path / "devices.json", model="llama3-8b")
    assert "(order-search; no plan is done before " in text
