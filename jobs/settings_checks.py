"""System checks of the settings that only these jobs have."""

import re
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error


def check_http(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each entry that HTTP jobs could not use, or that would open more than one host."""
    demo = str(settings.JOB_HTTP_DEMO_URL)
    is_server = re.match(r"https?://[^/\s@]+\Z", demo) is not None
    messages: list[CheckMessage] = [
        Error(
            f"JOB_HTTP_ALLOWED_HOSTS holds {entry!r}, which is no host or host:port.",
            hint="Write names without scheme, path or wildcard, such as intranet.example:8080, joined by commas.",
            id="poolwise.E007",
        )
        for entry in settings.JOB_HTTP_ALLOWED_HOSTS
        if not (isinstance(entry, str) and _is_host(entry.strip()))
        # As it is where nobody set it: one mistake, said once.
        and (is_server or entry != demo.split("://", 1)[-1])
    ]
    if not is_server:
        messages.append(
            Error(
                f"JOB_HTTP_DEMO_URL is {demo!r}, which is no address of a server.",
                hint="Write http://host:port, without a path, a user or a password.",
                id="poolwise.E008",
            )
        )
    return messages


def _is_host(entry: str) -> bool:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", entry)
    return found is not None and (found[2] is None or 1 <= int(found[2]) <= 65_535)
