"""Build the pydantic model of a function's parameters from its annotations."""

import inspect
import json
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

from poolwise.definitions.payload import json_ready
from poolwise.definitions.schemas import Schema
from poolwise.support import BadDefinition, InvalidParameters

#: Field names get a prefix and the parameter's name as alias, so that `json` or `copy` may be a parameter.
_PREFIX = "p_"
_CONFIG = ConfigDict(
    extra="forbid",
    allow_inf_nan=False,
    ser_json_inf_nan="constants",  # else an infinity within Any would silently become null
    validate_default=True,
    hide_input_in_errors=True,
    protected_namespaces=(),
)
_UNUSABLE = (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema, TypeError)
_NUMBER_FAULTS = ("int_type", "float_type", "bool_type")
_UNITS = {"s": "s", "ms": "ms", "bytes": "bytes", "kib": "KiB", "mib": "MiB", "px": "px"}
_VARIADIC: dict[Any, Any] = {
    inspect.Parameter.VAR_POSITIONAL: list[Any],
    inspect.Parameter.VAR_KEYWORD: dict[str, Any],
}


def parameters_of(func: Callable[..., Any], *, takes_context: bool) -> list[inspect.Parameter]:
    """Return the parameters of a function without the context, with evaluated annotations.

    Raise BadDefinition when an annotation names something that does not exist.
    """
    try:
        hints = typing.get_type_hints(func, include_extras=True)
        parameters = list(inspect.signature(func).parameters.values())
    except (NameError, AttributeError, TypeError) as error:
        raise BadDefinition(
            f"{func.__qualname__}: an annotation cannot be evaluated ({error}); "
            "import its type outside TYPE_CHECKING."
        ) from error
    return [p.replace(annotation=hints.get(p.name, p.annotation)) for p in parameters[takes_context:]]


def build_model(owner: str, parameters: Iterable[inspect.Parameter]) -> type[BaseModel]:
    """Return the pydantic model of parameters. Raise BadDefinition if a type has no JSON form or a default is invalid."""
    parameters = list(parameters)
    with suppress(*_UNUSABLE, ValidationError, InvalidParameters):
        return _checked(
            owner, parameters
        )  # all at once, which is faster: every process builds every model at start
    for parameter in parameters:
        _check_parameter(owner, parameter)
    return _model(owner, parameters)


@lru_cache(maxsize=256)
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a model; callers must not change it. Raise PydanticInvalidForJsonSchema."""
    return model.model_json_schema(schema_generator=Schema)


def _checked(owner: str, parameters: list[inspect.Parameter]) -> type[BaseModel]:
    """Return the model. Raise pydantic's errors for a type without a JSON form or an invalid default."""
    model = _model(owner, parameters)
    optional = [p for p in parameters if not model.model_fields[_PREFIX + p.name].is_required()]
    if optional:
        whole = model if len(optional) == len(parameters) else _model(owner, optional)
        json_ready(whole.model_validate({}))
    schema_of(model)
    return model


def _check_parameter(owner: str, parameter: inspect.Parameter) -> None:
    """Raise BadDefinition that names the parameter, unless its type has a JSON form and its default is valid."""
    try:
        _checked(owner, [parameter])
    except _UNUSABLE as error:
        raise BadDefinition(
            f"{owner}: parameter {parameter.name!r} has no JSON form ({str(error).splitlines()[0]}); "
            "use int, float, str, bool, list, dict, a Literal, an Enum, a date or a pydantic model."
        ) from error
    except (ValidationError, InvalidParameters) as error:
        reasons = messages(error, owner) if isinstance(error, ValidationError) else error.errors
        raise BadDefinition(
            f"{owner}: the default of {parameter.name!r} is not valid for its type ({' '.join(reasons.values())}); "
            "change the default or the limits."
        ) from error


def _model(owner: str, parameters: Iterable[inspect.Parameter]) -> type[BaseModel]:
    fields = {f"{_PREFIX}{parameter.name}": _field(parameter) for parameter in parameters}
    model: type[BaseModel] = create_model(owner, __config__=_CONFIG, **fields)  # type: ignore[call-overload]
    return model


def _field(parameter: inspect.Parameter) -> tuple[Any, Any]:
    names: dict[str, Any] = {"alias": parameter.name, "title": humanised(parameter.name)}
    if annotation := _VARIADIC.get(parameter.kind):
        return annotation, Field(default=typing.get_origin(annotation)(), **names)
    if parameter.default is inspect.Parameter.empty:
        return parameter.annotation, Field(**names)
    return parameter.annotation, Field(default=parameter.default, **names)


def humanised(name: str) -> str:
    """Return a Python name as a label: `duration_s` becomes `Duration (s)`."""
    words = name.strip("_").split("_")
    unit = _UNITS.get(words[-1]) if len(words) > 1 else None
    text = " ".join(words[:-1] if unit else words)
    return text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")


def python_values(instance: BaseModel) -> dict[str, Any]:
    """Return the validated values by parameter name."""
    return {name.removeprefix(_PREFIX): getattr(instance, name) for name in type(instance).model_fields}


def texts_for_numbers(model: type[BaseModel], params: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each text in place of a number or a boolean, and for each boolean in place of a number.

    By itself pydantic reads the text "1_000" as 1000, and true as 1.
    """
    try:
        model.model_validate_json(json.dumps(params, default=lambda _: None), strict=True)
    except ValidationError as error:
        faults = [
            item
            for item in error.errors(include_url=False, include_context=False)
            if item["type"] in _NUMBER_FAULTS and isinstance(item["input"], str | bool)
        ]
        return {str(item["loc"][0]): _placed(item["loc"][1:], item["msg"]) for item in reversed(faults)}
    except (ValueError, TypeError, RecursionError):  # it has no JSON form, which `json_ready` reports
        return {}
    return {}


def _placed(inner: Iterable[Any], text: str) -> str:
    """Return a sentence with the place within the parameter that it is about."""
    place = ".".join(str(part)[:100] for part in inner)
    return f"At {place}: {text}" if place else text


def messages(
    error: ValidationError, owner: str, known: Iterable[str] = (), *, limit: int = 20
) -> dict[str, str]:
    """Return one sentence for each field that pydantic refused, at most `limit` of them."""
    sentences: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name, *inner = (str(part)[:100] for part in item["loc"] or ("params",))
        text = str(item["msg"]).removeprefix("Value error, ")
        if item["type"] in ("extra_forbidden", "invalid_key") and not inner:
            text = f"{owner} has no such parameter; it takes {', '.join(known) or 'none'}."
        elif item["type"] == "missing" and not inner:
            text = "This parameter is required."
        sentences.setdefault(name, _placed(inner, text))
        if len(sentences) >= limit:
            break
    return sentences
