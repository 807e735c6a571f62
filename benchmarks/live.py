"""Comparisons on real workers: a private Redis and database, a coordinator, and the same pool twice."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from dev import redis_server

ROOT = Path(__file__).resolve().parent.parent
POOLS = ("first", "second")
#: Pools that definitions name; they have no worker here.
_IDLE = ("prefork", "threads", "gevent", "asyncio")
_LIMIT_S = 60.0

type Samples = tuple[list[list[float]], list[list[float]]]


@contextmanager
def platform(model: str, slots: int) -> Iterator[None]:
    """Run two workers of the same model and slots, called first and second, and set Django up for them."""
    with tempfile.TemporaryDirectory(prefix="poolwise-verdicts-") as name, ExitStack() as cleanup:
        redis = cleanup.enter_context(redis_server.running(Path(name) / "redis", durable=False))
        pools = {pool: {"model": model, "queue": pool, "concurrency": slots} for pool in POOLS}
        pools |= {idle: {"model": idle, "queue": idle, "concurrency": 2} for idle in _IDLE}
        os.environ |= {
            "REDIS_URL": redis.url,
            "BROKER_URL": redis.url,
            "DATABASE_URL": f"sqlite:///{name}/database.sqlite3",
            "JOB_POOLS": json.dumps(pools),
            "LOG_LEVEL": "WARNING",
        }
        set_up()
        call_command("migrate", verbosity=0)
        for arguments in (("coordinator",), *(("pool", pool) for pool in POOLS)):
            cleanup.enter_context(running(Path(name), *arguments))
        wait_until_up(Path(name), POOLS)
        yield


def set_up() -> None:
    """Load Django's apps; the environment has the settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()


def running(directory: Path, *arguments: str) -> AbstractContextManager[None]:
    """Run a `manage.py` command for the length of a with block; its log is in the directory."""
    return process([sys.executable, "manage.py", *arguments], directory / f"{arguments[-1]}.log")


@contextmanager
def process(command: Sequence[str], log_file: Path) -> Iterator[None]:
    """Run a command for the length of a with block."""
    with log_file.open("ab") as log:
        started = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_until_up(directory: Path, pools: Sequence[str]) -> None:
    """Wait for the heartbeats of the coordinator and of each pool. Raise TimeoutError with their logs."""
    from poolwise.lifecycle import heartbeats

    until_mono = time.monotonic() + _LIMIT_S
    while not (set(pools) <= set(heartbeats.pools_up()) and heartbeats.coordinator_is_up()):
        if time.monotonic() > until_mono:
            logs = "\n".join(log.read_text()[-2000:] for log in directory.glob("*.log"))
            raise TimeoutError(f"The workers did not start:\n{logs}")
        time.sleep(0.2)


def comparison(seed: int, definition: str, seconds: tuple[float, float], rounds: int, copies: int) -> Samples:
    """Return the makespans per job, in seconds and per round, of both pools, whose jobs take `seconds` each.

    An uncounted warm-up batch per pool runs first; the order of the pools is shuffled in each round.
    """
    order = random.Random(seed)
    samples: dict[str, list[list[float]]] = {pool: [] for pool in POOLS}
    for number in range(rounds + 1):
        shuffled = list(zip(POOLS, seconds, strict=True))
        order.shuffle(shuffled)
        for pool, duration_s in shuffled:
            span_s = _batch(definition, pool, duration_s, copies)
            if number:
                samples[pool].append([span_s / copies])
    return samples["first"], samples["second"]


def _batch(definition: str, pool: str, duration_s: float, copies: int) -> float:
    from django.db.models import Max, Min

    from poolwise.lifecycle import publishing, submission
    from poolwise.models import Job, JobState

    jobs = submission.prepare(definition, {"duration_s": duration_s}, pool=pool, copies=copies)
    Job.objects.bulk_create(jobs)
    publishing.publish(jobs, budget_s=10.0)
    own = Job.objects.filter(pk__in=[job.pk for job in jobs])
    until_mono = time.monotonic() + _LIMIT_S
    while own.live().exists():
        if time.monotonic() > until_mono:
            raise TimeoutError(f"A batch of {copies} jobs did not end within {_LIMIT_S:g} s.")
        time.sleep(0.05)
    if own.exclude(state=JobState.SUCCEEDED).exists():
        raise RuntimeError("A job of the benchmark failed.")
    span = own.aggregate(length=Max("finished_at") - Min("published_at"))["length"]
    return float(span.total_seconds())
