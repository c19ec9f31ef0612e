"""Traces: what is written is read again, and each kind of bad row gets one sentence."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from pl_env.__main__ import main
from pl_env.errors import FileFormatError, MissingPackage
from pl_env.online import Scenario, read_trace
from pl_env.online.trace import write_trace

HEAD = "arrival,model,deadline,upload\n"


@pytest.fixture
def scenario():
    return Scenario.preset("tiny")


def written(tmp_path, text: str):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_what_is_written_is_read_again(scenario, tmp_path):
    for preset in ("tiny", "online"):
        scenario = Scenario.preset(preset, episode_seconds=0.5)
        instance = scenario.sample(np.random.default_rng(0))
        write_trace(tmp_path / "trace.csv", instance, scenario)
        assert read_trace(tmp_path / "trace.csv", scenario) == instance


def test_a_trace_by_hand(scenario, tmp_path):
    path = written(tmp_path, "signal,deadline,model,arrival,note\n3,0.2,other,0.5,x\n\n1,0.1,0,0.25,y\n")
    instance = read_trace(path, scenario)
    assert instance.requested_model.tolist() == [0, 2]
    assert instance.arrival_ns.tolist() == [250_000_000, 500_000_000]
    assert instance.deadline_ns.tolist() == [350_000_000, 700_000_000]
    unit = scenario.upload_bits / scenario.bandwidth_hz * 1e9  # at 1 bit/s/Hz, which a signal of 1 gives
    assert instance.upload_ns.tolist() == [int(np.ceil(unit)), int(np.ceil(unit / 2))]


def test_uploads_on_arrival_come_before(scenario, tmp_path):
    """The second waits for the first's upload, the third could not be done with its own by its deadline."""
    path = written(tmp_path, HEAD + "0,0,0.2,0.05\n0.01,0,0.2,0.05\n0.02,0,0.1,0.05\n0.03,0,0.2,0.05\n")
    instance = read_trace(path, scenario.override(upload="on-arrival"))
    assert (instance.ready_ns / 1e6).tolist() == [50, 100, 100, 150]
    assert (instance.upload_ns / 1e6).tolist() == [0, 0, 50, 0]
    assert (instance.arrival_ns / 1e6).tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("arrival,model,upload\n0,0,0\n", "has no column 'deadline'"),
        ("arrival,model,deadline\n0,0,1\n", "must have one of the columns 'upload' and 'signal'"),
        ("arrival,model,deadline,upload,signal\n0,0,1,0,1\n", "must have one of the columns"),
        ("arrival,arrival,model\n0,0,1\n", "two columns have the same name"),
        (HEAD, "has 0 rows"),
        (HEAD + "0,0,1\n", "row 1: has 3 fields; the head has 4"),
        (HEAD + "0,0,1,0\nsoon,0,1,0\n", "row 2: arrival is 'soon'; it must be a number"),
        (HEAD + "-1,0,1,0\n", "row 1: arrival is '-1'; it must be from 0 to 3600"),
        (HEAD + "nan,0,1,0\n", "row 1: arrival is 'nan'; it must be from 0"),
        (HEAD + "0,vgg,1,0\n", "row 1: there is no model 'vgg' in the library"),
        (HEAD + "0,3,1,0\n", "row 1: model is 3; it must be from 0 to 2"),
        (HEAD + "0,0,0,0\n", "row 1: deadline is '0'; it must be from 1e-09"),
        (HEAD + "0,0,1,-1\n", "row 1: upload is '-1'; it must be from 0"),
        ("arrival,model,deadline,signal\n0,0,1,0\n", "row 1: signal is '0'; it must be from"),
    ],
)
def test_bad_rows(scenario, tmp_path, text, sentence):
    with pytest.raises(FileFormatError) as caught:
        read_trace(written(tmp_path, text), scenario)
    assert sentence in str(caught.value)


def test_files_that_are_none(scenario, tmp_path):
    with pytest.raises(FileFormatError, match="there is no such file"):
        read_trace(tmp_path / "none.csv", scenario)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(FileFormatError, match="not a CSV file"):
        read_trace(tmp_path / "binary.csv", scenario)


def test_without_pyarrow_a_parquet_file_names_the_extra(scenario, tmp_path):
    if importlib.util.find_spec("pyarrow") is not None:
        pytest.skip("pyarrow is installed")
    with pytest.raises(MissingPackage, match=r"pip install 'pl-env\[traces\]'"):
        read_trace(tmp_path / "trace.parquet", scenario)


def test_the_command_that_writes_an_example(tmp_path, capsys):
    out = tmp_path / "trace.csv"
    assert main(["trace", str(out), "--seconds", "1", "--seed", "3"]) == 0
    assert "written" in capsys.readouterr().out
    scenario = Scenario(episode_seconds=1.0)
    assert read_trace(out, scenario) == scenario.sample(np.random.default_rng(3))
