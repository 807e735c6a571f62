"""Run the whole platform on this machine until Ctrl-C: `make up`."""

import fcntl
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import redis

from dev import redis_server
from dev.ports import LOOPBACK, free_port, in_url, is_free
from dev.processes import STOP_SIGNALS, Platform
from poolwise.support import redis_urls

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var"
RUNNING = VAR / "running.json"
DEMO_PORT = 8099

Environment = dict[str, str]


class CannotStart(Exception):
    """The platform cannot start; the text is the remedy."""


def main() -> int:
    """Start everything, wait for the end, end everything; return the exit status."""
    for signum in STOP_SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(signum, signal.default_int_handler)
    try:
        with ExitStack() as cleanup:
            return _run(cleanup)
    except (CannotStart, redis_server.RedisError) as error:
        print(f"poolwise: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _run(cleanup: ExitStack) -> int:
    cleanup.enter_context(_only_one())
    shared = _ports()
    redis_of_ours = cleanup.enter_context(_redis())
    shared |= redis_of_ours.environment
    cleanup.enter_context(_shared_with_other_terminals(shared))
    environment = {**_environment(), **shared}
    platform = Platform(environment)
    if redis_of_ours.process is not None:
        platform.need("redis", partial(_runs, redis_of_ours.process))
    platform.add_procfile(ROOT / "Procfile")
    platform.add_guide(shlex.join(["exec", "python", "-m", "dev.guide", _address(environment)]))
    status = platform.run()
    print(platform.reason() or "Poolwise has stopped.", file=sys.stderr if status else sys.stdout)
    return status


@contextmanager
def _only_one() -> Iterator[None]:
    """Lock var/up.lock: two platforms would share one Redis file and one database."""
    VAR.mkdir(exist_ok=True)
    with (VAR / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart("Poolwise runs here already: stop it with Ctrl-C in its terminal.") from None
        yield


def _ports() -> Environment:
    """Check the web's port and find one for the demo server."""
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CannotStart(
            f"PORT={port} is not a port number; choose one from 1024 to 65535: PORT=8001 make up"
        )
    if not is_free(int(port), os.environ.get("HOST") or LOOPBACK):
        other = int(port) + 1 if int(port) < 65535 else 8000
        raise CannotStart(
            f"Port {port} is in use: stop what uses it, or choose another: PORT={other} make up"
        )
    demo = DEMO_PORT if is_free(DEMO_PORT) else free_port()
    return {
        "PORT": port,
        "JOB_HTTP_DEMO_URL": os.environ.get("JOB_HTTP_DEMO_URL", f"http://{LOOPBACK}:{demo}"),
    }


class Redis(NamedTuple):
    """The environment that names Redis to the platform's processes, and its process where it is a private one."""

    environment: Environment
    process: Popen[bytes] | None = None


def _runs(process: Popen[bytes]) -> bool:
    return process.poll() is None


@contextmanager
def _redis() -> Iterator[Redis]:
    """Use the Redis of REDIS_URL, else run one with its data in var/redis."""
    if os.environ.get("REDIS_URL_FILE"):
        yield Redis({})
    elif url := os.environ.get("REDIS_URL"):
        try:
            redis.Redis.from_url(redis_urls.for_redis(url), socket_timeout=3, socket_connect_timeout=3).ping()
        except (redis.RedisError, ValueError) as error:
            raise CannotStart(
                f"REDIS_URL does not answer: {error}. Correct it, or unset it for a private Redis."
            ) from None
        yield Redis({"REDIS_URL": url})
    else:
        with redis_server.running(VAR / "redis", tied=True) as server:
            yield Redis({"REDIS_URL": server.url}, server.process)


def _environment() -> Environment:
    """Return what every process gets; the development settings unless the user sets others."""
    path = os.pathsep.join((str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")))
    host = in_url(os.environ.get("HOST") or LOOPBACK)
    return {"DEBUG": "true", **os.environ, "HOST": host, "PATH": path, "PYTHONUNBUFFERED": "1"}


@contextmanager
def _shared_with_other_terminals(shared: Environment) -> Iterator[None]:
    """Keep var/running.json, from which the settings read the running platform's addresses."""
    RUNNING.touch(mode=0o600)
    RUNNING.write_text(json.dumps(shared))
    try:
        yield
    finally:
        RUNNING.unlink(missing_ok=True)


def _address(environment: Environment) -> str:
    return f"http://{environment['HOST']}:{environment['PORT']}/"


if __name__ == "__main__":
    sys.exit(main())
