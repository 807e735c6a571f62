"""The decorator `@job`: `django.tasks.task` plus a kind, a title and parameters that are checked."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, overload

from django.apps import apps
from django.tasks import Task

from jobs.definitions.definition import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_PAYLOAD_BYTES,
    KINDS,
    AsyncBody,
    Definition,
    available,
)
from jobs.definitions.parameters import build_model, describe, humanised, parameters_of
from jobs.definitions.plain import texts_of
from jobs.definitions.registry import DISCOVERED, from_task, register
from jobs.errors import BadDefinition

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_MAX_ATTEMPTS = 100
_MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
_UNNAMED_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class JobTask(Task[Any, Any]):
    """A django.tasks Task made by `@job`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        # A model's module may import a jobs module; the backend needs the models, and checks again on enqueue.
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
        if not inspect.iscoroutinefunction(func):
            raise BadDefinition(f"The asyncio body of {definition.name} must be an `async def`.")
        wanted, given = list(_names(self.func)), list(_names(func))
        if wanted != given:
            raise BadDefinition(
                f"The asyncio body of {definition.name} takes ({', '.join(given)}); "
                f"give it the parameters of the sync one: ({', '.join(wanted)})."
            )
        register(replace(definition, async_body=func))
        return func


def _names(func: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(func).parameters)


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

    `pool` is where it runs when nobody names one, else the kind decides. A body that raises one of `retry_on` is
    tried again after `retry_delay_s`, up to `max_attempts` times in all. Raise BadDefinition, with the remedy.
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


def _declare(func: Callable[..., Any], name: str | None, title: str | None, options: dict[str, Any]) -> JobTask:
    _check_function(func)
    name = default_name(func) if name is None else name
    _check_options(name, options)
    signature = _checked_parameters(name, func, options["takes_context"])
    model = build_model(name, signature)
    summary, description = texts_of(func)
    is_async = inspect.iscoroutinefunction(func)
    task = JobTask(func=func, takes_context=options["takes_context"])
    register(
        Definition(
            name=name,
            title=title or humanised(func.__name__),
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
