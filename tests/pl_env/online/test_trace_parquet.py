"""Traces in Parquet files, with the real pyarrow; `make ecosystem` runs this where it is not installed."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pytest

from pl_env.errors import FileFormatError
from pl_env.online import Scenario, read_trace
from pl_env.online.trace import write_trace

pyarrow = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")
parquet = pytest.importorskip("pyarrow.parquet")

GOOD = {"arrival": [0.0, 0.1], "model": ["base-a", "other"], "deadline": [0.2, 0.2], "upload": [0.0, 0.001]}


@pytest.fixture
def scenario():
    return Scenario.preset("tiny")


def written(tmp_path, columns, **options):
    path = tmp_path / "trace.parquet"
    parquet.write_table(columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns), path, **options)
    return path


def refused(path, scenario) -> str:
    with pytest.raises(FileFormatError) as caught:
        read_trace(path, scenario)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("preset", ["tiny", "online"])
@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"use_dictionary": False, "row_group_size": 7}])
def test_it_is_the_instance_of_the_csv_file(tmp_path, preset, options):
    """Times as decimal numbers with all their digits, and as floats, which are exact to the nanosecond here."""
    scenario = Scenario.preset(preset, episode_seconds=0.5)
    instance = scenario.sample(np.random.default_rng(0))
    write_trace(tmp_path / "trace.csv", instance, scenario)
    table = csv.read_csv(tmp_path / "trace.csv")
    assert read_trace(written(tmp_path, table, **options), scenario) == instance
    exact = table.set_column(0, "arrival", table["arrival"].cast(pyarrow.decimal128(18, 9)))
    assert read_trace(written(tmp_path, exact), scenario) == instance


def test_columns_of_all_kinds_that_numbers_come_in(scenario, tmp_path):
    columns = {
        "note": [["x"], None],
        "arrival": pyarrow.array([1, 0], pyarrow.int8()),
        "model": pyarrow.array([2, 0], pyarrow.uint32()),
        "deadline": [Decimal("0.25"), Decimal("0.1")],
        "signal": pyarrow.array([1.0, 3.0], pyarrow.float32()),
    }
    instance = read_trace(written(tmp_path, columns), scenario)
    assert instance.requested_model.tolist() == [0, 2]
    assert instance.arrival_ns.tolist() == [0, 1_000_000_000]
    assert instance.deadline_ns.tolist() == [100_000_000, 1_250_000_000]
    assert instance.upload_ns[1] == 2 * instance.upload_ns[0]
    names = pyarrow.table(GOOD | {"model": pyarrow.array(["base-b", "other"]).dictionary_encode()})
    assert read_trace(written(tmp_path, names), scenario).requested_model.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"deadline": None}, "has no column 'deadline'"),
        ({"upload": None}, "must have one of the columns 'upload' and 'signal'"),
        ({"signal": [1.0, 1.0]}, "must have one of the columns"),
        ({"arrival": [], "model": [], "deadline": [], "upload": []}, "has 0 rows"),
        ({"arrival": [0.0, None]}, "row 2: arrival is None; it must be a number"),
        ({"arrival": ["0", "soon"]}, "row 2: arrival is 'soon'; it must be a number"),
        ({"arrival": [0.0, -1.0]}, "row 2: arrival is -1.0; it must be from 0 to 3600"),
        ({"arrival": [float("nan"), 0.0]}, "row 1: arrival is nan; it must be from 0"),
        ({"arrival": [datetime.datetime(2026, 1, 1)] * 2}, "row 1: arrival is datetime.datetime(2026"),
        ({"arrival": [[0.0], [0.1]]}, "row 1: arrival is [0.0]; it must be a number"),
        ({"model": ["base-a", "vgg"]}, "row 2: there is no model 'vgg' in the library"),
        ({"model": ["base-a", None]}, "row 2: there is no model None in the library"),
        ({"model": [0, 3]}, "row 2: model is 3; it must be from 0 to 2"),
        ({"model": [0.5, 0.0]}, "row 1: there is no model 0.5 in the library"),
        ({"model": [["a"], ["b"]]}, "row 1: there is no model ['a'] in the library"),
        ({"deadline": [0.2, 0.0]}, "row 2: deadline is 0.0; it must be from 1e-09"),
        ({"upload": [-1.0, 0.0]}, "row 1: upload is -1.0; it must be from 0"),
        ({"upload": None, "signal": [1.0, 0.0]}, "row 2: signal is 0.0; it must be from"),
    ],
)
def test_bad_rows(scenario, tmp_path, changes, sentence):
    columns = {name: column for name, column in (GOOD | changes).items() if column is not None}
    assert sentence in refused(written(tmp_path, columns), scenario)


def test_two_columns_of_one_name(scenario, tmp_path):
    names = [*GOOD, "arrival"]
    table = pyarrow.table([*map(pyarrow.array, GOOD.values()), pyarrow.array([0.0, 0.0])], names=names)
    assert "two columns have the same name" in refused(written(tmp_path, table), scenario)


def test_files_that_are_none(scenario, tmp_path):
    path = tmp_path / "trace.parquet"
    assert "there is no such file" in refused(path, scenario)
    whole = written(tmp_path, GOOD).read_bytes()
    for content in (
        b"",
        b"PAR1",
        whole[:50],
        whole[:-1],
        bytes(range(256)),
        whole.replace(b"base-a", b"\xff\xfe\xfd\xfc\xfb\xfa"),
    ):
        path.write_bytes(content)
        sentence = refused(path, scenario)
        assert "not a Parquet file, or damaged" in sentence
    path.unlink()
    path.mkdir()
    assert "not a Parquet file, or damaged" in refused(path, scenario)
