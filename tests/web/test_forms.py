"""The forms: every kind of parameter has an input, and errors stand at the field."""

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from django import forms
from django.http import QueryDict
from pydantic import Field

from poolwise import definitions
from poolwise.definitions import Definition, ParameterField
from poolwise.definitions.registry import _by_name, _name_by_path
from poolwise.web.forms import JobFilterForm, ParametersForm, SubmitForm


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def every_kind(
    count: Annotated[int, Field(ge=1, le=9, description="How many.")],
    ratio: Annotated[float, Field(gt=0)] = 0.5,
    name: Annotated[str, Field(min_length=2, max_length=20)] = "ada",
    fast: bool = True,
    level: Literal[1, 2, 3] = 2,
    colour: Colour = Colour.RED,
    addresses: Annotated[list[str], Field(max_length=3)] = ["a", "b"],  # noqa: B006
    sizes: list[int] = [],  # noqa: B006
    limit: int | None = 5,
    day: date = date(2026, 1, 2),
    extra: dict[str, Any] = {},  # noqa: B006
) -> None:
    """Take every kind of parameter."""


@pytest.fixture
def definition(monkeypatch: pytest.MonkeyPatch) -> Definition:
    """A definition with a parameter of every kind, which no other test sees."""
    monkeypatch.setattr("poolwise.definitions.registry._by_name", dict(_by_name))
    monkeypatch.setattr("poolwise.definitions.registry._name_by_path", dict(_name_by_path))
    return definitions.job(kind="io", name="test.every_kind")(every_kind).definition


FILLED = {
    "count": "3", "ratio": "0.25", "name": "grace", "fast": "on", "level": "3", "colour": "blue",
    "addresses": "x\n\n y \nz", "sizes": "1\n2", "limit": "", "day": "2026-03-04", "extra": '{"a": [1]}',
}  # fmt: skip


def filled(definition: Definition, **changes: str) -> ParametersForm:
    """Return the form as a browser would post it."""
    return ParametersForm(definition, {f"param-{name}": value for name, value in (FILLED | changes).items()})


def test_every_kind_of_parameter_has_an_input_of_its_own(definition: Definition) -> None:
    form = ParametersForm(definition)
    kinds = {name: type(field).__name__ for name, field in form.fields.items()}
    assert kinds == {
        "count": "WholeField", "ratio": "NumberField", "name": "TextField", "fast": "BooleanField",
        "level": "TypedChoiceField", "colour": "TypedChoiceField", "addresses": "LinesField",
        "sizes": "LinesField", "limit": "WholeField", "day": "TextField", "extra": "JsonField",
    }  # fmt: skip


def test_what_a_person_fills_in_reaches_the_definition_as_typed_values(definition: Definition) -> None:
    form = filled(definition)
    assert form.is_valid(), form.errors
    assert form.params == {
        "count": 3, "ratio": 0.25, "name": "grace", "fast": True, "level": 3, "colour": "blue",
        "addresses": ["x", "y", "z"], "sizes": [1, 2], "limit": None,
        "day": "2026-03-04", "extra": {"a": [1]},
    }  # fmt: skip


def test_an_empty_input_stands_for_the_default_and_null_where_that_is_allowed(definition: Definition) -> None:
    form = filled(definition, ratio="", day="", extra="", limit="")
    assert form.is_valid(), form.errors
    assert (form.params["ratio"], form.params["day"], form.params["extra"]) == (0.5, "2026-01-02", {})
    assert form.params["limit"] is None


def test_the_form_shows_defaults_limits_and_help(definition: Definition) -> None:
    form = ParametersForm(definition)
    count = str(form["count"])
    assert 'min="1"' in count
    assert 'max="9"' in count
    assert form["count"].help_text == "How many. From 1 to 9."
    assert "\na\nb</textarea>" in str(form["addresses"])
    assert form["addresses"].help_text == "One per line. At most 3 items."
    assert "checked" in str(form["fast"])
    assert 'value="2" selected' in str(form["level"])
    assert 'step="any"' in str(form["ratio"])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("count", "10", "less than or equal to 9"),
        ("count", "", "required"),
        ("count", "three", "whole number"),
        ("ratio", "0", "greater than 0"),
        ("ratio", "nan", "number"),
        ("name", "x", "at least 2 characters"),
        ("level", "4", "valid choice"),
        ("addresses", "a\nb\nc\nd", "at most 3 items"),
        ("sizes", "1\ntwo", "Line 2: 'two' is not a number"),
        ("day", "yesterday", "valid date"),
        ("extra", "{", "valid JSON"),
        ("extra", "[1]", "valid dictionary"),
        ("name", "a\x00b", "Null characters"),
    ],
)
def test_an_error_stands_at_its_field(definition: Definition, field: str, value: str, words: str) -> None:
    form = filled(definition, **{field: value})
    assert not form.is_valid()
    assert list(form.errors) == [field]
    assert words in form.errors[field][0]


def test_an_earlier_jobs_parameters_can_be_filled_in(definition: Definition) -> None:
    form = ParametersForm(definition, initial={"count": 7, "addresses": ["q"], "fast": False})
    assert 'value="7"' in str(form["count"])
    assert "\nq</textarea>" in str(form["addresses"])
    assert "checked" not in str(form["fast"])


def test_an_error_without_a_field_stands_at_the_form(definition: Definition) -> None:
    form = filled(definition)
    form.full_clean()
    form.name_errors({"copies": "Too many.", "count": "Wrong."})
    assert form.non_field_errors() == ["copies: Too many."]
    assert form.errors["count"] == ["Wrong."]


@pytest.mark.parametrize("copies", ["0", "1001", "", "x", "1.5"])
def test_copies_out_of_bounds_are_refused(copies: str) -> None:
    form = SubmitForm(QueryDict(f"pools=gevent&copies={copies}"))
    assert list(form.errors) == ["copies"]


def test_at_least_one_known_pool_must_be_ticked() -> None:
    assert SubmitForm(QueryDict("copies=1")).errors["pools"] == ["Choose at least one pool."]
    assert "pools" in SubmitForm(QueryDict("copies=1&pools=gevent&pools=nowhere")).errors
    assert SubmitForm(QueryDict("copies=1&pools=gevent&pools=threads")).is_valid()


@pytest.mark.django_db
def test_only_who_sees_all_jobs_may_ask_for_everybodys() -> None:
    assert "owner" in JobFilterForm({}, sees_all=True).fields
    assert "owner" not in JobFilterForm({"owner": "all"}, sees_all=False).fields


def test_an_unknown_type_is_typed_as_json() -> None:
    from poolwise.web.forms import form_field

    parameter = ParameterField(name="x", label="X", annotation=Any, type="any", required=False)
    assert isinstance(form_field(parameter), forms.JSONField)
