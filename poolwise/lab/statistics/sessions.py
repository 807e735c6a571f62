"""How many times as long a job takes now as in an earlier session of rounds. docs/statistics.md.

Two sessions share no rounds, so they are two independent samples of logarithms. What differs between them besides the
code is taken out by a yardstick, as far as it sees it; for the rest the bounds have an allowance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from poolwise.lab.statistics.best import FEWEST_ROUNDS

type SessionOutcome = Literal["slower", "faster", "no change", "cannot tell"]
SLOWER: Final = "slower"
FASTER: Final = "faster"
NO_CHANGE: Final = "no change"
CANNOT_TELL: Final = "cannot tell"

#: How often a check fails, over all its pools, where none is slower by more than is allowed.
ALPHA = 0.05
#: Standard deviations, as shares, of what still differs between two sessions of the same code: with the yardstick (two
#: processes that run the same program differ by 1 to 3 %, Mytkowicz et al., 2009), with it on another processor, and
#: without it.
SESSION_SD, OTHER_PROCESSOR_SD, UNMEASURED_SD = 0.015, 0.05, 0.07
#: How uncertain the share is by which a job follows the yardstick.
_FOLLOWS_SD = 0.1
#: The power of `smallest_found`.
_POWER = 0.95


@dataclass(frozen=True, slots=True)
class Round:
    """The time per job in a round, and of the yardstick before it, in seconds; None: not measured."""

    time_s: float
    yardstick_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionRatio:
    """How many times as long a job takes as before, and the yardstick; the bounds are None with too few rounds."""

    ratio: float
    low: float | None
    high: float | None
    yardstick_ratio: float | None


def session_ratio(
    before: Sequence[Round],
    after: Sequence[Round],
    *,
    alpha: float,
    follows: float = 1.0,
    same_processor: bool = True,
) -> SessionRatio:
    """Return how many times as long a job takes, with bounds that each fail with probability `alpha`.

    Welch's t on the logarithms of the times over the yardsticks of their rounds. `follows` is the share of the time that
    follows the machine's speed: 1 of a job that computes, 0 of one that waits. The variance of what a yardstick leaves
    is added to that of the rounds. Raise ValueError without rounds.
    """
    if not before or not after:
        raise ValueError("A session has no rounds.")
    machine = _yardstick_change(before, after)
    follows = 0.0 if machine is None else follows
    old, new = _logs(before, follows), _logs(after, follows)
    change = _mean(new) - _mean(old)
    speed_ratio = None if machine is None else math.exp(machine)
    if min(len(old), len(new)) < FEWEST_ROUNDS:
        return SessionRatio(_exp(change), None, None, speed_ratio)
    half = _half(_errors(old, new), _session_sd(machine, same_processor=same_processor), alpha)
    return SessionRatio(_exp(change), _exp(change - half), _exp(change + half), speed_ratio)


def _yardstick_change(before: Sequence[Round], after: Sequence[Round]) -> float | None:
    """Return the logarithm of the yardstick's change; None unless every round has a yardstick."""
    old, new = ([math.log(r.yardstick_s) for r in side if r.yardstick_s] for side in (before, after))
    if len(old) < len(before) or len(new) < len(after):
        return None
    return _mean(new) - _mean(old)


def _logs(rounds: Sequence[Round], follows: float) -> list[float]:
    return [
        math.log(r.time_s) - (follows * math.log(r.yardstick_s) if r.yardstick_s else 0.0) for r in rounds
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _errors(*samples: Sequence[float]) -> list[tuple[float, int]]:
    """Return the squared standard error of each sample's mean, with its degrees of freedom."""
    errors = []
    for values in samples:
        mean = _mean(values)
        variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
        errors.append((variance / len(values), len(values) - 1))
    return errors


def _session_sd(machine: float | None, *, same_processor: bool) -> float:
    if machine is None:
        return UNMEASURED_SD
    return math.hypot(SESSION_SD if same_processor else OTHER_PROCESSOR_SD, _FOLLOWS_SD * machine)


def _half(errors: Sequence[tuple[float, int]], session_sd: float, alpha: float) -> float:
    """Return the distance of a bound; Welch–Satterthwaite, with a session's variance as known."""
    total = session_sd**2 + math.fsum(error for error, _ in errors)
    uncertain = math.fsum(error**2 / freedom for error, freedom in errors)
    freedom = total**2 / uncertain if uncertain else math.inf
    return _quantile(freedom, alpha) * math.sqrt(total)


def _exp(logarithm: float) -> float:
    return math.exp(max(-400.0, min(400.0, logarithm)))


def _quantile(freedom: float, alpha: float) -> float:
    # Imported here, and not `scipy.stats`, which takes most of a second and 60 MB: only comparisons need it.
    from scipy.special import ndtri, stdtrit

    return -float(ndtri(alpha) if math.isinf(freedom) else stdtrit(freedom, alpha))


def outcome(change: SessionRatio, allowance: float) -> SessionOutcome:
    """Return the outcome; an allowance of 0.1 is 10 % more time, or the inverse of that.

    Slower or faster: the nearer bound lies beyond the allowance. No change: both bounds lie within it.
    """
    low, high, most = change.low, change.high, 1 + allowance
    if low is None or high is None:
        return CANNOT_TELL
    if low > most:
        return SLOWER
    if high < 1 / most:
        return FASTER
    return NO_CHANGE if high <= most and low >= 1 / most else CANNOT_TELL


def smallest_found(
    before: Sequence[Round],
    *,
    alpha: float,
    allowance: float,
    follows: float = 1.0,
) -> float:
    """Return how many times as long jobs must take for a check to find it in 95 of 100 runs.

    It is assumed that the new rounds are as many, vary as much, and that the machine is the same. Raise
    ValueError for fewer than FEWEST_ROUNDS.
    """
    if len(before) < FEWEST_ROUNDS:
        raise ValueError("Too few rounds.")
    machine = _yardstick_change(before, before)
    errors = _errors(*[_logs(before, 0.0 if machine is None else follows)] * 2)
    session_sd = _session_sd(machine, same_processor=True)
    distance = sum(_half(errors, session_sd, chance) for chance in (alpha, 1 - _POWER))
    return (1 + allowance) * _exp(distance)
