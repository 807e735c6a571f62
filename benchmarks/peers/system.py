"""What the harness knows of a system: how to start it, how to count what it has stored, and what it promises."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import marks, processes
from benchmarks.peers.servers import Servers
from benchmarks.peers.workloads import Workload

#: The environments of the peers, which `make bench` makes.
VENVS = Path(__file__).resolve().parents[2] / ".bench"
#: Where results of systems that keep them in Redis are, apart from the queues.
RESULTS = 1

type Counter = Callable[[], int]


@dataclass(frozen=True, slots=True)
class System:
    """A queue with its workers in one configuration."""

    name: str
    #: The module of `apps` with its tasks, and by which jobs are submitted.
    app: str
    #: The worker's command from its slots; the first word is a script of its environment.
    command: Callable[[int], Sequence[str]]
    #: What is counted as stored outcomes: (database, query), a count in Redis, or None if bodies that ran must do.
    stored: tuple[str, str] | Callable[[Servers], int] | None
    #: Slots for each workload; `""` is for those that are not named.
    slots: Mapping[str, int]
    #: How it is configured, and what it promises more or less than Poolwise.
    settings: str
    note: str
    #: The environment with its packages: Poolwise's own (""), or one of `.bench`.
    venv: str = "peers"
    packages: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Commands that prepare its database, once in a run.
    prepare: Sequence[Sequence[str]] = ()
    #: Other processes by role, started before the worker.
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: How many of the worker's processes to start, from its slots.
    processes: Callable[[int], int] = lambda _: 1
    #: Jobs that were submitted and are not in the queue yet: a query, in the database of `stored`.
    unpublished: str = ""
    #: The seconds from the end of each of the newest jobs until its outcome was stored: a query, for `{jobs}` jobs.
    lags: str = ""
    #: The only kind of database with which it runs; empty: any.
    only: str = ""

    @property
    def bin(self) -> Path:
        """Return the folder of its programs."""
        return VENVS / self.venv / "bin" if self.venv else Path(sys.executable).parent

    @property
    def is_installed(self) -> bool:
        """Return whether its environment is there."""
        return (self.bin / "python").exists()

    @property
    def database(self) -> str:
        """Return the name of its database; empty if it uses none."""
        return self.stored[0] if isinstance(self.stored, tuple) else ""

    def program(self, words: Sequence[str]) -> list[str]:
        """Return a command with the path of its program."""
        return [str(self.bin / words[0]), *words[1:]]

    def slots_for(self, workload: Workload) -> int:
        """Return how many jobs run at a time."""
        return self.slots.get(workload.name, self.slots[""])

    def environment_for(self, servers: Servers, workload: Workload) -> dict[str, str]:
        """Return the environment of all its processes."""
        values = {
            "BENCH_MARKS": str(servers.marks),
            "BENCH_REDIS": servers.redis_url(),
            "BENCH_RESULTS": servers.redis_url(RESULTS),
            "BENCH_SLOTS": str(self.slots_for(workload)),
            "BENCH_WORKLOAD": workload.name,
            "REDIS_URL": servers.redis_url(),
            **self.environment,
        }
        if self.database:
            values["DATABASE_URL"] = servers.database_url(self.database)
        return processes.environment(**values)

    @contextmanager
    def counter(self, servers: Servers) -> Iterator[Counter]:
        """Yield a function that returns how many outcomes are stored."""
        stored = self.stored
        if isinstance(stored, tuple):
            with servers.counting(*stored) as count:
                yield count
        elif stored is None:
            yield lambda: marks.count(servers.marks)
        else:
            yield lambda: stored(servers)

    @contextmanager
    def running(self, servers: Servers, workload: Workload, role: str = "") -> Iterator[dict[str, int]]:
        """Run its processes, or the one of a role; yield their numbers by role, the worker's as `workers`."""
        environment = self.environment_for(servers, workload)
        slots = self.slots_for(workload)
        worker = processes.several(self.program(self.command(slots)), self.processes(slots))
        commands = {role: self.program(words) for role, words in self.beside.items()} | {"workers": worker}
        with ExitStack() as cleanup:
            pids = {}
            for name, words in commands.items():
                if role in ("", name):
                    log = servers.directory / f"{self.name}-{name}.log"
                    pids[name] = cleanup.enter_context(processes.running(words, environment, log))
            yield pids
