"""The site as compose.yaml configures it: Django's own checks for deployment, and what else must be true."""

import os
import runpy
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tests import ROOT
from tests.project.test_compose import SERVICES

pytestmark = pytest.mark.slow

GIVEN = {
    "SECRET_KEY": "0123456789abcdef" * 4, "POSTGRES_PASSWORD": "canarypostgres", "REDIS_PASSWORD": "canaryredis",
    "ALLOWED_HOSTS": "jobs.example.org", "CSRF_TRUSTED_ORIGINS": "https://jobs.example.org", "HTTPS": "true",
}  # fmt: skip


def _environment(**changes: str) -> dict[str, str]:
    """Return the environment of the service `web`, with the variables filled in as Docker Compose does."""
    given = GIVEN | changes
    environment = {}
    for name, value in SERVICES["web"]["environment"].items():
        if value is None:  # handed on where it is set
            continue
        text = str(value)
        for variable in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
            text = text.replace(f"${{{variable}}}", given[variable])
        environment[name] = _filled(text, given)
    return {**os.environ, **environment, "STATIC_ROOT": str(settings.STATIC_ROOT)}


def _filled(text: str, given: dict[str, str]) -> str:
    while "${" in text:
        before, _, rest = text.partition("${")
        inner, _, after = rest.partition("}")
        name, _, default = inner.partition(":")
        text = before + (given.get(name) or (default[1:] if default.startswith("-") else "")) + after
    return text


def _check(**changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(
        command, cwd=ROOT, env=_environment(**changes), capture_output=True, text=True, timeout=120
    )


def test_djangos_checks_for_deployment_find_nothing() -> None:
    done = _check()
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_without_https_they_find_what_https_alone_can_give() -> None:
    done = _check(HTTPS="false")
    wanted = {"security.W004", "security.W008", "security.W012", "security.W016"}
    assert {word.strip("?():") for word in done.stderr.split() if "security.W" in word} == wanted, done.stderr


_REVOKE = "import poolwise.lifecycle.broker as p; p.revoke('x', terminate=False, signal='TERM')"


@pytest.mark.parametrize(
    "arguments", [["pool_status"], ["migrate", "--check"], ["shell", "-c", _REVOKE]], ids=str
)
def test_no_password_is_printed_where_a_service_is_away(arguments: list[str]) -> None:
    away = {name: "redis://:canaryredis@127.0.0.1:1/0" for name in ("REDIS_URL", "BROKER_URL")}
    away["DATABASE_URL"] = "postgres://poolwise:canarypostgres@127.0.0.1:1/poolwise?connect_timeout=2"
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=_environment() | away, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr + done.stdout or "Redis" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_cookies_and_headers_keep_to_the_site(client: Client, user: Any) -> None:
    client.force_login(user)
    answer = client.get("/definitions/io.wait/")
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert settings.SESSION_COOKIE_HTTPONLY
    assert {settings.SESSION_COOKIE_SAMESITE, settings.CSRF_COOKIE_SAMESITE} == {"Lax"}


@pytest.mark.parametrize("https", ["true", "false"])
def test_https_is_what_turns_on_what_needs_it(monkeypatch: pytest.MonkeyPatch, https: str) -> None:
    monkeypatch.setenv("HTTPS", https)
    loaded = runpy.run_path(str(ROOT / "project/settings.py"))
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"):
        assert loaded[name] is (https == "true")
    assert bool(loaded["SECURE_HSTS_SECONDS"]) is (https == "true")
    assert loaded["PROXY_COUNT"] == (1 if https == "true" else 0)
