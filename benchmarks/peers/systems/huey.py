"""Huey: threads of one process, or greenlets for waits, and two processes to compute."""

from benchmarks.peers.servers import Servers
from benchmarks.peers.system import System

_GREENLETS_FROM = 100


def _command(slots: int) -> list[str]:
    kind = {2: "process"}.get(slots, "greenlet" if slots >= _GREENLETS_FROM else "thread")
    return ["huey_consumer", "benchmarks.peers.apps.huey_app.huey", "-w", str(slots), "-k", kind, "-q"]


def _in_redis(servers: Servers) -> int:
    return int(servers.client().hlen("huey.results.peers"))


SYSTEMS = (
    System(
        name="huey",
        app="huey_app",
        command=_command,
        stored=_in_redis,
        slots={"": 8, "wait": 500, "compute": 2},
        packages=("huey", "redis"),
        settings="8 threads (waits: 500 greenlets, computing: 2 processes), results in Redis",
        note="result in Redis until it is read; at most once: a job whose worker dies is lost; no timings",
    ),
)
