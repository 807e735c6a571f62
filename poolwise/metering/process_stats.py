"""Memory, CPU time and database connections of a worker and its children, from the operating system."""

import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

_PORTS = {"postgresql": 5432, "mysql": 3306, "oracle": 1521}

#: Finding children reads every process of the machine, and the kernel computes proportional shares page by page: both
#: take milliseconds of a core and rarely change.
_FIND_AGAIN_S = 10.0
_READ_AGAIN_S = 30.0
_SAME_WITHIN = 0.01

type ProcessTree = Sequence[psutil.Process]


def process_tree(pid: int) -> ProcessTree:
    """Return a process and its children; nothing if it has ended. Raise OSError if no file can be opened.

    It reads every process of the machine.
    """
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _memory_bytes(process: psutil.Process) -> int:
    """Return the memory of a process: its proportional share on Linux, else its resident size."""
    info = process.memory_full_info()
    return int(getattr(info, "pss", 0) or info.rss)


class MemoryReading(NamedTuple):
    """The figures of a process and its children that are slow to read."""

    memory_bytes: int
    db_connections: int | None


class ProcessStats:
    """A process and its children, cached for a caller that reads them every second or two."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tree: ProcessTree = ()
        self._key: Hashable = None
        self._searched_mono = -_FIND_AGAIN_S
        #: By process: its resident size, its share, and the monotonic time of reading.
        self._read: dict[psutil.Process, tuple[int, int, float]] = {}

    def process_tree(self, key: Hashable = None) -> ProcessTree:
        """Return the process and its children.

        It searches again if `key` has changed, if a process has ended, or after ten seconds.
        """
        now = time.monotonic()
        is_fresh = key == self._key and now - self._searched_mono < _FIND_AGAIN_S
        with suppress(OSError):  # no file can be opened just now: keep those found last
            if not is_fresh or not all(process.is_running() for process in self._tree):
                self._tree, self._key, self._searched_mono = process_tree(self._pid), key, now
        return self._tree

    @property
    def last_tree(self) -> ProcessTree:
        """Return the process and its children as found last."""
        return self._tree

    def read(self, key: Hashable, database: Mapping[str, Any]) -> MemoryReading:
        """Return the memory of the process and its children, and their connections to `database`; for `key` see above."""
        processes = self.process_tree(key)
        return MemoryReading(self.memory_bytes(processes), db_connections(processes, database))

    def memory_bytes(self, processes: ProcessTree) -> int:
        """Return the memory of processes; a share is read again once the resident size has changed."""
        self._read = {process: self._read[process] for process in processes if process in self._read}
        return int(_sum(processes, self._memory_bytes))

    def _memory_bytes(self, process: psutil.Process) -> int:
        resident_bytes, now = process.memory_info().rss, time.monotonic()
        then_bytes, share_bytes, read_mono = self._read.get(process, (0, 0, 0.0))
        is_same = abs(resident_bytes - then_bytes) <= _SAME_WITHIN * resident_bytes
        if not is_same or now - read_mono > _READ_AGAIN_S:
            share_bytes = _memory_bytes(process)
            self._read[process] = (resident_bytes, share_bytes, now)
        return share_bytes


def cpu_s(processes: ProcessTree) -> float:
    """Return the CPU seconds of processes and of their children that ended."""
    return _sum(processes, lambda process: sum(process.cpu_times()[:4]))


def db_connections(processes: ProcessTree, database: Mapping[str, Any]) -> int | None:
    """Return how many connections to Django's `database` the processes have open.

    None for a server behind a Unix socket, whose connections cannot be counted.
    """
    host = str(database.get("HOST") or "")
    if "sqlite" in database["ENGINE"]:
        name = str(database["NAME"])
        return int(_sum(processes, lambda process: sum(file.path == name for file in process.open_files())))
    if not host or host.startswith("/"):
        return None
    port = int(database.get("PORT") or _PORTS.get(database["ENGINE"].rpartition(".")[2], 0))
    return int(_sum(processes, lambda process: _connections_to(process, port)))


def _connections_to(process: psutil.Process, port: int) -> int:
    connections = process.net_connections(kind="tcp")
    return sum(
        bool(c.raddr) and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in connections
    )


def is_patched() -> bool:
    """Return whether gevent has patched the blocking parts of the standard library."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and all(monkey.is_module_patched(name) for name in ("socket", "time"))


def _sum(processes: ProcessTree, count: Callable[[psutil.Process], float]) -> float:
    total = 0.0
    for process in processes:
        # Skip a child that has ended, or that no file can be opened for just now.
        with suppress(psutil.Error, OSError):
            total += count(process)
    return total
