"""Structured logs that follow one request by process, thread and task, and keep a job's own lines."""

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
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from poolwise.support.redaction import redacted, redacted_json

STYLES = ("console", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_LINE_CHARS = 2_000


@dataclass(slots=True)
class LogBuffer:
    """The log lines of one attempt, bounded."""

    max_lines: int
    lines: list[tuple[float, str, str]] = field(default_factory=list)
    dropped: int = 0
    secrets: tuple[str, ...] = ()
    _started_mono: float = field(default_factory=time.monotonic)

    def add(self, level: str, text: str) -> None:
        """Keep a line, or count it as dropped past the bound."""
        if len(self.lines) >= self.max_lines:
            self.dropped += 1
            return
        text = redacted(text, self.secrets)[:_MAX_LINE_CHARS]
        self.lines.append((round(time.monotonic() - self._started_mono, 6), level, text))


#: The buffer of the attempt that runs in this context: thread, greenlet or asyncio task.
attempt_log: ContextVar[LogBuffer | None] = ContextVar("attempt_log", default=None)


class AttemptLogHandler(logging.Handler):
    """Keeps what a job's body logs, for the job's page."""

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record to the running attempt's buffer, if one runs here."""
        buffer = attempt_log.get()
        if buffer is not None:
            try:
                text = _plain_text(record)
            except Exception as error:  # a value's own text may raise; that is not for the body to suffer
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
#: Several lines by their nature.
_MULTILINE = frozenset(("exception", "stack"))


def one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that no value can look like a line of its own or steer a terminal."""
    for name, value in event.items():
        if isinstance(value, str) and name not in _MULTILINE:
            event[name] = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], value)
    return event


def _without_secrets(renderer: Callable[..., Any], redact: Callable[..., str]) -> Callable[..., str]:
    """Return a renderer that dots out the secret parameters of the attempt that logs, whatever holds them."""

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
    """Return Django's LOGGING and set structlog up. Raise ValueError on an unknown style or level."""
    if style not in STYLES:
        raise ValueError(f"LOG_FORMAT must be one of {', '.join(STYLES)}, not {style!r}.")
    if level not in LEVELS:
        raise ValueError(f"LOG_LEVEL must be one of {', '.join(LEVELS)}, not {level!r}.")
    structlog.configure(
        processors=[
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any
    if style == "json":
        renderer = _without_secrets(structlog.processors.JSONRenderer(default=repr), redacted_json)
    else:
        # Plain: the one that structlog picks where rich is installed prints local variables, secrets among them.
        plain = structlog.dev.plain_traceback
        console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
        renderer = _without_secrets(console, redacted)
    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    final.append(structlog.processors.format_exc_info if style == "json" else one_line)
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [*final, renderer],
        "foreign_pre_chain": _SHARED,
    }
    warnings_only = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"poolwise": formatter},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "poolwise"},
            "attempt": {"()": "poolwise.support.logs.AttemptLogHandler"},
        },
        "root": {"handlers": ["stderr", "attempt"], "level": level},
        "loggers": {
            "django": {"level": level},
            "django.server": {"handlers": [], "propagate": True, **warnings_only},
            "httpx": warnings_only,
            "httpcore": warnings_only,
            "kombu": warnings_only,
            # Poolwise says itself when a job ended, with all its durations.
            "celery.worker.strategy": warnings_only,
            "celery.app.trace": warnings_only,
            "asyncio": warnings_only,
            "axes": warnings_only,  # a line for every login otherwise; a lock is a warning
        },
    }


class RequestIdMiddleware:
    """Gives each web request an id that its log lines, its jobs and their log lines carry."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request with its id bound to the log context and sent back in `X-Request-ID`."""
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response
