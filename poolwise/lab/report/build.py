"""Build the report of a comparison, freeze it, and read it back."""

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
    """Return a comparison as report. It may still run."""
    found = facts.read(comparison)
    verdicts = verdict.Verdicts(found)
    checks = [*inputs.validity_checks(found), spread(inputs.spreads(found), verdicts.ratios, found.baseline)]
    verdicts.withhold(checks)
    lesson, results_table = hazard.lesson_and_results(comparison)
    report = Report(
        sentence=verdicts.sentence(),
        metric=verdict.metric(found),
        baseline=found.baseline,
        vary=comparison.vary,
        verdicts=verdicts.against,
        pairs=verdicts.pairs,
        pools=all_figures(found),
        validity=Validity.of(checks),
        environment=comparison.environment,
        sweep=sweep(found),
        lesson=lesson,
        results_table=results_table,
    )
    if comparison.vary:  # other parameters are other jobs: which pool fits is no question of theirs
        return report
    return report.model_copy(update={"advice": decide.advise(report, found.cores)})


def freeze(comparison: Comparison) -> Report:
    """Build the report of a comparison that has ended and store it."""
    report = build(comparison)
    comparison.report = report.model_dump(mode="json")
    comparison.save(update_fields=["report"])
    log.info("report frozen", comparison=str(comparison.pk), sentence=report.sentence)
    return report


def load(comparison: Comparison) -> Report | None:
    """Return the report that was frozen; None where there is none. Not for lists: it checks every figure."""
    return Report.model_validate(comparison.report) if comparison.report else None


def figures(comparison: Comparison) -> list[VariantFigures]:
    """Return the pools in figures: frozen ones, else as the ledger has them now."""
    report = load(comparison)
    return report.pools if report else all_figures(facts.read(comparison))
