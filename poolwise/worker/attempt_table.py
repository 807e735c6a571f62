"""The attempts that run in this process, in memory that another process can read while this one answers nothing.

A job that computes in a hub or loop, or holds the interpreter's lock inside one call of C, lets no thread of its
process act. What it is and when its time is over must therefore stand where the watchdog finds it.
Nothing but the standard library is imported here: the watchdog is to be small.
"""

import itertools
import mmap
import os
import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

ROW_BYTES = 1_024
MAX_ROWS = 10_000
#: Row 0 holds how many rows were ever used and when the next sign of life is overdue, which the worker writes, and
#: when the watchdog last looked, which that writes. All times are CLOCK_MONOTONIC, which all processes share.
_USED = struct.Struct("=I")
_TIME = struct.Struct("=d")
_CHECKED_AT, _HEARTBEAT_DUE_AT = 8, 16
#: The length of the text, 0 while the row is free, and the deadline (infinite if there is none).
_ROW = struct.Struct("=Id")
_LENGTH = struct.Struct("=I")
#: The watchdog looks every `CHECK_EVERY_S`; silent for so long, it is taken for gone.
CHECK_EVERY_S = 0.25
_GONE_AFTER_S = 3.0
NO_LIMIT = float("inf")
#: Where a watchdog finds, as JSON, the settings that it needs. Without them it reads all, and loads Celery for that.
SETTINGS_VARIABLE = "POOLWISE_WATCHDOG_SETTINGS"


@dataclass(frozen=True, slots=True)
class WatchedAttempt:
    """A running attempt: its encoded `started` entry, and the monotonic time at which its time limit is over."""

    text: str
    deadline_mono: float


class RowRemover:
    """Strikes an attempt off the table, the first time that it is called."""

    def __init__(self, table: "AttemptTable", row: int) -> None:
        self._table, self._rows = table, [row]

    def __call__(self) -> None:
        """Free the row, unless that was done."""
        with suppress(IndexError):
            self._table.clear(self._rows.pop())


class AttemptTable:
    """Rows of running attempts; one process writes, another reads."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, (MAX_ROWS + 1) * ROW_BYTES)
        self._free: deque[int] = deque()
        self._numbers = itertools.count(1)

    @classmethod
    def create(cls) -> tuple[Self, int]:
        """Return a new table and the descriptor of its file, which a child process may inherit."""
        with tempfile.TemporaryFile() as file:
            file.truncate((MAX_ROWS + 1) * ROW_BYTES)  # sparse: a row takes memory once it is used
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        return cls(descriptor), descriptor

    # The process that runs the jobs.

    def note(self, text: str, deadline_mono: float) -> Callable[[], None]:
        """Note an attempt; return what strikes it off, once. Without a free row it runs unwatched."""
        row = self._take()
        if row is None:
            return _nothing
        self._write(row, text, deadline_mono)
        return RowRemover(self, row)

    def clear(self, row: int) -> None:
        """Let the row be used again."""
        _LENGTH.pack_into(self._memory, row * ROW_BYTES, 0)
        self._free.append(row)

    @property
    def is_watched(self) -> bool:
        """Tell whether a watchdog looks at this table."""
        return time.monotonic() - self.checked_at_mono < _GONE_AFTER_S

    @property
    def checked_at_mono(self) -> float:
        """Return when the watchdog last looked; 0 if it never did."""
        return float(_TIME.unpack_from(self._memory, _CHECKED_AT)[0])

    def note_heartbeat(self, *, next_within_s: float) -> None:
        """Note a sign of life, and by when the next one is to come."""
        _TIME.pack_into(self._memory, _HEARTBEAT_DUE_AT, time.monotonic() + next_within_s)

    def _take(self) -> int | None:
        try:
            return self._free.pop()
        except IndexError:
            pass
        row = next(self._numbers)  # one step of C: no two threads get the same
        if row > MAX_ROWS:
            return None
        _USED.pack_into(self._memory, 0, max(row, *_USED.unpack_from(self._memory)))
        return row

    def _write(self, row: int, text: str, deadline_mono: float) -> None:
        raw, at = text.encode()[: ROW_BYTES - _ROW.size], row * ROW_BYTES
        self._memory[at + _ROW.size : at + _ROW.size + len(raw)] = raw
        _ROW.pack_into(self._memory, at, 0, deadline_mono)
        _LENGTH.pack_into(self._memory, at, len(raw))  # last: from here on the row counts

    # The watchdog.

    def note_check(self) -> None:
        """Say that the watchdog is there."""
        _TIME.pack_into(self._memory, _CHECKED_AT, time.monotonic())

    @property
    def is_heartbeat_overdue(self) -> bool:
        """Tell whether the worker owes a sign of life."""
        (heartbeat_due_at,) = _TIME.unpack_from(self._memory, _HEARTBEAT_DUE_AT)
        return bool(0 < heartbeat_due_at < time.monotonic())

    def attempts(self) -> list[WatchedAttempt]:
        """Return the attempts that run."""
        return [found for row in self._rows() if (found := self._read(row)) is not None]

    def next_deadline_mono(self) -> float:
        """Return the earliest time at which an attempt's limit is over; cheaper than reading them all."""
        rows = (_ROW.unpack_from(self._memory, row * ROW_BYTES) for row in self._rows())
        return min((deadline_mono for length, deadline_mono in rows if length), default=NO_LIMIT)

    def _rows(self) -> range:
        (used,) = _USED.unpack_from(self._memory)
        return range(1, used + 1)

    def _read(self, row: int) -> WatchedAttempt | None:
        at = row * ROW_BYTES
        length, deadline_mono = _ROW.unpack_from(self._memory, at)
        if not length:
            return None
        raw = self._memory[at + _ROW.size : at + _ROW.size + length]
        return WatchedAttempt(raw.decode(errors="replace"), deadline_mono)


def _nothing() -> None:
    pass
