"""What submitting costs: `python -m benchmarks.submission [--postgres] [--rounds 40]`.

Wall and CPU time of `submit`, of 1,000 copies and of `submit_many`, and of a POST of one job by API and by form beside a
bare view that inserts a row and calls `apply_async`, in turn. No worker runs. The CPU time is of this process alone.
"""

import argparse
import json
import logging
import os
import secrets
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dev import redis_server
from dev.own_postgres import OwnPostgres

MANY = 1_000
#: One of these for so many rounds of the others.
_MANY_EVERY = 10
_ROW = "{:24}  {:>22}  {:>22}  {:>10}"

#: Wall and CPU seconds of one call.
type Took = tuple[float, float]


def main() -> None:
    """Print the medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--postgres", action="store_true", help="a PostgreSQL server of its own instead of SQLite"
    )
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with _services(with_postgres=options.postgres):
        took = measure(options.rounds)
    print(_ROW.format("call", "wall, ms", "CPU, ms", "over bare"))
    for name, times in took.items():
        print(
            _ROW.format(name, _shown([t[0] for t in times]), _shown([t[1] for t in times]), _over(name, took))
        )


@contextmanager
def _services(*, with_postgres: bool) -> Iterator[None]:
    """Run a Redis and a database of their own, with the site's tables."""
    with tempfile.TemporaryDirectory(prefix="poolwise-submission-") as name, ExitStack() as cleanup:
        directory = Path(name)
        redis = cleanup.enter_context(redis_server.running(directory / "redis", durable=False))
        # As in production: with DEBUG Django keeps each statement.
        os.environ |= {"REDIS_URL": redis.url, "BROKER_URL": redis.url, "DEBUG": "false"}
        os.environ |= {"SECRET_KEY": secrets.token_urlsafe(), "ALLOWED_HOSTS": "localhost"}
        os.environ["DATABASE_URL"] = f"sqlite:///{directory / 'database.sqlite3'}"
        if with_postgres:
            server = OwnPostgres(directory)
            server.create()
            server.start()
            cleanup.callback(server.stop)
            os.environ["DATABASE_URL"] = server.url
        _set_up()
        yield


def _set_up() -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    logging.getLogger().handlers[0] = logging.FileHandler(os.devnull)
    settings.ROOT_URLCONF = "benchmarks.bare_views"
    settings.JOB_MAX_QUEUED_PER_USER = settings.JOB_MAX_QUEUED


def measure(rounds: int) -> dict[str, list[Took]]:
    """Return what each call took, by its name; the first round is not counted."""
    took: dict[str, list[Took]] = defaultdict(list)
    calls, many = _calls(), _many_calls()
    for number in range(rounds + 1):
        for name, call in {**calls, **({} if number % _MANY_EVERY else many)}.items():
            _beat()
            once = _timed(call)
            if number:
                took[name].append(once)
            if name in many:
                _end_jobs()
        _end_jobs()
    return took


def _beat() -> None:
    """Let the pool seem to have a worker."""
    from poolwise.lifecycle import heartbeats
    from poolwise.support import worker_client

    heartbeats.send(
        worker_client(), heartbeats.Heartbeat("threads-1@host", "threads", os.getpid(), "host", slots=32)
    )


def _timed(call: Callable[[], Any]) -> Took:
    begin_mono, begin_cpu_s = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin_mono, time.process_time() - begin_cpu_s


def _end_jobs() -> None:
    """Empty the queues, so that each round finds the same."""
    from poolwise.models import Job, JobState

    Job.objects.queued().update(state=JobState.CANCELLED, due_at=None)


def _calls() -> dict[str, Callable[[], Any]]:
    from poolwise import submit

    api, form = _Posts.of_api(), _Posts.of_form()
    body = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pool": "threads"}
    fields = {"param-duration_s": "0.1", "pools": "threads", "copies": "1"}
    return {
        "submit": lambda: submit("io.wait", {"duration_s": 0.1}, pool="threads"),
        "POST bare (JSON)": lambda: api.post("/bare/api", json.dumps(body), 201),
        "POST API": lambda: api.post("/api/jobs", json.dumps(body), 201),
        "POST bare (form)": lambda: form.post("/bare/form", urlencode(fields | form.token()), 302),
        "POST form": lambda: form.post("/definitions/io.wait/", urlencode(fields | form.token()), 302),
    }


