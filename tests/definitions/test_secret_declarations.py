"""A secret is encrypted wherever its mark is understood, and refused at import wherever it is not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NewType, TypedDict
from uuid import uuid4

import pydantic
import pytest
from django.tasks import task
from pydantic import BaseModel, Field, SecretStr

from poolwise.definitions import Definition, Secret, from_task
from poolwise.support.errors import BadDefinition

type Token = Annotated[str, Secret()]
type Tree = list[Tree] | Token
Named = NewType("Named", SecretStr)


class Login(BaseModel):
    user: str
    password: Annotated[str, Secret()]


class Shop(BaseModel):
    logins: dict[str, Login] = {}
    branches: "list[Shop]" = []


class Vault(BaseModel):
    key: SecretStr
    vaults: "list[Vault]" = []


@dataclass
class Card:
    number: Annotated[str, Secret()]


class Door(TypedDict):
    code: Annotated[str, Secret()]


class Pair(NamedTuple):
    left: int
    right: Annotated[str | None, Secret()]


class Harmless(BaseModel):
    """Holds itself, and no secret."""

    again: "Harmless | None" = None
    names: list[Annotated[str, Field(max_length=5)]] = []


def body_of(annotation: Any, **default: Any) -> Any:
    """Return a function with one parameter `it`."""

    def work(it: Any, other: int = 1) -> None: ...

    work.__annotations__ = {"it": annotation, "other": int}
    work.__defaults__ = (*default.values(), 1)
    work.__qualname__ = work.__name__ = "work"
    return work


def declared(define: Callable[..., Definition], annotation: Any, **default: Any) -> Definition:
    return define(body_of(annotation, **default), name=f"t.{uuid4().hex}")


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[str, Secret()], Annotated[str, Secret], Annotated[str | None, Secret()],
        Annotated[str, Secret()] | None, Annotated[Annotated[str, Secret()] | None, Field(description="It.")], Token,
    ],
)  # fmt: skip
def test_a_marked_text_is_encrypted_and_only_the_body_reads_it(
    define: Callable[..., Definition], annotation: Any
) -> None:
    definition = declared(define, annotation)
    stored = definition.validate({"it": "canary"})
    assert definition.secret_names == ("it",)
    assert "canary" not in repr(stored)
    assert definition.call_arguments(stored)["it"] == "canary"
    assert definition.secret_values(stored) == ("canary",)


def test_a_secret_beside_none_may_be_none_and_keeps_its_limits(define: Callable[..., Definition]) -> None:
    definition = declared(define, Annotated[str, Field(max_length=9), Secret()] | None, it=None)
    assert definition.validate({})["it"] is None
    assert definition.fields[0].max_length == 9


@pytest.mark.parametrize(
    ("annotation", "remedy"),
    [
        (list[Annotated[str, Secret()]], "a whole parameter"),
        (dict[str, tuple[Annotated[str, Secret()], ...]], "a whole parameter"),
        (Annotated[str, Secret()] | int, "a whole parameter"),
        (Login, "a whole parameter"),
        (Login | None, "a whole parameter"),
        (Shop, "a whole parameter"),
        (Card, "a whole parameter"),
        (list[Door], "a whole parameter"),
        (Pair, "a whole parameter"),
        (Tree, "a whole parameter"),
        (
            Annotated[int, Secret()],
            "is not a string; write `Annotated[str, Secret()]` or `Annotated[str | None, Secret()]`",
        ),
        (Annotated[list[str], Secret()], "is not a string; write"),
        (SecretStr, "stored as asterisks"),
        (Annotated[SecretStr | None, Field(max_length=9)], "stored as asterisks"),
        (list[pydantic.SecretBytes], "stored as asterisks"),
        (pydantic.Secret[str], "stored as asterisks"),
        (Vault, "stored as asterisks"),
        (Named, "stored as asterisks"),
    ],
)
def test_a_secret_that_would_leak_is_refused_at_import_with_the_remedy(
    define: Callable[..., Definition], annotation: Any, remedy: str
) -> None:
    with pytest.raises(BadDefinition) as caught:
        declared(define, annotation)
    assert remedy in str(caught.value)
    assert "'it'" in str(caught.value)
    assert "Annotated[str, Secret()]" in str(caught.value)


@pytest.mark.parametrize(
    "annotation", [Harmless, list[dict[str, Harmless]], Annotated[str, Field(title="Secret")]]
)
def test_types_without_a_secret_are_accepted(define: Callable[..., Definition], annotation: Any) -> None:
    assert declared(define, annotation).secret_names == ()


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (list[Token], {}),
        (Login, {}),
        (SecretStr, {}),
        (Token, {"it": None}),
        (Annotated[object, Secret()], {}),
    ],
)
def test_a_plain_task_keeps_the_mark_of_a_secret(annotation: Any, default: dict[str, Any]) -> None:
    with pytest.raises(BadDefinition):
        from_task(task_of(body_of(annotation, **default)))


def test_a_plain_task_with_an_unresolved_dataclass_has_a_definition() -> None:
    @dataclass
    class Lost:
        it: "Missing"  # type: ignore[name-defined]  # noqa: F821

    assert from_task(task_of(body_of(Lost))).secret_names == ()


def test_a_plain_task_with_a_secret_and_an_unresolved_annotation_is_refused() -> None:
    body = body_of(Token)
    body.__annotations__ = {"it": "Annotated[str, Secret()]", "other": "Missing"}
    with pytest.raises(BadDefinition, match="Missing"):
        from_task(task_of(body))


def task_of(body: Any) -> Any:
    """Return a plain task of this function, at an address of its own."""
    body.__module__ = f"shop_{uuid4().hex}"
    return task(body)
