"""The form of a job: the page comes back with the error at its field, and nothing is submitted."""

from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from django.test import Client
from django.utils.html import escape
from pydantic import Field

from poolwise.definitions import Secret
from poolwise.models import Job

pytestmark = pytest.mark.django_db


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def every_kind(
    count: Annotated[int, Field(ge=1, le=9)],
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5,
    name: Annotated[str, Field(min_length=2, max_length=20, pattern=r"^[a-z]+$")] = "ada",
    fast: bool = True,
    level: Literal[1, 2, 3] = 2,
    colour: Colour = Colour.RED,
    addresses: Annotated[list[str], Field(max_length=3)] = ["a", "b"],  # noqa: B006
    sizes: list[Annotated[int, Field(ge=0)]] = [],  # noqa: B006
    limit: int | None = 5,
    day: date = date(2026, 1, 2),
    extra: dict[str, Any] = {},  # noqa: B006
    token: Annotated[str, Field(max_length=8), Secret()] = "",
) -> None:
    """Take every kind of parameter."""


FILLED = {
    "count": "3", "ratio": "0.25", "name": "grace", "fast": "on", "level": "3", "colour": "blue", "addresses": "x\ny",
    "sizes": "1\n2", "limit": "", "day": "2026-03-04", "extra": '{"a": [1]}',
}  # fmt: skip
DEEP = '{"a":' * 400 + "1" + "}" * 400
#: field, what is typed there, and what the page says.
TYPED: list[tuple[str, str, str]] = [
    ("count", "", "required"), ("count", "0", "greater than or equal to 1"), ("count", "10", "less than or equal to 9"),
    ("count", "-1", "greater than"), ("count", "three", "whole number"), ("count", "1.5", "whole number"),
    ("count", "1e2", "whole number"), ("count", "0_3", "whole number"), ("ratio", "0.1_5", "number"),
    ("count", "0x3", "whole number"), ("count", "9" * 5000, "whole number"),
    ("count", "3;", "whole number"), ("count", "\u0663\u0664", "less than or equal"), ("count", "NaN", "whole number"),
    ("ratio", "0", "greater than 0"),
    ("ratio", "-0.1", "greater than or equal to 0"), ("ratio", "1.01", "less than or equal to 1"),
    ("ratio", "nan", "number"), ("ratio", "inf", "number"), ("ratio", "-inf", "number"), ("ratio", "1e999", "number"),
    ("ratio", "half", "number"), ("ratio", "0,5", "number"), ("ratio", "1/2", "number"),
    ("name", "x", "at least 2 characters"), ("name", "", "at least 2 characters"), ("name", "x" * 21, "at most 20"),
    ("name", "Grace", "match pattern"), ("name", "a b", "match pattern"), ("name", "a\nb", "match pattern"),
    ("name", "a\x00b", "Null characters"), ("name", "<script>", "match pattern"), ("name", "\U0001f600" * 3, "pattern"),
    ("name", "a\x1b[31m", "match pattern"), ("name", " ada", "match pattern"),
    ("level", "4", "valid choice"), ("level", "two", "valid choice"), ("level", "2.0", "valid"),
    ("colour", "green", "valid choice"), ("colour", "RED", "valid choice"), 
    ("addresses", "a\nb\nc\nd", "at most 3 items"), ("addresses", "a\x00", "NUL character"),
    ("sizes", "1\ntwo", "Line 2: 'two' is not a number"), ("sizes", "1.5", "Line 1: '1.5' is not a number"),
    ("sizes", "1\n-2", "greater than or equal to 0"), ("sizes", "1,2", "Line 1: '1,2' is not a number"),
    ("sizes", "9" * 5000, "is not a number"), ("sizes", "0x1", "is not a number"),
    ("sizes", "1_0", "Line 1: '1_0' is not a number"), ("limit", "0_5", "whole number"),
    ("limit", "five", "whole number"), ("limit", "5.5", "whole number"),
    ("day", "yesterday", "valid date"), ("day", "2026-02-30", "valid date"), ("day", "04.03.2026", "valid date"),
    ("day", "2026-13-01", "valid date"), ("day", "\x00", "Null characters"), ("day", "2026-03-04T05:06", "date"),
    ("extra", "{", "valid JSON"), ("extra", "[1]", "valid dictionary"), ("extra", "1", "valid dictionary"),
    ("extra", '"text"', "valid dictionary"), ("extra", "{'a': 1}", "valid JSON"), ("extra", "{a: 1}", "valid JSON"),
    ("extra", '{"a": NaN}', "JSON"), ("extra", '{"a": 1e999}', "JSON"), ("extra", '{"a": "\\u0000"}', "NUL character"),
    ("extra", '{"a": "\\ud800"}', "JSON"), ("extra", DEEP, "cannot be stored as JSON"),
    ("extra", '{"a": "' + "x" * 70_000 + '"}', "at most 65,536 are allowed"),
    ("token", "x" * 9, "at most 8"), ("token", "a\x00b", "Null characters"),
]  # fmt: skip
#: What is posted beside the parameters, and what the page says.
BESIDE: list[tuple[dict[str, Any], str]] = [
    ({"pools": []}, "Choose at least one pool."), ({"pools": ["nowhere"]}, "nowhere"), ({"pools": ["gevent", "x"]}, "x"),
    ({"pools": ["GEVENT"]}, "GEVENT"), ({"pools": ["coordinator"]}, "coordinator"), ({"pools": ["\x00"]}, "valid choice"),
    ({"copies": ""}, "required"), ({"copies": "0"}, "greater than or equal to 1"), ({"copies": "-1"}, "greater than"),
    ({"copies": "1001"}, "less than or equal to 1000"), ({"copies": "1.5"}, "whole number"),
    ({"copies": "1_0"}, "whole number"),
    ({"copies": "many"}, "whole number"), ({"copies": "9" * 5000}, "whole number"), ({"copies": "1\x00"}, "whole number"),
]  # fmt: skip


