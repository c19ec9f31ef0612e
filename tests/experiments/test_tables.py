from __future__ import annotations

import math

import pytest
from jinja2 import UndefinedError

from experiments.tables import bold, duration, interval, markdown, number, render, write_csv


def test_a_markdown_table():
    rows = [{"solver": "greedy", "ratio": "0.8"}, {"ratio": "0.75", "solver": "random"}]
    assert markdown(rows, right=["ratio"]) == (
        "| solver | ratio |\n| --- | ---: |\n| greedy | 0.8 |\n| random | 0.75 |"
    )


def test_a_row_without_a_column_is_an_error():
    with pytest.raises(KeyError, match="ratio"):
        markdown([{"solver": "greedy", "ratio": "0.8"}, {"solver": "random"}])


def test_a_csv_file(tmp_path):
    write_csv(tmp_path / "new" / "table.csv", [{"curve": "a, b", "value": 1}, {"curve": "c", "value": 2.5}])
    assert (tmp_path / "new" / "table.csv").read_text() == 'curve,value\n"a, b",1\nc,2.5\n'
    with pytest.raises(ValueError, match="other"):
        write_csv(tmp_path / "wrong.csv", [{"curve": "a"}, {"other": "b"}])
    assert not (tmp_path / "wrong.csv").exists()


@pytest.mark.parametrize(
    ("value", "half_width", "text"),
    [(12.34, 0.56, "12.3 ± 0.6"), (0.11649, math.nan, "0.116"), (99.9, math.nan, "99.9"), (3681.4, math.nan, "3,681")],
)
def test_a_number_with_its_interval(value, half_width, text):
    assert interval(value, half_width) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.345, "12.3 s"), (1.0, "1 s"), (0.5, "500 ms"), (0.001, "1 ms"), (2.5e-5, "25 µs")]
)
def test_a_duration(seconds, text):
    assert duration(seconds) == text


def test_a_number():
    assert (number(12345, ","), number(-0.26, "+.1f")) == ("12,345", "-0.3")


def test_bold():
    assert (bold("1.0"), bold("1.0", True), bold("1.0", False)) == ("**1.0**", "**1.0**", "1.0")


TEMPLATE = """\
# {{ title }}
{% for row in rows %}

{{ row.name }}: {{ row.value | number(".1f") }}
{% endfor %}
"""


def test_a_document_keeps_no_line_of_a_block(tmp_path):
    template = tmp_path / "document.md.jinja"
    template.write_text(TEMPLATE)
    rows = [{"name": "a < b", "value": 1.25}, {"name": "c", "value": 3}]
    assert render(template, {"title": "T", "rows": rows}) == "# T\n\na < b: 1.2\n\nc: 3.0\n"
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render(template, {"rows": rows})
    with pytest.raises(UndefinedError, match="no attribute 'value'"):
        render(template, {"title": "T", "rows": [{"name": "a"}]})
