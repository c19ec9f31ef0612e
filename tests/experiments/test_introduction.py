"""The pictures of README and of "the problem in five minutes"."""

from __future__ import annotations

from itertools import pairwise

from experiments import introduction
from pl_env.systems import SYSTEMS


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_the_family_has_a_row_for_every_system():
    assert len(titles(introduction.draw_family())) == len(SYSTEMS)


def test_no_bar_of_a_lane_covers_another_and_none_is_late():
    for sketch in introduction.FAMILY:
        for lane in range(len(sketch.lanes)):
            bars = sorted((start, start + length) for of, start, length, _, _ in sketch.bars if of == lane)
            # a device of the cold start receives while it still loads: the radio is another thing than the disk
            assert all(end <= start + 0.41 for (_, end), (start, _) in pairwise(bars))
            latest = [time for of, time in sketch.deadlines if of == lane]
            assert all(end <= max(latest, default=10) for _, end in bars)


def test_the_plans_are_those_worked_by_hand():
    _, alone, best = titles(introduction.draw_five_minutes())
    assert alone.endswith("3 of 5 users")
    assert best.endswith("4 of 5 users")


def test_both_are_written(tmp_path):
    introduction.write(tmp_path)
    for name in ("family", "five-minutes"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
