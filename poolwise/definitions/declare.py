"""The decorator `@job`: `django.tasks.task` plus a kind, a title and validated parameters."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

from django.apps import apps
from django.tasks import Task

from poolwise.definitions.definition import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_PAYLOAD_BYTES,
    AsyncBody,
    Definition,
    available,
    default_time_limit_s,
)
from poolwise.definitions.fields import describe
from poolwise.definitions.lesson import Lesson
from poolwise.definitions.parameters import build_model, humanised
from poolwise.definitions.plain import texts_of
from poolwise.definitions.registry import DISCOVERED, from_task, register
from poolwise.definitions.results import result_adapter
from poolwise.definitions.rules import (
    check_async_body,
    check_function,
    check_lesson,
    check_options,
    check_secrets,
    checked_parameters,
)
from poolwise.support import BadDefinition

if TYPE_CHECKING:
    _Task = Task[Any, Any]
else:
    _Task = Task  # generic in the type stubs only


class JobTask(_Task):
    """A django.tasks Task made by `@job`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        # A module of models may import a jobs module, and the backend needs the models. Enqueueing checks again.
        if apps.models_ready:
            super().__post_init__()

    @property
    def definition(self) -> Definition:
        """Return the definition behind the task."""
        return from_task(self)

    def asyncio(self, func: AsyncBody) -> AsyncBody:
        """Register a coroutine function as the body for asyncio, beside the sync one.

        Raise BadDefinition unless it is an `async def` with the same parameters.
        """
        definition = self.definition
        if definition.async_body is not None:
            raise BadDefinition(f"{definition.name} has an async body already; keep one of the two.")
        check_async_body(definition.name, func, self.func)
        result_adapter(definition.name, func)  # its results are stored by the annotation of the sync body
        register(replace(definition, async_body=func))
        return func


class Options(TypedDict, total=False):
    """The options of `@job`."""

    kind: str
    """One of KINDS; default `mixed`."""
    title: str
    """The name on pages; default: from the function's name."""
    name: str
    """The name in code; default `<module>.<function>`."""
    pool: str | None
    """Where it runs when no pool is given; default: by kind."""
    max_attempts: int
    retry_on: type[Exception] | tuple[type[Exception], ...]
    """Errors after which it is retried, up to `max_attempts` attempts in total; default: none."""
    retry_delay_s: float
    soft_time_limit_s: float | None
    """Raises SoftTimeLimitExceeded in the body."""
    time_limit_s: float | None
    """Fails the job; default JOB_TIME_LIMIT_S, None: no limit."""
    memory_limit_bytes: int | None
    """Fails the job once its process has grown by this much since the job started; prefork only."""
    max_payload_bytes: int
    unique: bool
    """Whether only one job with the same parameters may be queued or running; default False."""
    takes_context: bool
    """Whether the body's first parameter is `context`, an AttemptContext."""
    unavailable: Callable[[], str | None]
    """Returns the reason why it cannot run in this installation, or None."""
    lesson: Lesson | None
    """Explains the results of its variants."""


@overload
def job(function: Callable[..., Any], /) -> JobTask: ...
@overload
def job(**options: Unpack[Options]) -> Callable[[Callable[..., Any]], JobTask]: ...
def job(
    function: Callable[..., Any] | None = None, /, **options: Unpack[Options]
) -> JobTask | Callable[[Callable[..., Any]], JobTask]:
    """Make a typed, module-level function a job; an `async def` becomes an async-only job.

    Raise BadDefinition, with the remedy.
    """

    def declare(func: Callable[..., Any]) -> JobTask:
        return _declare(func, dict(options))

    return declare if function is None else declare(function)


def _declare(func: Callable[..., Any], options: dict[str, Any]) -> JobTask:
    check_function(func)
    settled = _settled(func, options)
    check_options(settled)
    signature = checked_parameters(settled["name"], func, takes_context=settled["takes_context"])
    model = build_model(settled["name"], signature)
    check_secrets(settled["name"], signature)
    check_lesson(settled["name"], signature, settled["lesson"])
    summary, description = texts_of(func)
    is_async = inspect.iscoroutinefunction(func)
    task = JobTask(func=func, takes_context=settled["takes_context"])
    register(
        Definition(
            summary=summary,
            description=description,
            module_path=task.module_path,
            task_func=func,
            body=None if is_async else func,
            async_body=func if is_async else None,
            parameters=model,
            fields=describe(model),
            signature=tuple(signature),
            result_adapter=result_adapter(settled["name"], func),
            **settled,
        )
    )
    return task


def _settled(func: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the defaults filled in. Raise BadDefinition for an unknown one."""
    if unknown := options.keys() - Options.__annotations__.keys():
        raise BadDefinition(
            f"@job of {func.__qualname__} has no option {', '.join(sorted(unknown))}; "
            f"it takes {', '.join(Options.__annotations__)}."
        )
    retry_on = options.get("retry_on", ())
    defaults = {
        "kind": "mixed",
        "title": humanised(func.__name__),
        "name": default_name(func),
        "takes_context": False,
        "unique": False,
    }
    defaults |= {"max_attempts": DEFAULT_MAX_ATTEMPTS, "max_payload_bytes": DEFAULT_MAX_PAYLOAD_BYTES}
    soft_s = options.get("soft_time_limit_s")
    limits: dict[str, Any] = {
        "soft_time_limit_s": None,
        # `check_options` refuses what is no number.
        "time_limit_s": default_time_limit_s(soft_s if isinstance(soft_s, (int, float)) else None),
        "memory_limit_bytes": None,
    }
    given = {**options, "retry_on": retry_on if isinstance(retry_on, tuple) else (retry_on,)}
    return {**defaults, **limits, "retry_delay_s": 1.0, "unavailable": available, "lesson": None, **given}


def default_name(func: Callable[..., Any]) -> str:
    """Return `<module>.<function>`, and the package instead of a module called `jobs` or `tasks`."""
    parts = func.__module__.split(".")
    if parts[-1] in DISCOVERED and len(parts) > 1:
        parts.pop()
    return f"{parts[-1]}.{func.__name__}"
