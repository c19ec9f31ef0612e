"""Fits of a measured machine, and the server's file."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pl_env
from pl_env.partial_loading.server import load_measurement
from pl_env.real_models import measuring
from pl_env.real_models.measuring import Conditions, fit_line, measure
from pl_env.real_models.plots import fit_plot, planned_and_run, sharing_map
from pl_env.real_models.scanning import scan
from tests import real_models

SERVER = pl_env.EdgeServer(1e9, 2e9, 1e-3, 10**9, (pl_env.ComputeProfile("perceptron", 1e-4, 1e-3, 1000),))


# ---------------------------------------------------------------- fits


def test_an_exact_line_is_found():
    x = np.array([0, 1e6, 5e6, 2e7])
    line = fit_line(x, 3e-3 + 2e-9 * x)
    assert (line.constant, line.slope) == pytest.approx((3e-3, 2e-9), rel=1e-9)
    assert line.r_squared == pytest.approx(1)
    assert line.largest_error == pytest.approx(0, abs=1e-12)
    assert line.at([1e6]) == pytest.approx([5e-3])


@pytest.mark.parametrize(
    ("x", "seconds", "constant", "slope"),
    [
        ([1, 2, 3], [3, 2, 1], 2, 0),  # falling: no slope below 0
        ([1, 2, 3], [0, 2, 4], 0, 16 / 14),  # steeper than through the origin: no constant below 0
        ([2, 2], [1, 3], 0, 1),  # one size only: either would do, proportional is chosen
        ([0, 0], [1, 3], 2, 0),
        ([1, 2], [0, 0], 0, 0),
        ([5], [10], 0, 2),
    ],
)
def test_coefficients_are_never_negative(x, seconds, constant, slope):
    line = fit_line(x, seconds)
    assert (line.constant, line.slope) == pytest.approx((constant, slope))


def test_no_nonnegative_line_is_better():
    """Against a search over a grid around the fit."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, seconds = rng.uniform(0, 5, size=6), rng.uniform(0, 3, size=6)
        line = fit_line(x, seconds)
        best = ((line.at(x) - seconds) ** 2).sum()
        for constant in np.linspace(0, 3, 31):
            for slope in np.linspace(0, 3, 31):
                assert best <= ((constant + slope * x - seconds) ** 2).sum() + 1e-9


def test_errors_of_a_fit_by_hand():
    """Through (0, 1), (1, 1), (2, 4): 0.5 + 1.5 x, off by 0.5, 1 and 0.5; variance about the mean 2 is 6."""
    line = fit_line([0, 1, 2], [1, 1, 4])
    assert (line.constant, line.slope) == pytest.approx((0.5, 1.5))
    assert line.r_squared == pytest.approx(1 - 1.5 / 6)
    assert line.largest_error == pytest.approx(1 / 4)
    assert fit_line([1, 2], [3, 3]).r_squared == 1


def test_bad_points():
    with pytest.raises(pl_env.InvalidValue, match="points of a fit is 0"):
        fit_line([], [])
    with pytest.raises(pl_env.InvalidValue, match="points of a fit is 'negative'"):
        fit_line([1, 2], [1, -1])


# ---------------------------------------------------------------- a machine


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = real_models.save_perceptrons(tmp_path_factory.mktemp("models"), real_models.BOTTOM_SHARED)
    conditions = Conditions(input_shape=real_models.INPUT)
    return measure(scan((folder,)), conditions, max_batch_size=4, repeats=3, builder=real_models.build)


def test_a_measured_machine_is_a_valid_server(measured):
    server = measured.server()
    assert [profile.architecture for profile in server.profiles] == ["perceptron"]
    for rate in (server.disk_bytes_per_second, server.gpu_bytes_per_second):  # 1e15 where noise hides the slope
        assert 1e7 < rate < 1e13 or rate == pytest.approx(1e15)
    assert 0 < measured.bind_seconds <= server.load_overhead < 0.1
    assert server.memory_bytes > 1e8
    line = measured.compute["perceptron"].line
    assert line.x.tolist() == [1, 2, 3, 4]
    assert (line.seconds > 0).all()
    assert measured.warm.x.max() == 4 * 4 * real_models.WIDTH * (real_models.WIDTH + 1)  # a whole model
    assert len(measured.warm.x) >= 4


def test_activation_bytes_cover_every_measured_peak(measured):
    """The output of the first layer is there when that of the second one is made: two vectors a sample at least."""
    found = measured.compute["perceptron"]
    assert all(peak <= size * found.activation_bytes for size, peak in enumerate(found.peak_bytes, 1))
    assert all(peak >= size * 2 * 4 * real_models.WIDTH for size, peak in enumerate(found.peak_bytes, 1))
    assert found.activation_bytes < 100 * 4 * real_models.WIDTH