@pytest.fixture
def post(bob: Client, define: Callable[..., Any], sent: list[Job]) -> Callable[[dict[str, Any]], str]:
    """Post the form, with changes; return the page's text after making sure that nothing came of it."""
    define(every_kind, name="t.every_kind", kind="io")

    def post(changes: dict[str, Any]) -> str:
        data = {f"param-{name}": value for name, value in FILLED.items()} | {
            "pools": ["gevent"],
            "copies": "1",
        }
        answer = bob.post("/definitions/t.every_kind/", data | changes)
        assert answer.status_code == 200
        assert not Job.objects.exists()
        assert sent == []
        return str(answer.content.decode(errors="replace"))

    return post


@pytest.mark.slow
@pytest.mark.parametrize(("field", "value", "text"), TYPED, ids=lambda value: repr(value)[:40])
def test_a_value_that_does_not_fit(post: Callable[..., str], field: str, value: str, text: str) -> None:
    page = post({f"param-{field}": value})
    assert "Nothing was submitted." in page
    assert f'href="#id_param-{field}"' in page, "the error leads to its field"
    assert escape(text) in page
    assert "<script>" not in page.split("</head>")[1]


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "text"), BESIDE, ids=lambda value: repr(value)[:40])
def test_a_place_or_number_that_does_not_fit(
    post: Callable[..., str], changes: dict[str, Any], text: str
) -> None:
    page = post(changes)
    assert "Nothing was submitted." in page
    assert escape(text) in page


@pytest.mark.parametrize("size_bytes", [2 * 1024 * 1024 + 1, 8 * 1024 * 1024])
def test_more_than_a_form_may_have_is_refused_before_it_is_read(
    bob: Client, define: Callable[..., Any], size_bytes: int
) -> None:
    define(every_kind, name="t.every_kind", kind="io")
    answer = bob.post("/definitions/t.every_kind/", {"param-name": "x" * size_bytes})
    assert answer.status_code in (400, 413)
    assert not Job.objects.exists()


def test_more_fields_than_a_form_may_have_are_refused(bob: Client) -> None:
    answer = bob.post("/definitions/io.wait/", {f"field{number}": "1" for number in range(1_001)})
    assert answer.status_code == 400
    assert not Job.objects.exists()


def test_a_form_with_a_file_is_refused(bob: Client) -> None:
    from io import BytesIO

    answer = bob.post("/definitions/io.wait/", {"param-duration_s": "0.1", "f": BytesIO(b"x")})
    assert answer.status_code == 400
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "name", ["no.such", "io.wiat", "x" * 300, "..%2F..%2Fetc", "<b>", "io.wait%00", "%ff"]
)
def test_a_definition_that_does_not_exist_is_not_found(bob: Client, name: str) -> None:
    assert bob.post(f"/definitions/{name}/", {"pools": "gevent", "copies": "1"}).status_code == 404
    assert not Job.objects.exists()
