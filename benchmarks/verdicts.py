"""Is the verdict right? `python -m benchmarks.verdicts`: the same pool twice, and a copy made 1.3× slower.

Each is compared 20 times. Exit status 1 when fewer than 19 of 20 verdicts are right.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from statistics import median

from benchmarks import live, simulation

SLOWER_FACTOR = 1.3
REQUIRED_SHARE = 19 / 20

type Compare = Callable[[int, float], live.Samples]


def main() -> int:
    """Run the simulation or the measurement; return the exit status."""
    options = _arguments()
    if options.simulate:
        live.set_up()
        return max(
            _assess(f"simulated, {name}", _simulated(options, name), options) for name in options.noise
        )
    with live.platform(options.model, options.slots):
        title = f"{options.model}, {options.slots} slots, {options.definition}"
        return _assess(title, _measured(options), options)


def _simulated(options: argparse.Namespace, noise: str) -> Compare:
    return lambda seed, factor: simulation.comparison(
        seed,
        simulation.NOISES[noise],
        factor,
        rounds=options.rounds,
        copies=options.copies,
        slots=options.slots,
    )


def _measured(options: argparse.Namespace) -> Compare:
    def run(seed: int, factor: float) -> live.Samples:
        seconds = (options.seconds, options.seconds * factor)
        return live.comparison(seed, options.definition, seconds, options.rounds, options.copies)

    return run


def _assess(title: str, run: Compare, options: argparse.Namespace) -> int:
    """Print the number of each verdict; return 1 when fewer than 19 of 20 were right."""
    from poolwise.lab import NO_DIFFERENCE, SLOWER  # Django must be set up before

    status = 0
    for name, factor, right in (
        ("same pool twice", 1.0, NO_DIFFERENCE),
        ("slower copy", SLOWER_FACTOR, SLOWER),
    ):
        begin_mono = time.monotonic()
        outcomes, spreads = _compare_often(run, factor, options)
        share = outcomes[right] / options.comparisons
        status |= share < REQUIRED_SHARE
        counts = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())
        print(
            f"{title} · {name}: {counts} ({share:.1%} right; spread of the rounds {median(spreads):.1%}; "
            f"{time.monotonic() - begin_mono:.0f} s; load {os.getloadavg()[0]:.1f})",
            flush=True,
        )
    return int(status)


def _compare_often(
    run: Compare, factor: float, options: argparse.Namespace
) -> tuple[Counter[str], list[float]]:
    from poolwise.lab import compare, spread

    outcomes: Counter[str] = Counter()
    spreads: list[float] = []
    for seed in range(options.comparisons):
        samples = run(seed, factor)
        verdict = compare(*samples, seed=seed)
        outcomes[verdict.outcome] += 1
        spreads += [spread(value for [value] in side) or 0.0 for side in samples]
        if options.verbose:
            spans_ms = [[round(value * 1e3, 2) for [value] in side] for side in samples]
            print(seed, verdict, spans_ms, flush=True)
    return outcomes, spreads


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="draw the makespans instead of running jobs")
    parser.add_argument(
        "--noise",
        nargs="+",
        default=["calm", "usual"],
        choices=simulation.NOISES,
        help="noise of the simulated machine (default: calm usual)",
    )
    parser.add_argument("--comparisons", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument(
        "--seconds", type=float, default=simulation.RUN_S, help="duration of a job (default 0.02)"
    )
    parser.add_argument(
        "--definition", default="io.wait", help="a definition with the parameter duration_s (default io.wait)"
    )
    parser.add_argument(
        "--model", default="threads", help="prefork, threads, gevent or asyncio (default threads)"
    )
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="print every verdict with its makespans in ms")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
