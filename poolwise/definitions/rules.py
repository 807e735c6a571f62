"""The rules of a declaration; each error names the remedy."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pydantic
from django.tasks import Task
from pydantic.fields import FieldInfo

from poolwise.definitions.annotations import bare, marks_of, parts_of
from poolwise.definitions.definition import KINDS
from poolwise.definitions.lesson import Lesson
from poolwise.definitions.parameters import parameters_of
from poolwise.definitions.secrets import is_mark
from poolwise.support import BadDefinition

MAX_ATTEMPTS = 100
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
MIN_MEMORY_BYTES, MAX_MEMORY_BYTES = 1024 * 1024, 2**50
MAX_TITLE_CHARS = 100
#: The arguments of `Field` beside limits.
_TEXTS = ("title", "description", "examples")
#: pydantic's own secrets, whose JSON form is asterisks.
_MASKED = (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)
_RIGHT = "`Annotated[str, Secret()]` or `Annotated[str | None, Secret()]`"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


def check_function(func: Any) -> None:
    """Raise BadDefinition unless `func` is a named function of a module that workers can import."""
    if isinstance(func, Task):
        raise BadDefinition(f"{func.module_path} is a task already; use @job alone, without @task.")
    if not inspect.isfunction(func):
        raise BadDefinition(f"@job decorates a function, not {func!r}; wrap it in a `def`.")
    if "." in func.__qualname__ or func.__name__ == "<lambda>":
        raise BadDefinition(
            f"{func.__module__}.{func.__qualname__} is not at module level, "
            "so a worker cannot import it; move it to the top level of its module."
        )
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise BadDefinition(
            f"{func.__qualname__} is a generator; return one JSON value instead, such as a list."
        )


def check_options(options: Mapping[str, Any]) -> None:
    """Raise BadDefinition that lists every invalid option."""
    wrong = [
        *_wrong_texts(options),
        *_wrong_counts(options),
        *_wrong_times(options["soft_time_limit_s"], options["time_limit_s"], options["retry_delay_s"]),
    ]
    if wrong:
        raise BadDefinition(f"@job of {options['name']}: {'; '.join(wrong)}.")


def _wrong_texts(options: Mapping[str, Any]) -> Iterator[str]:
    if not _NAME.fullmatch(options["name"]):
        yield "name: use letters, digits, `_`, `.` and `-`, at most 200"
    if not 1 <= len(options["title"]) <= MAX_TITLE_CHARS:
        yield f"title: give 1 to {MAX_TITLE_CHARS} characters"
    if options["kind"] not in KINDS:
        yield f"kind: {options['kind']!r} is not one of {', '.join(KINDS)}"
    if not isinstance(options["unique"], bool):
        yield "unique: use True or False"
    if not callable(options["unavailable"]):
        yield "unavailable: give a function that returns a reason or None"


def _wrong_counts(options: Mapping[str, Any]) -> Iterator[str]:
    if not _is_whole(options["max_attempts"], MAX_ATTEMPTS):
        yield f"max_attempts: use 1 to {MAX_ATTEMPTS}"
    if not _is_whole(options["max_payload_bytes"], MAX_PAYLOAD_BYTES):
        yield f"max_payload_bytes: use 1 to {MAX_PAYLOAD_BYTES:,}"
    memory = options["memory_limit_bytes"]
    if memory is not None and not (_is_whole(memory, MAX_MEMORY_BYTES) and memory >= MIN_MEMORY_BYTES):
        yield f"memory_limit_bytes: use {MIN_MEMORY_BYTES:,} (1 MiB) or more, or leave it out"
    if not all(map(_is_exception, options["retry_on"])):
        yield "retry_on: give Exception classes"


def _wrong_times(soft_s: float | None, hard_s: float | None, retry_delay_s: float) -> Iterator[str]:
    # `not … >` also refuses NaN.
    if not retry_delay_s >= 0:
        yield "retry_delay_s: use 0 or more"
    if hard_s is not None and not hard_s > 0:
        yield "time_limit_s: use more than 0"
    if soft_s is not None and not soft_s > 0:
        yield "soft_time_limit_s: use more than 0"
    if soft_s is not None and hard_s is not None and not soft_s < hard_s:
        yield "soft_time_limit_s: must be below time_limit_s"


def _is_whole(value: Any, maximum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= maximum


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def checked_parameters(
    name: str, func: Callable[..., Any], *, takes_context: bool
) -> list[inspect.Parameter]:
    """Return the parameters without the context. Raise BadDefinition unless each is named and annotated."""
    first = next(iter(inspect.signature(func).parameters), None)
    if takes_context and first != "context":
        raise BadDefinition(f"{name} has takes_context=True; call its first parameter `context`.")
    if not takes_context and first == "context":
        raise BadDefinition(
            f"{name} has a parameter `context`; declare it with takes_context=True, or rename it."
        )
    parameters = parameters_of(func, takes_context=takes_context)
    for parameter in parameters:
        _check_parameter(name, parameter)
    return parameters


def _check_parameter(name: str, parameter: inspect.Parameter) -> None:
    shown = str(parameter).partition(":")[0]
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise BadDefinition(f"{name} takes {shown}; list its parameters one by one, each with a type.")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise BadDefinition(
            f"{name}: {parameter.name!r} is positional-only; remove the `/`, bodies are called by name."
        )
    if parameter.annotation is parameter.empty:
        raise BadDefinition(
            f"{name}: {parameter.name!r} has no type; annotate it, for example `{parameter.name}: int`."
        )
    if isinstance(parameter.default, FieldInfo):
        raise BadDefinition(
            f"{name}: `Field` is the default of {parameter.name!r}; write it into the type: "
            f"`{parameter.name}: {_with_field(parameter.annotation, parameter.default)}`."
        )


def _with_field(annotation: Any, field: FieldInfo) -> str:
    """Return what to write instead of `= Field(...)`."""
    options = {name: getattr(field, name) for name in _TEXTS if getattr(field, name) is not None}
    for mark in field.metadata:
        options |= {
            name: getattr(mark, name) for name in getattr(mark, "__dataclass_fields__", None) or vars(mark)
        }
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    default = "" if field.is_required() else f" = {field.get_default(call_default_factory=True)!r}"
    plain = inspect.formatannotation(annotation)
    return (f"Annotated[{plain}, Field({given})]" if given else plain) + default


def check_secrets(name: str, parameters: Iterable[inspect.Parameter]) -> None:
    """Raise BadDefinition unless each secret is a whole parameter, a string, and marked by our `Secret`."""
    for parameter in parameters:
        if wrong := _wrong_secret(parameter.annotation):
            raise BadDefinition(f"{name}: the secret in {parameter.name!r} {wrong} write {_RIGHT}.")


def _wrong_secret(annotation: Any) -> str:
    parts = list(parts_of(annotation))
    if any(isinstance(part, type) and issubclass(part, _MASKED) for part in parts):
        return "would be stored as asterisks; use poolwise.Secret for a whole parameter:"
    if any(map(is_mark, marks_of(annotation))):
        return "" if bare(annotation) in (str, str | None) else "is not a string;"
    within = any(map(is_mark, parts))
    return "would be stored in clear; a secret must be a whole parameter:" if within else ""


def check_lesson(name: str, parameters: Iterable[inspect.Parameter], lesson: Any) -> None:
    """Raise BadDefinition unless the lesson, if any, names a parameter of the job."""
    if lesson is None:
        return
    known = [parameter.name for parameter in parameters]
    if not isinstance(lesson, Lesson) or lesson.parameter not in known:
        raise BadDefinition(
            f"{name}: give lesson=Lesson(parameter, …), with one of {', '.join(known) or 'none'}."
        )


def check_async_body(name: str, body: Callable[..., Any], sync_body: Callable[..., Any]) -> None:
    """Raise BadDefinition unless `body` is an `async def` with the parameters of the sync one."""
    if not inspect.iscoroutinefunction(body):
        raise BadDefinition(f"The asyncio body of {name} must be an `async def`.")
    wanted, given = list(inspect.signature(sync_body).parameters), list(inspect.signature(body).parameters)
    if wanted != given:
        raise BadDefinition(
            f"The asyncio body of {name} takes ({', '.join(given)}); "
            f"give it the parameters of the sync one: ({', '.join(wanted)})."
        )
