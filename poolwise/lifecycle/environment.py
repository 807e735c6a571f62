"""The environment of a measurement: machine, versions, broker and database, so that only like is compared with like."""

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
#: The first belongs to the kernel, so that all containers of a machine share it; host names and files differ.
_IDENTITY = (Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id"))
_GIT_TIMEOUT_S = 5.0
#: Folders of other people's code beside ours.
_FOREIGN = frozenset(("site-packages", "dist-packages"))
_BROKER_TIMEOUT_S = 1


def capture() -> dict[str, Any]:
    """Return the environment: machine, code, broker and database; unknown values are None."""
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
        "broker": _known(_broker),
        "database": _known(_database),
        "code": code_version(),
        "revision": revision(),
        "prefetch": settings.CELERY_WORKER_PREFETCH_MULTIPLIER,
    }


def _gil() -> str:
    return "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"


def versions() -> dict[str, str]:
    """Return the versions that heartbeats and pages show of this process."""
    return {
        "python": platform.python_version(),
        "gil": _gil(),
        **{name: _version(name) or "absent" for name in ("celery", "django", "gevent")},
        "cores": f"{usable_cores():g}",
        "code": code_version(),
        "prefetch": str(settings.CELERY_WORKER_PREFETCH_MULTIPLIER),
    }


def machine(files: Sequence[Path] = _IDENTITY) -> str:
    """Return a digest that identifies this machine since its last start, and reveals nothing about it.

    It is of the first readable file, else of the host's name; containers of one machine have the same.
    """
    for file in files:
        with suppress(OSError):
            return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def libraries() -> dict[str, str]:
    """Return the versions of the installed libraries that a measurement depends on."""
    return {name: installed for name in _LIBRARIES if (installed := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@functools.cache
def code_version() -> str:
    """Return a digest of the sources of the project's apps and settings, as they were on disk at the first call.

    It only reads files: a worker calls it in a native thread, where gevent's subprocesses would wait for ever.
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
    """Return the commit that is checked out, marked as dirty if files differ from it; None without git."""
    root = _PACKAGE.parent
    if not (root / ".git").exists():  # a repository around an installed copy is not of this code
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


def _known(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except Exception as error:  # a comparison does not fail for this
        log.warning("the environment is incomplete", error=str(error))
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
    numbers = connection.get_database_version()
    return {"kind": connection.vendor, "version": ".".join(str(part) for part in numbers)}
