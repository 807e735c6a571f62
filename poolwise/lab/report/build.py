"""Build the report of a comparison, store it, and load it."""

import structlog

from poolwise.lab.advice import decide
from poolwise.lab.report import facts, verdict
from poolwise.lab.report import lesson as hazard
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.report.model import Report, Validity
from poolwise.lab.report.pools import all_figures
from poolwise.lab.report.sweep import sweep
from poolwise.lab.validity import inputs
from poolwise.lab.validity.measured import spread
from poolwise.models import Comparison

log = structlog.get_logger(__name__)


def build(comparison: Comparison) -> Report:
    """Build the report of a comparison, which may still be running."""
    measured = facts.read(comparison)
    verdicts = verdict.Verdicts(measured)
    checks = [
        *inputs.validity_checks(measured),
        spread(inputs.spreads(measured), verdicts.ratios, measured.baseline),
    ]
    verdicts.withhold(checks)
    lesson, results_table = hazard.lesson_and_results(comparison)
    report = Report(
        sentence=verdicts.sentence(),
        metric=verdict.metric(measured),
        baseline=measured.baseline,
        vary=comparison.vary,
        verdicts=verdicts.against,
        pairs=verdicts.pairs,
        pools=all_figures(measured),
        validity=Validity.of(checks),
        environment=comparison.environment,
        sweep=sweep(measured),
        lesson=lesson,
        results_table=results_table,
    )
    if comparison.vary:  # advice is about pools, not about parameters
        return report
    return report.model_copy(update={"advice": decide.advise(report, measured.cores)})


def freeze(comparison: Comparison) -> Report:
    """Build and store the report of a comparison that has ended."""
    report = build(comparison)
    comparison.report = report.model_dump(mode="json")
    comparison.save(update_fields=["report"])
    log.info("report stored", comparison=str(comparison.pk), sentence=report.sentence)
    return report


def load(comparison: Comparison) -> Report | None:
    """Return the stored report, or None. Not for lists: it validates every figure."""
    return Report.model_validate(comparison.report) if comparison.report else None


def figures(comparison: Comparison) -> list[VariantFigures]:
    """Return the figures of each variant: from the stored report, else computed from the database."""
    report = load(comparison)
    return report.pools if report else all_figures(facts.read(comparison))
