"""The memory limit of a job that has a process of its own: the main process looks, and ends what takes too much.

Counted is what the process takes beyond what it had when the job began. Where jobs share a process nobody can say
whose memory it is, and no limit is kept.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import psutil
import structlog
from celery.worker import state

log = structlog.get_logger(__name__)
#: How often the processes are looked at: at a gibibyte a second a job is at most 100 MiB over its limit.
CHECK_EVERY_S = 0.1


@dataclass(slots=True)
class Watched:
    """A running job, its process, and what that had at its start."""

    request: Any
    pid: int
    limit_bytes: int
    process: psutil.Process | None = None
    before_bytes: int = 0

    def used_bytes(self) -> int:
        """Return what the process takes beyond what it had when it was first asked. Raise psutil.Error or OSError."""
        if self.process is None:
            process = psutil.Process(self.pid)
            self.before_bytes, self.process = process.memory_info().rss, process
        return int(self.process.memory_info().rss - self.before_bytes)


class MemoryWatch:
    """Looks at the processes of jobs that have a memory limit, while there are any."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []
        self._lock = threading.Lock()
        self._is_checking = False

    def watch(self, request: Any, pid: int, limit_bytes: int | None) -> None:
        """Watch a job that begins in the process `pid`; nothing without a limit."""
        if limit_bytes is None:
            return
        watched = Watched(request, pid, limit_bytes)
        try:
            watched.used_bytes()
        except psutil.Error:
            return  # its loss is noted elsewhere
        except OSError as error:
            # No file can be opened just now; the first look that can finds what it begins with.
            log.warning("the memory of a job cannot be read yet", job=request.id, error=str(error))
        with self._lock:
            self._watched.append(watched)
            if not self._is_checking:
                threading.Thread(target=self._check_repeatedly, name="memory-limits", daemon=True).start()
                self._is_checking = True  # only now: the machine may have no thread to give

    def _check_repeatedly(self) -> None:
        while self._check():
            time.sleep(CHECK_EVERY_S)

    def _check(self) -> bool:
        with self._lock:
            self._watched = [watched for watched in self._watched if self._goes_on(watched)]
            self._is_checking = bool(self._watched)
            return self._is_checking

    @staticmethod
    def _goes_on(watched: Watched) -> bool:
        if watched.request not in state.active_requests:
            return False
        try:
            return _keeps_within(watched)
        except psutil.Error:
            return False
        except OSError:
            return True  # no file can be opened just now: the next look tells
        except Exception:  # the limits of all other jobs hang on this thread
            log.exception("a memory limit could not be kept", job=watched.request.id)
            return True


def _keeps_within(watched: Watched) -> bool:
    used_bytes = watched.used_bytes()
    if used_bytes > watched.limit_bytes:
        watched.request.end_over_memory(used_bytes, watched.limit_bytes)
        return False
    return True
