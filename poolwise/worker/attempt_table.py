"""The running attempts of a worker, in memory that its watchdog can read while the worker is blocked.

While a job computes in a hub or loop, or keeps the interpreter's lock inside a C call, no thread of its process runs.
So the job and its deadline must stand where the watchdog finds them.
Only the standard library is imported here: the watchdog must stay small.
"""

import itertools
import mmap
import os
import struct
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

#: The longest text is that of a pool whose name has 100 characters that JSON escapes, on a host with a long name.
ROW_BYTES = 2_048
MAX_ROWS = 10_000
#: Row 0: the number of rows ever used and the time at which the next heartbeat is overdue, written by the worker; the
#: time of the last check, written by the watchdog; whether the worker ends for the sake of a job, written by either. All
#: times are CLOCK_MONOTONIC, which all processes share.
_USED = struct.Struct("=I")
_TIME = struct.Struct("=d")
_CHECKED_AT, _HEARTBEAT_DUE_AT, _ENDS_FOR_JOB_AT = 8, 16, 24
#: The length of the text, 0 while the row is free; the deadline (infinite if there is none); the thread that runs the
#: attempt (0 if none does yet), and the number of its turn there: of the attempts of one thread, the last one runs.
_ROW = struct.Struct("=I4xdQQ")
_LENGTH = struct.Struct("=I")
_DEADLINE_AT, _THREAD_AT = 8, 16
_THREAD = struct.Struct("=QQ")
_TABLE_BYTES = (MAX_ROWS + 1) * ROW_BYTES
#: What a worker writes of its own end follows the table; of more threads than fit, the first ones are read.
_MAX_FAULT_BYTES = 1024 * 1024
#: The watchdog checks every `CHECK_EVERY_S`; after `_GONE_AFTER_S` without a check it counts as gone.
CHECK_EVERY_S = 0.25
_GONE_AFTER_S = 3.0
NO_LIMIT = float("inf")
#: The environment variable with the descriptor of the table that a supervisor has made for its worker.
TABLE_VARIABLE = "POOLWISE_ATTEMPT_TABLE"
#: The environment variable with the settings that a watchdog needs, as JSON. Reading all settings would load Celery.
SETTINGS_VARIABLE = "POOLWISE_WATCHDOG_SETTINGS"


@dataclass(frozen=True, slots=True)
class WatchedAttempt:
    """A running attempt: its encoded `started` entry, and its body's deadline by the monotonic clock."""

    text: str
    deadline_mono: float
    thread: int = 0
    turn: int = 0


class AttemptRow:
    """An attempt in the table, until it is removed; without a row it runs unwatched."""

    def __init__(self, table: "AttemptTable", *rows: int) -> None:
        self._table, self._rows = table, list(rows)

    def limit(self, deadline_mono: float) -> None:
        """Change the deadline, unless the attempt was removed."""
        with suppress(IndexError):
            row = self._rows.pop()  # so that no other thread frees it meanwhile
            self._table.limit(row, deadline_mono)
            self._rows.append(row)

    def run_on(self, thread: int) -> None:
        """Note that this thread runs the attempt from now on, unless it was removed."""
        with suppress(IndexError):
            self._table.run_on(thread, self._rows[-1])

    def remove(self) -> None:
        """Free the row, unless it is free already."""
        with suppress(IndexError):
            self._table.clear(self._rows.pop())


