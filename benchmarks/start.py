"""What a start costs and what an idle platform takes: `python -m benchmarks.start [--repeat 5] [--json FILE]`.

Each process is started alone on a private Redis and SQLite: time and CPU until its first heartbeat (with those of the
processes that it starts), then the memory of each process as PSS, which counts shared pages once. Then all run
together, idle, and their CPU is counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import redis

from dev import redis_server

ROOT = Path(__file__).resolve().parent.parent
ROLES: Mapping[str, tuple[str, ...]] = {
    "coordinator": ("coordinator",),
    **{pool: ("pool", pool) for pool in ("prefork", "threads", "gevent", "asyncio")},
}
COMMANDS: Mapping[str, tuple[str, ...]] = {"check": ("check",), "migrate": ("migrate", "--verbosity", "0")}
#: Hides what only development has installed.
_PRODUCTION = ROOT / "tests/helpers/production"
_DEVELOPMENT = ("PYTHONDONTWRITEBYTECODE", "JOB_POOLS", "POOLWISE_POOL")
ALL = {**COMMANDS, **ROLES}
_LIMIT_S, _POLL_S, _SETTLE_S, _MIB = 60.0, 0.01, 4.0, 2**20

type Figures = dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeat", type=int, default=5, help="starts of each process (default 5)")
    parser.add_argument("--idle", type=float, default=20.0, metavar="SECONDS", help="0: no idle platform")
    parser.add_argument("--only", default="", help="roles or commands separated by commas (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="poolwise-start-") as name, ExitStack() as cleanup:
        server = cleanup.enter_context(redis_server.running(Path(name) / "redis", durable=False))
        environment = _environment(server.url, Path(name))
        _run_to_end(("migrate", "--verbosity", "0"), environment)
        figures: dict[str, Figures] = {}
        for title in chosen or ALL:
            arguments = ALL[title]
            measure = _command if title in COMMANDS else _start
            figures[title] = _medians(measure(arguments, environment) for _ in range(options.repeat))
            print(_line(title, figures[title]), flush=True)
        if options.idle and not chosen:
            idle = _idle(environment, options.idle, server.process.pid)
            figures["idle"] = idle
            print(_line("idle, % of a core", idle))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def _environment(url: str, folder: Path) -> dict[str, str]:
    own = {"REDIS_URL": url, "BROKER_URL": url, "DATABASE_URL": f"sqlite:///{folder}/database.sqlite3"}
    more = {
        "PREFORK_CONCURRENCY": "2",
        "DEBUG": "true",
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(_PRODUCTION),
    }
    return {name: value for name, value in os.environ.items() if name not in _DEVELOPMENT} | own | more


def _run_to_end(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def _command(arguments: tuple[str, ...], environment: dict[str, str]) -> Figures:
    began, before = time.monotonic(), os.times()
    with open(os.devnull, "w") as nowhere:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=environment, check=True, stdout=nowhere, stderr=nowhere,
        )  # fmt: skip
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_s": time.monotonic() - began, "cpu_s": cpu_s}


def _start(arguments: tuple[str, ...], environment: dict[str, str]) -> Figures:
    began = time.monotonic()
    with _running(arguments, environment) as process:
        _wait_for_heartbeat(process, environment["REDIS_URL"])
        ready = {"wall_s": time.monotonic() - began, "cpu_s": _cpu_s(process.pid)}
        time.sleep(_SETTLE_S)
        return {**ready, **_memory(process.pid)}


@contextmanager
def _running(arguments: tuple[str, ...], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=nowhere,
            stderr=nowhere,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _wait_for_heartbeat(process: subprocess.Popen[bytes], url: str) -> None:
    until_mono = time.monotonic() + _LIMIT_S
    with redis.Redis.from_url(url) as client:
        while not _sends_heartbeats(client, process.pid):
            if process.poll() is not None or time.monotonic() > until_mono:
                raise RuntimeError("the process did not send a heartbeat")
            time.sleep(_POLL_S)


def _sends_heartbeats(client: Any, pid: int) -> bool:
    texts = client.hvals("poolwise:heartbeats")
    return any(json.loads(text.partition(b" ")[2])["pid"] == pid for text in texts)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(pid: int) -> float:
    total = 0.0
    for process in _family(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[: 4 if process.pid == pid else 2])
    return total


def _memory(pid: int) -> Figures:
    """Return the PSS of the process and its watchdog, and what each other child adds: its private pages; in MiB."""
    sizes: dict[str, list[float]] = defaultdict(list)
    for process in _family(pid):
        kind = (
            "main"
            if process.pid == pid
            else "watchdog"
            if "watchdog" in " ".join(process.cmdline())
            else "child"
        )
        memory = process.memory_full_info()
        sizes[kind].append((memory.uss if kind == "child" else memory.pss) / _MIB)
    return {f"{kind}_mib": sum(values) / len(values) for kind, values in sizes.items()}


def _idle(environment: dict[str, str], seconds: float, redis_pid: int) -> Figures:
    with ExitStack() as cleanup:
        processes = {role: cleanup.enter_context(_running(a, environment)) for role, a in ROLES.items()}
        for process in processes.values():
            _wait_for_heartbeat(process, environment["REDIS_URL"])
        time.sleep(_SETTLE_S * 2)
        pids = {**{role: process.pid for role, process in processes.items()}, "redis": redis_pid}
        before = {role: _cpu_s(pid) for role, pid in pids.items()}
        time.sleep(seconds)
        shares = {role: 100 * (_cpu_s(pid) - before[role]) / seconds for role, pid in pids.items()}
        return {**shares, "all": sum(shares.values())}


def _medians(runs: Iterable[Figures]) -> Figures:
    values: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, value in run.items():
            values[name].append(value)
    return {name: median(seen) for name, seen in values.items()}


def _line(title: str, figures: Figures) -> str:
    return f"{title:18}" + "  ".join(f"{name} {value:.2f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
