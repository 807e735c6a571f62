"""The list of comparisons and the page of one: live while it runs, then its verdict and what carries it."""

import math
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from poolwise import definitions
from poolwise import lab as planning
from poolwise.charts import vega
from poolwise.control import may_cancel, require_cancel
from poolwise.lab import waits_for
from poolwise.lifecycle import cancellation
from poolwise.models import Comparison
from poolwise.reports import page_of
from poolwise.support import PoolwiseError, parameters
from poolwise.web.views import comparing, presenter, side_by_side
from poolwise.web.views.live import PageRequest, live_page, signed_in

LIVE_EVERY_S, IDLE_EVERY_S = 1.0, 10.0


@require_safe
@signed_in
def comparisons(request: PageRequest) -> HttpResponse:
    """List the comparisons that the person may see, newest first."""
    visible = Comparison.objects.visible_to(request.user).select_related("user")
    wanted = visible.defer("environment", "report").annotate(
        sentence=F("report__sentence"), is_valid=F("report__validity__valid")
    )
    page = page_of(wanted, request.GET)
    context = {
        "rows": [_list_row(row) for row in page.rows],
        "page": page,
        "live": sum(not row.has_ended for row in page.rows),
    }
    every_s = LIVE_EVERY_S if context["live"] else IDLE_EVERY_S
    return live_page(
        request, "poolwise/comparisons.html", "poolwise/_comparisons.html", context, every_s=every_s
    )


def _list_row(found: Comparison) -> dict[str, Any]:
    return {
        "comparison": found,
        "params": parameters(found.shown_params),
        "progress": None if found.has_ended else comparing.progress_of(found),
    }


@require_safe
@signed_in
def comparison(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show one comparison; beside another one, if `with` names it."""
    found = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    is_live = not found.has_ended
    if request.htmx and not is_live:
        return (
            HttpResponseClientRefresh()
        )  # the whole page: charts need a script that the live page does not load
    if not is_live and (other := side_by_side.other_of(request, found)):
        return side_by_side.page(request, found, other)
    context = _context(request, found)
    if not is_live:
        context |= presenter.context_of(found)
        context["others"] = side_by_side.choices(request.user, found)
    part = "poolwise/_comparison_live.html" if is_live else "poolwise/_comparison_report.html"
    return live_page(
        request, "poolwise/comparison.html", part, context, every_s=LIVE_EVERY_S if is_live else None
    )


def _context(request: PageRequest, found: Comparison) -> dict[str, Any]:
    definition = definitions.find(found.definition)
    is_live = not found.has_ended
    return {
        "comparison": found,
        "definition": definition,
        "is_live": is_live,
        "is_hazard": definition is not None and definition.kind == "hazard",
        "params_line": parameters(found.shown_params),
        "may_cancel": is_live and may_cancel(request.user, found),
        "progress": comparing.progress_of(found),
        "left_s": _left_s(found) if is_live else None,
        "waits_for": waits_for(found)[1] if is_live else "",
        "vega_url": vega.script_url(),
    }


def _left_s(found: Comparison) -> float | None:
    left = planning.estimate_s(found)
    # Whole seconds: a figure that trembles would renew the page each time for nothing.
    return None if left is None else float(math.ceil(left))


@require_POST
@signed_in
def cancel_comparison(request: PageRequest, pk: UUID) -> HttpResponse:
    """End a comparison before its last batch; what has been measured stays."""
    found = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    require_cancel(request.user, found)
    if found.has_ended:
        messages.warning(request, cancellation.CancelOutcome.ENDED.sentence("the comparison"))
        return redirect("poolwise:comparison", pk)
    try:
        planning.stop(found, user=request.user)
    except PoolwiseError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The comparison is cancelled; what it measured until now stays.")
    return redirect("poolwise:comparison", pk)
