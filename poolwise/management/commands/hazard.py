"""`manage.py hazard NAME`: run a common mistake and its fixes, and print what each did and an explanation."""

import json
import logging
import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from secrets import token_urlsafe
from typing import Any

from django.core.management.base import CommandError
from django_celery_results.models import TaskResult

from poolwise.definitions import Definition
from poolwise.lab import lesson, table, variants, with_lessons
from poolwise.lifecycle import submission
from poolwise.management.arguments import add_parameters, number, parameters
from poolwise.management.local_processes import LocalProcesses
from poolwise.management.patience import AWAY, PatientCommand, patiently
from poolwise.management.text_table import aligned
from poolwise.models import Job, JobState
from poolwise.pools import all_pools, get_pool
from poolwise.support import PoolwiseError

_POLL_S = 0.1


class Command(PatientCommand):
    """Run each variant of a hazard, one after another, and print a table and the lesson."""

    help = "Run a common mistake and its fixes, in this process or on pools, and explain the result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "name", nargs="?", help="hazard, such as shared_counter; without a name, list all"
        )
        parser.add_argument(
            "--pools",
            default="",
            help="pools to run it on, separated by commas; in this process where possible if omitted",
        )
        add_parameters(parser)
        parser.add_argument(
            "--timeout",
            type=number,
            default=120.0,
            metavar="SECONDS",
            help="time limit of each variant (default 120)",
        )

    def handle(self, *, name: str | None, pools: str, **options: Any) -> None:
        """Run the hazard. Raise CommandError for bad input, an unavailable broker, or a failed variant."""
        if not name:
            self.stdout.write(_listing())
            return
        try:
            hazard = _hazard(name)
            planned = _planned(hazard, parameters(hazard, options["param"]))
            names = [get_pool(text.strip()).name for text in pools.split(",") if text.strip()]
            names = names or _default_pools(hazard)
            if names:
                results = self._on_pools(hazard, planned, names, options["timeout"])
            else:
                results = [("", _result_here(hazard, params)) for params in planned]
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except (PoolwiseError, TimeoutError) as error:
            raise CommandError(str(error)) from error
        self._show(hazard, results)

    def _on_pools(
        self,
        hazard: Definition,
        planned: Sequence[Mapping[str, Any]],
        pools: Sequence[str],
        timeout_s: float,
    ) -> list[tuple[str, Any]]:
        with _ended_like_ctrl_c(), _no_log_of_submissions(), LocalProcesses() as processes:
            for name in processes.start_missing(pools):
                self.stderr.write(f"started {name} (none was running)")
            return [
                (pool, _result_of(hazard.name, params, pool, timeout_s))
                for pool in pools
                for params in planned
            ]

    def _show(self, hazard: Definition, results: Sequence[tuple[str, Any]]) -> None:
        rows = []
        for pool, result in results:
            headings, *lines = table(hazard, [result])
            rows += [(pool, *line) if pool else line for line in lines]
            head = ("pool", *headings) if pool else headings
        self.stdout.write(f"{hazard.name}: {hazard.title}")
        self.stdout.write("\n".join(aligned([head, *rows])))
        self.stdout.write("\n" + lesson(hazard, [result for _, result in results]))


def _hazard(name: str) -> Definition:
    hazards = {hazard.name: hazard for hazard in with_lessons()}
    hazard = hazards.get(name) or hazards.get(f"hazard.{name}")
    if hazard is None:
        known = ", ".join(known.removeprefix("hazard.") for known in hazards)
        raise PoolwiseError(f"Unknown hazard {name!r}; choose one of {known or 'none'}.")
    return hazard


def _listing() -> str:
    hazards = with_lessons()
    width = max((len(hazard.name) for hazard in hazards), default=0)
    return "\n".join(f"{hazard.name:{width}}  {hazard.summary}" for hazard in hazards)


def _planned(hazard: Definition, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the validated parameters of each variant, or of the given one."""
    assert hazard.lesson is not None  # noqa: S101 - it was found by that
    chooser = hazard.lesson.parameter
    chosen = (given[chooser],) if chooser in given else variants(hazard)
    return [hazard.validate({**given, chooser: choice}) for choice in chosen]


def _default_pools(hazard: Definition) -> list[str]:
    """Return the first pool of each model that the hazard needs; none where it can run in this process."""
    by_model = {pool.model: pool.name for pool in reversed(all_pools().values())}
    models = hazard.lesson.models if hazard.lesson else ()
    return [by_model[model] for model in models if model in by_model]


def _result_here(hazard: Definition, params: Mapping[str, Any]) -> Any:
    """Run one variant in this process."""
    assert hazard.body is not None  # noqa: S101 - a hazard is a plain function
    return hazard.body(**hazard.call_arguments(params))


def _result_of(definition: str, params: Mapping[str, Any], pool: str, timeout_s: float) -> Any:
    """Run one variant as a job. Raise PoolwiseError when it fails, TimeoutError when it does not end."""
    submit = partial(
        submission.submit, definition, params, pool=pool, idempotency_key=f"command {token_urlsafe()}"
    )
    [job] = patiently(submit)
    with _cancelled_unless_ended(job):
        until_mono = time.monotonic() + timeout_s
        while not job.has_ended:
            if time.monotonic() > until_mono:
                raise TimeoutError(
                    f"{definition} timed out after {timeout_s:g} s on {pool} and was cancelled."
                )
            time.sleep(_POLL_S)
            patiently(job.refresh_from_db, until_mono=until_mono)
    if job.state != JobState.SUCCEEDED:
        raise PoolwiseError(f"{definition} {job.state} on {pool}: {job.error or 'unknown reason'}")
    return json.loads(TaskResult.objects.get(task_id=str(job.pk)).result)


@contextmanager
def _no_log_of_submissions() -> Iterator[None]:
    """Hide the log line of each submission."""
    logger = logging.getLogger(submission.__name__)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end this command and its workers like Ctrl-C."""
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
        with suppress(*AWAY):
            submission.cancel(job, user=None)
        raise
