"""The pools of Celery without Poolwise: `python -m benchmarks.bare_celery`.

Each round runs the copies of a body on prefork, threads and gevent, in another order; ratios are paired by round.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice, permutations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import redis
from scipy.stats import t

from benchmarks import live
from dev import redis_server
from dev.ports import LOOPBACK, free_port

SLOTS: Mapping[str, int] = {"prefork": 2, "threads": 32, "gevent": 200}
_NAMES = ("wait-0.1", "http-0.1", "json", "python", "sha256", "half")
_LIMIT_S = 120
_ROW = "{:9}  {:8}  {:>20}  {:>20}  {:>20}  {:>20}"
_HEAD = ("body", "pool", "faster than prefork", "time over fastest's", "Poolwise, as run", "net of overhead")

#: A ratio with the bounds of its 95 % interval.
type Ratio = tuple[float, float, float]


def main() -> int:
    """Measure the bodies; print their ratios and write them as JSON."""
    options = _arguments()
    beside = standings(options.beside)
    measured: dict[str, Any] = {}
    with _workers():
        print(_ROW.format(*_HEAD), flush=True)
        for body in options.bodies:
            measured[body] = _ratios(_rounds(body, options.copies, options.rounds))
            for pool in SLOTS:
                print(row(body, pool, measured[body], beside.get((body, pool), {})), flush=True)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


# --- measuring


def _rounds(body: str, copies: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each batch by pool. The first round is not counted; each has another order of pools."""
    times_s: dict[str, list[float]] = {pool: [] for pool in SLOTS}
    for number, order in enumerate(islice(cycle(permutations(SLOTS)), rounds + 1)):
        for pool in order:
            took_s = _batch(body, pool, copies)
            if number:
                times_s[pool].append(took_s)
    return times_s


def _batch(body: str, pool: str, copies: int) -> float:
    """Return the seconds from before the first message to the end of the last job. Raise TimeoutError."""
    from benchmarks.bare_worker import app

    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=2 * _LIMIT_S)
    batch = f"batch:{time.monotonic_ns()}"
    begin_mono = time.monotonic()
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(copies):
            app.send_task("bare.run", (body, batch, copies), queue=pool, producer=producer)
    if client.blpop([f"{batch}:ended"], timeout=_LIMIT_S) is None:
        raise TimeoutError(f"{body} on {pool} did not end within {_LIMIT_S} s.")
    return time.monotonic() - begin_mono


@contextmanager
def _workers() -> Iterator[None]:
    """Run a Redis, an HTTP server and a worker per pool."""
    with tempfile.TemporaryDirectory(prefix="bare-celery-") as name, ExitStack() as cleanup:
        directory = Path(name)
        server = cleanup.enter_context(redis_server.running(directory / "redis", durable=False))
        # Before the app is imported; a worker that Django sets up would not be Celery alone.
        os.environ |= {"REDIS_URL": server.url, "JOB_HTTP_DEMO_URL": f"http://{LOOPBACK}:{free_port()}"}
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
        cleanup.enter_context(live.running(directory, "demoserver"))
        for pool in SLOTS:
            cleanup.enter_context(live.process(_command(pool), directory / f"{pool}.log"))
        _wait_until_up()
        yield


def _command(pool: str) -> list[str]:
    options = {"--pool": pool, "-c": str(SLOTS[pool]), "-Q": pool, "-n": f"{pool}@%h", "-l": "WARNING"}
    celery = [sys.executable, "-m", "celery", "-A", "benchmarks.bare_worker", "worker"]
    return [
        *celery,
        "--without-gossip",
        "--without-mingle",
        *(part for pair in options.items() for part in pair),
    ]


def _wait_until_up() -> None:
    from benchmarks.bare_worker import app

    until_mono = time.monotonic() + _LIMIT_S
    while len(app.control.ping(timeout=1.0) or ()) < len(SLOTS):
        if time.monotonic() > until_mono:
            raise TimeoutError("The workers did not start.")


# --- ratios


def ratio(times_s: Sequence[float], others_s: Sequence[float]) -> Ratio:
    """Return the geometric mean of the paired ratios and its 95 % t interval, of mean ± t · s / √n of their logarithms."""
    logs = [math.log(one / other) for one, other in zip(times_s, others_s, strict=True)]
    mean, half = fmean(logs), 0.0
    if len(logs) > 1:
        half = float(t.ppf(0.975, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _ratios(times_s: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    fastest = min(SLOTS, key=lambda pool: fmean(times_s[pool]))
    return {
        "seconds": times_s,
        "faster_than_prefork": {pool: ratio(times_s["prefork"], times_s[pool]) for pool in SLOTS},
        "time_over_fastest": {pool: ratio(times_s[pool], times_s[fastest]) for pool in SLOTS},
    }


# --- beside Poolwise


def standings(file: Path | None) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the standings in a file of `benchmarks.answers --json`, by case and pool."""
    runs = json.loads(file.read_text()) if file else []
    return {(run["case"], one["name"]): one for run in runs for one in run["answer"]["standings"]}


def row(body: str, pool: str, ratios: Mapping[str, Any], standing: Mapping[str, Any]) -> str:
    """Return a line of the table; the standing is Poolwise's, empty if there is none."""
    shown = [_shown(*ratios[name][pool]) for name in ("faster_than_prefork", "time_over_fastest")]
    for prefix in ("", "net_"):
        bounds = [standing.get(f"{prefix}{name}") for name in ("ratio", "low", "high")]
        shown.append(_shown(*filter(None, bounds)) if all(bounds) else "")
    return _ROW.format(body, pool, *shown).rstrip()


def _shown(value: float, low: float, high: float) -> str:
    return f"{value:.3g} ({low:.3g}–{high:.3g})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", nargs="+", choices=_NAMES, default=_NAMES, help="bodies (default: all)")
    parser.add_argument("--copies", type=int, default=60, help="jobs per batch (default 60)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios to FILE")
    parser.add_argument(
        "--beside", type=Path, metavar="FILE", help="show them beside the FILE of `benchmarks.answers --json`"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
