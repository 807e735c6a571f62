"""The verdict of a comparison: its words, withheld where a badge stands against them, and one sentence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobs import verdicts
from jobs.evidence.badges import Badge, objection
from jobs.evidence.facts import Facts, Pool
from jobs.evidence.sweep import knee_sentence, sojourn_s
from jobs.verdicts import CANNOT_TELL, FASTER, NO_DIFFERENCE, SLOWER, Verdict

TIME_PER_JOB = "time per job: makespan of a block over its jobs"
COMPLETION = "completion time: published to finished"


def metric(facts: Facts) -> str:
    """Return what is compared: where jobs arrive at a rate, the makespan would only repeat the rate."""
    return COMPLETION if facts.comparison.arrival_rate_per_s else TIME_PER_JOB


def samples_of(facts: Facts, pool: Pool) -> list[list[float]]:
    """Return the values to compare, in seconds, a list for each round that counts."""
    blocks = sorted(pool.counted, key=lambda one: one.block.round)  # as in the other pools: they are paired
    if metric(facts) == COMPLETION:
        return [[s for run in one.runs if (s := sojourn_s(run)) is not None] for one in blocks]
    return [verdicts.time_per_job(one.figures["makespan_s"], len(one.runs)) for one in blocks]


class Verdicts:
    """The verdicts of a comparison, before and after the gate."""

    def __init__(self, facts: Facts) -> None:
        samples = {name: samples_of(facts, pool) for name, pool in facts.pools.items()}
        self.facts = facts
        self.samples = {name: rounds for name, rounds in samples.items() if any(rounds)}
        self.against: Mapping[str, Verdict] = {}
        self.pairs: Mapping[tuple[str, str], Verdict] = {}
        if facts.baseline in self.samples and len(self.samples) > 1:
            found = verdicts.compare_all(self.samples, facts.baseline, seed=facts.comparison.seed)
            self.against, self.pairs = found.against_baseline, found.pairs

    @property
    def ratios(self) -> dict[str, float | None]:
        """Return the ratio of each pool to the baseline as measured."""
        return {pool: verdict.ratio for pool, verdict in self.against.items()}

    def withhold(self, badges: Iterable[Badge]) -> None:
        """Say *cannot tell* where a badge that matters fails, with its reason."""
        shown = list(badges)
        baseline = self.facts.baseline
        self.against = {
            pool: withheld(verdict, objection(shown, pool, baseline))
            for pool, verdict in self.against.items()
        }
        self.pairs = {
            pair: withheld(verdict, objection(shown, *pair)) for pair, verdict in self.pairs.items()
        }

    def sentence(self) -> str:
        """Return the one sentence that says most: the fastest pool, else the slowest, else that none differs.

        Of one pool that was swept, its knee.
        """
        if not self.against:
            nothing = "Nothing was compared: fewer than two pools have a block that ended."
            return knee_sentence(self.facts) or nothing
        pool = headline(self.against)
        verdict, comparison = self.against[pool], self.facts.comparison
        return verdicts.sentence(verdict, pool, self.facts.baseline, comparison.rounds, comparison.copies)


def withheld(verdict: Verdict, reason: str) -> Verdict:
    """Return the verdict, or "cannot tell" with the reason if there is one; the figures stay."""
    return replace(verdict, word=CANNOT_TELL, reason=reason) if reason else verdict


def headline(against: Mapping[str, Verdict]) -> str:
    """Return the pool whose verdict is the news."""
    ranks = {FASTER: 3, SLOWER: 2, NO_DIFFERENCE: 1}

    def news(pool: str) -> tuple[int, float]:
        verdict = against[pool]
        ratio = verdict.ratio or 1.0
        return ranks.get(verdict.word, 0), max(ratio, 1 / ratio)

    return max(against, key=news)


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict, ready for JSON."""
    return {
        "word": verdict.word,
        "ratio": verdict.ratio,
        "low": verdict.low,
        "high": verdict.high,
        "p_value": verdict.p_value,
        "rounds": verdict.rounds,
        "n": verdict.n_other,
        "reason": verdict.reason,
    }


def pair_list(pairs: Mapping[tuple[str, str], Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts of all pairs: `ratio` above 1 says that `other` is faster than `base`."""
    return [{"base": base, "other": other, **as_dict(verdict)} for (base, other), verdict in pairs.items()]


def word_between(pairs: Sequence[Mapping[str, Any]], base: str, other: str) -> str:
    """Return how `other` is called against `base`, whichever way round the pair was compared."""
    turned = {FASTER: SLOWER, SLOWER: FASTER}
    for pair in pairs:
        if (pair["base"], pair["other"]) == (base, other):
            return str(pair["word"])
        if (pair["base"], pair["other"]) == (other, base):
            return turned.get(str(pair["word"]), str(pair["word"]))
    return CANNOT_TELL
