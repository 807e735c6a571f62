"""Definitions: what can be submitted."""

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
    done: Callable[..., Any], request: HttpRequest, payload: Reason, *target: str, permission: str = OPERATE
) -> Any:
    """Do an operator's act. Raise PermissionDenied."""
    require(request.user, permission)
    return done(*target, user=request.user, reason=payload.reason, by="API")


@api.get("/definitions", response={200: list[DefinitionOut], **PROBLEMS}, tags=["definitions"])
def list_definitions(request: HttpRequest) -> Any:
    """List the definitions, each with the JSON schema of its parameters."""
    paused = pauses.paused_now().definitions
    return [_out(found, paused.get(found.name)) for found in definitions.all_definitions()]


@api.get("/definitions/{name}", response={200: DefinitionOut, **PROBLEMS}, tags=["definitions"])
def get_definition(request: HttpRequest, name: str) -> Any:
    """Return one definition."""
    found = definitions.get(name)
    return _out(found, pauses.paused_now().definitions.get(found.name))


@api.post("/definitions/{name}/pause", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def pause_definition(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Begin no more jobs of a definition; they stay queued."""
    return operate(control.pause, request, payload, Pause.Kind.DEFINITION, name)


@api.post("/definitions/{name}/resume", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def resume_definition(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Let the jobs of a definition begin again."""
    return operate(control.resume, request, payload, Pause.Kind.DEFINITION, name)


def _out(found: Definition, paused: str | None) -> dict[str, Any]:
    plain = ("name", "kind", "title", "summary", "pool", "max_attempts", "soft_time_limit_s", "time_limit_s")
    return {
        **{name: getattr(found, name) for name in (*plain, "max_payload_bytes")},
        "parameters": _schema(found),
        "unavailable": found.unavailable(),
        "pause_state": paused,
    }


def _schema(found: Definition) -> dict[str, Any]:
    try:
        schema = schema_of(found.parameters)
    except PydanticInvalidForJsonSchema:  # a type of the code's own, which JSON Schema has no words for
        return {"type": "object"}
    secret = {name: _masked(schema["properties"][name]) for name in found.secret_names}
    return {**schema, "properties": {**schema.get("properties", {}), **secret}} if secret else schema


def _masked(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a secret, marked as one; its default, which the code holds, is for the body alone."""
    public = {key: part for key, part in schema.items() if key not in ("default", "examples")}
    return {**public, "format": "password", "writeOnly": True}
