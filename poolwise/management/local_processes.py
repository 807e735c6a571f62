"""Workers and a coordinator that a command starts where none is running, and stops afterwards."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from django.conf import settings

from poolwise.lifecycle import heartbeats
from poolwise.support import BrokerUnavailable, kill_family

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
#: What is missing for longer than this has ended, not just missed a heartbeat.
_MISSING_S = 5.0


class LocalProcesses:
    """A context in which each given pool has a worker and a coordinator is running."""

    def __init__(self) -> None:
        self._coordinators: list[subprocess.Popen[bytes]] = []
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._whole_mono = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the started workers, and then the coordinator, which records their last reports."""
        _end(list(self._workers.values()))
        _end(self._coordinators)

    def own_all(self, pools: Sequence[str]) -> bool:
        """Return whether this command has started the workers of all these pools."""
        return self._workers.keys() >= set(pools)

    def renew(self, pools: Sequence[str]) -> None:
        """End the started workers of these pools and start them again. Raise TimeoutError."""
        own = [pool for pool in pools if pool in self._workers]
        _end([self._workers[pool] for pool in own])
        self._workers |= {pool: _start("pool", pool) for pool in own}
        if own:
            self._wait(own)

    def start_missing(self, pools: Sequence[str]) -> list[str]:
        """Start what is missing and wait for its heartbeat; return the names. Raise BrokerUnavailable, TimeoutError."""
        try:
            up = heartbeats.pools_up()
            coordinated = heartbeats.coordinator_is_up()
        except BrokerUnavailable as error:
            raise BrokerUnavailable(
                f"Redis does not answer at {_without_password(settings.REDIS_URL)}: start it, or set REDIS_URL."
            ) from error
        started = [] if coordinated else ["coordinator"]
        if not coordinated:
            self._coordinators.append(_start("coordinator"))
        for pool in pools:
            if pool not in up:
                self._workers[pool] = _start("pool", pool)
                started.append(f"pool {pool}")
        self._wait(pools)
        return started

    def start_again(self, pools: Sequence[str]) -> list[str]:
        """Start what has ended since, such as workers of another command; return the names.

        Raise BrokerUnavailable, TimeoutError.
        """
        try:
            is_whole = _are_up(pools)
        except BrokerUnavailable:  # then nothing is known to be missing
            is_whole = True
        if is_whole:
            self._whole_mono = time.monotonic()
        if time.monotonic() - self._whole_mono < _MISSING_S:
            return []
        self._coordinators = [process for process in self._coordinators if process.poll() is None]
        self._workers = {pool: process for pool, process in self._workers.items() if process.poll() is None}
        started = self.start_missing(pools)
        self._whole_mono = time.monotonic()
        return started

    def _wait(self, pools: Sequence[str]) -> None:
        until_mono = time.monotonic() + _START_TIMEOUT_S
        while not _are_up(pools):
            if any(process.poll() is not None for process in (*self._coordinators, *self._workers.values())):
                raise TimeoutError(
                    "A worker ended while starting: run `python manage.py pool NAME` to see why."
                )
            if time.monotonic() > until_mono:
                raise TimeoutError(
                    f"A worker of {', '.join(pools)} did not start within {_START_TIMEOUT_S:g} s."
                )
            time.sleep(0.2)


def _are_up(pools: Sequence[str]) -> bool:
    return heartbeats.coordinator_is_up() and set(pools) <= heartbeats.pools_up().keys()


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, os.path.abspath(sys.argv[0]), *arguments]
    # New sessions: Ctrl-C reaches them once, through this process, not twice.
    return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        _wait_for(process)


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        kill_family(process.pid)
        process.wait()


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
