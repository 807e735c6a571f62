"""Dots replace secrets; JSON stays valid JSON, whatever the secret contains."""

import json
from typing import Any

import pytest

from poolwise.support.redaction import redacted, redacted_json

QUOTED = 'pa"ss\\wörd☃😀'


@pytest.mark.parametrize(
    ("value", "secret", "left"),
    [
        ({"year": 20241, "pin": "2024", "n": 7}, "2024", {"year": "••••••", "pin": "••••••", "n": 7}),
        ([0.12024, -2024, 2.024], "2024", ["••••••", "••••••", 2.024]),
        ([True, False, None, "true enough"], "true", ["••••••", False, None, "•••••• enough"]),
        ([None, {"null": 1}], "null", ["••••••", {"••••••": 1}]),
        (2024, "2024", "••••••"),
        ({"id-2024": ["the 2024th"]}, "2024", {"id-••••••": ["the ••••••th"]}),
        ({QUOTED: f"in {QUOTED}."}, QUOTED, {"••••••": "in ••••••."}),
        (json.dumps([QUOTED]), QUOTED, '["••••••"]'),
        (repr([QUOTED]), QUOTED, "['••••••']"),
        (["\\", 2024, '"', "\\\\"], "2024", ["\\", "••••••", '"', "\\\\"]),
        ([1, "abc"], "abc", [1, "abc"]),
    ],
)
def test_a_value_with_a_secret_stays_json(value: Any, secret: str, left: Any) -> None:
    assert json.loads(redacted_json(json.dumps(value), [secret])) == left


def test_json_without_the_secret_is_unchanged() -> None:
    text = json.dumps({"a": [1.0, "ü", None, {}], "b": ""})
    assert redacted_json(text, ["2024", QUOTED]) is text


def test_json_may_be_nested_deeper_than_python_recurses() -> None:
    assert redacted_json("[" * 5000 + "2024" + "]" * 5000, ["2024"]).strip("[]") == '"••••••"'


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert redacted("abcd-efgh", ["abcd", "abcd-efgh"]) == "••••••"
