"""Pictures, without a display."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import baselines
import pl_env
from pl_env.figures import save_figure
from pl_env.partial_loading import rendering
from tests import helpers

INSTANCE = helpers.tiny_with_requests([0, 1, 1, 2, 2])


@pytest.fixture(autouse=True)
def _no_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def schedule() -> pl_env.Schedule:
    """Two users of model 1, then one of model 0."""
    return baselines.solve(INSTANCE, "optimal-dp")


def play(mode, *actions):
    """Play actions of the tiny instance; the environment and what it rendered after each."""
    env = gym.make("PartialLoading-v0", scenario="tiny", render_mode=mode)
    env.reset(options={"instance": INSTANCE})
    pictures = [env.render()]
    for action in actions:
        env.step(action)
        pictures.append(env.render())
    env.close()
    return pictures


def test_text_has_the_numbers():
    start, first, second = play("ansi", 3, 0)
    assert start.splitlines()[0] == "0.0 of 180.0 ms, 0 of 5 users served"
    assert len(start.splitlines()) == 2
    assert second.splitlines()[0] == "163.3 of 180.0 ms, 3 of 5 users served"
    assert second.splitlines()[1].split("  ")[0] == "batch"
    assert [line.split() for line in second.splitlines()[2:]] == [
        ["0", "1", "2", "0.20", "120.00", "12.00", "132.20"],
        ["1", "0", "1", "0.10", "20.00", "11.00", "163.30"],
    ]
    assert second.startswith("163.3") and first.splitlines()[2] == second.splitlines()[2]  # noqa: PT018


def test_frames_are_arrays_of_one_shape():
    frames = play("rgb_array", 3, 0)
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
        assert frame.shape == frames[0].shape
        assert frame.shape[2] == 3
        assert frame.min() < 100
        assert frame.max() == 255
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])


def test_a_video_can_be_recorded(tmp_path):
    env = gym.make("PartialLoading-v0", scenario="tiny", render_mode="rgb_array")
    env = gym.wrappers.RecordVideo(env, str(tmp_path / "videos"), name_prefix="episode", disable_logger=True)
    _, info = env.reset(seed=0)
    helpers.random_rollout(env, np.random.default_rng(0), info["action_mask"])
    env.close()
    (video,) = tmp_path.glob("videos/*.mp4")
    assert video.stat().st_size > 1000


def test_a_window_opens_and_closes():
    """On a backend that draws into memory; each step draws once."""
    code = """
import warnings, gymnasium as gym, pl_env
from matplotlib import pyplot
pl_env.PartialLoadingEnv.metadata["render_fps"] = 1000
warnings.filterwarnings("error", module="pl_env")
env = gym.make("PartialLoading-v0", scenario="tiny", render_mode="human")
env.reset(seed=0)
for action in range(3):
    assert env.render() is None
    if env.step(env.action_space.sample())[2]:
        env.reset()
print(len(pyplot.get_fignums()), len(pyplot.gcf().axes))
env.close()
env.close()
print(len(pyplot.get_fignums()))
"""
    assert helpers.run_python(code, MPLBACKEND="Agg").split() == ["1", "2", "0"]


def test_rendering_without_a_mode_warns():
    env = gym.make("PartialLoading-v0", scenario="tiny").unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_moved_bytes_by_hand(schedule):
    """Model 1 is 100 + 20 MB; model 0 behind it reuses 100 and loads 20."""
    loaded, reused = rendering.moved_bytes(schedule, INSTANCE)
    assert loaded.tolist() == [120_000_000, 20_000_000]
    assert reused.tolist() == [0, 100_000_000]
    loaded, reused = rendering.moved_bytes(schedule, helpers.changed(INSTANCE, resident=1))
    assert loaded.tolist() == [0, 20_000_000]
    assert reused.tolist() == [120_000_000, 100_000_000]
    last = helpers.tiny_with_requests([2])
    loaded, reused = rendering.moved_bytes(baselines.solve(last, "greedy"), last)
    assert (loaded.tolist(), reused.tolist()) == ([60_000_000], [0])


def test_gantt_chart_has_every_batch_the_deadline_and_the_bytes(schedule):
    figure = pl_env.gantt(schedule, INSTANCE)
    lanes, volume = figure.axes
    assert lanes.get_title() == str(schedule)
    bars = sorted((round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in lanes.patches)
    assert bars == [(0, 0.2), (0.2, 120), (120.2, 12), (132.2, 0.1), (132.3, 20), (152.3, 11)]
    assert [text.get_text() for text in lanes.texts] == ["m1\n×2", "m0\n×1"]
    assert [label.get_text() for label in lanes.get_yticklabels()] == ["upload", "load", "compute"]
    for axes in (lanes, volume):
        assert any(list(line.get_xdata()) == [180, 180] for line in axes.lines)
    heights = [round(bar.get_height(), 6) for bar in volume.patches]
    assert heights == [120, 20, 0, 100]
    legend = [text.get_text() for text in volume.get_legend().get_texts()]
    assert legend == ["loaded, 140 MB in all", "reused, 100 MB"]
    assert pl_env.gantt(schedule, INSTANCE, title="mine").axes[0].get_title() == "mine"


@pytest.mark.parametrize("preset", ["bls", "general"])
def test_gantt_chart_of_any_schedule_can_be_saved(preset, tmp_path):
    instance = pl_env.Scenario.preset(preset).sample(np.random.default_rng(0))
    figure = pl_env.gantt(baselines.solve(instance, "greedy"), instance)
    save_figure(figure, tmp_path / "plots" / "gantt.png")
    assert (tmp_path / "plots" / "gantt.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_schedule_has_a_chart(tmp_path):
    for requests, deadline in (([], 0.18), ([0, 1], 0.01)):
        instance = helpers.tiny_with_requests(requests, deadline)
        schedule = baselines.solve(instance, "greedy")
        assert len(schedule) == 0
        save_figure(pl_env.gantt(schedule, instance), tmp_path / "empty.png")
        assert len(rendering.text_gantt(schedule, instance).splitlines()) == 2
    at_once = helpers.changed(instance, deadline_ns=0)
    save_figure(pl_env.gantt(baselines.solve(at_once, "greedy"), at_once), tmp_path / "empty.png")


def test_text_chart_has_a_row_per_batch(schedule):
    """18 characters for 180 ms: 13 for the first batch, three more for the second."""
    lines = rendering.text_gantt(schedule, INSTANCE, width=18).splitlines()
    assert lines[1].split()[:4] == ["1", "2", "120.0", "0.0"]
    assert lines[2].split()[:4] == ["0", "1", "20.0", "100.0"]
    assert lines[1].split("|")[1] == "█" * 12 + "▒" + " " * 5
    assert lines[2].split("|")[1] == " " * 13 + "█" * 2 + "▒" + " " * 2
    assert len({len(line) for line in lines[1:3]}) == 1


def test_a_notebook_shows_the_chart():
    chart = pl_env.gantt(baselines.solve(INSTANCE, "greedy"), INSTANCE)
    assert chart._repr_png_().startswith(b"\x89PNG")
