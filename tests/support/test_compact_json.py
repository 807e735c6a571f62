"""Compact JSON: what the fast parser and writer refuse, the standard library takes."""

import math

import pytest

from poolwise.support import compact_json


@pytest.mark.parametrize(
    "value",
    [None, [1, -0.5, 1e22, 10**30], {"a": {"b": [True, ""]}}, "é😀", "half a pair: \ud83d", [[["\udc80"]]]],
)
def test_a_value_reads_as_it_was_written(value: object) -> None:
    text = compact_json.dumps(value)
    assert compact_json.loads(text) == value
    assert ", " not in text


def test_not_a_number_reads_as_it_was_written() -> None:
    assert math.isnan(compact_json.loads(compact_json.dumps(float("nan"))))


def test_a_deeply_nested_text_is_read() -> None:
    text = "[" * 400 + "]" * 400
    assert compact_json.dumps(compact_json.loads(text)) == text


@pytest.mark.parametrize("text", ["", "{", "[1,]", b"\xff", '"\\ud8"'])
def test_what_is_no_json_raises_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the classes of two parsers
        compact_json.loads(text)
