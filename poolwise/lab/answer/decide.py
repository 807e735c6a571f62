"""Decide which variant fits the job. One decision: page, command, API, `auto` and the dashboard all show it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from poolwise.lab.answer import texts
from poolwise.lab.answer.kinds import COMPUTES, computing_share, is_tiny
from poolwise.lab.answer.ties import cheapest
from poolwise.lab.answer.why import why, would_change
from poolwise.lab.report.figures import VariantFigures
from poolwise.lab.report.model import Answer, Standing, SweepPoint, ValidityCheck
from poolwise.lab.statistics import FEWEST_ROUNDS, Difference, Ranking, Sample, rank, rounds_to_settle
from poolwise.lab.validity.checks import objection, remedy
from poolwise.support import count

#: Candidates that may differ by more are not called equally fast.
_ALIKE = 0.25


@dataclass(frozen=True)
class Inputs:
    """What the decision needs; `samples`: the time per job of each round, in seconds, by variant."""

    job: str
    samples: Mapping[str, Sample]
    checks: Sequence[ValidityCheck]
    pools: Sequence[VariantFigures]
    cores: int
    looked: bool = False
    is_vary: bool = False
    sweep: Mapping[str, Sequence[SweepPoint]] | None = None
    rate_per_s: float | None = None

    @property
    def run(self) -> str:
        """Return the beginning of the answer."""
        return texts.run(self.job, self.rate_per_s)

    @cached_property
    def objections(self) -> dict[str, str]:
        """Return why variants do not count, by name; empty for those that do."""
        return {name: objection(self.checks, name) for name in self.samples}

    @cached_property
    def ranking(self) -> Ranking:
        """Return the variants in order, without those that do not count."""
        return rank({n: s for n, s in self.samples.items() if not self.objections[n]}, looked=self.looked)

    def figures(self, name: str) -> VariantFigures:
        """Return the figures of a variant."""
        return next(pool for pool in self.pools if pool.name == name)

    @property
    def rounds(self) -> int:
        """Return the number of rounds that all variants have."""
        return max((between.rounds for between in self.ranking.differences.values()), default=0)


def decide(inputs: Inputs) -> Answer:
    """Return the answer."""
    ranking = inputs.ranking
    if len(ranking.candidates) + len(ranking.out) < 2:
        return _none(inputs)
    chosen, reason = _chosen(inputs)
    slots = None if inputs.is_vary else slots_for(inputs, chosen)
    net = rank(_net(inputs), looked=inputs.looked).differences
    within = ranking.within if math.isfinite(ranking.within) else None
    return Answer(
        state="settled" if ranking.is_settled else "open",
        text=_text(inputs, chosen, slots, reason),
        pool=chosen.name,
        slots=slots,
        tie_reason=reason,
        next_step=_next_step(inputs),
        why="" if inputs.is_vary else why(chosen, inputs.pools, inputs.cores),
        would_change="" if inputs.is_vary else would_change(chosen, computing_share(inputs.pools)),
        margin=ranking.margin,
        within=within,
        rounds=inputs.rounds,
        standings=[_standing(inputs, name, net) for name in (*ranking.candidates, *ranking.out)]
        + _not_measured(inputs),
    )


def _none(inputs: Inputs) -> Answer:
    failed = next((check for check in inputs.checks if check.withholds), None)
    if len(inputs.samples) < 2:
        return _of_one(inputs)
    reason = failed.reason if failed else "fewer than two pools have a completed round."
    step = remedy(failed.id) if failed else "Repeat the comparison with the workers of every pool running."
    return Answer(
        state="none",
        text=f"No answer: {reason[:1].lower()}{reason[1:]}",
        next_step=step,
        standings=_not_measured(inputs),
    )


def _of_one(inputs: Inputs) -> Answer:
    """Return the answer where one pool alone was measured: where its sweep levels off, if it is one."""
    for name, points in (inputs.sweep or {}).items():
        if knee := next((point for point in points if point.is_knee), None):
            text = f"{inputs.run} on {texts.with_slots(name, knee.slots)}: more slots add little."
            return Answer(state="settled", text=text, slots=knee.slots)
        if len(points) > 1:
            text = f"{name} has no knee from {points[0].slots} to {count(points[-1].slots, 'slot')}."
            return Answer(state="none", text=text)
    return Answer(state="none", text="Nothing to compare: choose at least two pools.")


def _chosen(inputs: Inputs) -> tuple[VariantFigures, str]:
    """Return the variant to take: the cheapest of those that are equally fast, else the fastest; and why it is taken."""
    ranking = inputs.ranking
    candidates = [inputs.figures(name) for name in ranking.candidates]
    if len(candidates) == 1 or inputs.is_vary or ranking.within > _ALIKE:
        return candidates[0], ""
    return cheapest(candidates)


def _text(inputs: Inputs, chosen: VariantFigures, slots: int | None, reason: str) -> str:
    ranking = inputs.ranking
    ratios = {name: ranking.differences[name, chosen.name].ratio for name in ranking.out}
    if inputs.is_vary:
        return texts.variants_left(ranking.candidates, ranking.within, ratios)
    if inputs.rate_per_s is None and is_tiny(chosen) and chosen.run_s.p50 is not None and chosen.jobs_per_s:
        first = f"{inputs.run} on {texts.with_slots(chosen.name, slots)}."
        return f"{first} {texts.tiny(chosen.run_s.p50, 1 / chosen.jobs_per_s)}"
    if len(ranking.candidates) == 1:
        return texts.one_left(inputs.run, chosen.name, slots, ratios)
    if ranking.within <= _ALIKE:
        return texts.equally_fast(ranking.candidates, ranking.within, chosen.name, slots, reason, ratios)
    return texts.undecided(inputs.run, ranking.candidates, inputs.rounds, ratios)


def _next_step(inputs: Inputs) -> str:
    """Return what would settle an open answer."""
    if inputs.ranking.is_settled:
        return ""
    if inputs.rounds < FEWEST_ROUNDS:
        return f"An interval takes {FEWEST_ROUNDS} rounds: repeat it with the preset quick, which takes 30 s."
    if any(check.id == "other_load" and not check.passed for check in inputs.checks):
        return (
            "Other programs took CPU time meanwhile: repeat it once they have ended; manage.py compare waits for that with "
            "--wait-until-idle."
        )
    needed = rounds_to_settle(inputs.ranking)
    if needed is None:
        return "More rounds would hardly settle it: the rounds differ too much, or the pools too little."
    return f"About {count(needed, 'round')} would settle it: repeat it with a larger preset."


def _standing(inputs: Inputs, name: str, net: Mapping[tuple[str, str], Difference]) -> Standing:
    ranking, fastest = inputs.ranking, inputs.ranking.candidates[0]
    if name == fastest:
        return Standing(name=name, role="best", ratio=1.0, low=1.0, high=1.0, of_fastest=1.0)
    against = ranking.beaten_by(name)
    between, without = ranking.differences[name, against], net.get((name, against))
    of_fastest = ranking.differences.get((name, fastest))
    return Standing(
        name=name,
        role="candidate" if name in ranking.candidates else "out",
        against=against,
        ratio=between.ratio,
        low=between.low,
        high=between.high,
        of_fastest=of_fastest and of_fastest.ratio,
        net_ratio=without and without.ratio,
        net_low=without and without.low,
        net_high=without and without.high,
    )


def _not_measured(inputs: Inputs) -> list[Standing]:
    ranked = (*inputs.ranking.candidates, *inputs.ranking.out)
    return [
        Standing(
            name=name, role="not measured", reason=inputs.objections[name] or "It has no completed round."
        )
        for name in inputs.samples
        if name not in ranked
    ]


def _net(inputs: Inputs) -> dict[str, Sample]:
    """Return the samples without the overhead of each pool; empty unless every pool was calibrated.

    A pool's slots can be busy while messages are handled, so no time per job is below the run over the jobs at once.
    """
    net: dict[str, Sample] = {}
    for name in (*inputs.ranking.candidates, *inputs.ranking.out):
        pool = inputs.figures(name)
        if pool.overhead_s is None or pool.run_s.p50 is None:
            return {}
        sample = inputs.samples[name]
        at_once = min(pool.slots or 1, pool.jobs / max(1, len(sample)))
        least_s = pool.run_s.p50 / max(1.0, at_once)
        net[name] = {n: max(value - pool.overhead_s, least_s) for n, value in sample.items()}
    return net


def slots_for(inputs: Inputs, pool: VariantFigures) -> int:
    """Return the slots to use: the knee of a sweep; for jobs that compute, the cores; else those that were used."""
    points = (inputs.sweep or {}).get(pool.name, [])
    knee = next((point.slots for point in points if point.is_knee), None)
    if knee is not None:
        return knee
    share = computing_share(inputs.pools)
    if share is not None and share >= COMPUTES:
        return max(1, min(inputs.cores, pool.slots or 1))
    return pool.slots or 1
