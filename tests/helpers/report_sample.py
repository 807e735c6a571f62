"""The report of a comparison, in the shape that `poolwise.lab.report` freezes: four pools, five rounds, one seed."""

import random
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from poolwise.lab.report import Report, Sample
from poolwise.models import Batch, Comparison, Job

POOLS = {
    "prefork": ("prefork", 2),
    "threads": ("threads", 32),
    "gevent": ("gevent", 50),
    "asyncio": ("asyncio", 50),
}
COPIES, ROUNDS, RUN_S = 20, 5, 0.1
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_COSTS = {"prefork": 0.0012, "threads": 0.0009, "gevent": 0.0006, "asyncio": 0.0008}
#: How many times as long a job takes as on gevent, with its interval.
_STANDINGS = {
    "gevent": ("best", 1.0, 1.0, 1.0),
    "asyncio": ("out", 1.11, 1.06, 1.16),
    "threads": ("out", 1.48, 1.41, 1.56),
    "prefork": ("out", 16.8, 15.9, 17.6),
}


def samples() -> list[Sample]:
    """Return the jobs of every batch, each with its durations in seconds."""
    chance = random.Random(7)
    return [
        job
        for round_ in range(1, ROUNDS + 1)
        for position, pool in enumerate(POOLS)
        for job in _batch(pool, round_, NOON + timedelta(seconds=20 * round_ + 5 * position), chance)
    ]


def _batch(pool: str, round_: int, at: datetime, chance: random.Random) -> list[Sample]:
    slots = POOLS[pool][1]
    free = [0.004] * slots
    jobs = []
    for _ in range(COPIES):
        slot = free.index(min(free))
        start = free[slot] + chance.expovariate(1 / _COSTS[pool]) * 3
        run = RUN_S + chance.expovariate(1 / 0.002)
        free[slot] = start + run
        jobs.append(_job(pool, round_, at, start, run))
    return jobs


def _job(pool: str, round_: int, at: datetime, start: float, run: float) -> Sample:
    cpu = _COSTS[pool] * 0.4
    return Sample(
        pool=pool, round=round_, role="measured", slots=POOLS[pool][1], state="succeeded",
        broker_wait_s=start * 0.8, worker_wait_s=start * 0.2, run_s=run, cpu_s=cpu,
        run_queue_s=cpu * 0.6, gil_wait_s=0.0 if pool == "prefork" else cpu, blocked_s=None, stall_s=None,
        published_at=at, started_at=at + timedelta(seconds=start), finished_at=at + timedelta(seconds=start + run),
    )  # fmt: skip


def report(**changes: Any) -> Report:
    """Return the report; `changes` replace its top-level keys."""
    jobs = samples()
    figures = {
        "version": 1,
        "answer": answer(),
        "metric": "time per job: makespan of a batch over its jobs",
        "baseline": "prefork",
        "pairs": [pair("prefork", "gevent", "faster", 16.8), pair("gevent", "threads", "slower", 0.68)],
        "pools": [_pool(name, [job for job in jobs if job.pool == name]) for name in POOLS],
        "validity": validity(),
        "environment": ENVIRONMENT,
        "sweep": None,
    }
    return Report.model_validate(figures | changes)


def answer(**changes: Any) -> dict[str, Any]:
    """Return the answer; `changes` replace its fields."""
    fields = {
        "state": "settled",
        "text": "Run io.wait on gevent (50 slots). It is 17× as fast as prefork, 1.5× as fast as threads and 1.11× as fast "
        "as asyncio.",
        "pool": "gevent",
        "slots": 50,
        "why": "The job waits for 99 % of its run. A slot takes 1.2 MB there and 50 MB on prefork.",
        "would_change": "If the job computes for more than 30 % of its run, it blocks the other jobs of its worker.",
        "within": 0.0,
        "rounds": ROUNDS,
        "standings": [standing(name, *figures) for name, figures in _STANDINGS.items()],
    }
    return fields | changes