def _many_calls() -> dict[str, Callable[[], Any]]:
    from poolwise import submit, submit_many

    api, user = _Posts.of_api(), _user()
    body = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pool": "threads", "copies": MANY}
    wanted: Any = [
        {"definition": "io.wait", "params": {"duration_s": n / MANY}, "pool": "threads"} for n in range(MANY)
    ]
    return {
        f"{MANY} copies": lambda: submit(
            "io.wait", {"duration_s": 0.1}, pool="threads", copies=MANY, user=user
        ),
        f"submit_many of {MANY}": lambda: submit_many(wanted, user=user),
        f"POST API, {MANY} copies": lambda: api.post("/api/jobs", json.dumps(body), 201),
    }


def _user() -> Any:
    """Return a user in the role submitter."""
    from django.contrib.auth.models import Group, User

    user, _ = User.objects.get_or_create(username="bob")
    user.groups.add(Group.objects.get(name="submitter"))
    return user


class _Posts:
    """Sends POST requests of one user to the site within this process, through all its middleware."""

    def __init__(self, **headers: str) -> None:
        from django.core.wsgi import get_wsgi_application

        self._application = get_wsgi_application()
        self._headers = headers
        self._csrf = ""

    @classmethod
    def of_api(cls) -> "_Posts":
        """Return requests with an API token."""
        from poolwise.control import tokens

        _, text = tokens.create(_user(), "benchmark")
        return cls(CONTENT_TYPE="application/json", HTTP_AUTHORIZATION=f"Bearer {text}")

    @classmethod
    def of_form(cls) -> "_Posts":
        """Return requests of a browser that has logged in."""
        from django.middleware.csrf import _get_new_csrf_string
        from django.test import Client

        client = Client()
        client.force_login(_user(), "django.contrib.auth.backends.ModelBackend")
        csrf = _get_new_csrf_string()
        cookies = f"sessionid={client.cookies['sessionid'].value}; csrftoken={csrf}"
        posts = cls(CONTENT_TYPE="application/x-www-form-urlencoded", HTTP_COOKIE=cookies)
        posts._csrf = csrf
        return posts

    def token(self) -> dict[str, str]:
        """Return the fields that each form has of its own."""
        return {"csrfmiddlewaretoken": self._csrf, "token": f"{time.monotonic_ns()}"}

    def post(self, path: str, body: str, expected: int) -> None:
        """Post a body. Raise RuntimeError for another status than the expected one."""
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": path, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
            "wsgi.input": BytesIO(body.encode()), "wsgi.url_scheme": "http", "CONTENT_LENGTH": str(len(body)),
            **self._headers,
        }  # fmt: skip
        response = self._application(environ, lambda status, headers, exc_info=None: statuses.append(status))  # type: ignore[arg-type]
        text = b"".join(response)
        response.close()
        if not statuses[0].startswith(str(expected)):
            raise RuntimeError(f"{path}: {statuses[0]} {text[:300]!r}")


def _shown(seconds: list[float]) -> str:
    low, high = min(seconds), max(seconds)
    return f"{statistics.median(seconds) * 1e3:.2f} ({low * 1e3:.1f} to {high * 1e3:.0f})"


def _over(name: str, took: Mapping[str, list[Took]]) -> str:
    """Return how many times the wall time of the bare view a POST takes: the median of the paired ratios."""
    bare = {"POST API": "POST bare (JSON)", "POST form": "POST bare (form)"}.get(name)
    if bare is None:
        return ""
    ratios = [one[0] / other[0] for one, other in zip(took[name], took[bare], strict=True)]
    return f"{statistics.median(ratios):.2f}"


if __name__ == "__main__":
    main()
