"""Use the other site as a browser and a program do, and follow every link; writes what is wrong, a line each."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.test import Client
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise.control import tokens
from poolwise.lifecycle import submission
from poolwise.lifecycle.heartbeats import Heartbeat, send
from poolwise.models import AuditEntry, Comparison, Job, JobState, PoolSample
from poolwise.support import worker_client
from tests.helpers import report_sample

PREFIX = "/batch"
#: Attributes that a browser reads as a number.
_NUMERIC = ("min", "max", "value", "x", "y", "width", "height", "rows", "size", "maxlength", "colspan")
_NUMBERED = ("meter", "progress", "rect", "svg", "textarea", "td", "th")
#: Downloads, what is not a page, and what ends the session.
_LEFT_OUT = re.compile(r"logout|charts/|\.zip|/password_change|/jsi18n")


class Page(HTMLParser):
    """The links of a page, and the numbers in it that a browser could not read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the links of a tag, and its attributes that should be numbers."""
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("href", "src", "action", "hx-get") if name in given]
        if tag in _NUMBERED or given.get("type") == "number":
            self.wrong += [
                f"{tag} {name}={given[name]}" for name in _NUMERIC if not _is_number(given.get(name))
            ]
        if re.search(r"every (?!\d+m?s\b)", given.get("hx-trigger", "")):
            self.wrong.append(f"{tag} hx-trigger={given['hx-trigger']}")


def _is_number(value: str | None) -> bool:
    return not value or re.fullmatch(r"-?\d+(\.\d+)?", value) is not None


def fill() -> str:
    """Store rows whose numbers have thousands; return a token of the API."""
    call_command("migrate", verbosity=0)
    user = get_user_model()(email="ada@example.org", is_superuser=True)
    user.set_password("ada-ada-ada")
    user.save()
    now = timezone.now()
    place = {
        "worker": "threads@box",
        "pid": 1_234_567,
        "started_at": now,
        "finished_at": now,
        "published_at": now,
    }
    times = {"run_s": 1_234.5, "cpu_s": 1_000.25, "broker_wait_s": 1_000.5, "worker_wait_s": 2_000.5}
    job = Job.objects.create(
        definition="io.wait", kind="io", pool="threads", user=user, state=JobState.SUCCEEDED, **place, **times
    )
    TaskResult.objects.create(
        task_id=str(job.pk), status="SUCCESS", result='"\\u00dcber"', task_name="io.wait"
    )
    submission.submit("io.wait", {"duration_s": 1.5}, pool="threads", copies=1_000, user=user)
    send(worker_client(), Heartbeat("threads@box", "threads", 1_234_567, "box", slots=1_200, in_use=1_100))
    PoolSample.objects.create(
        pool="threads", at=now, queued=12_345, running=1_100, slots=1_200, workers=1, memory_bytes=1
    )
    AuditEntry.objects.create(action="pause", target="pool threads", user=user, username="ada", reason="test")
    report_sample.store(user)
    Comparison.objects.create(
        definition="io.wait", params={}, copies=1_500, rounds=5, user=user, budget_s=1_200.5, state="running"
    )
    return tokens.create(user, "test")[1]


def visit(client: Client, start: str) -> list[str]:
    """Follow the links from a page; return what is wrong with each."""
    wrong: list[str] = []
    kinds: dict[str, int] = {}
    waiting, seen = [start], {start}
    while waiting:
        url = waiting.pop()
        path = urlsplit(url).path
        if not path.startswith(f"{PREFIX}/"):
            wrong.append(f"{url} is not below the path")
            continue
        answer = client.get(url.removeprefix(PREFIX))
        if answer.status_code in (301, 302):
            found = [answer["Location"]]
        elif answer.status_code not in (200, 405):  # what a form is sent to
            wrong.append(f"{url}: {answer.status_code}")
            continue
        elif answer.status_code == 405 or not answer.get("Content-Type", "").startswith("text/html"):
            continue
        else:
            page = Page(answer.content.decode())
            found = page.links
            wrong += [f"{url}: {text}" for text in page.wrong]
        for link in found:
            target = urljoin(url, link).partition("#")[0]
            # Of each kind of page the first: the lists have hundreds of jobs.
            kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=definitions/)[^/]+|=[^&]*|static/.*", "*", target)
            kinds[kind] = kinds.get(kind, 0) + (target not in seen)
            if (
                target
                and target not in seen
                and kinds[kind] <= 1
                and "://" not in target
                and not _LEFT_OUT.search(target)
            ):
                seen.add(target)
                waiting.append(target)
    return wrong


def act(client: Client, token: str) -> list[str]:
    """Log in, submit, cancel, export and call the API; return what is wrong."""
    wrong = []
    login = {"username": "ada@example.org", "password": "ada-ada-ada"}
    answer = client.post("/accounts/login/", login)
    if (answer.status_code, answer.get("Location")) != (302, f"{PREFIX}/"):
        wrong.append(f"login: {answer.status_code} to {answer.get('Location')}")
    if client.cookies[settings.SESSION_COOKIE_NAME]["path"] != f"{PREFIX}/":
        wrong.append("the session's cookie is for other sites, too")
    form = {"param-duration_s": "0.2", "pools": ["threads"], "copies": "2", "token": "t"}
    submitted = client.post("/definitions/io.wait/", form)
    if not submitted.get("Location", "").startswith(f"{PREFIX}/jobs/"):
        wrong.append(f"submit: {submitted.status_code} to {submitted.get('Location')}")
    job = Job.objects.queued().first()
    cancelled = client.post(f"/jobs/{job.pk}/cancel/", {"reason": "test"})
    if cancelled.status_code != 302:
        wrong.append(f"cancel: {cancelled.status_code}")
    chosen = {"action": "export_csv", "_selected_action": [str(job.pk)]}
    exported = client.post("/admin/poolwise/job/", chosen)
    if b"ada@example.org" not in b"".join(exported.streaming_content):
        wrong.append("the export does not name the user")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k" * 200}
    body = {"definition": "io.wait", "pool": "threads", "params": {"duration_s": 0.5}}
    for expected in (201, 200):
        called = client.post("/api/jobs", body, content_type="application/json", headers=headers)
        if called.status_code != expected:
            wrong.append(f"API: {called.status_code} {called.content.decode()}")
    schema = client.get("/api/openapi.json", headers=headers).json()
    wrong += [f"API schema: {path}" for path in schema["paths"] if not path.startswith(f"{PREFIX}/api/")]
    return wrong


class Command(BaseCommand):
    """Fill the site, use it, and write what is wrong."""

    def handle(self, **options: Any) -> None:
        """Do all of it."""
        token = fill()
        client = Client(headers={"host": "localhost"})
        wrong = act(client, token)
        call_command("api_token", "ada@example.org", "--list")
        call_command("submit", "io.wait", "--pool", "threads", "--user", "ada@example.org")
        wrong += visit(client, f"{PREFIX}/")
        self.stdout.write("\n".join(wrong) or "nothing is wrong")
