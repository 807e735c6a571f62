"""No digit of a Decimal is lost, in a form or on a command line."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from poolwise.definitions import Definition
from poolwise.management.arguments import parameters
from poolwise.web.forms import ParametersForm
from tests.helpers.as_browser import sent

LONG, SMALL = "1234567890123456789.123456789", "0.30000000000000000001"


class Item(BaseModel):
    price: Decimal = Decimal("2.50")


def pay(
    amount: Decimal = Decimal("1.50"),
    fee: Annotated[Decimal, Field(ge=Decimal("0.29999999999999999999"), le=5)] = Decimal("0.30"),
    rate: Decimal | None = None,
    parts: list[Decimal] = [Decimal("1.10")],  # noqa: B006
    item: Item = Item(),  # noqa: B008
    ratio: float = 0.5,
    extra: Any = None,
) -> None:
    """Take exact numbers."""


@pytest.fixture
def definition(define: Callable[..., Definition]) -> Definition:
    return define(pay, name="t.pay")


def typed(definition: Definition, **values: str) -> ParametersForm:
    return ParametersForm(definition, sent(ParametersForm(definition), **values))


@pytest.mark.parametrize("text", [LONG, SMALL, "1.10", "-0.0", "7", "12345678901234567890"])
@pytest.mark.parametrize("name", ["amount", "rate"])
def test_a_form_keeps_every_digit_that_was_typed(definition: Definition, name: str, text: str) -> None:
    form = typed(definition, **{name: text})
    assert form.is_valid(), form.errors
    assert form.params[name] == text
    assert definition.call_arguments(form.params)[name] == Decimal(text)


def test_an_untouched_form_keeps_the_digits_of_the_defaults(definition: Definition) -> None:
    form = typed(definition)
    assert form.is_valid(), form.errors
    assert (form.params["amount"], form.params["fee"], form.params["rate"]) == ("1.50", "0.30", None)
    assert (form.params["parts"], form.params["item"]) == (["1.10"], {"price": "2.50"})


def test_a_form_keeps_digits_within_lists_and_objects(definition: Definition) -> None:
    form = typed(definition, parts=f"{SMALL}\n1.10", item=f'{{"price": {LONG}}}', extra="[1.10]")
    assert form.is_valid(), form.errors
    assert form.params["parts"] == [SMALL, "1.10"]
    assert form.params["item"] == {"price": LONG}
    assert form.params["extra"] == [1.1]
    assert type(form.params["extra"][0]) is float


def test_an_invalid_form_shows_the_typed_values_again(definition: Definition) -> None:
    assert SMALL in str(typed(definition, item=f'{{"price": {SMALL}}}', ratio="x"))


def test_the_limits_of_an_exact_number_are_exact(definition: Definition) -> None:
    assert typed(definition, fee="0.29999999999999999999").is_valid()
    assert list(typed(definition, fee="0.29999999999999999998").errors) == ["fee"]
    shown = str(ParametersForm(definition)["fee"])
    assert 'type="number"' in shown
    assert 'step="any"' in shown
    assert 'max="5.0"' in shown


@pytest.mark.parametrize("text", ["x", "nan", "Infinity"])
def test_text_that_is_no_number_is_refused_at_its_field(definition: Definition, text: str) -> None:
    assert list(typed(definition, amount=text).errors) == ["amount"]


@pytest.mark.parametrize("text", [LONG, SMALL, "1.10", "1e2"])
def test_a_command_line_keeps_every_digit(definition: Definition, text: str) -> None:
    params = definition.validate(parameters(definition, [f"amount={text}", f"parts=[{text}]"]))
    assert definition.call_arguments(params)["amount"] == Decimal(text)
    assert definition.call_arguments(params)["parts"] == [Decimal(text)]


def test_other_numbers_of_a_command_line_are_floats_as_before(definition: Definition) -> None:
    params = definition.validate(parameters(definition, ["ratio=0.50", 'extra={"a": [0.25]}']))
    assert (params["ratio"], params["extra"]) == (0.5, {"a": [0.25]})
    assert type(params["extra"]["a"][0]) is float
