from __future__ import annotations

import os
from functools import partial

import pytest

from agents.ahead import Ahead


def asked(number):
    return number, os.getpid()


def failing():
    raise ValueError("no answer")


def test_one_process_calls_when_it_is_asked():
    ahead = Ahead(1)
    ahead.begin(0, [failing])
    assert ahead.answers(0, [partial(asked, 3)]) == [(3, os.getpid())]


def test_other_processes_answer_in_order():
    ahead = Ahead(3)
    calls = [partial(asked, number) for number in range(5)]
    ahead.begin(7, calls)
    answers = ahead.answers(7, [failing])
    assert [number for number, _ in answers] == list(range(5))
    assert os.getpid() not in {process for _, process in answers}
    assert ahead.answers(7, calls)[0] == (0, os.getpid()), "they were not begun again"
    ahead.close()


def test_an_error_is_raised_where_the_answer_is_asked_for():
    ahead = Ahead(2)
    ahead.begin(0, [failing])
    with pytest.raises(ValueError, match="no answer"):
        ahead.answers(0, [failing])
    ahead.close()
