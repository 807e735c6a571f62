"""What commands do while the database or Redis does not answer: those that wait for jobs wait for it, too."""

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, close_old_connections

from poolwise.support import BrokerUnavailable

#: Restarting, unreachable, locked for longer than its time-out, full.
AWAY = (OperationalError, InterfaceError, redis.RedisError, BrokerUnavailable)
_AGAIN_AFTER_S = 1.0
#: SQLite's error before the migrations; no wait helps.
_NO_TABLE = "no such table"


class PatientCommand(BaseCommand):
    """A command that ends with one line, not with a traceback, where the database or Redis does not answer."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Raise CommandError."""
        try:
            return super().execute(*args, **options)
        except AWAY as error:
            raise CommandError(said_of(error)) from error


def patiently[T](step: Callable[[], T], *, until_mono: float = math.inf) -> T:
    """Return what the step returns, and call it again while the database or Redis does not answer, until that time.

    Standard error gets one line when the wait begins and one when it ends. The step must be safe to repeat.
    """
    is_waiting = False
    while True:
        try:
            value = step()
        except AWAY as error:
            if time.monotonic() > until_mono or _NO_TABLE in str(error):
                raise
            if not is_waiting:
                _say(f"Waiting. {said_of(error)}")
            is_waiting = True
            close_old_connections()
            time.sleep(_AGAIN_AFTER_S)
        else:
            if is_waiting:
                _say("It answers again.")
            return value


def said_of(error: Exception) -> str:
    """Return in one line who does not answer, and why."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, BrokerUnavailable):
        return reason
    if _NO_TABLE in reason:
        return f"Tables are missing ({reason}): run manage.py migrate."
    who = "Redis" if isinstance(error, redis.RedisError) else "The database"
    return f"{who} does not answer: {reason}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