def test_a_page_cache_that_cannot_be_emptied_gives_a_warm_server(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring.BlockLoader, "can_drop_pages", lambda self, model: False)
    folder = real_models.save_perceptrons(tmp_path, real_models.NOTHING_SHARED)
    found = measure(scan((folder,)), Conditions(input_shape=real_models.INPUT), 2, 2, real_models.build)
    assert found.cold is None
    assert found.conditions.page_cache == "warm"
    assert found.read is found.warm


def test_plots_of_real_models(measured, tmp_path):
    library = scan((real_models.save_perceptrons(tmp_path, real_models.ARBITRARY),)).library
    seconds = np.array([[1e-3, 5e-3, 2e-3], [0, 0, 1e-3]])
    figures = [
        sharing_map(library),
        fit_plot(measured),
        planned_and_run([("planned", seconds), ("measured", seconds)], 1e-2),
    ]
    for n, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{n}.png")
        assert (tmp_path / f"{n}.png").stat().st_size > 5000
    big = pl_env.ModelLibrary(np.eye(80, dtype=bool), np.ones(80, dtype=int), ("x",) * 80)
    sharing_map(big).savefig(tmp_path / "big.png")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu'; it must be cpu, or cuda where torch finds a GPU"),
        ({"threads": 0}, "threads is 0"),
        ({"page_cache": "hot"}, "page_cache is 'hot'; it must be one of 'cold', 'warm'"),
        ({"input_shape": (3, 0)}, "a side of input_shape is 0"),
        ({"input_shape": 3}, "input_shape is 3"),
    ],
)
def test_bad_conditions(tmp_path, changes, message):
    found = scan((real_models.save_perceptrons(tmp_path, real_models.NOTHING_SHARED),))
    with pytest.raises(pl_env.InvalidValue) as caught:
        measure(found, Conditions(**changes), builder=real_models.build)
    assert str(caught.value).startswith(message)


# ---------------------------------------------------------------- the server's file


def test_servers_come_back_from_their_files(tmp_path, measured):
    for server in (SERVER, pl_env.EdgeServer(), measured.server()):
        server.save(tmp_path / "server.json")
        assert pl_env.EdgeServer.load(tmp_path / "server.json") == server
        assert load_measurement(tmp_path / "server.json") == {}
    measured.server().save(tmp_path / "server.json", measured.description())
    conditions = Conditions.from_measurement(load_measurement(tmp_path / "server.json"), threads=3, device=None)
    assert conditions == Conditions("cpu", measured.conditions.page_cache, 3, real_models.INPUT)


def test_numpys_numbers_can_be_saved(tmp_path):
    pl_env.EdgeServer(disk_bytes_per_second=np.float64(3e9), memory_bytes=np.int64(7)).save(tmp_path / "server.json")
    assert pl_env.EdgeServer.load(tmp_path / "server.json").memory_bytes == 7


def edited(change):
    content = {"format": "edge-server", "version": 1, "server": json.loads(json.dumps(vars(SERVER), default=vars))}
    change(content)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON, or truncated"),
        ("[1]", "not an edge-server file"),
        ({"format": "schedule"}, "not an edge-server file"),
        (edited(lambda c: c.update(version=2)), "format version 2; this release reads version 1"),
        (edited(lambda c: c.pop("server")), "not a valid edge-server ('server')"),
        (edited(lambda c: c.update(server=3)), "not a valid edge-server"),
        (edited(lambda c: c["server"].pop("profiles")), "not a valid edge-server ('profiles')"),
        (edited(lambda c: c["server"].update(speed=3)), "unexpected keyword argument 'speed'"),
        (edited(lambda c: c["server"].update(memory_bytes=-1)), "memory_bytes is -1"),
        (edited(lambda c: c["server"].update(load_overhead="x")), "load_overhead is 'x'"),
        (edited(lambda c: c["server"]["profiles"][0].pop("architecture")), "missing 1 required positional argument"),
        (edited(lambda c: c["server"].update(profiles=[3])), "not a valid edge-server"),
    ],
)
def test_damaged_server_files(tmp_path, content, message):
    path = tmp_path / "server.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(pl_env.FileFormatError) as caught:
        pl_env.EdgeServer.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_missing_server_files_and_odd_measurements(tmp_path):
    with pytest.raises(pl_env.FileFormatError, match="there is no such file"):
        pl_env.EdgeServer.load(tmp_path / "no.json")
    with pytest.raises(pl_env.FileFormatError, match="cannot be read"):
        pl_env.EdgeServer.load(tmp_path)
    (tmp_path / "server.json").write_text(json.dumps(edited(lambda c: c.update(measurement=[1]))))
    with pytest.raises(pl_env.FileFormatError, match="its measurement is no JSON object"):
        load_measurement(tmp_path / "server.json")
