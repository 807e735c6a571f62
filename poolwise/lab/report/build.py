"""Build the report of a comparison, store it, and load it."""

import structlog

from poolwise.lab.answer import decide
from poolwise.lab.fresh import starts_of
from poolwise.lab.report import facts, pairs
from poolwise.lab.report import lesson as hazard
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.report.model import Report, Validity
from poolwise.lab.report.pools import all_figures
from poolwise.lab.report.sweep import sweep
from poolwise.lab.statistics import spreads
from poolwise.lab.validity import inputs
from poolwise.lab.validity.measured import spread
from poolwise.models import Comparison

log = structlog.get_logger(__name__)


def build(comparison: Comparison) -> Report:
    """Build the report of a comparison, which may still be running."""
    measured = facts.read(comparison)
    samples = pairs.samples_of(measured)
    checks = [*inputs.validity_checks(measured), spread(spreads(samples))]
    lesson, results_table = hazard.lesson_and_results(comparison)
    figures, swept = all_figures(measured), sweep(measured)
    inputs_of_answer = decide.Inputs(
        job=comparison.definition,
        rate_per_s=comparison.arrival_rate_per_s,
        samples=samples,
        checks=checks,
        pools=figures,
        cores=measured.cores,
        looked=comparison.budget_s is not None,
        is_vary=bool(comparison.vary),
        sweep=swept,
    )
    return Report(
        answer=decide.decide(inputs_of_answer),
        metric=pairs.metric(measured),
        baseline=measured.baseline,
        vary=comparison.vary,
        pairs=pairs.pairs(inputs_of_answer.ranking, _baseline_first(measured)),
        pools=figures,
        validity=Validity.of(checks),
        environment=comparison.environment,
        sweep=swept,
        lesson=lesson,
        results_table=results_table,
        starts=max(
            (starts_of([batch.row for batch in pool.counted]) for pool in measured.pools.values()), default=1
        ),
    )


def _baseline_first(measured: facts.Facts) -> list[str]:
    return sorted(measured.pools, key=lambda name: name != measured.baseline)


def freeze(comparison: Comparison) -> Report:
    """Build and store the report of a comparison that has ended."""
    report = build(comparison)
    comparison.report = report.model_dump(mode="json")
    comparison.save(update_fields=["report"])
    log.info("report stored", comparison=str(comparison.pk), answer=report.answer.text)
    return report


def load(comparison: Comparison) -> Report | None:
    """Return the stored report, or None. Not for lists: it validates every figure."""
    return Report.model_validate(comparison.report) if comparison.report else None


def figures(comparison: Comparison) -> list[VariantFigures]:
    """Return the figures of each variant: from the stored report, else computed from the database."""
    report = load(comparison)
    return report.pools if report else all_figures(facts.read(comparison))
