"""Parameters of a definition: a pydantic model made from annotations, and what a form needs to know."""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

from jobs.definitions.payload import json_ready
from jobs.errors import BadDefinition, InvalidParameters

#: Field names get a prefix and the parameter's name as alias, so that `json` or `copy` may be a parameter.
_PREFIX = "p_"
_CONFIG = ConfigDict(
    extra="forbid",
    allow_inf_nan=False,
    validate_default=True,
    hide_input_in_errors=True,
    protected_namespaces=(),
)
_UNUSABLE = (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema, TypeError)
_UNITS = {"s": "s", "ms": "ms", "bytes": "bytes", "kib": "KiB", "mib": "MiB", "px": "px"}
_VARIADIC: dict[Any, Any] = {
    inspect.Parameter.VAR_POSITIONAL: list[Any],
    inspect.Parameter.VAR_KEYWORD: dict[str, Any],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterField:
    """One parameter as a form or a page shows it; `Definition.validate` alone decides what is valid."""

    name: str
    label: str
    annotation: Any
    type: str
    """JSON type: integer, number, string, boolean, array, object or any."""
    format: str = ""
    """JSON Schema's format of a string: date, date-time, duration, uuid and so on."""
    required: bool
    nullable: bool = False
    default: Any = None
    """JSON-ready; None when required."""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    """Shortest text or array."""
    max_length: int | None = None
    choices: tuple[Any, ...] = ()


def parameters_of(func: Callable[..., Any], *, takes_context: bool) -> list[inspect.Parameter]:
    """Return the parameters that a caller gives, with evaluated annotations.

    Raise BadDefinition when an annotation names something that does not exist.
    """
    try:
        hints = typing.get_type_hints(func, include_extras=True)
        found = list(inspect.signature(func).parameters.values())
    except (NameError, AttributeError, TypeError) as error:
        raise BadDefinition(
            f"{func.__qualname__}: an annotation cannot be evaluated ({error}); "
            "import its type outside TYPE_CHECKING."
        ) from error
    return [p.replace(annotation=hints.get(p.name, p.annotation)) for p in found[takes_context:]]


def build_model(owner: str, parameters: Iterable[inspect.Parameter]) -> type[BaseModel]:
    """Return the pydantic model of parameters. Raise BadDefinition when a type or a default does not fit."""
    parameters = list(parameters)
    for parameter in parameters:
        _check_parameter(owner, parameter)
    return _model(owner, parameters)


def _check_parameter(owner: str, parameter: inspect.Parameter) -> None:
    """Raise BadDefinition that names the parameter, unless JSON can carry it and its default is valid."""
    try:
        model = _model(owner, [parameter])
        model.model_json_schema()
    except _UNUSABLE as error:
        raise BadDefinition(
            f"{owner}: parameter {parameter.name!r} cannot travel as JSON ({str(error).splitlines()[0]}); "
            "use int, float, str, bool, list, dict, a Literal, an Enum, a date or a pydantic model."
        ) from error
    if any(field.is_required() for field in model.model_fields.values()):
        return
    try:
        json_ready(model.model_validate({}))
    except (ValidationError, InvalidParameters, TypeError) as error:
        reason = messages(error, owner) if isinstance(error, ValidationError) else str(error)
        raise BadDefinition(
            f"{owner}: the default of {parameter.name!r} does not fit its own declaration: {reason}; "
            "change the default or the bounds."
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


def messages(
    error: ValidationError, owner: str, known: Iterable[str] = (), *, most: int = 20
) -> dict[str, str]:
    """Return one sentence for each field that pydantic refused, at most `most` of them."""
    found: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name, *inner = (str(part)[:100] for part in item["loc"] or ("params",))
        text = str(item["msg"])
        if item["type"] in ("extra_forbidden", "invalid_key") and not inner:
            text = f"{owner} has no such parameter; it takes {', '.join(known) or 'none'}."
        elif item["type"] == "missing" and not inner:
            text = "This parameter is required."
        elif inner:
            text = f"At {'.'.join(inner)}: {text}"
        found.setdefault(name, text)
        if len(found) >= most:
            break
    return found


def describe(model: type[BaseModel]) -> tuple[ParameterField, ...]:
    """Return what a form needs to know of each parameter, in order."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    return tuple(
        _describe_one(
            field.alias or name, field.annotation, field.is_required(), schema["properties"], definitions
        )
        for name, field in model.model_fields.items()
    )


def _describe_one(
    name: str, annotation: Any, required: bool, properties: Mapping[str, Any], definitions: Mapping[str, Any]
) -> ParameterField:
    outer = properties[name]
    inner = _resolved(outer, definitions)
    low, high = inner.get("exclusiveMinimum"), inner.get("exclusiveMaximum")
    step = 1 if inner.get("type") == "integer" else 0
    return ParameterField(
        name=name,
        label=outer.get("title", humanised(name)),
        annotation=annotation,
        type=inner.get("type", "any"),
        format=inner.get("format", ""),
        required=required,
        nullable=any(branch.get("type") == "null" for branch in outer.get("anyOf", ())),
        default=outer.get("default"),
        help=outer.get("description", ""),
        minimum=inner.get("minimum", None if low is None else low + step),
        maximum=inner.get("maximum", None if high is None else high - step),
        min_length=inner.get("minLength", inner.get("minItems")),
        max_length=inner.get("maxLength", inner.get("maxItems")),
        choices=tuple(inner["enum"]) if "enum" in inner else (inner["const"],) if "const" in inner else (),
    )


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference, and take the first branch that is not null."""
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if branch.get("type") != "null":
            return _resolved(branch, definitions)
    return schema
