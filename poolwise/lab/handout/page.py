"""The report as one HTML file that opens without the site, a network or a script."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from poolwise import definitions
from poolwise.lab import bundle, charts
from poolwise.lab.handout.pictures import pictures
from poolwise.lab.handout.rows import NOT_KNOWN, effect_of, failed_checks, setup, variant_rows
from poolwise.lab.handout.tables import environment_lines, figures_table
from poolwise.lab.report import Report, Sample
from poolwise.models import Comparison
from poolwise.support import parameters

_STATIC = Path(__file__).parents[2] / "static" / "poolwise"
#: The charts that answer a question of their own; the others are folded.
_FIRST = ("ratios", "sweep", "time")


def html(comparison: Comparison, report: Report, samples: Sequence[Sample]) -> str:
    """Return the report as an HTML document: the answer, charts, checks, figures, and the command that repeats it."""
    return render_to_string("poolwise/report_file.html", _context(comparison, report, samples))


def _context(comparison: Comparison, report: Report, samples: Sequence[Sample]) -> dict[str, Any]:
    definition = definitions.find(comparison.definition)
    drawn = {picture.chart.key: picture for picture in pictures(charts.charts(report, samples))}
    rows = variant_rows(report)
    return {
        "comparison": comparison,
        "title": definition.title if definition else comparison.definition,
        "params": parameters(comparison.shown_params),
        "setup": setup(comparison, report),
        "report": report,
        "answer": report.answer,
        "margin": f"{report.answer.margin * 100:g} %",
        "rows": rows,
        "has_net": any(row.net != NOT_KNOWN for row in rows),
        "has_reasons": any(row.reason for row in rows),
        "first": [drawn[key] for key in _FIRST if key in drawn],
        "others": [picture for key, picture in drawn.items() if key not in _FIRST],
        "failed": [(check, effect_of(check)) for check in failed_checks(report)],
        "passed": [check for check in report.validity.checks if check.passed],
        "figures": figures_table(report.pools, report.vary),
        "environment": environment_lines(report.environment or comparison.environment),
        "command": bundle.command(comparison, report),
        "style": _style(),
    }


@cache
def _style() -> SafeString:
    """Return the site's own style sheets."""
    sheets = ((_STATIC / name).read_text() for name in ("poolwise.css", "comparisons.css"))
    return mark_safe("\n".join(sheets))  # noqa: S308 - the library's own files
