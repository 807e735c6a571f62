"""The environment card: where a measurement ran, so that two of them are compared only where that is fair."""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.db import connection

from poolwise.support import REDIS_ERRORS, cores, cpu_quota, usable_cores, web_client

log = structlog.get_logger(__name__)
_LIBRARIES = (
    "celery", "kombu", "billiard", "redis", "django", "django-celery-results", "gevent", "greenlet", "pydantic",
    "psycopg", "numpy", "scipy",
)  # fmt: skip
_PACKAGE = Path(__file__).resolve().parent.parent
#: The kernel's own, which the containers of a machine share; their names and files are each one's own.
_IDENTITY = (Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id"))
_GIT_TIMEOUT_S = 5.0
#: Folders of other people's code beside ours.
_FOREIGN = frozenset(("site-packages", "dist-packages"))
_BROKER_TIMEOUT_S = 1


def capture() -> dict[str, Any]:
    """Return the card of this machine, this code, the broker and the database; what cannot be told is None."""
    return {
        "cores": cores(),
        "cpu_quota": cpu_quota(),
        "cpu_model": _cpu_model(),
        "memory_bytes": _memory_bytes(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "machine": machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": _gil(),
        "libraries": libraries(),
        "broker": _asked(_broker),
        "database": _asked(_database),
        "code": code_version(),
        "revision": revision(),
        "prefetch": settings.CELERY_WORKER_PREFETCH_MULTIPLIER,
    }


def _gil() -> str:
    return "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"


def versions() -> dict[str, str]:
    """Return what a reader needs to know of the software of this process."""
    return {
        "python": platform.python_version(),
        "gil": _gil(),
        **{name: _version(name) or "absent" for name in ("celery", "django", "gevent")},
        "cores": f"{usable_cores():g}",
        "code": code_version(),
        "prefetch": str(settings.CELERY_WORKER_PREFETCH_MULTIPLIER),
    }


def machine(files: Sequence[Path] = _IDENTITY) -> str:
    """Return a digest that tells this machine, since its last start, from others, and gives nothing away.

    The first file that can be read decides, else the host's name; containers of one machine agree.
    """
    for file in files:
        with suppress(OSError):
            return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that a measurement depends on; without those that are absent."""
    return {name: found for name in _LIBRARIES if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@functools.cache
def code_version() -> str:
    """Return a digest of our own sources, as they were on disk when first asked: the apps' and the settings'.

    It reads files only: a worker asks from a native thread, where gevent's subprocesses would wait for ever.
    """
    settings_file = getattr(sys.modules.get(os.environ.get("DJANGO_SETTINGS_MODULE", "")), "__file__", None)
    folders = {_PACKAGE, *([Path(settings_file).resolve().parent] if settings_file else [])}
    root = _PACKAGE.parent
    for app in apps.get_app_configs():
        folder = Path(app.path).resolve()
        if folder.is_relative_to(root) and not _FOREIGN.intersection(folder.relative_to(root).parts):
            folders.add(folder)
    return _digest_of(sorted(folders))


def revision() -> str | None:
    """Return the commit that is checked out, with a mark if files differ from it; None where git knows none."""
    root = _PACKAGE.parent
    if not (root / ".git").exists():  # a repository around an installed copy says nothing
        return None
    return _git(root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(directory: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [git, "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _digest_of(folders: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{file.relative_to(folder)}".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _asked(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return ask()
    except Exception as error:  # the card is no reason for a comparison to fail
        log.warning("the environment card is incomplete", error=str(error))
        return {"kind": None, "version": None}


def _broker() -> dict[str, Any]:
    kind = urlsplit(settings.BROKER_URL).scheme
    if kind.startswith("redis"):
        return {"kind": "redis", "version": _redis_version()}
    options = {"connect_timeout": _BROKER_TIMEOUT_S, "max_retries": 0}
    with current_app.connection_for_read(transport_options=options) as broker:
        broker.ensure_connection(max_retries=1, timeout=_BROKER_TIMEOUT_S)
        properties = getattr(broker.connection, "server_properties", {})
        return {"kind": properties.get("product", kind), "version": properties.get("version")}


def _redis_version() -> str | None:
    try:
        return str(web_client().info("server")["redis_version"])
    except (*REDIS_ERRORS, KeyError):
        return None


def _database() -> dict[str, Any]:
    connection.ensure_connection()
    found = connection.get_database_version()
    return {"kind": connection.vendor, "version": ".".join(str(part) for part in found)}
