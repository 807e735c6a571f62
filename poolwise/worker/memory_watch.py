"""The memory limit of prefork jobs: the main process measures their processes and kills those above the limit.

What counts is the memory beyond that at the start of the job. Where jobs share a process, memory belongs to no single
job and no limit is enforced.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import psutil
import structlog
from celery.worker import state

log = structlog.get_logger(__name__)
#: How often the processes are measured: at 1 GiB per second a job exceeds its limit by at most 100 MiB.
CHECK_EVERY_S = 0.1


@dataclass(slots=True)
class Watched:
    """A running job, its process, and the memory of that at its start."""

    request: Any
    pid: int
    limit_bytes: int
    process: psutil.Process | None = None
    before_bytes: int = 0

    def used_bytes(self) -> int:
        """Return the memory beyond that at the first call. Raise psutil.Error or OSError."""
        if self.process is None:
            process = psutil.Process(self.pid)
            self.before_bytes, self.process = process.memory_info().rss, process
        return int(self.process.memory_info().rss - self.before_bytes)


class MemoryWatch:
    """Measures the processes of jobs with a memory limit, while there are any."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._lock = threading.Lock()
        self._is_checking = False

    def watch(self, request: Any, pid: int, limit_bytes: int | None) -> None:
        """Watch a job that starts in the process `pid`; does nothing without a limit."""
        if limit_bytes is None:
            return
        watched = Watched(request, pid, limit_bytes)
        try:
            watched.used_bytes()
        except psutil.Error:
            return  # the process is gone, which is noted elsewhere
        except OSError as error:
            # No file can be opened now; the first check that succeeds reads the memory at the start.
            log.warning("cannot read the memory of a job yet", job=request.id, error=str(error))
        with self._lock:
            self._watched.append(watched)
            if not self._is_checking:
                threading.Thread(target=self._check_repeatedly, name="memory-limits", daemon=True).start()
                self._is_checking = True  # only now: starting a thread may fail

    def _check_repeatedly(self) -> None:
        while self._check():
            time.sleep(CHECK_EVERY_S)

    def _check(self) -> bool:
        with self._lock:
            self._watched = [watched for watched in self._watched if self._stays_watched(watched)]
            self._is_checking = bool(self._watched)
            return self._is_checking

    @staticmethod
    def _stays_watched(watched: Watched) -> bool:
        if watched.request not in state.active_requests:
            return False
        try:
            return _is_within_limit(watched)
        except psutil.Error:
            return False
        except OSError:
            return True  # no file can be opened now: the next check decides
        except Exception:  # this thread enforces the limits of all other jobs
            log.exception("cannot check a memory limit", job=watched.request.id)
            return True


def _is_within_limit(watched: Watched) -> bool:
    used_bytes = watched.used_bytes()
    if used_bytes > watched.limit_bytes:
        watched.request.end_over_memory(used_bytes, watched.limit_bytes)
        return False
    return True
