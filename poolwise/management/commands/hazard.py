"""`manage.py hazard NAME`: run a known mistake and its guards, and print what each did and the lesson."""

import json
import logging
import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_celery_results.models import TaskResult

from poolwise.definitions import Definition
from poolwise.lab import lesson, table, variants, with_lessons
from poolwise.lifecycle import submission
from poolwise.management.arguments import add_parameters, parameters
from poolwise.management.local_processes import LocalProcesses
from poolwise.management.text_table import aligned
from poolwise.models import Job, JobState
from poolwise.pools import all_pools, get_pool
from poolwise.support import PoolwiseError

_POLL_S = 0.1


class Command(BaseCommand):
    """Run each variant of a hazard, one after another, and print a table and the lesson."""

    help = "Run a known mistake and its guards, in this process or on pools, and print the lesson."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", nargs="?", help="such as shared_counter; without it all are listed")
        parser.add_argument(
            "--pools", default="", help="run it there, names joined by commas; else in this process if it can"
        )
        add_parameters(parser)
        parser.add_argument(
            "--timeout", type=float, default=120.0, metavar="SECONDS", help="for each variant (120)"
        )

    def handle(self, *, name: str | None, pools: str, **options: Any) -> None:
        """Run the hazard. Raise CommandError for bad input, a broker away, or a variant that failed."""
        if not name:
            self.stdout.write(_listing())
            return
        try:
            found = _hazard(name)
            planned = _planned(found, parameters(found, options["param"]))
            names = [get_pool(text.strip()).name for text in pools.split(",") if text.strip()]
            names = names or _default_pools(found)
            if names:
                results = self._on_pools(found, planned, names, options["timeout"])
            else:
                results = [
                    ("", found.body(**found.call_arguments(params))) for params in planned if found.body
                ]
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except (PoolwiseError, TimeoutError) as error:
            raise CommandError(str(error)) from error
        self._show(found, results)

    def _on_pools(
        self,
        found: Definition,
        planned: Sequence[Mapping[str, Any]],
        pools: Sequence[str],
        timeout_s: float,
    ) -> list[tuple[str, Any]]:
        with _ended_like_ctrl_c(), _no_log_of_submissions(), LocalProcesses() as processes:
            for name in processes.start_missing(pools):
                self.stderr.write(f"started {name}, since none was running")
            return [
                (pool, _result_of(found.name, params, pool, timeout_s))
                for pool in pools
                for params in planned
            ]

    def _show(self, found: Definition, results: Sequence[tuple[str, Any]]) -> None:
        rows = []
        for pool, result in results:
            headings, *lines = table(found, [result])
            rows += [(pool, *line) if pool else line for line in lines]
            head = ("pool", *headings) if pool else headings
        self.stdout.write(f"{found.name}: {found.title}")
        self.stdout.write("\n".join(aligned([head, *rows])))
        self.stdout.write("\n" + lesson(found, [result for _, result in results]))


def _hazard(name: str) -> Definition:
    hazards = {hazard.name: hazard for hazard in with_lessons()}
    hazard = hazards.get(name) or hazards.get(f"hazard.{name}")
    if hazard is None:
        known = ", ".join(known.removeprefix("hazard.") for known in hazards)
        raise PoolwiseError(f"No hazard is called {name!r}; there are {known or 'none'}.")
    return hazard


def _listing() -> str:
    hazards = with_lessons()
    width = max((len(hazard.name) for hazard in hazards), default=0)
    return "\n".join(f"{hazard.name:{width}}  {hazard.summary}" for hazard in hazards)


def _planned(hazard: Definition, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the validated parameters of each variant, or of the one that was given."""
    assert hazard.lesson is not None  # noqa: S101 - it was found by that
    chooser = hazard.lesson.parameter
    chosen = (given[chooser],) if chooser in given else variants(hazard)
    return [hazard.validate({**given, chooser: choice}) for choice in chosen]


def _default_pools(hazard: Definition) -> list[str]:
    """Return the first pool of each model that the hazard needs; none where any process shows it."""
    by_model = {pool.model: pool.name for pool in reversed(all_pools().values())}
    models = hazard.lesson.models if hazard.lesson else ()
    return [by_model[model] for model in models if model in by_model]


def _result_of(definition: str, params: Mapping[str, Any], pool: str, timeout_s: float) -> Any:
    """Run one variant as a job. Raise PoolwiseError when it fails, TimeoutError when it does not end."""
    [job] = submission.submit(definition, params, pool=pool)
    with _cancelled_unless_ended(job):
        until_mono = time.monotonic() + timeout_s
        while not job.has_ended:
            if time.monotonic() > until_mono:
                raise TimeoutError(
                    f"{definition} did not end within {timeout_s:g} s on {pool}; it was cancelled."
                )
            time.sleep(_POLL_S)
            job.refresh_from_db()
    if job.state != JobState.SUCCEEDED:
        raise PoolwiseError(f"{definition} {job.state} on {pool}: {job.error or 'no reason is known'}")
    return json.loads(TaskResult.objects.get(task_id=str(job.pk)).result)


@contextmanager
def _no_log_of_submissions() -> Iterator[None]:
    """Keep what is logged for each submission out of the table's terminal."""
    logger = logging.getLogger(submission.__name__)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Have SIGTERM end what was started, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _cancelled_unless_ended(job: Job) -> Iterator[None]:
    try:
        yield
    except BaseException:
        submission.cancel(job, user=None)
        raise
