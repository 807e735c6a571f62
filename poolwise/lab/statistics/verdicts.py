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

#: Smaller differences are ignored: two runs of the same program differ by as much.
BAND = 0.02
ALPHA = 0.05
#: An interval with a larger factor between its ends is too wide for a conclusion.
WIDEST = 2.0
#: Durations do not differ by more; their ratio would overflow.
_FARTHEST = 1e100


class Verdict(Frozen):
    """The verdict on `other` compared with `base`; a ratio above 1 means that `other` is faster.

    `rounds` is the smaller number of the two sides; `n_base` and `n_other` count values; None: not measured. `p_value`
    is corrected if more than two pools were compared.
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
    """Return the time per job of a batch in seconds as a list, empty without a makespan."""
    return [makespan_s / jobs] if makespan_s is not None and jobs else []


def compare(base: Rounds, other: Rounds, *, seed: int = 0) -> Verdict:
    """Return the verdict on one pair."""
    p_value = rank_test(round_medians(base), round_medians(other))
    return _verdict(base, other, p_value, pairs=1, seed=seed)


def compare_all(
    samples: Mapping[str, Rounds], baseline: str, *, seed: int = 0
) -> dict[tuple[str, str], Verdict]:
    """Return the verdict of every pair `(base, other)`, with p-values corrected for their number.

    The pairs are in the order of `samples`, with the baseline first. Raise KeyError if it is not among them.
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
    """Return how many rounds a significant difference between this many pools takes."""
    pairs = max(1, math.comb(pools, 2))
    rounds = 2
    while not _can_be_significant(rounds, rounds, pairs):
        rounds += 1
    return rounds


def _can_be_significant(base: int, other: int, pairs: int) -> bool:
    # The smallest p of the exact test: every round of one pool is below every round of the other.
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
        return Verdict(outcome=CANNOT_TELL, reason="the durations are too far apart to compare", **counts)
    interval = ratio_interval(*medians, seed=seed)
    outcome, reason = _outcome(interval, p_value)
    if not _can_be_significant(len(medians[0]), len(medians[1]), pairs):
        outcome, reason = CANNOT_TELL, _too_few(counts["rounds"], pairs)
    return Verdict(
        outcome=outcome,
        ratio=interval.ratio,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        reason=reason,
        **counts,
    )


def _outcome(interval: Interval, p_value: float) -> tuple[VerdictOutcome, str]:
    if interval.low is None or interval.high is None:
        return CANNOT_TELL, "one round has no spread to compare with"
    is_clear = interval.low > 1 + BAND or interval.high < 1 / (1 + BAND)
    if p_value <= ALPHA and is_clear:
        return (FASTER if interval.ratio > 1 else SLOWER), ""
    if interval.high / interval.low > WIDEST:
        return CANNOT_TELL, f"too noisy: the ratio is between {interval.low:.2f} and {interval.high:.2f}"
    if p_value <= ALPHA:
        return NO_DIFFERENCE, f"within ±{BAND * 100:.0f} %"
    if is_clear:
        return NO_DIFFERENCE, f"not significant (p = {p_value:.2f}): more rounds may show a difference"
    return NO_DIFFERENCE, ""


def _too_few(rounds: int, pairs: int) -> str:
    pools = math.ceil((1 + math.sqrt(1 + 8 * pairs)) / 2)
    wanted = fewest_rounds(pools)
    few = "1 round is" if rounds == 1 else f"{rounds} rounds are"
    return f"{few} too few: comparing {pools} pools takes {wanted}"


def sentence(verdict: Verdict, other: str, base: str, rounds: int, copies: int) -> str:
    """Return the verdict on `other` compared with `base` as one sentence, without a full stop."""
    size = f"{rounds} {'round' if rounds == 1 else 'rounds'} of {copies}"
    ratio, low, high = verdict.ratio, verdict.low, verdict.high
    if verdict.outcome == CANNOT_TELL or ratio is None or low is None or high is None:
        return f"No verdict between {other} and {base}: {verdict.reason} ({size})"
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
