"""The sentences of an answer: at most two short ones, the recommendation first. Pure functions."""

import math
from collections.abc import Iterable, Mapping, Sequence

from poolwise.support import count, rate, seconds

#: A ratio near 1 needs two decimals to be seen.
_NEAR = 1.15


def run(job: str, rate_per_s: float | None) -> str:
    """Return the beginning of an answer: to run the job, at the rate that was asked for."""
    return f"Run {job}" if rate_per_s is None else f"At {rate(rate_per_s)} jobs/s, run {job}"


def one_left(run_it: str, pool: str, slots: int | None, ratios: Mapping[str, float]) -> str:
    """Return the answer where one pool is left.

    `run_it` is its beginning; `ratios`: how many times as long a job takes on each other pool.
    """
    return f"{run_it} on {with_slots(pool, slots)}.{_speed('It is', ratios)}"


def equally_fast(candidates: Sequence[str], within: float, chosen: str, slots: int | None, reason: str,
                 ratios: Mapping[str, float]) -> str:  # fmt: skip
    """Return the answer where several pools differ by at most `within`, as a share."""
    same = f"{listed(candidates)} are equally fast within {math.ceil(within * 100):.0f} %"
    return f"{same}; take {with_slots(chosen, slots)}: {reason}.{_speed('They are', ratios)}"


def undecided(run_it: str, candidates: Sequence[str], rounds: int, ratios: Mapping[str, float]) -> str:
    """Return the answer where rounds do not tell pools apart that may differ a lot."""
    out = f"; {listed(ratios)} {'is' if len(ratios) == 1 else 'are'} out" if ratios else ""
    return f"{run_it} on {listed(candidates, 'or')}{out}. {count(rounds, 'round')} did not tell them apart."


def variants_left(candidates: Sequence[str], within: float, ratios: Mapping[str, float]) -> str:
    """Return the answer of a comparison of parameters, where costs do not decide."""
    if len(candidates) == 1:
        return f"{candidates[0]} is the fastest.{_speed('It is', ratios)}"
    if math.isfinite(within):
        return f"{listed(candidates)} are equally fast within {math.ceil(within * 100):.0f} %.{_speed('They are', ratios)}"
    return f"{listed(candidates, 'or')} is the fastest; the rounds did not tell them apart."


def tiny(run_s: float, overhead_s: float) -> str:
    """Return the sentence on a job that costs mostly overhead."""
    return (
        f"Each job does {seconds(run_s)} of work in {seconds(overhead_s)} of overhead: put many into one job."
    )


def with_slots(pool: str, slots: int | None) -> str:
    """Return a pool with its slots."""
    return f"{pool} ({count(slots, 'slot')})" if slots else pool


def _speed(subject: str, ratios: Mapping[str, float]) -> str:
    """Return how much faster than the others, pools with the same ratio together; empty without others."""
    groups: dict[str, list[str]] = {}
    for pool in sorted(ratios, key=lambda name: -ratios[name]):
        groups.setdefault(factor(ratios[pool]), []).append(pool)
    parts = [f"{times} as fast as {listed(names)}" for times, names in groups.items()]
    return f" {subject} {listed(parts)}." if parts else ""


def factor(ratio: float) -> str:
    """Return a ratio as "2.3×"."""
    if ratio < _NEAR:
        return f"{ratio:.2f}×"
    return f"{ratio:.1f}×" if ratio < 100 else f"{ratio:.0f}×"


def listed(names: Iterable[str], word: str = "and") -> str:
    """Return "a, b and c"."""
    *first, last = list(names)
    return f"{', '.join(first)} {word} {last}" if first else last
