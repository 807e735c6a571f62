"""Simulated comparisons: batches of jobs on slots of a machine that drifts, stalls and runs other programs."""

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

RUN_S = 0.02
OVERHEAD_S = 0.002


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of a machine.

    Standard deviations of logarithms: `drift` from round to round (the same for both pools), `batch` from batch to batch,
    `job` from job to job. `stalls` is the share of jobs with a stall of at least `stall_s` (Pareto, index 1.5),
    `neighbour` the share of batches during which another process takes a core and slows them by up to a half.
    """

    drift: float
    batch: float
    job: float
    stalls: float
    stall_s: float
    neighbour: float


NOISES = {
    "calm": Noise(drift=0.01, batch=0.01, job=0.02, stalls=0.001, stall_s=0.005, neighbour=0.0),
    "usual": Noise(drift=0.05, batch=0.02, job=0.10, stalls=0.002, stall_s=0.01, neighbour=0.005),
    "noisy": Noise(drift=0.15, batch=0.05, job=0.20, stalls=0.01, stall_s=0.01, neighbour=0.10),
    "bad": Noise(drift=0.30, batch=0.15, job=0.30, stalls=0.02, stall_s=0.02, neighbour=0.30),
}


def comparison(
    seed: int, noise: Noise, factor: float, *, rounds: int = 5, copies: int = 50, slots: int = 2
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the makespans per job, in seconds and per round, of a pool and of its copy that is `factor` slower."""
    chance = random.Random(seed)
    first, second = [], []
    for drift in _drifts(chance, noise, rounds):
        first.append([_makespan_s(chance, noise, drift, copies, slots) / copies])
        second.append([_makespan_s(chance, noise, drift * factor, copies, slots) / copies])
    return first, second


def _drifts(chance: random.Random, noise: Noise, rounds: int) -> Iterator[float]:
    level = chance.gauss(0, noise.drift)
    for _ in range(rounds):
        yield math.exp(level)
        level = 0.7 * level + chance.gauss(0, noise.drift * math.sqrt(1 - 0.7**2))


def _makespan_s(chance: random.Random, noise: Noise, speed: float, copies: int, slots: int) -> float:
    slower = speed * math.exp(chance.gauss(0, noise.batch))
    if chance.random() < noise.neighbour:
        slower *= 1 + chance.random() / 2
    free_at = [0.0] * slots
    for _ in range(copies):
        took_s = RUN_S * slower * math.exp(chance.gauss(0, noise.job)) + chance.expovariate(1 / OVERHEAD_S)
        if chance.random() < noise.stalls:
            took_s += noise.stall_s * chance.paretovariate(1.5)
        heapq.heapreplace(free_at, free_at[0] + took_s)
    return max(free_at)
