"""What the jobs of a measurement do, and how fast a machine could do it at most."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of job: how many are drained by default, and the seconds that one waits or computes."""

    name: str
    jobs: int
    wait_s: float = 0.0
    cpu_s: float = 0.0

    def jobs_on(self, slots: int, wanted: int = 0) -> int:
        """Return how many jobs to drain: of waits at most four for each slot."""
        jobs = wanted or self.jobs
        return min(jobs, max(4 * slots, 20)) if self.wait_s else jobs

    def ideal_s(self, jobs: int, slots: int, cores: int) -> float:
        """Return the shortest time for the jobs if nothing but they took time; zero for jobs that do nothing."""
        return jobs * (self.wait_s / slots + self.cpu_s / min(slots, cores))


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("empty", 1500),
        Workload("wait", 2000, wait_s=0.1),
        Workload("compute", 200, cpu_s=0.02),
        Workload("payload", 1000),
    )
}
