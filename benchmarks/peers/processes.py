"""Processes of a system: start, freeze, end, and the CPU time that they and their descendants have used."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import psutil

from dev.lifetime import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
_GRACE_S = 8.0


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none if it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process, its descendants, and those of them that have ended and been waited for."""
    total_s = 0.0
    for process in tree(pid):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total_s += times.user + times.system + times.children_user + times.children_system
    return total_s


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a command for the length of a with block; yield its process number. Its descendants end with it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=partial(die_with_parent, signal.SIGKILL),
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        _end(process)


def several(command: Sequence[str], count: int) -> list[str]:
    """Return a command that runs another one several times at once."""
    if count == 1:
        return [*command]
    script = "trap 'kill $started' TERM; " + '"$0" "$@" & started="$started $!"; ' * count + "wait"
    return ["sh", "-c", script, *command]


def _end(process: subprocess.Popen[bytes]) -> None:
    everyone = tree(process.pid)
    with suppress(subprocess.TimeoutExpired):
        process.terminate()
        process.wait(_GRACE_S)
    for one in everyone:
        with suppress(psutil.Error):
            one.kill()
    process.wait()
    psutil.wait_procs(everyone, timeout=_GRACE_S)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process and its descendants for the length of a with block: they start on what was queued at once."""
    stopped: dict[int, psutil.Process] = {}
    while new := [process for process in tree(pid) if process.pid not in stopped]:
        for process in new:
            stopped[process.pid] = process
            with suppress(psutil.Error):
                process.suspend()
    try:
        yield
    finally:
        for process in stopped.values():
            with suppress(psutil.Error):
                process.resume()


class Producer:
    """A process that submits jobs with a system's own library; see `enqueue`."""

    def __init__(self, python: Path, app: str, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.peers.enqueue", app], cwd=ROOT, env=dict(environment),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                preexec_fn=partial(die_with_parent, signal.SIGKILL),
            )  # fmt: skip
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # At the end of its standard input it ends.
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_GRACE_S)
        self._process.kill()
        self._process.communicate()

    def enqueue(self, workload: str, jobs: int) -> dict[str, float]:
        """Submit jobs; return the seconds it took and the producer's CPU time. Raise RuntimeError."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{workload} {jobs}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        raise RuntimeError("The jobs could not be submitted; the producer's log has the reason.")


def clean_up_at_sigterm() -> None:
    """End this process at SIGTERM as at Ctrl-C, so that it ends its servers and workers."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def environment(**values: str) -> dict[str, str]:
    """Return this process's environment without settings of a platform of the caller's, and with the values."""
    foreign = ("DJANGO_", "JOB_", "CELERY_", "REDIS_", "BROKER_", "DATABASE_", "POOLWISE_", "PYTHONDONTWRITE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), **values}
