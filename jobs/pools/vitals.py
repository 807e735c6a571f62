"""What the operating system tells of a worker and its children: CPU time, database connections, monkey patching."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil

_PORTS = {"postgresql": 5432, "mysql": 3306, "oracle": 1521}


type Family = Sequence[psutil.Process]


def family(pid: int) -> Family:
    """Return a process and its children; nothing if it has ended. It looks at every process of the machine."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def memory_bytes(processes: Family) -> int:
    """Return the memory of processes: proportional shares on Linux, else resident sizes."""
    return int(_sum(processes, _memory_bytes))


def _memory_bytes(process: psutil.Process) -> int:
    info = process.memory_full_info()
    return int(getattr(info, "pss", 0) or info.rss)


def cpu_s(processes: Family) -> float:
    """Return the CPU seconds of processes and of the children that they have waited for."""
    return _sum(processes, lambda process: sum(process.cpu_times()[:4]))


def db_connections(processes: Family, database: Mapping[str, Any]) -> int | None:
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


def _sum(processes: Family, count: Callable[[psutil.Process], float]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):  # a child that ended meanwhile counts for nothing
            total += count(process)
    return total
