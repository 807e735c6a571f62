"""Definitions of plain `@task` functions, which know nothing of Poolwise."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.tasks import Task

from jobs.definitions.definition import Definition
from jobs.definitions.parameters import build_model, describe, humanised, parameters_of
from jobs.errors import BadDefinition

_SPREAD = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


def texts_of(func: Callable[..., Any]) -> tuple[str, str]:
    """Return the first line of a function's docstring, and the rest."""
    first, _, rest = (inspect.getdoc(func) or "").partition("\n")
    return first.strip(), rest.strip()


def definition_of(task: "Task[Any, Any]") -> Definition:
    """Return the definition of a plain task. Raise BadDefinition when its arguments cannot be told."""
    func, name = task.func, task.module_path
    signature = [_trusted(name, p) for p in _lenient_parameters(func, task.takes_context)]
    model = build_model(name, signature)
    summary, description = texts_of(func)
    is_async = inspect.iscoroutinefunction(func)
    body = _spreading(func, signature)
    return Definition(
        name=name,
        kind="mixed",
        title=humanised(func.__name__),
        summary=summary,
        description=description,
        module_path=name,
        task_func=func,
        body=None if is_async else body,
        async_body=body if is_async else None,
        parameters=model,
        fields=describe(model),
        signature=tuple(signature),
        takes_context=task.takes_context,
    )


def _lenient_parameters(func: Callable[..., Any], takes_context: bool) -> list[inspect.Parameter]:
    try:
        return parameters_of(func, takes_context=takes_context)
    except BadDefinition:
        found = list(inspect.signature(func).parameters.values())
        return [p.replace(annotation=Any) for p in found[takes_context:]]


def _trusted(owner: str, parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter with an annotation that can be enforced.

    A plain task was never checked: `count: int = None` or `user: User` must not keep it from running.
    """
    if parameter.annotation is not inspect.Parameter.empty:
        try:
            build_model(owner, [parameter])
        except BadDefinition:
            pass
        else:
            return parameter
    return parameter.replace(annotation=Any)


def _spreading(func: Callable[..., Any], signature: list[inspect.Parameter]) -> Callable[..., Any]:
    """Return a function that takes every argument by name, be it `*args`, `**kwargs` or positional-only."""
    if not any(p.kind in _SPREAD for p in signature):
        return func

    @wraps(func)
    def body(*context: Any, **arguments: Any) -> Any:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for parameter in signature:
            value = arguments[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                named |= value
            elif parameter.kind is parameter.KEYWORD_ONLY:
                named[parameter.name] = value
            else:
                positional.append(value)
        return func(*context, *positional, **named)

    return inspect.markcoroutinefunction(body) if inspect.iscoroutinefunction(func) else body
