"""Build the evidence of a comparison, freeze it, and read it back."""

import structlog

from jobs.evidence import advice, facts, gate, hazard, verdict
from jobs.evidence.effects import spread
from jobs.evidence.figures import VariantFigures
from jobs.evidence.pools import all_figures
from jobs.evidence.report import Evidence, Gate
from jobs.evidence.sweep import sweep
from jobs.models import Comparison

log = structlog.get_logger(__name__)


def build(comparison: Comparison) -> Evidence:
    """Return a comparison as evidence. It may still run."""
    found = facts.read(comparison)
    verdicts = verdict.Verdicts(found)
    badges = [*gate.badges(found), spread(gate.spreads(found), verdicts.ratios, found.baseline)]
    verdicts.withhold(badges)
    lesson, harm = hazard.told(comparison)
    evidence = Evidence(
        sentence=verdicts.sentence(),
        metric=verdict.metric(found),
        baseline=found.baseline,
        vary=comparison.vary,
        verdicts=verdicts.against,
        pairs=verdicts.pairs,
        pools=all_figures(found),
        gate=Gate.of(badges),
        environment=comparison.environment,
        sweep=sweep(found),
        lesson=lesson,
        harm=harm,
    )
    if comparison.vary:  # other parameters are other jobs: which pool fits is no question of theirs
        return evidence
    return evidence.model_copy(update={"advice": advice.advise(evidence, found.cores)})


def freeze(comparison: Comparison) -> Evidence:
    """Build the evidence of a comparison that has ended and store it."""
    evidence = build(comparison)
    comparison.evidence = evidence.model_dump(mode="json")
    comparison.save(update_fields=["evidence"])
    log.info("evidence frozen", comparison=str(comparison.pk), sentence=evidence.sentence)
    return evidence


def load(comparison: Comparison) -> Evidence | None:
    """Return the evidence that was frozen; None where there is none. Not for lists: it checks every figure."""
    return Evidence.model_validate(comparison.evidence) if comparison.evidence else None


def figures(comparison: Comparison) -> list[VariantFigures]:
    """Return the pools in figures: frozen ones, else as the ledger has them now."""
    evidence = load(comparison)
    return evidence.pools if evidence else all_figures(facts.read(comparison))
