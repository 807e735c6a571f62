"""System checks of the settings that only these jobs use."""

import re
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_http(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each entry that HTTP jobs cannot use, or that would allow more than one host."""
    demo = str(settings.JOB_HTTP_DEMO_URL)
    is_server = re.match(r"https?://[^/\s@]+\Z", demo) is not None
    messages: list[CheckMessage] = [
        Error(
            f"JOB_HTTP_ALLOWED_HOSTS contains {entry!r}, which is neither host nor host:port.",
            hint="Write names without scheme, path or wildcard, such as intranet.example:8080, joined by commas.",
            id="poolwise.E007",
        )
        for entry in settings.JOB_HTTP_ALLOWED_HOSTS
        if not (isinstance(entry, str) and _is_host(entry.strip()))
        # By default it contains the demo server: one mistake gives one error.
        and (is_server or entry != demo.split("://", 1)[-1])
    ]
    if not is_server:
        messages.append(
            Error(
                f"JOB_HTTP_DEMO_URL is {demo!r}, which is not the address of a server.",
                hint="Write http://host:port, without a path, a user or a password.",
                id="poolwise.E008",
            )
        )
    return messages


def _is_host(entry: str) -> bool:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", entry)
    return match is not None and (match[2] is None or 1 <= int(match[2]) <= 65_535)
