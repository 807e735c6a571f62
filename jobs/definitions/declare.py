"""The decorator `@job`: `django.tasks.task` plus a kind, a title and parameters that are checked."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from django.apps import apps
from django.tasks import Task

from jobs.definitions.definition import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_PAYLOAD_BYTES,
    AsyncBody,
    Definition,
    available,
)
from jobs.definitions.parameters import build_model, describe, humanised
from jobs.definitions.plain import texts_of
from jobs.definitions.registry import DISCOVERED, from_task, register
from jobs.definitions.rules import check_async_body, check_function, check_options, checked_parameters
from jobs.errors import BadDefinition

if TYPE_CHECKING:
    _Task = Task[Any, Any]
else:
    _Task = Task  # generic in the type stubs only


class JobTask(_Task):
    """A django.tasks Task made by `@job`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        # A module of models may import a jobs module, and the backend needs the models. It checks on enqueue.
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
        register(replace(definition, async_body=func))
        return func


@overload
def job(function: Callable[..., Any], /) -> JobTask: ...
@overload
def job(
    *,
    kind: str = ...,
    title: str | None = ...,
    name: str | None = ...,
    pool: str | None = ...,
    max_attempts: int = ...,
    retry_on: type[Exception] | tuple[type[Exception], ...] = ...,
    retry_delay_s: float = ...,
    soft_time_limit_s: float | None = ...,
    time_limit_s: float | None = ...,
    max_payload_bytes: int = ...,
    takes_context: bool = ...,
    unavailable: Callable[[], str | None] | None = ...,
) -> Callable[[Callable[..., Any]], JobTask]: ...
def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    kind: str = "mixed",
    title: str | None = None,
    name: str | None = None,
    pool: str | None = None,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    retry_on: type[Exception] | tuple[type[Exception], ...] = (),
    retry_delay_s: float = 1.0,
    soft_time_limit_s: float | None = None,
    time_limit_s: float | None = None,
    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES,
    takes_context: bool = False,
    unavailable: Callable[[], str | None] | None = None,
) -> JobTask | Callable[[Callable[..., Any]], JobTask]:
    """Make a typed, module-level function a job; `async def` makes an async-only one.

    `pool` is where it runs when nobody names one; without it, the kind decides. A body that raises one of
    `retry_on` is tried again after `retry_delay_s`, up to `max_attempts` times in all.
    Raise BadDefinition, with the remedy.
    """
    options = {
        "kind": kind,
        "pool": pool,
        "max_attempts": max_attempts,
        "retry_on": (retry_on,) if isinstance(retry_on, type) else tuple(retry_on),
        "retry_delay_s": retry_delay_s,
        "soft_time_limit_s": soft_time_limit_s,
        "time_limit_s": time_limit_s,
        "max_payload_bytes": max_payload_bytes,
        "takes_context": takes_context,
        "unavailable": unavailable or available,
    }

    def declare(func: Callable[..., Any]) -> JobTask:
        return _declare(func, name, title, options)

    return declare if function is None else declare(function)


def _declare(
    func: Callable[..., Any], name: str | None, title: str | None, options: dict[str, Any]
) -> JobTask:
    check_function(func)
    name = default_name(func) if name is None else name
    title = humanised(func.__name__) if title is None else title
    check_options(name, title, options)
    signature = checked_parameters(name, func, takes_context=options["takes_context"])
    model = build_model(name, signature)
    summary, description = texts_of(func)
    is_async = inspect.iscoroutinefunction(func)
    task = JobTask(func=func, takes_context=options["takes_context"])
    register(
        Definition(
            name=name,
            title=title,
            summary=summary,
            description=description,
            module_path=task.module_path,
            task_func=func,
            body=None if is_async else func,
            async_body=func if is_async else None,
            parameters=model,
            fields=describe(model),
            signature=tuple(signature),
            **options,
        )
    )
    return task


def default_name(func: Callable[..., Any]) -> str:
    """Return `<module>.<function>`, and the package instead of a module called `jobs` or `tasks`."""
    parts = func.__module__.split(".")
    if parts[-1] in DISCOVERED and len(parts) > 1:
        parts.pop()
    return f"{parts[-1]}.{func.__name__}"
