"""Which variants may be the fastest: paired rounds, simultaneous bounds, and looks after each round. docs/statistics.md.

A sample has one value for each round: the time per job in seconds. All variants of a round ran within seconds of each
other, so only differences within rounds count: what slows a whole round cancels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

#: The time of each round in seconds, by the round's number.
type Sample = Mapping[int, float]

#: Pools that differ by less are equally fast for practical purposes: two processes that run the same program differ by
#: 1 to 3 % for good (Mytkowicz et al., 2009), and rounds do not average that out.
MARGIN = 0.05
ALPHA = 0.05
#: Two rounds give an interval of no use.
FEWEST_ROUNDS = 3
#: A report stores ratios up to 1e200.
_LARGEST_LOG = 460.0
#: The numbers of rounds after which a comparison with a time budget decides whether to go on.
LOOKS = (3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100)


@dataclass(frozen=True, slots=True)
class Difference:
    """How many times as long `slow` takes as `fast`, from paired rounds; the bounds hold for all pairs at once."""

    ratio: float
    low: float | None
    high: float | None
    rounds: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The variants that may be the fastest, the fastest first, and those that are not."""

    candidates: tuple[str, ...]
    out: tuple[str, ...]
    not_measured: tuple[str, ...]
    differences: Mapping[tuple[str, str], Difference]
    """By `(slow, fast)`, for each ordered pair."""
    margin: float = MARGIN
    share: float = 1.0
    """The part of ALPHA that each bound has."""
    looked: bool = False

    def beaten_by(self, name: str) -> str:
        """Return the variant that a slower one is most clearly slower than; of the others, the fastest one."""
        bounds = {
            fast: between.low or 0.0 for (slow, fast), between in self.differences.items() if slow == name
        }
        fastest = self.candidates[0]
        return fastest if name in self.candidates else max(bounds, key=bounds.__getitem__, default=fastest)

    @property
    def is_settled(self) -> bool:
        """Return whether one variant is left, or those left are equally fast within the margin."""
        return len(self.candidates) == 1 or (bool(self.candidates) and self.within <= self.margin)

    @property
    def within(self) -> float:
        """Return by how much the candidates differ at most, as a share; infinite if that is not known."""
        between = [
            self.differences.get((slow, fast))
            for slow in self.candidates
            for fast in self.candidates
            if slow != fast
        ]
        highs = [math.inf if each is None or each.high is None else each.high - 1 for each in between]
        return max(highs, default=0.0)


def difference(slow: Sample, fast: Sample, *, share: float = 1.0, looked: bool = False) -> Difference:
    """Return how many times as long `slow` takes as `fast`; each bound fails with probability `share` × ALPHA.

    Student's t on the logarithms of the ratios within rounds; no bounds for fewer than FEWEST_ROUNDS. Raise ValueError
    without a common round.
    """
    logs = [math.log(slow[number]) - math.log(fast[number]) for number in slow if number in fast]
    if not logs:
        raise ValueError("The samples have no common round.")
    mean = math.fsum(logs) / len(logs)
    if len(logs) < FEWEST_ROUNDS:
        return Difference(_exp(mean), None, None, len(logs))
    variance = math.fsum((value - mean) ** 2 for value in logs) / (len(logs) - 1)
    half = math.sqrt(variance) * _half(len(logs), share, looked=looked)
    return Difference(_exp(mean), _exp(mean - half), _exp(mean + half), len(logs))


def _half(rounds: int, share: float, *, looked: bool) -> float:
    """Return the half width of a bound in standard deviations of a round."""
    return _quantile(rounds - 1, share * alpha_at(rounds, looked=looked)) / math.sqrt(rounds)


def _exp(logarithm: float) -> float:
    return math.exp(min(_LARGEST_LOG, logarithm))


@cache
def _quantile(freedom: int, alpha: float) -> float:
    # Imported here, and not `scipy.stats`, which takes most of a second and 60 MB: only comparisons need it.
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, alpha))


