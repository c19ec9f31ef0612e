"""Messages of fields out of range: one short line, whatever the value."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import pl_env
from pl_env.errors import abbreviated, shown
from pl_env.ranges import require, require_integer, require_one_of, require_real


@pytest.mark.parametrize(
    "value", [3, -0.5, None, "a  b", "x" * 78, (1, 2), {"b": 1, "a": 2}, [0] * 26, np.float64(0.5)]
)
def test_short_values_are_shown_as_they_are(value):
    assert shown(value) == repr(value)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "begin", "end"),
    [
        ("y" * 1000, "'yyy", "yyy'"),
        (list(range(10**5)), "[0, 1, 2,", "99999]"),
        (np.arange(100), "array([ 0,  1,", "99])"),
        (10**400, "1000", "0000"),
        (10**5000, "<int>", "<int>"),  # Python does not write so many digits
        (Broken(), "<Broken>", "<Broken>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_long_values_are_abbreviated(value, begin, end):
    text = shown(value)
    assert text.startswith(begin)
    assert text.endswith(end)
    assert len(text) <= 80
    with pytest.raises(pl_env.InvalidValue) as caught:
        require(False, "field", value, "short")
    assert str(caught.value) == f"field is {text}; it must be short"


def test_abbreviated_texts_are_one_line_that_a_terminal_can_show():
    assert abbreviated("a\n  b\x1b[2Jc\ud800\0") == "a b?[2Jc??"
    for length in range(0, 500, 7):
        assert len(abbreviated("z" * length, 100)) == min(length, 100)
    assert abbreviated("0123456789" * 10, 20) == "0123456789 ... 56789"


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 10**5000, float("nan"), float("inf"), "1", None, True, 1j],
    ids=lambda value: type(value).__name__,
)
def test_no_number_is_one_that_no_float_holds(value):
    with pytest.raises(pl_env.InvalidValue, match="it must be a finite number at least 0"):
        require_real("field", value, 0)
    with pytest.raises(pl_env.InvalidValue, match="it must be an integer from 0 to 9"):
        require_integer("field", value, 0, 9)
    with pytest.raises(pl_env.InvalidValue, match="it must be one of 'a', 'b'"):
        require_one_of("field", value, ("a", "b"))


def test_other_messages_are_short_as_well():
    assert len(str(pl_env.UnknownName("thing", "n" * 10**6, ["k" * 10**6]))) < 1000
    assert str(pl_env.UnknownName("thing", "x", ["b", "a"])) == "there is no thing 'x'; known are: a, b"
    error = pl_env.FileFormatError("/some/path: " + "rubbish\n" * 1000)
    assert str(error).startswith("/some/path: rubbish")
    assert len(str(error)) == 299
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