class AttemptTable:
    """Rows of running attempts; one process writes, another reads."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _TABLE_BYTES)
        self._turns = itertools.count(1)
        self._free: deque[int] = deque()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @classmethod
    def create(cls) -> tuple[Self, int]:
        """Return a new table and the descriptor of its file, which a child process may inherit."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_TABLE_BYTES)  # sparse: a row takes memory once it is used
            file.seek(_TABLE_BYTES)
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        return cls(descriptor), descriptor

    @classmethod
    def inherit(cls) -> Self:
        """Return the table that this worker's supervisor has made, else a new one."""
        if (descriptor := os.environ.pop(TABLE_VARIABLE, None)) is not None:
            return cls(int(descriptor))
        return cls.create()[0]

    # Called by the worker.

    def detach(self) -> None:
        """Write from now on into memory of this process alone: it was forked by a job of the worker."""
        self._memory = mmap.mmap(-1, _TABLE_BYTES)

    def note(self, text: str, deadline_mono: float = NO_LIMIT) -> AttemptRow:
        """Add an attempt; return its row."""
        row = self._take()
        if row is None:
            return AttemptRow(self)
        self._write(row, text, deadline_mono)
        return AttemptRow(self, row)

    def limit(self, row: int, deadline_mono: float) -> None:
        """Change the deadline of a row."""
        _TIME.pack_into(self._memory, row * ROW_BYTES + _DEADLINE_AT, deadline_mono)

    def run_on(self, thread: int, row: int) -> None:
        """Note that this thread runs the row's attempt from now on."""
        _THREAD.pack_into(self._memory, row * ROW_BYTES + _THREAD_AT, thread, next(self._turns))

    def clear(self, row: int) -> None:
        """Free a row."""
        _LENGTH.pack_into(self._memory, row * ROW_BYTES, 0)
        self._free.append(row)

    @property
    def is_watched(self) -> bool:
        """Return whether a watchdog checks this table."""
        return time.monotonic() - self.checked_at_mono < _GONE_AFTER_S

    @property
    def checked_at_mono(self) -> float:
        """Return the time of the watchdog's last check; 0 if there was none."""
        return float(_TIME.unpack_from(self._memory, _CHECKED_AT)[0])

    def note_heartbeat(self, *, next_within_s: float) -> None:
        """Note a heartbeat, and by when the next one is due."""
        _TIME.pack_into(self._memory, _HEARTBEAT_DUE_AT, time.monotonic() + next_within_s)

    def note_no_heartbeats(self) -> None:
        """Note that the worker has withdrawn its heartbeat and sends no more."""
        _TIME.pack_into(self._memory, _HEARTBEAT_DUE_AT, 0.0)

    def note_end_for_job(self) -> None:
        """Note that the worker ends for the sake of a job: then its supervisor starts it again without a pause."""
        self._memory[_ENDS_FOR_JOB_AT] = 1

    def _take(self) -> int | None:
        try:
            return self._free.pop()
        except IndexError:
            pass
        with self._lock:  # else of two threads the one with the lower row could hide the row of the other
            row = next(self._numbers)
            if row > MAX_ROWS:
                return None
            _USED.pack_into(self._memory, 0, row)
            return row

    def _write(self, row: int, text: str, deadline_mono: float) -> None:
        raw, at = text.encode()[: ROW_BYTES - _ROW.size], row * ROW_BYTES
        self._memory[at + _ROW.size : at + _ROW.size + len(raw)] = raw
        _ROW.pack_into(self._memory, at, 0, deadline_mono, 0, 0)
        _LENGTH.pack_into(self._memory, at, len(raw))  # last: from here on the row is in use

    # Called by the watchdog, or by the supervisor.

    def fault(self) -> str:
        """Return what the worker wrote of its own end; empty if it was killed from outside."""
        return os.pread(self.descriptor, _MAX_FAULT_BYTES, _TABLE_BYTES).decode(errors="replace")

    @property
    def ends_for_job(self) -> bool:
        """Return whether the worker ends, or has ended, for the sake of a job."""
        return bool(self._memory[_ENDS_FOR_JOB_AT])

    def close(self) -> None:
        """Free the memory and the descriptor."""
        self._memory.close()
        os.close(self.descriptor)

    def note_check(self) -> None:
        """Note the time of this check."""
        _TIME.pack_into(self._memory, _CHECKED_AT, time.monotonic())

    @property
    def is_heartbeat_overdue(self) -> bool:
        """Return whether the worker's next heartbeat is overdue."""
        return 0 < self._heartbeat_due_at_mono() < time.monotonic()

    @property
    def sends_heartbeats(self) -> bool:
        """Return whether the worker has begun to send heartbeats and has not withdrawn the last one."""
        return self._heartbeat_due_at_mono() > 0

    def _heartbeat_due_at_mono(self) -> float:
        return float(_TIME.unpack_from(self._memory, _HEARTBEAT_DUE_AT)[0])

    def attempts(self) -> list[WatchedAttempt]:
        """Return the running attempts."""
        return [attempt for row in self._rows() if (attempt := self._read(row)) is not None]

    def next_deadline_mono(self) -> float:
        """Return the earliest deadline; cheaper than reading all attempts."""
        rows = (_ROW.unpack_from(self._memory, row * ROW_BYTES) for row in self._rows())
        return min((deadline_mono for length, deadline_mono, *_ in rows if length), default=NO_LIMIT)

    def _rows(self) -> range:
        (used,) = _USED.unpack_from(self._memory)
        return range(1, used + 1)

    def _read(self, row: int) -> WatchedAttempt | None:
        at = row * ROW_BYTES
        length, deadline_mono, *runs = _ROW.unpack_from(self._memory, at)
        if not length:
            return None
        raw = self._memory[at + _ROW.size : at + _ROW.size + length]
        return WatchedAttempt(raw.decode(errors="replace"), deadline_mono, *runs)