def standing(
    name: str,
    role: str,
    ratio: float | None = None,
    low: float | None = None,
    high: float | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return where one variant stands."""
    bounds = {"ratio": ratio, "low": low, "high": high}
    changes = {"against": "" if role in ("best", "not measured") else "gevent"} | changes
    return {"name": name, "role": role, "of_fastest": ratio, **bounds, **changes}


def pair(base: str, other: str, outcome: str, ratio: float, **changes: Any) -> dict[str, Any]:
    """Return the outcome of one pair."""
    bounds = {"low": ratio * 0.95, "high": ratio * 1.05}
    return {
        "base": base,
        "other": other,
        "outcome": outcome,
        "ratio": ratio,
        "rounds": ROUNDS,
        **bounds,
        **changes,
    }


def _pool(name: str, jobs: list[Sample]) -> dict[str, Any]:
    model, slots = POOLS[name]
    batches = [
        _figures_of_batch(name, [job for job in jobs if job.round == n], n) for n in range(1, ROUNDS + 1)
    ]
    spans = [batch["makespan_s"] for batch in batches]
    waits = ("run_s", "broker_wait_s", "worker_wait_s", "cpu_s")
    total = {
        field: sum(getattr(job, field) for job in jobs)
        for field in ("run_s", "cpu_s", "run_queue_s", "gil_wait_s")
    }
    blocked = total["run_s"] - total["cpu_s"] - total["run_queue_s"] - total["gil_wait_s"]
    return {
        "name": name, "pool": name, "model": model, "slots": slots, "jobs": len(jobs), "succeeded": len(jobs), "failed": 0,
        "cancelled": 0, "unfinished": 0, "makespan_s": median(spans), "makespans_s": spans,
        **{field: _spread([getattr(job, field) for job in jobs]) for field in waits},
        "cpu_share": total["cpu_s"] / total["run_s"], "speed_up": 1.0, "batches": batches,
        "jobs_per_s": COPIES / median(spans), "peak_memory_bytes": 60_000_000 + 40_000_000 * (name == "prefork"),
        "time": {"cpu_s": total["cpu_s"], "run_queue_s": total["run_queue_s"], "gil_wait_s": total["gil_wait_s"],
                 "blocked_s": blocked, "unattributed_s": 0.0},
        "overhead_s": _COSTS[name] * 2, "stall": None,
    }  # fmt: skip


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": median(ordered), "p95": ordered[int(len(ordered) * 0.95)]}


def _figures_of_batch(name: str, jobs: list[Sample], number: int) -> dict[str, Any]:
    slots = POOLS[name][1]
    span = (max(job.finished_at for job in jobs) - min(job.published_at for job in jobs)).total_seconds()
    ideal = -(-COPIES // slots) * median(job.run_s for job in jobs)
    waits = ("run_s", "broker_wait_s", "worker_wait_s")
    busy = sum(job.run_s for job in jobs)
    return {
        "round": number, "role": "measured", "counts": True, "slots": slots, "jobs": COPIES,
        "makespan_s": span, "jobs_per_s": COPIES / span, "succeeded": COPIES,
        "failed": 0, "cpu_s_pool": 0.2, "peak_memory_bytes": 60_000_000 + 40_000_000 * (name == "prefork"),
        "concurrency": {"peak": min(slots, COPIES), "mean": busy / span}, "efficiency": ideal / span,
        "ideal_makespan_s": ideal, "void_reason": "", "db_connections": None,
        **{field: _spread([getattr(job, field) for job in jobs]) for field in waits},
    }  # fmt: skip


def validity(**failing: str) -> dict[str, Any]:
    """Return the validity checks; the named ones fail for the given reason."""
    titles = {
        "code": "Same code", "machine": "Same machine", "parameters": "Same parameters", "prefetch": "Same prefetch",
        "alone": "No other jobs", "spread": "Low spread", "clocks": "Clocks agree", "concurrency": "Slots used",
        "failures": "No failures", "stalls": "No stall",
    }  # fmt: skip
    checks = [
        {"id": key, "title": title, "passed": key not in failing, "matters": key not in ("stalls", "spread"),
         "reason": failing.get(key, "")}
        for key, title in titles.items()
    ]  # fmt: skip
    return {"valid": not any(check["matters"] and not check["passed"] for check in checks), "checks": checks}


def sweep() -> dict[str, list[dict[str, Any]]]:
    """Return throughput and latency over concurrency for two pools."""
    return {
        name: [
            {"slots": slots, "jobs_per_s": 9.6 * slots * share * speed, "p95_s": 0.102 / share / speed,
             "memory_bytes": 50_000_000 + slots * memory, "db_connections": slots, "is_knee": slots == knee}
            for slots, share in ((1, 1.0), (2, 0.99), (4, 0.97), (8, 0.92), (16, 0.7), (32, 0.4))
        ]
        for name, memory, knee, speed in (("threads", 900_000, 8, 0.9), ("gevent", 120_000, 16, 1.0))
    }  # fmt: skip


ENVIRONMENT = {
    "cores": 4, "cpu_quota": None, "python": "3.13.5", "gil": True, "platform": "Linux 6.12", "broker": "Redis 8.0.2",
    "database": "SQLite 3.46.1", "versions": {"celery": "5.7.0", "django": "6.1.3", "gevent": "26.9.0"},
}  # fmt: skip


def store(user: Any = None, **changes: Any) -> Comparison:
    """Write the comparison with its batches, jobs and report into the database; `changes` replace its columns."""
    plain = {
        "definition": "io.wait", "params": {"duration_s": RUN_S}, "copies": COPIES, "rounds": ROUNDS, "user": user,
        "state": "finished", "finished_at": NOON, "report": report(), "baseline": "prefork",
    }  # fmt: skip
    fields = plain | changes
    if isinstance(fields["report"], Report):
        fields["report"] = fields["report"].model_dump(mode="json")
    comparison = Comparison.objects.create(**fields)
    jobs = samples()
    batches = {(job.pool, job.round): _batch_row(comparison, job) for job in jobs}
    for position, batch in enumerate(batches.values(), start=1):
        batch.position = position
    Batch.objects.bulk_create(batches.values())
    Job.objects.bulk_create(_job_row(user, batches[job.pool, job.round], job) for job in jobs)
    return comparison


def _batch_row(comparison: Comparison, job: Sample) -> Batch:
    return Batch(
        comparison=comparison, pool=job.pool, round=job.round, slots=job.slots,
        released_at=job.published_at, finished_at=job.finished_at,
    )  # fmt: skip


def _job_row(user: Any, batch: Batch, job: Sample) -> Job:
    columns = {name: value for name, value in job._asdict().items() if name not in ("round", "role", "slots")}
    return Job(definition="io.wait", kind="io", user=user, batch=batch, **columns)
