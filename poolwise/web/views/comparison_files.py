"""Downloads of a comparison: its charts as pictures, its report as a bundle and as one HTML file."""

import subprocess
from uuid import UUID

import structlog
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from poolwise.charts import export
from poolwise.lab import Chart, bundle, charts, handout, report
from poolwise.models import Comparison
from poolwise.support import parameters
from poolwise.web.views.live import PageRequest, signed_in

log = structlog.get_logger(__name__)


@require_safe
@signed_in
def comparison_chart(request: PageRequest, pk: UUID, key: str, kind: str) -> HttpResponse:
    """Answer with one chart as SVG or PNG, in light colours, with title and subtitle."""
    comparison = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    chart = _chart(comparison, key)
    if kind not in export.CONTENT_TYPES or chart is None:
        raise Http404("No such chart.")
    try:
        picture = export.draw(chart.spec, kind, subtitle=subtitle_of(comparison))
    except (subprocess.SubprocessError, OSError) as error:
        log.error("drawing a chart failed", chart=key, error=str(error))
        return HttpResponse("Drawing the chart failed. Try again, or use the chart on the page.", status=503)
    name = f"{comparison.definition}-{key}-{comparison.pk.hex[:8]}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(picture, content_type=export.CONTENT_TYPES[kind], headers=headers)


def _chart(comparison: Comparison, key: str) -> Chart | None:
    stored = report.load(comparison)
    if stored is None or key not in charts.KEYS:
        return None
    return charts.chart(key, stored, report.samples(comparison))


def subtitle_of(comparison: Comparison) -> str:
    """Return the subtitle of a chart: job, parameters and size of the comparison."""
    parts = (comparison.definition, parameters(comparison.shown_params), comparison.size)
    return " · ".join(filter(None, parts))


@require_safe
@signed_in
def comparison_bundle(request: PageRequest, pk: UUID) -> HttpResponse:
    """Answer with the result bundle: manifest, samples, figures, charts, and the command that repeats it."""
    comparison = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    if not comparison.report:
        raise Http404("This comparison has no report.")
    return HttpResponse(
        bundle.write(comparison), content_type="application/zip", headers=_as_file(comparison, "zip")
    )


@require_safe
@signed_in
def comparison_report(request: PageRequest, pk: UUID) -> HttpResponse:
    """Answer with the report as one HTML file that opens without the site."""
    comparison = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    loaded = report.load(comparison)
    if loaded is None:
        raise Http404("This comparison has no report.")
    document = handout.html(comparison, loaded, report.samples(comparison))
    return HttpResponse(document, headers=_as_file(comparison, "html"))


def _as_file(comparison: Comparison, extension: str) -> dict[str, str]:
    name = f"{comparison.definition}-{comparison.pk.hex[:8]}.{extension}"
    return {"Content-Disposition": f'attachment; filename="{name}"'}
