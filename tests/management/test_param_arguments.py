"""`--param NAME=VALUE`: the type of VALUE follows from the parameter's."""

from collections.abc import Callable
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from pydantic import BaseModel

from poolwise.definitions import Definition, Secret
from poolwise.management.arguments import parameters
from poolwise.management.commands import compare, hazard, submit
from poolwise.management.plan_arguments import vary_of
from poolwise.models import Job
from poolwise.support.errors import PoolwiseError


class Size(Enum):
    SMALL = "1"
    LARGE = "2"


class Item(BaseModel):
    name: str


def order(
    shop: str = "",
    token: Annotated[str, Secret()] = "",
    note: str | None = "none yet",
    code: int | str = 5,
    share: float | str = 0.5,
    count: int = 1,
    fast: bool = False,
    limit: int | None = 3,
    size: Size = Size.SMALL,
    mode: Literal["1", "true"] = "1",
    level: Literal["auto", 1, 2] | None = 1,
    file: Path = Path("x"),
    pause: timedelta = timedelta(seconds=1),
    day: date = date(2026, 1, 2),
    sizes: list[int] = [],  # noqa: B006
    item: Item | str = "",
    extra: Any = None,
) -> None:
    """Take an order."""


@pytest.fixture
def definition(define: Callable[..., Definition]) -> Definition:
    return define(order, name="t.order")


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("shop=12345", "12345"), ("shop=true", "true"), ("shop=null", "null"), ("shop=1e5", "1e5"), ("shop=01", "01"),
        ("shop=[1, 2]", "[1, 2]"), ('shop={"a": 1}', '{"a": 1}'), ("shop=", ""), ("shop=a=b", "a=b"), ("shop=NaN", "NaN"),
        ('shop="12"', "12"), ('shop="a', '"a'), ("shop= 1 ", " 1 "),
        ("note=null", None), ("note=7", "7"), ('note="null"', "null"),
        ("code=12", 12), ('code="12"', "12"), ("code=true", "true"), ("code=x", "x"), ("code=1.5", "1.5"),
        ("code=null", "null"), ("share=1", 1.0), ("share=0.25", 0.25), ("share=half", "half"), ("share=[1]", "[1]"),
        ("count=7", 7), ("fast=true", True), ("limit=null", None), ("limit=5", 5),
        ("size=2", "2"), ("mode=1", "1"), ("mode=true", "true"), ("level=2", 2), ("level=auto", "auto"),
        ("level=null", None), ("file=123", "123"), ("pause=90", "PT1M30S"), ("pause=PT2S", "PT2S"),
        ("day=2026-03-04", "2026-03-04"), ("sizes=[1, 2]", [1, 2]), ('item={"name": "a"}', {"name": "a"}),
        ("item=a", "a"), ("item=[1]", "[1]"), ("extra=1", 1), ("extra=text", "text"), ("extra=null", None),
    ],
)  # fmt: skip
def test_a_value_is_text_for_a_text_parameter_and_json_elsewhere(
    definition: Definition, given: str, value: Any
) -> None:
    name = given.partition("=")[0]
    valid = definition.validate(parameters(definition, [given]))[name]
    assert (valid, type(valid)) == (value, type(value))


def test_a_secret_that_looks_like_a_number_is_a_text(definition: Definition) -> None:
    params = definition.validate(parameters(definition, ["token=42"]))
    assert definition.call_arguments(params)["token"] == "42"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("count=many", "count: .*integer"),
        ("fast=[1]", "fast: .*boolean"),
        ("limit=x", "limit: "),
        ("colour=1", "colour: "),
    ],
)
def test_an_invalid_value_is_refused_with_its_name(definition: Definition, given: str, text: str) -> None:
    with pytest.raises(PoolwiseError, match=text):
        definition.validate(parameters(definition, [given]))


def test_a_name_alone_is_refused(definition: Definition) -> None:
    with pytest.raises(PoolwiseError, match="NAME=VALUE"):
        parameters(definition, ["shop"])


def test_values_to_compare_are_read_alike(definition: Definition) -> None:
    assert vary_of(definition, ["shop=1,2", "count=1,2"]) == {"shop": ["1", "2"], "count": [1, 2]}


@pytest.mark.parametrize("command", [compare.Command(), hazard.Command(), submit.Command()])
def test_every_command_explains_how_to_write_a_value(command: BaseCommand) -> None:
    text = " ".join(command.create_parser("manage.py", "x").format_help().split())
    assert "VALUE is text for a text parameter, else JSON" in text


@pytest.mark.django_db
def test_submit_takes_a_text_of_digits(definition: Definition, unserved_pool: str) -> None:
    call_command("submit", "t.order", "--pool", unserved_pool, "--param", "shop=12345", "--param", "token=42")
    job = Job.objects.get()
    assert job.params["shop"] == "12345"
    assert definition.call_arguments(job.params)["token"] == "42"


@pytest.mark.django_db
def test_submit_names_what_is_close_to_an_unknown_definition() -> None:
    with pytest.raises(CommandError, match=r"io\.wait"):
        call_command("submit", "io.wiat", "--param", "duration_s=1")
