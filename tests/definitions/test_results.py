"""Results: what parameters may be, and NumPy's scalars and arrays, by the annotation or by the value."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple, Never, TypedDict
from uuid import UUID

import numpy as np
import pytest
from django.tasks import task
from django.utils.functional import lazystr
from numpy.typing import NDArray
from pydantic import Base64Bytes, BaseModel, Field, PlainSerializer

from poolwise.definitions import Definition, from_task
from poolwise.support.errors import BadDefinition


class Colour(Enum):
    RED = "red"


class Order(BaseModel):
    number: int
    at: datetime = Field(default=datetime(2026, 1, 2, tzinfo=UTC), serialization_alias="when")


@dataclass
class Place:
    path: Path
    tags: frozenset[str] = frozenset()


class Size(NamedTuple):
    width: int


class Row(TypedDict):
    order: Order


class Name(str):
    """A text of the project's own class."""


ORDER, ORDER_JSON = Order(number=1), {"number": 1, "when": "2026-01-02T00:00:00Z"}
KINDS: list[tuple[Any, Any, Any]] = [
    (Order, ORDER, ORDER_JSON),
    (list[Order | None], [ORDER, None], [ORDER_JSON, None]),
    (Colour, Colour.RED, "red"),
    (dict[Colour, int], {Colour.RED: 1}, {"red": 1}),
    (Place, Place(Path("/a"), frozenset("b")), {"path": "/a", "tags": ["b"]}),
    (Row, {"order": ORDER}, {"order": ORDER_JSON}),
    (Size, Size(3), [3]),
    (datetime, datetime(2026, 1, 2, microsecond=5, tzinfo=UTC), "2026-01-02T00:00:00.000005Z"),
    (date, date(2026, 1, 2), "2026-01-02"),
    (timedelta, timedelta(seconds=1.5), "PT1.5S"),
    (Decimal, Decimal("1.50"), "1.50"),
    (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Fraction, Fraction(1, 3), "1/3"),
    (PurePosixPath, PurePosixPath("/a"), "/a"),
    (set[int], {1}, [1]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (bytes, b"text", "text"),
    (Name, Name("a"), "a"),
    (Iterator[int], iter([1, 2]), [1, 2]),
    (Never, None, None),
    (str, lazystr("lazy"), "lazy"),
    (np.float32, np.float32(0.5), 0.5),
    (np.int64, np.int64(2), 2),
    (dict[str, np.bool_], {"a": np.True_}, {"a": True}),
    (NDArray[np.float64], np.eye(2), [[1, 0], [0, 1]]),
    (np.datetime64, np.datetime64("2026-01-02", "ns"), "2026-01-02T00:00:00.000000000"),
]


@pytest.fixture
def returning(define: Callable[..., Definition]) -> Callable[[Any], Definition]:
    """Return a function that declares a job with this annotation of its result."""

    def declare(annotation: Any) -> Definition:
        def work() -> None: ...

        work.__qualname__, work.__annotations__ = "work", {"return": annotation}
        globals()["work"] = work
        return define(work, name="t.work")

    yield declare
    globals().pop("work", None)


@pytest.mark.parametrize(
    ("annotation", "value", "stored"), KINDS, ids=[str(number) for number in range(len(KINDS))]
)
@pytest.mark.parametrize("is_annotated", [True, False])
def test_what_parameters_may_be_is_stored(
    returning: Any, annotation: Any, value: Any, stored: Any, is_annotated: bool
) -> None:
    if annotation == Iterator[int]:
        value = iter(list(stored))
    definition = returning(annotation if is_annotated else Any)
    assert json.loads(definition.result_text(value)) == stored


def test_the_annotation_says_how_a_value_is_stored(returning: Any) -> None:
    assert returning(Base64Bytes).result_text(b"\xff") == '"/w=="'
    assert returning(Annotated[int, PlainSerializer(lambda n: f"{n} s")]).result_text(3) == '"3 s"'


def test_a_value_of_another_type_than_annotated_is_stored_by_itself(returning: Any) -> None:
    assert json.loads(returning(int).result_text(ORDER)) == ORDER_JSON
    assert returning(Order).result_text("none") == '"none"'


@pytest.mark.parametrize("annotation", [list[Decimal], Any])
@pytest.mark.parametrize("value", [[float("nan")], [float("inf")], np.array([np.nan]), object(), Order])
def test_what_has_no_json_form_is_refused(returning: Any, annotation: Any, value: Any) -> None:
    definition = returning(annotation)
    with pytest.raises((TypeError, ValueError)):
        definition.result_text(value)


@task
def give_connection() -> "BadDefinition":
    return BadDefinition("so it is")


def test_a_plain_task_is_not_refused_for_its_annotation() -> None:
    definition = from_task(give_connection)
    with pytest.raises(TypeError):
        definition.result_text(BadDefinition("x"))
    assert definition.result_text([1]) == "[1]"
