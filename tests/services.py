"""The services that the tests talk to, started before Django's settings are read.

A pytest plugin (`-p tests.services`): a private Redis always, and a private PostgreSQL when LEDGER=postgres.
A service that is missing skips its tests at home and fails them where CI=true.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from glob import glob
from pathlib import Path

import pytest

from dev import redis_server
from dev.ports import free_port

CI = os.environ.get("CI") == "true"
LEDGER = os.environ.get("LEDGER", "sqlite")
DIRECTORY = Path(tempfile.mkdtemp(prefix="poolwise-tests-"))
_stack = contextlib.ExitStack()


def absent(service: str, remedy: str) -> None:
    """Skip the test at home, fail it in CI, for want of a service."""
    message = f"{service} is not installed here: {remedy}"
    if CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(message, allow_module_level=True)


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's server programs, the newest version first."""
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    folders = [
        *(Path(found).parent for found in sorted(glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)),
        *on_path,
    ]
    wanted = ("initdb", "postgres", "pg_isready")
    return next((folder for folder in folders if all((folder / name).exists() for name in wanted)), None)


def _as_postgres(command: Sequence[str]) -> list[str]:
    # The server refuses to run as root.
    return (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        if os.getuid() == 0
        else [*command]
    )


def start_postgres(directory: Path) -> str:
    """Start a private PostgreSQL for the length of the test session; return its DATABASE_URL."""
    programs = find_postgres()
    if programs is None:
        raise pytest.UsageError("LEDGER=postgres needs PostgreSQL's server: sudo apt install postgresql")
    data, port = directory / "postgres", free_port()
    directory.chmod(0o755)
    data.mkdir()
    if os.getuid() == 0:
        shutil.chown(data, "postgres", "postgres")
    run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run(
        _as_postgres([str(programs / "initdb"), "-D", str(data), "-U", "poolwise", "-A", "trust"]), **run
    )
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(data), "-c", "fsync=off"]
    with (directory / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            _as_postgres([str(programs / "postgres"), "-D", str(data), *options]),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    _stack.callback(_end, server)
    ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
    for _ in range(100):
        if subprocess.run(ready).returncode == 0:
            return f"postgres://poolwise@127.0.0.1:{port}/postgres"
        time.sleep(0.1)
    raise pytest.UsageError(f"PostgreSQL did not start: see {directory / 'postgres.log'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _prepare() -> None:
    """Set the environment that settings.py reads; nothing of the caller's own platform leaks in."""
    # Started in the background, a shell has SIGINT ignored, and every process that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("JOB_POOLS", "BROKER_URL", "DATABASE_URL", "POOLWISE_POOL", "LOG_FORMAT", "JOB_KEY_PREFIX"):
        os.environ.pop(name, None)
    os.environ["DEBUG"] = "true"
    os.environ["JOB_WORKER_DEAD_AFTER_S"] = "5"
    os.environ["JOB_HEARTBEAT_S"] = "1"
    os.environ["JOB_FILES_DIR"] = str(DIRECTORY / "files")
    os.environ["STATIC_ROOT"] = str(DIRECTORY / "static")
    (DIRECTORY / "static").mkdir()  # WhiteNoise warns of a folder that is not there
    os.environ["REDIS_URL"] = _stack.enter_context(
        redis_server.running(DIRECTORY / "redis", durable=False)
    ).url
    if LEDGER == "postgres":
        os.environ["DATABASE_URL"] = start_postgres(DIRECTORY)
    else:
        os.environ["DATABASE_URL"] = f"sqlite:///{DIRECTORY / 'ledger.sqlite3'}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the services and remove their data."""
    _stack.close()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which ledger and which Redis the tests run on."""
    return f"ledger: {LEDGER}; redis: {redis_server.find_binary()}; python: {sys.version.split()[0]}"


_prepare()
