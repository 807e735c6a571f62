"""The list of comparisons, and the page of one: live while it runs, then its answer and report."""

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
from poolwise.models import Comparison
from poolwise.reports import page_of
from poolwise.support import PoolwiseError, parameters
from poolwise.web.views import comparing, presenter, side_by_side
from poolwise.web.views.live import PageRequest, live_page, signed_in

LIVE_EVERY_S, IDLE_EVERY_S = 1.0, 10.0


@require_safe
@signed_in
def comparisons(request: PageRequest) -> HttpResponse:
    """List the comparisons that the user may see, newest first."""
    visible = Comparison.objects.visible_to(request.user).select_related("user").with_pools()
    wanted = visible.defer("environment", "report").annotate(
        answer_text=F("report__answer__text"), answer_state=F("report__answer__state")
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


def _list_row(comparison: Comparison) -> dict[str, Any]:
    return {
        "comparison": comparison,
        "params": parameters(comparison.shown_params),
        "progress": None if comparison.has_ended else comparing.progress_of(comparison),
    }


@require_safe
@signed_in
def comparison(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show one comparison, or two side by side if `?with=` names another."""
    comparison = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    is_live = not comparison.has_ended
    if request.htmx and not is_live:
        return HttpResponseClientRefresh()  # the charts need a script that the live page does not load
    if not is_live and (other := side_by_side.other_of(request, comparison)):
        return side_by_side.page(request, comparison, other)
    context = _context(request, comparison)
    if not is_live:
        context |= presenter.context_of(comparison)
        context["others"] = side_by_side.choices(request.user, comparison)
    part = "poolwise/_comparison_live.html" if is_live else "poolwise/_comparison_report.html"
    return live_page(
        request, "poolwise/comparison.html", part, context, every_s=LIVE_EVERY_S if is_live else None
    )


def _context(request: PageRequest, comparison: Comparison) -> dict[str, Any]:
    definition = definitions.find(comparison.definition)
    is_live = not comparison.has_ended
    return {
        "comparison": comparison,
        "definition": definition,
        "is_live": is_live,
        "is_hazard": definition is not None and definition.kind == "hazard",
        "params_line": parameters(comparison.shown_params),
        "may_cancel": is_live and may_cancel(request.user, comparison),
        "progress": comparing.progress_of(comparison),
        "left_s": _left_s(comparison) if is_live else None,
        "so_far": planning.status(comparison) if is_live and comparison.budget_s is not None else None,
        "waits_for": waits_for(comparison)[1] if is_live else "",
        "vega_url": vega.script_url(),
    }


def _left_s(comparison: Comparison) -> float | None:
    left = planning.estimate_s(comparison)
    # Whole seconds: smaller changes would refresh the page for nothing.
    return None if left is None else float(math.ceil(left))


@require_POST
@signed_in
def cancel_comparison(request: PageRequest, pk: UUID) -> HttpResponse:
    """Cancel a comparison; its measurements are kept."""
    comparison = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    require_cancel(request.user, comparison)
    if comparison.has_ended:
        messages.warning(request, "The comparison had already ended.")
        return redirect("poolwise:comparison", pk)
    try:
        planning.stop(comparison, user=request.user)
    except PoolwiseError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Comparison cancelled; its measurements are kept.")
    return redirect("poolwise:comparison", pk)
