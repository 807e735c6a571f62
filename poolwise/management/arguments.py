"""The argument `--param` of several commands."""

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from poolwise.support import PoolwiseError, as_written

if TYPE_CHECKING:
    from poolwise.definitions import Definition


def add_parameters(parser: ArgumentParser) -> None:
    """Declare `--param`, which `parameters` reads."""
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter; VALUE is text for a text parameter, else JSON: 5, true, null, [1, 2]",
    )


def whole(text: str) -> int:
    """Return a whole number. Raise ValueError."""
    return int(as_written(text))


def number(text: str) -> float:
    """Return a number. Raise ValueError."""
    return float(as_written(text))


#: How argparse names them in its errors.
whole.__name__, number.__name__ = "int", "float"


def parameters(definition: "Definition", given: Iterable[str]) -> dict[str, Any]:
    """Return the values of `NAME=VALUE` by name, each of its parameter's type. Raise PoolwiseError."""
    from poolwise.definitions import value_of  # a command that takes only numbers does without pydantic

    fields = {field.name: field for field in definition.fields}
    values: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise PoolwiseError(f"--param takes NAME=VALUE, not {text!r}.")
        values[name] = value_of(fields.get(name), value)
    return values
