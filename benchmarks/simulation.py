"""Is the answer right? `python -m benchmarks.simulation`: simulated comparisons of four pools, decided after each look.

Under each kind of noise it counts how often the true best is excluded, with equal pools and with one slightly better, and
how often a pool that is 1.2 times as fast is found alone within 5 and 10 rounds. Exit status 1 when a pool that is the
best is excluded in more than 5 % of comparisons, or 1.2 times with 20 % drift is found in less than 95 % within 10 rounds.
"""

import argparse
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

MOST_WRONG, LEAST_POWER = 0.05, 0.95
FACTOR = 1.2
EQUAL = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}
CLOSE = {"a": 1.0, "b": 1.03, "c": 1.05, "d": 1.4}
APART = {"a": 1.0, "b": FACTOR, "c": FACTOR, "d": FACTOR}


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of a machine, as standard deviations of logarithms, or shares.

    `batch`: from batch to batch; `drift`: from round to round, the same for all pools; `position`: how much slower the last
    place in a round is than the first; `instance`: of a start of a worker; with `fresh`, workers start again each so many
    rounds.
    """

    kind: str = "independent"
    batch: float = 0.03
    drift: float = 0.0
    position: float = 0.0
    instance: float = 0.0
    fresh: int = 0


NOISES: Mapping[str, Noise] = {
    "independent": Noise(),
    "shared drift of 20 %": Noise(drift=0.2),
    "drift within rounds": Noise("walk"),
    "autocorrelated": Noise("autocorrelated"),
    "bursts of +50 %": Noise("bursts"),
    "heavy tails": Noise("heavy tails", batch=0.06),
    "unequal spreads": Noise("unequal", batch=0.06),
    "position effect of 5 %": Noise(position=0.05),
    "instances, 1 %": Noise(instance=0.01),
    "instances, 2 %": Noise(instance=0.02),
    "instances, 3 %, sampled": Noise(instance=0.03, fresh=2),
}
#: What the margin does not cover; the answer says that workers were not restarted.
UNSAMPLED: Mapping[str, Noise] = {"instances, 3 %, not sampled": Noise(instance=0.03)}

type Samples = dict[str, dict[int, float]]


def comparison(chance: random.Random, factors: Mapping[str, float], noise: Noise, rounds: int) -> Samples:
    """Return the time per job of each round, by pool; `factors`: how long a job takes on each."""
    from poolwise.lab.plan import balanced_orders  # Django must be set up before

    names = list(factors)
    orders = balanced_orders(names, chance.randrange(1000))
    batches = _Batches(chance, noise, names)
    samples: Samples = {name: {} for name in names}
    level = chance.gauss(0, noise.drift)
    instances: dict[str, float] = {}
    for number in range(1, rounds + 1):
        if not instances or (noise.fresh and (number - 1) % noise.fresh == 0):
            instances = {name: chance.gauss(0, noise.instance) for name in names}
        for place, name in enumerate(orders[(number - 1) % len(orders)]):
            slower = level + instances[name] + noise.position * place / (len(names) - 1) + batches.next(name)
            samples[name][number] = factors[name] * math.exp(slower)
        level = 0.7 * level + chance.gauss(0, noise.drift * math.sqrt(1 - 0.7**2))
    return samples


class _Batches:
    """What differs from batch to batch."""

    def __init__(self, chance: random.Random, noise: Noise, names: list[str]) -> None:
        self.chance, self.noise = chance, noise
        self.before = {name: chance.gauss(0, noise.batch) for name in names}
        self.spread = {name: noise.batch * (0.5 + 1.5 * n / (len(names) - 1)) for n, name in enumerate(names)}
        self.walked = 0.0
        self.burst = 0

    def next(self, name: str) -> float:
        """Return by how much the pool's next batch is slower, as a logarithm."""
        chance, batch = self.chance, self.noise.batch
        if (
            self.noise.kind == "heavy tails"
        ):  # Student's t with 3 degrees of freedom, of about the same spread
            return batch * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(1.5, 1) / 1.5) / 1.3
        if self.noise.kind == "autocorrelated":
            self.before[name] = 0.6 * self.before[name] + chance.gauss(0, 0.8 * batch)
            return self.before[name]
        if self.noise.kind == "walk":
            self.walked += chance.gauss(0, batch / 2)
            return self.walked + chance.gauss(0, batch / 2)
        if self.noise.kind == "bursts":
            self.burst = self.burst - 1 if self.burst else chance.randint(1, 3) * (chance.random() < 0.05)
            return chance.gauss(0, batch) + math.log(1.5) * bool(self.burst)
        return chance.gauss(0, self.spread[name] if self.noise.kind == "unequal" else batch)


def decided(samples: Samples, most: int) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Return the candidates, the pools that are out, and the rounds, as a comparison with a budget decides."""
    from poolwise.lab.statistics import LOOKS, rank  # Django must be set up before

    for rounds in (*(look for look in LOOKS if look < most), most):
        ranking = rank(
            {n: {i: v for i, v in s.items() if i <= rounds} for n, s in samples.items()}, looked=True
        )
        if ranking.is_settled:
            break
    return ranking.candidates, ranking.out, rounds


def shares(noise: Noise, comparisons: int, most: int) -> tuple[float, float, float, float]:
    """Return how often an equal pool is out, the best of close ones is out, 1.2× is found, and the mean rounds of that."""

    def often(factors: Mapping[str, float]) -> list[tuple[tuple[str, ...], tuple[str, ...], int]]:
        return [
            decided(comparison(random.Random(seed), factors, noise, most), most)
            for seed in range(comparisons)
        ]

    apart = often(APART)
    return (
        sum(bool(out) for _, out, _ in often(EQUAL)) / comparisons,
        sum("a" in out for _, out, _ in often(CLOSE)) / comparisons,
        sum(candidates == ("a",) for candidates, _, _ in apart) / comparisons,
        sum(rounds for *_, rounds in apart) / comparisons,
    )


def main() -> int:
    """Print a row for each noise and number of rounds; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=1000)
    count = parser.parse_args().comparisons
    status = 0
    print(
        "| noise | rounds at most | equal pools: one is out | close pools: the best is out | 1.2×: found | rounds |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, noise in {**NOISES, **UNSAMPLED}.items():
        for most in (5, 10):
            equal, close, power, rounds = shares(noise, count, most)
            print(f"| {name} | {most} | {equal:.1%} | {close:.1%} | {power:.1%} | {rounds:.1f} |", flush=True)
            status |= name in NOISES and max(equal, close) > MOST_WRONG
            status |= name == "shared drift of 20 %" and most == 10 and power < LEAST_POWER
    return int(status)


if __name__ == "__main__":
    from benchmarks import live

    live.set_up()
    raise SystemExit(main())
