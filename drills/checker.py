"""Check a drill, by its run log, the list of accepted jobs and the database alone.

`python -m drills.checker FOLDER DATABASE_URL` prints the counts as JSON, by pool. The exit status is 1 if anything was
lost or differs. It imports nothing of Poolwise.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from drills.database import ENDED, Database
from drills.endings import LOST, ODD, right_ending

#: What must not happen; the rest of the counts is information.
BROKEN = (
    "lost", "duplicated", "failed", "wrong_ending", "without_line", "result_differs", "attempts_exceeded",
    "history_broken", "bad_timings",
)  # fmt: skip
INFORMATION = ("accepted", "committed", "odd", "extra_starts")
_RESULT_OF = {"succeeded": "SUCCESS", "failed": "FAILURE", "cancelled": "REVOKED"}
_MAX_EXAMPLES = 5
#: A time stamp and a monotonic duration are read one after the other.
_ROUNDING_S = 0.01


class FaultCounts:
    """Counts by pool, and a few examples of each fault."""

    def __init__(self) -> None:
        self.pools: dict[str, Counter[str]] = {}
        self.examples: dict[str, list[str]] = {}

    def count(self, pool: str, what: str, job: str = "", number: int = 1) -> None:
        """Add to a count, and keep the job as an example if it is a fault."""
        self.pools.setdefault(pool, Counter())[what] += number
        if what in BROKEN and len(kept := self.examples.setdefault(what, [])) < _MAX_EXAMPLES:
            kept.append(job)

    @property
    def is_good(self) -> bool:
        """Return whether nothing was lost and nothing differs."""
        return not self.examples

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; every count of every pool is there."""
        names = (*INFORMATION, *BROKEN)
        pools = {pool: {name: counts[name] for name in names} for pool, counts in sorted(self.pools.items())}
        return {"good": self.is_good, "pools": pools, "examples": self.examples}


def read_lines(run_log: Path) -> dict[str, Counter[int]]:
    """Return how often each attempt of each job wrote its line."""
    lines: dict[str, Counter[int]] = {}
    if run_log.exists():
        for text in run_log.read_text().splitlines():
            line = json.loads(text)
            lines.setdefault(UUID(line["job"]).hex, Counter())[line["attempt"]] += 1
    return lines


def read_accepted(accepted: Path) -> dict[str, str]:
    """Return the pool of each accepted job by its id."""
    if not accepted.exists():
        return {}
    pairs = (line.split() for line in accepted.read_text().splitlines())
    return {UUID(job).hex: pool for job, pool in pairs}


def judge(
    jobs: Iterable[Mapping[str, Any]],
    accepted: Mapping[str, str],
    lines: Mapping[str, Counter[int]],
    results: Mapping[str, list[tuple[str, str | None]]],
    outcomes: Mapping[str, list[tuple[str, str, int]]],
    *,
    clock_tolerance_s: float = 0.0,
) -> FaultCounts:
    """Return the counts of what was accepted, ran and was recorded."""
    counts = FaultCounts()
    missing = dict(accepted)
    for pool in accepted.values():
        counts.count(pool, "accepted")
    for job in jobs:
        missing.pop(job["id"], None)
        counts.count(job["pool"], "committed")
        counts.count(job["pool"], "odd", number=int(job["definition"] in ODD))
        own = lines.get(job["id"], Counter())
        counts.count(job["pool"], "extra_starts", number=max(0, own.total() - 1))
        faults = [
            *_faults_of_state(job, own, outcomes.get(job["id"], [])),
            *_faults_of_result(job, results.get(job["id"], [])),
            *_faults_of_attempts(job, own),
            *_faults_of_time(job, clock_tolerance_s),
        ]
        for fault in faults:
            counts.count(job["pool"], fault, job["id"])
    for job_id, pool in missing.items():
        counts.count(pool, "lost", job_id)
    return counts


def _faults_of_state(
    job: Mapping[str, Any], lines: Counter[int], outcomes: list[tuple[str, str, int]]
) -> Iterable[str]:
    if job["state"] not in ENDED:
        yield "lost"
    if len(outcomes) > 1 or any(was in ENDED for was, _, _ in outcomes):
        yield "duplicated"
    ending = (job["state"], job["error_type"])
    right = right_ending(job["definition"], job["pool"])
    if ending[0] == "failed" and right[0] != "failed":
        yield "failed"
    elif ending[0] in ENDED and ending != right:
        yield "wrong_ending"
    if job["state"] == "succeeded" and not lines[job["attempt"]]:
        yield "without_line"


def _faults_of_result(job: Mapping[str, Any], results: list[tuple[str, str | None]]) -> Iterable[str]:
    if job["state"] not in ENDED:
        return
    wanted = _RESULT_OF[job["state"]]
    if [status for status, _ in results] != [wanted] or (
        wanted == "SUCCESS" and json.loads(results[0][1] or "null") != {"attempt": job["attempt"]}
    ):
        yield "result_differs"


def _faults_of_attempts(job: Mapping[str, Any], lines: Counter[int]) -> Iterable[str]:
    if max(job["attempt"], *lines, 0) > job["max_attempts"]:
        yield "attempts_exceeded"
    # No job fails and is retried: where one has a further attempt, the process of the one before has ended.
    past = [(each["attempt"], each["error_type"]) for each in job["history"]]
    if past != [(number, LOST[1]) for number in range(1, job["attempt"])]:
        yield "history_broken"


def _faults_of_time(job: Mapping[str, Any], tolerance_s: float) -> Iterable[str]:
    durations = (job[name] for name in ("broker_wait_s", "worker_wait_s", "run_s", "record_lag_s"))
    stamps = [job[name] for name in ("created_at", "started_at", "finished_at") if job[name] is not None]
    turned = any(later < earlier - tolerance_s - _ROUNDING_S for earlier, later in pairwise(stamps))
    if turned or any(duration is not None and duration < 0 for duration in durations):
        yield "bad_timings"


def check(folder: Path, database_url: str, *, clock_tolerance_s: float = 0.0) -> FaultCounts:
    """Return the counts of a drill's folder and database."""
    database = Database(database_url)
    return judge(
        database.jobs(),
        read_accepted(folder / "accepted"),
        read_lines(folder / "runs"),
        database.results(),
        database.outcomes(),
        clock_tolerance_s=clock_tolerance_s,
    )


def main() -> int:
    """Print the counts; return the exit status."""
    parser = argparse.ArgumentParser(description="Check whether a drill lost a job or recorded one twice.")
    parser.add_argument("folder", type=Path, help="where the files `accepted` and `runs` are")
    parser.add_argument("database_url")
    parser.add_argument(
        "--clock-tolerance-s", type=float, default=0.0, help="how far clocks were moved apart"
    )
    options = parser.parse_args()
    counts = check(options.folder, options.database_url, clock_tolerance_s=options.clock_tolerance_s)
    print(json.dumps(counts.as_dict(), indent=2))
    return 0 if counts.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
