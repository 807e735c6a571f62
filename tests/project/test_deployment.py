"""The site as compose.yaml configures it: Django's own checks for deployment, and what else must be true."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
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


def _check(static_root: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    manifest = {"version": "1.1", "hash": "", "paths": {"poolwise/poolwise.css": "poolwise/poolwise.1.css"}}
    (static_root / "staticfiles.json").write_text(json.dumps(manifest))
    own = _environment(**changes) | {"STATIC_ROOT": str(static_root)}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120)


def test_djangos_checks_for_deployment_find_nothing(tmp_path: Path) -> None:
    done = _check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_without_https_they_find_what_https_alone_can_give(tmp_path: Path) -> None:
    done = _check(tmp_path, HTTPS="false")
    wanted = {"security.W004", "security.W008", "security.W012", "security.W016"}
    assert {word.strip("?():") for word in done.stderr.split() if "security.W" in word} == wanted, done.stderr


@pytest.mark.parametrize("entry", ["wsgi", "asgi"])
def test_a_web_server_without_collected_files_says_so_in_one_line(tmp_path: Path, entry: str) -> None:
    own = _environment(LOG_FORMAT="console") | {"STATIC_ROOT": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", f"import project.{entry}"],
        cwd=ROOT, env=own, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    [line] = (done.stdout + done.stderr).splitlines()
    assert "no page can be shown: run manage.py collectstatic" in line
    assert str(tmp_path) in line


def test_the_check_for_deployment_finds_files_that_are_not_collected(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "check", "--deploy", "--tag", "staticfiles"]
    own = _environment() | {"STATIC_ROOT": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "(poolwise.E012)" in done.stderr
    assert "HINT: Run manage.py collectstatic." in done.stderr


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
