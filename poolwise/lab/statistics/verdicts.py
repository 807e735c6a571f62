"""The verdict as one of four outcomes, for a pair of pools or for all pairs of a comparison."""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Final, Literal

from poolwise.lab.statistics.ratio import (
    Interval,
    Rounds,
    holm,
    rank_test,
    ratio_interval,
    round_medians,
)
from poolwise.support import Count, Frozen, Ratio, Share, Text

type VerdictOutcome = Literal["faster", "slower", "no difference detected", "cannot tell"]
FASTER: Final = "faster"
SLOWER: Final = "slower"
NO_DIFFERENCE: Final = "no difference detected"
CANNOT_TELL: Final = "cannot tell"

#: A difference within it is none: two runs of the same program differ by that much for no reason at all.
BAND = 0.02
ALPHA = 0.05
#: An interval whose ends are further apart than this factor excludes nothing worth knowing.
WIDEST = 2.0
#: No two durations differ by more, and the ratio of two that do is no number.
_FARTHEST = 1e100


class Verdict(Frozen):
    """What the rounds say of `other` against `base`; a ratio above 1 means that `other` is faster.

    `rounds` are those of the side that has fewer; `n_base` and `n_other` count values; None is what nothing was
    measured for. `p_value` is corrected when more than two pools were compared.
    """

    outcome: VerdictOutcome
    ratio: Ratio | None = None
    low: Ratio | None = None
    high: Ratio | None = None
    p_value: Share | None = None
    rounds: Count = 0
    n_base: Count = 0
    n_other: Count = 0
    reason: Text = ""


def time_per_job(makespan_s: float | None, jobs: int) -> list[float]:
    """Return what a batch adds to a sample: its makespan over its jobs in seconds, or nothing if it has none."""
    return [makespan_s / jobs] if makespan_s is not None and jobs else []


def compare(base: Rounds, other: Rounds, *, seed: int = 0) -> Verdict:
    """Return the verdict on one pair."""
    p_value = rank_test(round_medians(base), round_medians(other))
    return _verdict(base, other, p_value, pairs=1, seed=seed)


def compare_all(
    samples: Mapping[str, Rounds], baseline: str, *, seed: int = 0
) -> dict[tuple[str, str], Verdict]:
    """Return the verdict of every pair `(base, other)`, the p-values corrected for their number.

    The pairs come in the order of `samples`, the baseline as base. Raise KeyError when it is none of the pools.
    """
    names = [baseline, *(name for name in samples if name != baseline)]
    medians = {name: round_medians(samples[name]) for name in names}
    couples = list(combinations(names, 2))
    corrected = holm([rank_test(medians[base], medians[other]) for base, other in couples])
    return {
        (base, other): _verdict(samples[base], samples[other], p_value, pairs=len(couples), seed=seed)
        for (base, other), p_value in zip(couples, corrected, strict=True)
    }


def fewest_rounds(pools: int = 2) -> int:
    """Return how many rounds it takes to tell anything between so many pools."""
    pairs = max(1, math.comb(pools, 2))
    rounds = 2
    while not _can_be_significant(rounds, rounds, pairs):
        rounds += 1
    return rounds


def _can_be_significant(base: int, other: int, pairs: int) -> bool:
    # The smallest p of the exact test: every round of one pool below every round of the other.
    return min(base, other) > 0 and 2 / math.comb(base + other, base) * pairs <= ALPHA


def _verdict(base: Rounds, other: Rounds, p_value: float, *, pairs: int, seed: int) -> Verdict:
    medians = round_medians(base), round_medians(other)
    counts = {
        "rounds": min(len(side) for side in medians),
        "n_base": sum(len(values) for values in base),
        "n_other": sum(len(values) for values in other),
    }
    if not all(medians):
        return Verdict(outcome=CANNOT_TELL, reason="nothing was measured", **counts)
    if min(min(side) for side in medians) <= 0:
        return Verdict(outcome=CANNOT_TELL, reason="the durations are too short for the clock", **counts)
    if max(max(side) for side in medians) / _FARTHEST > min(min(side) for side in medians):
        return Verdict(
            outcome=CANNOT_TELL, reason="the durations are too far apart to be durations", **counts
        )
    found = ratio_interval(*medians, seed=seed)
    outcome, reason = _outcome(found, p_value)
    if not _can_be_significant(len(medians[0]), len(medians[1]), pairs):
        outcome, reason = CANNOT_TELL, _too_few(counts["rounds"], pairs)
    return Verdict(
        outcome=outcome,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        p_value=p_value,
        reason=reason,
        **counts,
    )


def _outcome(found: Interval, p_value: float) -> tuple[VerdictOutcome, str]:
    if found.low is None or found.high is None:
        return CANNOT_TELL, "too few rounds: one says nothing about the next"
    is_clear = found.low > 1 + BAND or found.high < 1 / (1 + BAND)
    if p_value <= ALPHA and is_clear:
        return (FASTER if found.ratio > 1 else SLOWER), ""
    if found.high / found.low > WIDEST:
        return CANNOT_TELL, f"noise: the ratio may be anything from {found.low:.2f} to {found.high:.2f}"
    if p_value <= ALPHA:
        return NO_DIFFERENCE, f"too small to count: not clear of ±{BAND:.0%}"
    if is_clear:
        return NO_DIFFERENCE, f"the rank test is not sure (p = {p_value:.2f}): more rounds may show one"
    return NO_DIFFERENCE, ""


def _too_few(rounds: int, pairs: int) -> str:
    pools = math.ceil((1 + math.sqrt(1 + 8 * pairs)) / 2)
    wanted = fewest_rounds(pools)
    return f"too few rounds: {rounds} of the {wanted} that it takes to tell {pools} apart"


def sentence(verdict: Verdict, other: str, base: str, rounds: int, copies: int) -> str:
    """Return the verdict as one sentence without a full stop: what `other` did against `base`."""
    size = f"{rounds} {'round' if rounds == 1 else 'rounds'} of {copies}"
    ratio, low, high = verdict.ratio, verdict.low, verdict.high
    if verdict.outcome == CANNOT_TELL or ratio is None or low is None or high is None:
        return f"Cannot tell whether {other} or {base} ran this job faster: {verdict.reason} ({size})"
    if verdict.outcome == NO_DIFFERENCE:
        return (
            f"No difference detected between {other} and {base} (ratio {_number(ratio)}, "
            f"95 % CI {_number(low)}–{_number(high)}, {size})"
        )
    if verdict.outcome == SLOWER:
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    return (
        f"{other} ran this job {_number(ratio)}× {verdict.outcome} than {base} "
        f"(95 % CI {_number(low)}–{_number(high)}, {size})"
    )


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"
