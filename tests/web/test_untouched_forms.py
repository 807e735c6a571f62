"""An untouched form submits exactly the defaults, and each declared type can be typed."""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

import jobs
from poolwise import definitions
from poolwise.definitions import Definition, Secret
from poolwise.web.forms import ParametersForm
from tests.helpers.as_browser import sent

pytestmark = pytest.mark.slow


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Item(BaseModel):
    name: str = "a"
    price: Decimal = Decimal("1.10")
    parts: "list[Item]" = []


@dataclass
class Point:
    x: float = 1
    y: float = 0.1


class Pair(NamedTuple):
    left: int
    right: str


class Shape(TypedDict):
    sides: int


class Many(BaseModel):
    kind: Literal["many"] = "many"
    items: list[int] = []


class One(BaseModel):
    kind: Literal["one"] = "one"


type Json = dict[str, Json] | list[Json] | str | int | float | bool | None

DECLARED: list[tuple[Any, Any]] = [
    (int, 5), (int, -(10**30)), (float, 1), (float, 0.1), (float, 1e-7), (float, 1e300), (bool, True), (bool, False),
    (str, ""), (str, "ada"), (str, " a  "), (str, "\na\n\nb\n"), (str, "a\r\nb"), (str, "1"), (str, '<a> & "b"'),
    (Annotated[str, Field(max_length=20)], "a\nb"), (Annotated[str, Field(max_length=20)], "x"),
    (Annotated[str, Field(max_length=3)], "a\nb"), (str | None, None), (str | None, ""), (str | None, "x"),
    (int | None, None), (int | None, 0), (float | None, None), (float | None, 2.5), (bool | None, None),
    (bool | None, True), (bool | None, False), (Decimal, Decimal("1.50")), (Decimal, Decimal("1E+3")),
    (Decimal | None, None), (Annotated[Decimal, Field(ge=Decimal("0.1"))], Decimal("0.1")),
    (tuple[int, str], (1, "z")), (tuple[str, str], ("", " b")), (tuple[int, ...], (1, 2)), (tuple[int, ...], ()),
    (tuple[int, str] | None, None), (tuple[Decimal, float], (Decimal("1.10"), 1.5)), (tuple[int, list[int]], (1, [2])),
    (list[str], ["a", "b"]), (list[str], ["", " a ", "b\nc"]), (list[str], []), (list[int], [1, 2]), (list[float], [1]),
    (list[bool], [True]), (list[Decimal], [Decimal("1.10")]), (list[date], [date(2026, 1, 2)]), (list[Colour], [Colour.RED]),
    (list[Level], [Level.LOW]), (list[int | str], [1, "1"]), (list[str | None], ["a", None]), (list[Any], [1, "a", None]),
    (list[int] | None, None), (list[int] | None, [1]), (list[list[int]], [[1], []]), (set[int], {1, 2}),
    (frozenset[str], {"a"}),
    (int | str, 5), (int | str, "5"), (int | str, "a"), (int | str, "true"), (int | str, ""), (int | str | None, None),
    (int | str | None, "null"), (int | str | None, ""), (str | float, 1.5), (int | float, 5), (int | float, 5.0),
    (bool | str, "true"), (bool | str, True), (bool | int, 1), (int | list[int], [1]), (str | list[str], "[1]"),
    (str | list[str], "a\nb"), (Decimal | str, Decimal("1.10")), (Literal["auto"] | int, "auto"), (Literal["auto"] | int, 3),
    (Literal["a", "b"], "b"), (Literal[1, 2], 2), (Literal["a", 1, None], None), (Literal["a", 1, None], 1),
    (Literal["", "a"], ""), (Literal[1, "1"], "1"), (Literal[True, "x"], True), (Literal["a"] | None, None),
    (Colour, Colour.BLUE), (Colour | None, None), (Colour | None, Colour.RED), (Level, Level.HIGH), (None, None),
    (date, date(2026, 1, 2)), (date | None, None), (datetime, datetime(2026, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001
    (time, time(1, 2)), (timedelta, timedelta(days=-1, seconds=1.5)), (date | int, 5), (UUID, UUID(int=5)),
    (Path, Path("1")),
    (bytes, b"ab"), (dict[str, Any], {"a": [1, None]}), (dict[str, int] | None, None), (dict[str, float], {}), (Any, None),
    (Any, 5), (Any, "a"), (Any, {}), (Json, {"a": [1.5, None, True]}), (Item, Item(parts=[Item()])), (Item | None, None),
    (Point, Point()), (Pair, Pair(1, "b")), (Shape, {"sides": 3}), (Many | One, One()),
    (Annotated[Many | One, Field(discriminator="kind")], Many(items=[1])),
    (Annotated[str, Secret()], "hunter22"), (Annotated[str | None, Secret()], None), (Annotated[str, Secret()] | None, "ab"),
]  # fmt: skip
jobs.load()
CATALOGUE = [
    definition.name
    for definition in definitions.all_definitions()
    if definition.module_path.startswith("jobs")
]


def declared(define: Callable[..., Definition], annotation: Any, *default: Any) -> Definition:
    """Return a definition with one parameter `it`, with this default or none."""

    def work(it: Any) -> None: ...

    work.__annotations__ = {"it": annotation}
    work.__defaults__ = default
    work.__qualname__ = work.__name__ = "work"
    return define(work, name="t.work")


def typed(definition: Definition, text: str | None = None) -> ParametersForm:
    """Return the form as it comes back, untouched or with a text typed into `it`."""
    return ParametersForm(
        definition, sent(ParametersForm(definition), **({} if text is None else {"it": text}))
    )


@pytest.mark.parametrize(("annotation", "default"), DECLARED)
def test_an_untouched_form_submits_exactly_the_default(
    define: Callable[..., Definition], annotation: Any, default: Any
) -> None:
    definition = declared(define, annotation, default)
    form = typed(definition)
    assert form.is_valid(), form.errors
    wanted = definition.validate({})
    if not definition.secret_names:
        assert form.params == wanted
        assert repr(form.params) == repr(wanted), "1, 1.0 and True are equal, yet not the same"
    assert definition.call_arguments(form.params) == definition.call_arguments(wanted)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_untouched_form_of_a_definition_submits_its_defaults_or_asks_for_what_has_none(name: str) -> None:
    definition = definitions.get(name)
    form = typed(definition)
    if required := {field.name for field in definition.fields if field.required}:
        assert form.errors.keys() <= required
    else:
        assert form.is_valid(), form.errors
        assert repr(form.params) == repr(definition.validate({}))


@pytest.mark.parametrize(
    ("annotation", "default", "text", "value"),
    [
        (tuple[int, str], (1, "z"), "2\r\n3", [2, "3"]),
        (tuple[str, ...], ("1",), "2\n3\n4", ["2", "3", "4"]),
        (bool | None, None, "true", True), (bool | None, True, "unknown", None), (bool | None, True, "false", False),
        (int | str, 5, "6", 6), (int | str, 5, "six", "six"), (int | str, 5, '"6"', "6"), (int | str, 5, "true", "true"),
        (int | str | None, 5, "", None), (int | str | None, 5, "null", None), (int | str, 5, "a\r\nb", "a\nb"),
        (int | list[int], 5, "[1, 2]", [1, 2]), (Literal["auto"] | int, "auto", "7", 7), (Any, 5, "null", None),
        (str, "x", "a\r\nb", "a\nb"), (str, "x", "", ""), (str | None, "x", "", None), (Literal["", "a"], "a", '""', ""),
        (Literal[1, "1"], 1, '"1"', "1"), (Literal["a", None], "a", "", None), (Any, 5, "", None),
        (list[date], [], "2026-01-02\n2026-01-03", ["2026-01-02", "2026-01-03"]), (list[int] | None, [1], "2", [2]),
    ],
)  # fmt: skip
def test_what_is_typed_reaches_the_definition(
    define: Callable[..., Definition], annotation: Any, default: Any, text: str, value: Any
) -> None:
    form = typed(declared(define, annotation, default), text)
    assert form.is_valid(), form.errors
    assert repr(form.params["it"]) == repr(value)


@pytest.mark.parametrize(
    "annotation", [int | None, bool | None, str | None, Colour | None, int | str | None, Any]
)
def test_null_can_be_chosen_where_there_is_no_default(
    define: Callable[..., Definition], annotation: Any
) -> None:
    form = typed(declared(define, annotation), "unknown" if annotation == bool | None else "")
    assert form.is_valid(), form.errors
    assert form.params == {"it": None}


@pytest.mark.parametrize("annotation", [dict[str, int], Item])
def test_an_empty_object_can_be_given_where_there_is_no_default(
    define: Callable[..., Definition], annotation: Any
) -> None:
    assert typed(declared(define, annotation), "{}").is_valid()
    assert list(typed(declared(define, annotation), "").errors) == ["it"]


@pytest.mark.parametrize(
    ("annotation", "text", "words"),
    [
        (tuple[int, str], "z\nz", "Line 1: 'z' is not a number"),
        (tuple[int, str], "1\nz\n2", "at most 2 items"),
        (list[Decimal], "1\nx", "Line 2: 'x' is not a number"),
        (int | list[int], "x", "valid integer"),
        (dict[str, int], "1" * 5000, "valid JSON"),
        (dict[str, Any], "[" * 200_000, "valid JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_field(
    define: Callable[..., Definition], annotation: Any, text: str, words: str
) -> None:
    form = typed(declared(define, annotation), text)
    assert words in form.errors["it"][0]


def test_whether_or_not_is_a_choice_of_three(define: Callable[..., Definition]) -> None:
    shown = str(ParametersForm(declared(define, typing.Optional[bool], True))["it"])  # noqa: UP045
    assert "Not set" in shown
    assert '<option value="true" selected>Yes' in shown


def test_the_help_says_where_json_is_read(define: Callable[..., Definition]) -> None:
    assert ParametersForm(declared(define, int | str, 5))["it"].help_text == "JSON, or text."
    assert ParametersForm(declared(define, int | float, 5))["it"].help_text == "As JSON."
