"""Structured logs with the process, thread and request of each line; the lines of a job are kept with it."""

import logging
import os
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from poolwise.support.redaction import redacted, redacted_json

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

STYLES = ("console", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_LINE_CHARS = 2_000


@dataclass(slots=True)
class LogBuffer:
    """The log lines of one attempt, at most `max_lines`."""

    max_lines: int
    lines: list[tuple[float, str, str]] = field(default_factory=list)
    dropped: int = 0
    secrets: tuple[str, ...] = ()
    _started_mono: float = field(default_factory=time.monotonic)

    def add(self, level: str, text: str) -> None:
        """Keep the line, or count it as dropped if there are `max_lines` already."""
        if len(self.lines) >= self.max_lines:
            self.dropped += 1
            return
        text = redacted(text, self.secrets)[:_MAX_LINE_CHARS]
        self.lines.append((round(time.monotonic() - self._started_mono, 6), level, text))


#: The buffer of the attempt in this context: thread, greenlet or asyncio task.
attempt_log: ContextVar[LogBuffer | None] = ContextVar("attempt_log", default=None)


class AttemptLogHandler(logging.Handler):
    """Keeps what a job's body logs, for the job's page."""

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record to the running attempt's buffer, if one runs here."""
        buffer = attempt_log.get()
        if buffer is not None:
            try:
                text = _plain_text(record)
            except Exception as error:  # `__repr__` of a value may raise; that must not fail the job
                text = f"<a line that cannot be shown: {type(error).__name__}>"
            buffer.add(record.levelname.lower(), text)


def _plain_text(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):  # a structlog event on its way to the formatter
        event = {k: v for k, v in record.msg.items() if not k.startswith("_") and k not in _CONTEXT_KEYS}
        text = str(event.pop("event", ""))
        return " ".join([text, *(f"{key}={value!r}" for key, value in event.items())])
    return record.getMessage()


_CONTEXT_KEYS = frozenset(
    ("level", "timestamp", "logger", "pid", "thread", "greenlet_or_task", "job", "attempt", "definition", "pool", "worker",
     "request_id")
)  # fmt: skip


def add_place(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the process and the thread to a log event."""
    event.setdefault("pid", os.getpid())
    event.setdefault("thread", thread_name())
    return event


def thread_name() -> str:
    """Return the name of the operating system's thread; under gevent, greenlets have no thread of their own."""
    if "gevent.monkey" not in sys.modules or not sys.modules["gevent.monkey"].is_module_patched("threading"):
        return threading.current_thread().name
    ident = threading.get_native_id()
    return "MainThread" if ident == os.getpid() else f"thread-{ident}"


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Fields that have several lines.
_MULTILINE = frozenset(("exception", "stack"))


def one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that no value can forge a line or control a terminal."""
    for name, value in event.items():
        if isinstance(value, str) and name not in _MULTILINE:
            event[name] = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], value)
    return event


def _without_secrets(renderer: Callable[..., Any], redact: Callable[..., str]) -> Callable[..., str]:
    """Return a renderer that replaces the secret parameters of the logging attempt by dots, in every field."""

    def render(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        buffer = attempt_log.get()
        text = renderer(logger, name, event)
        return redact(text, buffer.secrets) if buffer is not None and buffer.secrets else text

    return render


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    add_place,
]


def logging_config(*, style: str, level: str) -> dict[str, Any]:
    """Configure structlog and return Django's LOGGING. Raise ValueError on an unknown style or level."""
    if style not in STYLES:
        raise ValueError(f"LOG_FORMAT must be one of {', '.join(STYLES)}, not {style!r}.")
    if level not in LEVELS:
        raise ValueError(f"LOG_LEVEL must be one of {', '.join(LEVELS)}, not {level!r}.")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: what is not logged costs next to nothing
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"poolwise": _formatter(style)},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "poolwise"},
            "attempt": {"()": "poolwise.support.logs.AttemptLogHandler"},
        },
        "root": {"handlers": ["stderr", "attempt"], "level": level},
        "loggers": {
            "django": {"level": level},
            "django.server": {"handlers": [], "propagate": True, "level": "WARNING"},
            **{name: {"level": "WARNING"} for name in _WARNINGS_ONLY},
        },
    }


#: Poolwise logs the end of each job itself, with all its durations; axes would log each login (a lock-out is a warning).
_WARNINGS_ONLY = (
    "httpx", "httpcore", "kombu", "celery.worker.strategy", "celery.app.trace", "asyncio", "axes",
)  # fmt: skip


def _formatter(style: str) -> dict[str, Any]:
    final: Any
    if style == "json":
        final = structlog.processors.format_exc_info
        renderer = _without_secrets(structlog.processors.JSONRenderer(default=repr), redacted_json)
    else:
        final = one_line
        # Plain: with rich installed, structlog's default prints local variables, secrets among them.
        plain = structlog.dev.plain_traceback
        console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
        renderer = _without_secrets(console, redacted)
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, final, renderer],
        "foreign_pre_chain": _SHARED,
    }


class RequestIdMiddleware:
    """Give each web request an id; its log lines, its jobs and their log lines contain it."""

    def __init__(self, get_response: "Callable[[HttpRequest], HttpResponse]") -> None:
        self.get_response = get_response

    def __call__(self, request: "HttpRequest") -> "HttpResponse":
        """Answer the request with its id bound to the log context and sent back in `X-Request-ID`."""
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response
