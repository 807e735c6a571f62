"""Definitions: list, get, pause, resume."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from pydantic.errors import PydanticInvalidForJsonSchema

from poolwise import control, definitions
from poolwise.api.app import PROBLEMS, api
from poolwise.api.request_bodies import Reason
from poolwise.api.schemas import ActionOut, DefinitionOut
from poolwise.control import OPERATE, require
from poolwise.definitions import Definition, schema_of
from poolwise.lifecycle import pauses
from poolwise.models import Pause


def operate(
    action: Callable[..., Any], request: HttpRequest, payload: Reason, *target: str, permission: str = OPERATE
) -> Any:
    """Do an operator's action. Raise PermissionDenied."""
    require(request.user, permission)
    return action(*target, user=request.user, reason=payload.reason, by="API")


@api.get("/definitions", response={200: list[DefinitionOut], **PROBLEMS}, tags=["definitions"])
def list_definitions(request: HttpRequest) -> Any:
    """List the definitions, each with the JSON schema of its parameters."""
    paused = pauses.paused_now().definitions
    return [_out(definition, paused.get(definition.name)) for definition in definitions.all_definitions()]


@api.get("/definitions/{name}", response={200: DefinitionOut, **PROBLEMS}, tags=["definitions"])
def get_definition(request: HttpRequest, name: str) -> Any:
    """Return one definition."""
    definition = definitions.get(name)
    return _out(definition, pauses.paused_now().definitions.get(definition.name))


@api.post("/definitions/{name}/pause", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def pause_definition(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Pause a definition: running jobs finish; queued and new jobs wait."""
    return operate(control.pause, request, payload, Pause.Kind.DEFINITION, name)


@api.post("/definitions/{name}/resume", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def resume_definition(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Resume a definition."""
    return operate(control.resume, request, payload, Pause.Kind.DEFINITION, name)


def _out(definition: Definition, paused: str | None) -> dict[str, Any]:
    plain = ("name", "kind", "title", "summary", "pool", "max_attempts", "soft_time_limit_s", "time_limit_s")
    return {
        **{name: getattr(definition, name) for name in (*plain, "max_payload_bytes")},
        "parameters": _schema(definition),
        "unavailable": definition.unavailable(),
        "pause_state": paused,
    }


def _schema(definition: Definition) -> dict[str, Any]:
    try:
        schema = schema_of(definition.parameters)
    except PydanticInvalidForJsonSchema:  # a type that JSON Schema cannot describe
        return {"type": "object"}
    secret = {name: _masked(schema["properties"][name]) for name in definition.secret_names}
    return {**schema, "properties": {**schema.get("properties", {}), **secret}} if secret else schema


def _masked(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a secret, marked as one; without its default, which is only for the job."""
    public = {key: part for key, part in schema.items() if key not in ("default", "examples")}
    return {**public, "format": "password", "writeOnly": True}
