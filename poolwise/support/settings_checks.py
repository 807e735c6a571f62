"""System checks of numbers and addresses in the settings; `manage.py pool` runs them before each worker starts."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error

from poolwise.support.redis_urls import (
    REDIS_SCHEMES,
    VERIFICATIONS,
    bad_verification,
    has_readable_port,
    has_split_password,
    scheme_of,
)

#: The smallest and the largest valid value of each numeric setting.
_LIMITS: dict[str, tuple[float, float]] = {
    "JOB_DATABASE_CONNECTIONS": (1, 10_000),
    "JOB_MAX_COPIES": (1, 1_000_000),
    "JOB_MAX_QUEUED": (1, 100_000_000),
    "JOB_RESULT_MAX_BYTES": (1, 64 * 1024 * 1024),
    "JOB_LOG_MAX_LINES": (0, 100_000),
    "JOB_PUBLISH_BUDGET_S": (0.01, 60),
    "JOB_HEARTBEAT_S": (0.1, 3600),
    "JOB_WORKER_DEAD_AFTER_S": (0.5, 86_400),
    "JOB_SAMPLE_EVERY_S": (0.1, 86_400),
    "JOB_SAMPLE_KEEP_DAYS": (1, 3650),
    "SHUTDOWN_GRACE_S": (0, 86_400),
    "DRAIN_GRACE_S": (0, 86_400),
    "JOB_TIME_LIMIT_S": (0, 31_536_000),
    "JOB_PAUSE_AFTER_HANGS": (0, 1_000_000),
    "JOB_MAX_QUEUED_PER_USER": (1, 100_000_000),
    # At most DATA_UPLOAD_MAX_MEMORY_SIZE: Django refuses a larger body.
    "API_MAX_BODY_BYTES": (1_000, 2 * 1024 * 1024),
    "JOB_KEEP_DAYS": (1e-6, 36_500),
    "JOB_KEEP_MAX": (1, 1_000_000_000),
    "AUDIT_KEEP_DAYS": (1e-6, 36_500),
    "LOGIN_FAILURE_LIMIT": (1, 1000),
    "LOGIN_COOL_OFF_MIN": (0.1, 525_600),
    "WORKER_PREFETCH_MULTIPLIER": (1, 10_000),
    "PROXY_COUNT": (0, 10),
}


def check_numbers(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each number that is out of its range."""
    return [
        Error(
            f"{name} is {value!r}; it must be a number from {least:.10g} to {most:.10g}.",
            hint="See the settings page of the docs.",
            id="poolwise.E005",
        )
        for name, (least, most) in _LIMITS.items()
        if not _is_within(value := getattr(settings, name), least, most)
    ]


def _is_within(value: Any, least: float, most: float) -> bool:
    # Comparisons with NaN are false, so that NaN is refused too.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def check_heartbeats(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error if a worker would be considered dead between two of its heartbeats."""
    every_s, dead_after_s = settings.JOB_HEARTBEAT_S, settings.JOB_WORKER_DEAD_AFTER_S
    if (
        not all(_is_within(value, 0, 86_400) for value in (every_s, dead_after_s))
        or dead_after_s >= 2 * every_s
    ):
        return []
    return [
        Error(
            f"JOB_WORKER_DEAD_AFTER_S is {dead_after_s:g}, less than two heartbeats (JOB_HEARTBEAT_S is {every_s:g}).",
            hint="Set it to at least twice JOB_HEARTBEAT_S, or jobs of live workers are recovered.",
            id="poolwise.E006",
        )
    ]


def check_addresses(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each address of Redis or the broker that no installed library can connect to."""
    messages = _unreadable_addresses()
    if (scheme := scheme_of(settings.REDIS_URL)) not in REDIS_SCHEMES:
        messages.append(
            Error(
                f"REDIS_URL begins with {scheme!r}, which is not a scheme for Redis.",
                hint="Write redis://host:port/0, rediss:// with TLS, or unix:///path/to/socket?db=0; "
                "behind Sentinel, the name or proxy that leads to the primary.",
                id="poolwise.E009",
            )
        )
        if (
            settings.BROKER_URL == settings.REDIS_URL
        ):  # by default BROKER_URL is REDIS_URL: report the mistake once
            return messages
    scheme = scheme_of(settings.BROKER_URL)
    if not _has_transport(scheme):
        messages.append(
            Error(
                f"BROKER_URL begins with {scheme!r}, for which Celery has no transport here.",
                hint="Write amqp://user:password@host:5672/vhost for RabbitMQ, or unset it to use REDIS_URL.",
                id="poolwise.E010",
            )
        )
    if _lacks_primary(scheme):
        messages.append(
            Error(
                "BROKER_URL begins with 'sentinel', and Celery is not told which primary to ask it for.",
                hint='Set CELERY_BROKER_TRANSPORT_OPTIONS = {"master_name": "…"}, or write the address of Redis.',
                id="poolwise.E013",
            )
        )
    return messages


def _has_transport(scheme: str) -> bool:
    if scheme in ("redis", "rediss", "amqp", "amqps"):
        return True
    from kombu.transport import resolve_transport  # a process that starts a worker mostly does without

    try:
        resolve_transport(scheme)
    except (KeyError, ImportError, AttributeError, ValueError):
        return False
    return True


def _unreadable_addresses() -> list[CheckMessage]:
    faults = {name: _fault_of(getattr(settings, name)) for name in ("REDIS_URL", "BROKER_URL")}
    if settings.BROKER_URL == settings.REDIS_URL:
        del faults["BROKER_URL"]
    return [
        Error(
            f"{name} has {fault}.",
            hint="Write scheme://user:password@host:port/…, with / and # in the password percent-encoded.",
            id="poolwise.E011",
        )
        for name, fault in faults.items()
        if fault
    ]


def _fault_of(address: str) -> str:
    if has_split_password(address):
        return "a /, ? or # in its password, which ends the host there"
    if not has_readable_port(address):
        return "a port that is not a number from 0 to 65535"
    if value := bad_verification(address):
        return f"ssl_cert_reqs={value}, which is none of {', '.join(VERIFICATIONS)}"
    return ""


def _lacks_primary(scheme: str) -> bool:
    if scheme != "sentinel":
        return False
    from celery import current_app

    return not current_app.conf.broker_transport_options.get("master_name")
