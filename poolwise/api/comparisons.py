"""Comparisons: plan, list, get, cancel."""

from typing import Any
from uuid import UUID

from django.db.models import F
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Status

from poolwise import definitions
from poolwise import lab as planning
from poolwise.api.app import BUSY, PROBLEMS, api
from poolwise.api.idempotency import Key, stored_key
from poolwise.api.request_bodies import WITHOUT, CancelIn, ComparisonIn
from poolwise.api.schemas import ComparisonDetailOut, ComparisonOut, ComparisonPageOut
from poolwise.control import roles
from poolwise.lab import waits_for
from poolwise.models import Comparison
from poolwise.reports import page_of
from poolwise.support import InvalidParameters, UnknownDefinition, UnknownPool
from poolwise.web import views


def _visible(request: HttpRequest) -> Any:
    """Return the comparisons that the caller may see, each with the text of its answer."""
    return Comparison.objects.visible_to(request.user).annotate(answer_text=F("report__answer__text"))


@api.get("/comparisons", response={200: ComparisonPageOut, **PROBLEMS}, tags=["comparisons"])
def list_comparisons(request: HttpRequest, before: str = "", after: str = "") -> Any:
    """List comparisons, newest first."""
    page = page_of(
        _visible(request).defer("environment", "report"), {"before": before, "after": after}, strict=True
    )
    return {"comparisons": page.rows, "older": page.older, "newer": page.newer}


@api.get(
    "/comparisons/{uuid:comparison_id}", response={200: ComparisonDetailOut, **PROBLEMS}, tags=["comparisons"]
)
def get_comparison(request: HttpRequest, comparison_id: UUID) -> Any:
    """Return one comparison with its answer and report."""
    comparison: Any = get_object_or_404(_visible(request), pk=comparison_id)
    comparison.progress = planning.progress(comparison)
    comparison.waits_for = waits_for(comparison)[1] if not comparison.has_ended else ""
    return comparison


@api.post(
    "/comparisons",
    response={201: ComparisonOut, 200: ComparisonOut, **PROBLEMS, **BUSY},
    tags=["comparisons"],
)
def plan(request: HttpRequest, payload: ComparisonIn, idempotency_key: Key = "") -> Any:
    """Plan a comparison; the coordinator runs it. 200 if it was planned before."""
    roles.require_submit(request.user)
    try:
        definition = definitions.get(payload.definition)
    except UnknownDefinition as error:
        raise InvalidParameters({"definition": str(error)}) from error
    try:
        planned = planning.plan(
            definition.name,
            payload.params,
            user=request.user,  # type: ignore[arg-type]
            idempotency_key=stored_key(request, idempotency_key),
            **payload.options(),
        )
    except InvalidParameters as error:
        raise _named_as_header(error) from error
    except UnknownPool as error:
        raise InvalidParameters({"pools": str(error)}) from error
    return Status(200 if planned.was_there else 201, planned)


def _named_as_header(error: InvalidParameters) -> InvalidParameters:
    names = {"idempotency_key": views.IDEMPOTENCY_KEY}
    return InvalidParameters({names.get(name, name): text for name, text in error.errors.items()})


@api.post(
    "/comparisons/{uuid:comparison_id}/cancel",
    response={200: ComparisonOut, **PROBLEMS},
    tags=["comparisons"],
)
def cancel_comparison(request: HttpRequest, comparison_id: UUID, payload: CancelIn = WITHOUT) -> Any:
    """Cancel a comparison; its measurements are kept."""
    comparison: Comparison = get_object_or_404(Comparison.objects.visible_to(request.user), pk=comparison_id)
    roles.require_cancel(request.user, comparison)
    planning.stop(comparison, user=request.user, reason=payload.reason)  # type: ignore[arg-type]
    comparison.refresh_from_db()
    return comparison
