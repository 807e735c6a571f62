"""How often does `compare --check` fail? `python -m benchmarks.check_simulation`: drawn sessions, no jobs.

A session is slower or faster than the one before by a factor that the yardstick sees, but for a residual. Exit status 1
if the same code, or code within the allowance, fails in more than 5 %, or if code that is 20 % slower is found in less
than 95 % by seven rounds or several pools.
"""

import argparse
import math
import random
from dataclasses import dataclass
from statistics import median

from benchmarks import live

ALLOWANCE = 0.10
#: By how much the code is slower, and on how many pools: on all, or on one.
CHANGES = {
    "same": (1.0, "all"),
    "all +8 %": (1.08, "all"),
    "all +10 %": (1.10, "all"),
    "all +20 %": (1.20, "all"),
    "one +20 %": (1.20, "one"),
}
#: Standard deviations of logarithms: of a batch, of the yardstick, and of the machine's drift from round to round.
BATCH_SD, YARDSTICK_SD, DRIFT_SD = 0.03, 0.01, 0.03

type Pairs = list[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Case:
    """Sessions to draw. `residual`: the deviation of what the yardstick does not see, drawn for each pool; `follows`:
    the share of a job's time that follows the machine, `believed`: what the check takes for it."""

    machine: float = 1.10
    residual: float = 0.015
    follows: float = 1.0
    believed: float = 1.0
    has_yardstick: bool = True

    @property
    def is_promised(self) -> bool:
        """Return whether a check must find 20 % here: with a yardstick, and a residual within the allowance for it."""
        return self.has_yardstick and self.residual <= 0.015 and self.machine <= 1.10


CASES = {
    "same speed": Case(machine=1.0),
    "10 % between sessions, residual 1 %": Case(residual=0.01),
    "10 %, residual 1.5 %": Case(),
    "10 %, residual 2 %": Case(residual=0.02),
    "10 %, jobs wait for half": Case(follows=0.5, believed=0.4),
    "20 % between sessions": Case(machine=1.20),
    "10 %, no yardstick": Case(has_yardstick=False),
}


def main() -> int:
    """Print a line for each case; return the exit status."""
    options = _arguments()
    live.set_up()
    status = 0
    print("| case | pools | rounds | " + " | ".join(CHANGES) + " |")
    for name, case in CASES.items():
        for pools, rounds in ((1, 5), (1, 7), (4, 5), (4, 10)):
            share = {
                change: _share(case, factor, where, pools, rounds, options.checks)
                for change, (factor, where) in CHANGES.items()
            }
            shown = " | ".join(f"{value * 100:.1f} %" for value in share.values())
            print(f"| {name} | {pools} | {rounds} | {shown} |", flush=True)
            if case.is_promised:
                is_found = share["all +20 %"] >= 0.95 or (pools, rounds) == (1, 5)
                status |= max(share["same"], share["all +8 %"]) > 0.05 or not is_found
    return int(status)


def _share(case: Case, factor: float, where: str, pools: int, rounds: int, checks: int) -> float:
    chance = random.Random(f"{case} {factor} {where} {pools} {rounds}")
    slower = pools if where == "all" else 1
    factors = [factor] * slower + [1.0] * (pools - slower)
    return sum(_fails(case, chance, factors, rounds) for _ in range(checks)) / checks


def _fails(case: Case, chance: random.Random, factors: list[float], rounds: int) -> bool:
    """Return whether a check fails after each pool became slower by its factor."""
    from poolwise.lab.statistics import sessions  # Django must be set up before

    machine = math.log(case.machine) * chance.choice((-1, 1))
    levels = [math.log(factor) + chance.gauss(0, case.residual) for factor in factors]
    before = _session(case, chance, 0.0, [0.0] * len(levels), rounds)
    after = _session(case, chance, machine, levels, rounds)
    for old, new in zip(before, after, strict=True):
        ratio = sessions.session_ratio(
            [sessions.Round(*pair) for pair in old],
            [sessions.Round(*pair) for pair in new],
            alpha=sessions.ALPHA / len(levels),
            follows=case.believed,
        )
        if sessions.outcome(ratio, ALLOWANCE) == sessions.SLOWER:
            return True
    return False


def _session(
    case: Case, chance: random.Random, machine: float, levels: list[float], rounds: int
) -> list[Pairs]:
    """Return, by pool, the time per job and the yardstick of each round; `levels` are the pools' logarithms."""
    by_pool: list[Pairs] = [[] for _ in levels]
    drift = chance.gauss(0, DRIFT_SD)
    for _ in range(rounds):
        speed = machine + drift
        yardstick_s = median(math.exp(speed + chance.gauss(0, YARDSTICK_SD)) for _ in levels)
        for own, level in zip(by_pool, levels, strict=True):
            time_s = math.exp(case.follows * speed + level + chance.gauss(0, BATCH_SD))
            own.append((time_s, yardstick_s if case.has_yardstick else None))
        drift = 0.7 * drift + chance.gauss(0, DRIFT_SD * math.sqrt(1 - 0.7**2))
    return by_pool


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=2000, help="checks for each share (default 2000)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
