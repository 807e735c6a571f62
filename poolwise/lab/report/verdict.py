"""The verdict of a comparison: outcomes, withheld where a validity check fails, and one sentence."""

from collections.abc import Iterable, Mapping

from poolwise.lab import statistics
from poolwise.lab.report.facts import Facts, VariantRuns
from poolwise.lab.report.model import Pair, ValidityCheck
from poolwise.lab.report.sweep import knee_sentence
from poolwise.lab.statistics import CANNOT_TELL, FASTER, NO_DIFFERENCE, SLOWER, Verdict
from poolwise.lab.validity.checks import objection

TIME_PER_JOB = "time per job: makespan of a batch over its jobs"
COMPLETION = "completion time: published to finished"


def metric(facts: Facts) -> str:
    """Return what is compared: if jobs arrive at a rate, the makespan would only reflect the rate."""
    return COMPLETION if facts.comparison.arrival_rate_per_s else TIME_PER_JOB


def samples_of(facts: Facts, pool: VariantRuns) -> list[list[float]]:
    """Return the values to compare, in seconds, a list for each round that counts."""
    batches = sorted(pool.counted, key=lambda batch: batch.row.round)  # pools are paired by round
    if metric(facts) == COMPLETION:
        return [[s for run in batch.runs if (s := run.sojourn_s) is not None] for batch in batches]
    return [statistics.time_per_job(batch.makespan_s, len(batch.runs)) for batch in batches]


class Verdicts:
    """The verdicts of a comparison, before and after the validity checks."""

    def __init__(self, facts: Facts) -> None:
        samples = {name: samples_of(facts, pool) for name, pool in facts.pools.items()}
        self.facts = facts
        self.samples = {name: rounds for name, rounds in samples.items() if any(rounds)}
        self.pairs: list[Pair] = []
        if facts.baseline in self.samples and len(self.samples) > 1:
            pairs = statistics.compare_all(self.samples, facts.baseline, seed=facts.comparison.seed)
            self.pairs = [
                Pair(base=base, other=other, **dict(verdict)) for (base, other), verdict in pairs.items()
            ]

    @property
    def against(self) -> dict[str, Verdict]:
        """Return the verdict of each pool against the baseline."""
        pairs = {pair.other: dict(pair) for pair in self.pairs if pair.base == self.facts.baseline}
        return {pool: Verdict(**fields) for pool, fields in pairs.items()}

    @property
    def ratios(self) -> dict[str, float | None]:
        """Return the ratio of each pool to the baseline as measured."""
        return {pool: verdict.ratio for pool, verdict in self.against.items()}

    def withhold(self, checks: Iterable[ValidityCheck]) -> None:
        """Set the outcome to *cannot tell* where a check that matters fails, with its reason."""
        shown = list(checks)
        self.pairs = [withheld(pair, objection(shown, pair.base, pair.other)) for pair in self.pairs]

    def sentence(self) -> str:
        """Return one sentence: on the fastest pool, else the slowest, else that no difference was detected.

        For a sweep of one pool, its knee.
        """
        against = self.against
        if not against:
            nothing = "Nothing to compare: fewer than two pools have a completed batch."
            return knee_sentence(self.facts) or nothing
        pool = headline(against)
        verdict, comparison = against[pool], self.facts.comparison
        return statistics.sentence(verdict, pool, self.facts.baseline, comparison.rounds, comparison.copies)


def withheld(verdict: Pair, reason: str) -> Pair:
    """Return the verdict, with the outcome "cannot tell" if there is a reason; the figures stay."""
    return verdict.model_copy(update={"outcome": CANNOT_TELL, "reason": reason}) if reason else verdict


def headline(against: Mapping[str, Verdict]) -> str:
    """Return the pool with the most informative verdict."""
    ranks = {FASTER: 3, SLOWER: 2, NO_DIFFERENCE: 1}

    def weight(pool: str) -> tuple[int, float]:
        verdict = against[pool]
        ratio = verdict.ratio or 1.0
        return ranks.get(verdict.outcome, 0), max(ratio, 1 / ratio)

    return max(against, key=weight)
