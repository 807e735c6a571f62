"""The processes of the Procfile, run by honcho and ended so that no job is lost.

Three things differ from honcho's own way. A signal goes to the one process that the line started and not
to its whole group, since Celery's prefork children die of it in mid-job. Jobs get longer to end than five
seconds. What running jobs need, the coordinator and the demo server, ends after the workers.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.process import Popen, Process

from dev.console import Console
from poolwise.support import adopt_orphans, die_with_parent, kill_descendants, kill_family

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST = ("coordinator", "demo")
GUIDE = "guide"
GRACE_S = 40.0  # above SHUTDOWN_GRACE_S and what a cold shutdown may take
HURRY_AFTER_S = 1.0


class Program(Popen):  # type: ignore[misc]
    """The program of a line of the Procfile; what it leaves running ends with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, preexec_fn=partial(die_with_parent, signal.SIGTERM), **kwargs)
        Thread(target=self._end_family, daemon=True).start()

    def _end_family(self) -> None:
        # Without this, whatever has inherited the pipe of its output would keep the reader waiting.
        with suppress(ChildProcessError):  # the reader has waited for it
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        kill_descendants()


class Child(Process):  # type: ignore[misc]
    """One line of the Procfile; it ends when the platform is killed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = Program

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Start the program and pass its lines on until it ends."""
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        super().run(events, ignore_signals)
        kill_descendants()


class Platform(Manager):  # type: ignore[misc]
    """Every process of the Procfile, until a signal comes or one of them ends; the guide alone may end."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        if sys.platform == "linux":
            multiprocessing.set_start_method("fork", force=True)  # a parent to end with, and a fast start
        super().__init__(Console(plain=(GUIDE,)))
        self._process_ctor = Child
        self._environment = dict(environment)
        self._signals = self._signals_seen = 0
        self._asked: set[str] = set()
        self._killed: set[str] = set()
        self._stopping_since: float | None = None
        self.ended_alone: str | None = None
        self.needed: dict[str, Callable[[], bool]] = {}

    def need(self, name: str, is_alive: Callable[[], bool]) -> None:
        """End the platform when something outside the Procfile that it lives on has gone."""
        self.needed[name] = is_alive

    def add_procfile(self, path: Path) -> None:
        """Add every line of a Procfile."""
        for name, command in parse_procfile(path.read_text()).processes.items():
            self.add_process(name, command, env=self._environment, cwd=str(path.parent))

    def add_guide(self, command: str) -> None:
        """Add the process that leads the user in: its lines are printed as they are, and it may end."""
        self.add_process(GUIDE, command, env=self._environment)

    def run(self) -> int:
        """Run until all have ended; return 0 after a signal, 1 when a process ended by itself."""
        try:
            self.loop()
        finally:
            self._kill_families()
        return 1 if self.ended_alone else 0

    def reason(self) -> str | None:
        """Return in one line why the platform ended, or "" if it was asked to."""
        if self.ended_alone == GUIDE:
            return str(self._printer.last_plain)
        if self.ended_alone:
            return f"poolwise: {self.ended_alone} ended by itself; see its last lines above."
        return None

    def terminate(self) -> None:
        """Begin to end all; honcho calls this when the first process has ended, too."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self.ended_alone = next((name for name in self._processes if self._failed(name)), None)
            self._system_print(f"stopping; running jobs have {GRACE_S:.0f} s to end, Ctrl-C ends them now\n")

    def kill(self) -> None:
        """Kill what still runs when the time for jobs is over (honcho calls this all the while)."""
        if self._stopping_since and time.monotonic() - self._stopping_since > GRACE_S:
            self._kill_families()

    def _kill_families(self) -> None:
        for name in self._processes.keys() - self._killed:
            if self._runs(name) and "pid" in self._processes[name]:
                self._killed.add(name)
                self._system_print(f"killing {name}\n")
                kill_family(self._processes[name]["pid"])

    def _start(self) -> None:
        # honcho's handlers print, and a signal that comes in the middle of a print would raise there.
        for signum in STOP_SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:  # as nohup sets it
                signal.signal(signum, self._note_signal)
        super()._start()

    def _note_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _all_stopped(self) -> bool:
        """Answer honcho's loop, and let it do our share of each turn."""
        # A closed terminal: make gets the signal, and does not pass it on.
        abandoned = self._stopping_since is None and not self._printer.output.has_reader()
        if self._signals > self._signals_seen or abandoned:
            self._signals_seen = self._signals
            if self._stopping_since is None:
                self.terminate()
            elif time.monotonic() - self._stopping_since > HURRY_AFTER_S:
                self._kill_families()  # Ctrl-C again: do not wait for jobs
        if self._stopping_since is None:
            self._stop_without_what_is_needed()
        else:
            self._ask_those_due()
        return bool(super()._all_stopped())

    def _stop_without_what_is_needed(self) -> None:
        gone = next((name for name, is_alive in self.needed.items() if not is_alive()), None)
        if gone is not None:
            self.terminate()
            self.ended_alone = gone

    def _ask_those_due(self) -> None:
        running = {name for name in self._processes if self._runs(name)}
        due = running - set(LAST) or running
        for name in due - self._asked:
            self._asked.add(name)
            with suppress(ProcessLookupError):
                os.kill(self._processes[name]["pid"], signal.SIGTERM)

    def _any_stopped(self) -> bool:
        return any(self._failed(name) for name in self._processes)

    def _failed(self, name: str) -> bool:
        return not self._runs(name) and (name != GUIDE or self._processes[name]["returncode"] != 0)

    def _runs(self, name: str) -> bool:
        return "returncode" not in self._processes[name]
