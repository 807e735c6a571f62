"""What the operating system tells of a worker and its children: CPU time, database connections, monkey patching."""

import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

_PORTS = {"postgresql": 5432, "mysql": 3306, "oracle": 1521}


#: Finding children looks at every process of the machine, and the kernel adds up proportional shares page by page:
#: both are milliseconds of a core, and hardly ever news.
_FIND_AGAIN_S = 10.0
_READ_AGAIN_S = 30.0
_SAME_WITHIN = 0.01

type ProcessTree = Sequence[psutil.Process]


def process_tree(pid: int) -> ProcessTree:
    """Return a process and its children; nothing if it has ended. It looks at every process of the machine.

    Raise OSError where no file can be opened.
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
    """What takes long to read of a process and its children."""

    memory_bytes: int
    db_connections: int | None


class ProcessStats:
    """A process and its children, for one who asks every second or two."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tree: ProcessTree = ()
        self._key: Hashable = None
        self._found_mono = -_FIND_AGAIN_S
        #: By process: its resident size, its share, and when they were read.
        self._read: dict[psutil.Process, tuple[int, int, float]] = {}

    def process_tree(self, key: Hashable = None) -> ProcessTree:
        """Return the process and its children.

        They are looked for again if `key` is another than last time, if one has ended, or after ten seconds.
        """
        now = time.monotonic()
        is_fresh = key == self._key and now - self._found_mono < _FIND_AGAIN_S
        with suppress(OSError):  # no file can be opened just now: those found last still count
            if not is_fresh or not all(process.is_running() for process in self._tree):
                self._tree, self._key, self._found_mono = process_tree(self._pid), key, now
        return self._tree

    @property
    def found(self) -> ProcessTree:
        """Return the process and its children as they were found last."""
        return self._tree

    def read(self, key: Hashable, database: Mapping[str, Any]) -> MemoryReading:
        """Return the memory of the process and its children, looked for by `key`, and their connections to `database`."""
        processes = self.process_tree(key)
        return MemoryReading(self.memory_bytes(processes), db_connections(processes, database))

    def memory_bytes(self, processes: ProcessTree) -> int:
        """Return the memory of processes; one whose resident size is the same has the same share."""
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
    """Return the CPU seconds of processes and of the children that they have waited for."""
    return _sum(processes, lambda process: sum(process.cpu_times()[:4]))


def db_connections(processes: ProcessTree, database: Mapping[str, Any]) -> int | None:
    """Return how many connections to Django's `database` the processes have open.

    None where it cannot be told: a server that is reached by a Unix socket.
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
    found = process.net_connections(kind="tcp")
    return sum(bool(c.raddr) and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in found)


def is_patched() -> bool:
    """Tell whether gevent has replaced what blocks in the standard library."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and all(monkey.is_module_patched(name) for name in ("socket", "time"))


def _sum(processes: ProcessTree, count: Callable[[psutil.Process], float]) -> float:
    total = 0.0
    for process in processes:
        # A child that ended meanwhile counts for nothing; so does what no file can be opened for just now.
        with suppress(psutil.Error, OSError):
            total += count(process)
    return total
