"""Build the report of a comparison, freeze it, and read it back."""

import structlog

from jobs.evidence import advice, facts, gate, hazard, verdict
from jobs.evidence.effects import spread
from jobs.evidence.figures import VariantFigures
from jobs.evidence.pools import all_figures
from jobs.evidence.report import Report, Validity
from jobs.evidence.sweep import sweep
from jobs.models import Comparison

log = structlog.get_logger(__name__)


def build(comparison: Comparison) -> Report:
    """Return a comparison as report. It may still run."""
    found = facts.read(comparison)
    verdicts = verdict.Verdicts(found)
    checks = [*gate.validity_checks(found), spread(gate.spreads(found), verdicts.ratios, found.baseline)]
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
    return report.model_copy(update={"advice": advice.advise(report, found.cores)})


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
