"""Downloads of a comparison: its charts as pictures, its report as a bundle."""

import subprocess
from uuid import UUID

import structlog
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from poolwise.charts import export
from poolwise.lab import Chart, bundle, charts, report
from poolwise.models import Comparison
from poolwise.support import parameters
from poolwise.web.views.live import PageRequest, signed_in

log = structlog.get_logger(__name__)


@require_safe
@signed_in
def comparison_chart(request: PageRequest, pk: UUID, key: str, kind: str) -> HttpResponse:
    """Answer with one chart as SVG or PNG, light, with its title and what it is of."""
    found = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    chart = _chart(found, key)
    if kind not in export.CONTENT_TYPES or chart is None:
        raise Http404("There is no such picture of this comparison.")
    try:
        picture = export.draw(chart.spec, kind, subtitle=subtitle_of(found))
    except (subprocess.SubprocessError, OSError) as error:
        log.error("a chart could not be drawn", chart=key, error=str(error))
        return HttpResponse(
            "The picture could not be drawn; try again, or use the page's own chart.", status=503
        )
    name = f"{found.definition}-{key}-{found.pk.hex[:8]}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(picture, content_type=export.CONTENT_TYPES[kind], headers=headers)


def _chart(found: Comparison, key: str) -> Chart | None:
    frozen = report.load(found)
    if frozen is None or key not in charts.KEYS:
        return None
    return charts.chart(key, frozen, report.samples(found))


def subtitle_of(found: Comparison) -> str:
    """Return the line under a picture's title: of what it is, and how much was measured."""
    rounds = "1 round" if found.rounds == 1 else f"{found.rounds} rounds"
    return " · ".join(
        filter(None, [found.definition, parameters(found.shown_params), f"{rounds} of {found.copies}"])
    )


@require_safe
@signed_in
def comparison_bundle(request: PageRequest, pk: UUID) -> HttpResponse:
    """Answer with the result bundle: manifest, samples, figures, charts, and the command that repeats it."""
    found = get_object_or_404(Comparison.objects.visible_to(request.user), pk=pk)
    if not found.report:
        raise Http404("This comparison has no report.")
    headers = {"Content-Disposition": f'attachment; filename="{found.definition}-{found.pk.hex[:8]}.zip"'}
    return HttpResponse(bundle.write(found), content_type="application/zip", headers=headers)
