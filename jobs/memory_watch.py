"""The memory limit of a job that has a process of its own: the main process looks, and ends what takes too much.

Counted is what the process takes beyond what it had when the job began. Where jobs share a process nobody can say
whose memory it is, and no limit is kept.
"""

import threading
import time
from typing import Any, NamedTuple

import psutil
from celery.worker import state

#: How often the processes are looked at: at a gibibyte a second a job is at most 100 MiB over its limit.
LOOK_EVERY_S = 0.1


class Watched(NamedTuple):
    """A running job and what its process had at its start."""

    request: Any
    process: psutil.Process
    before_bytes: int
    limit_bytes: int


class MemoryWatch:
    """Looks at the processes of jobs that have a memory limit, while there are any."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._lock = threading.Lock()
        self._looks = False

    def watch(self, request: Any, pid: int, limit_bytes: int | None) -> None:
        """Watch a job that begins in the process `pid`; nothing without a limit."""
        if limit_bytes is None:
            return
        try:
            process = psutil.Process(pid)
            watched = Watched(request, process, process.memory_info().rss, limit_bytes)
        except psutil.Error:
            return  # its loss is noted elsewhere
        with self._lock:
            self._watched.append(watched)
            if not self._looks:
                self._looks = True
                threading.Thread(target=self._look_on, name="memory-limits", daemon=True).start()

    def _look_on(self) -> None:
        while True:
            with self._lock:
                self._watched = [watched for watched in self._watched if self._goes_on(watched)]
                if not self._watched:
                    self._looks = False
                    return
            time.sleep(LOOK_EVERY_S)

    @staticmethod
    def _goes_on(watched: Watched) -> bool:
        try:
            used_bytes = watched.process.memory_info().rss - watched.before_bytes
        except psutil.Error:
            return False
        if watched.request not in state.active_requests:
            return False
        if used_bytes > watched.limit_bytes:
            watched.request.end_over_memory(used_bytes, watched.limit_bytes)
            return False
        return True