def alpha_at(rounds: int, *, looked: bool) -> float:
    """Return the error that may be spent at this number of rounds: all of it, or the part of this look.

    Alpha spending (Lan & DeMets, 1983): until round n the looks spend ALPHA × (1 − 1/(n − 1)), so that however many
    looks there are, all together spend less than ALPHA.
    """
    if not looked:
        return ALPHA
    before = max((look for look in LOOKS if look < rounds), default=FEWEST_ROUNDS - 1)
    return ALPHA * (_spent(rounds) - _spent(before))


def _spent(rounds: int) -> float:
    return 1 - 1 / (rounds - 1) if rounds >= FEWEST_ROUNDS else 0.0


def is_look(rounds: int) -> bool:
    """Return whether a comparison with a time budget decides after this number of rounds whether to go on."""
    return rounds in LOOKS


def rank(samples: Mapping[str, Sample], *, looked: bool = False, margin: float = MARGIN) -> Ranking:
    """Return which variants may be the fastest.

    A variant is out if its time exceeds that of another by more than the margin, by the lower bound of their paired
    difference. Multiple comparisons with the best (Hsu, 1984): the true best is compared with k − 1 others, so each
    bound fails with probability alpha / (k − 1), and the true best is out in at most alpha of all comparisons. `looked`:
    the rounds ended because of what they showed, so that the looks share alpha. Each pair is compared on the rounds that
    both have: a variant that is out runs in no further round.
    """
    measured = {name: valid for name, sample in samples.items() if (valid := _valid(sample))}
    share = 1 / max(1, len(measured) - 1)
    differences = {
        (slow, fast): difference(measured[slow], measured[fast], share=share, looked=looked)
        for slow in measured
        for fast in measured
        if slow != fast and measured[slow].keys() & measured[fast].keys()
    }
    out = {
        slow
        for (slow, _), between in differences.items()
        if between.low is not None and between.low > 1 + margin
    }
    in_order = sorted(measured, key=lambda name: _mean_log(measured[name], measured))
    if len(out) == len(in_order):  # possible only where pairs have different rounds
        out -= set(in_order[:1])
    return Ranking(
        candidates=tuple(name for name in in_order if name not in out),
        out=tuple(name for name in in_order if name in out),
        not_measured=tuple(name for name in samples if name not in measured),
        differences=differences,
        margin=margin,
        share=share,
        looked=looked,
    )


def _mean_log(sample: Sample, measured: Mapping[str, Sample]) -> float:
    """Return the mean logarithm in the rounds that all variants have, in which they are comparable."""
    common = set.intersection(*map(set, measured.values())) or set(sample)
    return math.fsum(math.log(sample[number]) for number in common) / len(common)


def _valid(sample: Sample) -> dict[int, float]:
    return {number: value for number, value in sample.items() if math.isfinite(value) and value > 0}


def rounds_to_settle(ranking: Ranking) -> int | None:
    """Return after how many rounds the answer would be settled if ratios and spreads stay as they are; None: never.

    A pair is settled when a bound is beyond the margin, or within it.
    """
    left = ranking.candidates
    needed = [
        _settles_at(each, ranking)
        for (slow, fast), each in ranking.differences.items()
        if slow in left and fast in left and each.ratio >= 1
    ]
    return max((number for number in needed if number), default=None) if all(needed) else None


def _settles_at(between: Difference, ranking: Ranking) -> int | None:
    if between.high is None:
        return None

    def half(rounds: int) -> float:
        return _half(rounds, ranking.share, looked=ranking.looked)

    deviation = math.log(between.high / between.ratio) / half(between.rounds)
    distance = abs(math.log(between.ratio) - math.log(1 + ranking.margin))
    more = (look for look in LOOKS if look > between.rounds)
    return next((look for look in more if deviation * half(look) < distance), None)
