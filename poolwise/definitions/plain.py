"""Definitions of functions that are declared with `@task` of django.tasks alone."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any

from django.tasks import Task
from pydantic import TypeAdapter

from poolwise.definitions.annotations import marks_of
from poolwise.definitions.definition import Definition, default_time_limit_s
from poolwise.definitions.fields import describe
from poolwise.definitions.parameters import build_model, humanised, parameters_of
from poolwise.definitions.results import result_adapter
from poolwise.definitions.rules import check_secrets
from poolwise.definitions.secrets import is_mark
from poolwise.support import BadDefinition

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
    """Return the definition of a plain task. Raise BadDefinition if its signature cannot be read."""
    func, name = task.func, task.module_path
    declared = _lenient_parameters(func, task.takes_context)
    signature = [_trusted(name, p) for p in declared]
    check_secrets(name, declared)
    model = build_model(name, signature)
    summary, description = texts_of(func)
    is_async = inspect.iscoroutinefunction(func)
    body = _spreading(func, declared, signature)
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
        time_limit_s=default_time_limit_s(),
        result_adapter=_result_adapter(name, func),
    )


def _lenient_parameters(func: Callable[..., Any], takes_context: bool) -> list[inspect.Parameter]:
    try:
        return parameters_of(func, takes_context=takes_context)
    except BadDefinition:
        parameters = list(inspect.signature(func).parameters.values())
        if any("Secret" in str(p.annotation) for p in parameters):
            raise  # without a type it would be stored in clear
        return [p.replace(annotation=Any) for p in parameters[takes_context:]]


def _result_adapter(owner: str, func: Callable[..., Any]) -> TypeAdapter[Any] | None:
    with suppress(BadDefinition):  # each result is checked
        return result_adapter(owner, func)
    return None


def _trusted(owner: str, parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter with an annotation and a default that validation can enforce.

    Plain tasks are not checked when declared: `n: int = None`, `user: User` or `x=object()` is allowed. A secret is
    checked.
    """
    if any(map(is_mark, marks_of(parameter.annotation))):
        build_model(owner, [parameter])  # without a type it would be stored in clear
        return parameter
    untyped = parameter.replace(annotation=Any)
    candidates = [untyped] if parameter.annotation is parameter.empty else [parameter, untyped]
    for candidate in candidates:
        try:
            build_model(owner, [candidate])
        except BadDefinition:
            continue
        return candidate
    return untyped.replace(default=None)


def _spreading(
    func: Callable[..., Any], declared: list[inspect.Parameter], signature: list[inspect.Parameter]
) -> Callable[..., Any]:
    """Return a function that takes every argument by name, also `*args`, `**kwargs` and positional-only ones.

    A default without a JSON form is None in the signature; the function restores it.
    """
    own = {p.name: p.default for p, q in zip(declared, signature, strict=True) if p.default is not q.default}
    if not own and not any(p.kind in _SPREAD for p in signature):
        return func

    @wraps(func)
    def body(*context: Any, **arguments: Any) -> Any:
        positional, named = _spread(signature, {**arguments, **_restored(arguments, own)})
        return func(*context, *positional, **named)

    return inspect.markcoroutinefunction(body) if inspect.iscoroutinefunction(func) else body


def _restored(arguments: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {name: default for name, default in own.items() if arguments[name] is None}


def _spread(
    signature: list[inspect.Parameter], arguments: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
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
    return positional, named
