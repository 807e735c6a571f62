"""`manage.py compare DEFINITION`: run one job on several pools and print figures and the answer."""

import json
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from poolwise import definitions, lab
from poolwise.management.arguments import add_parameters, number, parameters
from poolwise.management.before_the_start import show_disturbances, wait_until_idle
from poolwise.management.bundle_arguments import (
    NO_RESULT,
    add_bundle_arguments,
    failing_with,
    import_bundle,
    planned_as,
    pools_to_check,
    read_bundle,
    refuse_unless_baseline,
    result_of_check,
    write_files,
)
from poolwise.management.comparison_text import as_json, comparison_text
from poolwise.management.handout_arguments import (
    add_handout_arguments,
    check_handout,
    markdown_of,
    stored_comparison,
    write_html,
)
from poolwise.management.local_processes import LocalProcesses
from poolwise.management.patience import AWAY, PatientCommand, patiently
from poolwise.management.plan_arguments import add_plan_arguments, plan_options, vary_of
from poolwise.models import Comparison
from poolwise.pools import all_pools
from poolwise.support import BrokerUnavailable, PoolwiseError

#: Seconds between polls: longer in a long comparison, since polling takes CPU from the jobs.
_MIN_POLL_S, _MAX_POLL_S, _POLL_SHARE = 0.1, 1.0, 0.1


class Command(PatientCommand):
    """Plan a comparison, wait for its end, and print its tables and the answer."""

    help = "Run a job on several pools and compare them. Starts the workers and the coordinator that are not running."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "definition", nargs="?", default="", help="definition of the job, such as io.wait"
        )
        parser.add_argument("--pools", default="", help="pools separated by commas (default: all)")
        add_plan_arguments(parser)
        add_parameters(parser)
        parser.add_argument(
            "--timeout",
            type=number,
            default=3600.0,
            metavar="SECONDS",
            help="cancel after this time (default 3600)",
        )
        parser.add_argument(
            "--wait-until-idle",
            action="store_true",
            help="start only when no other job runs and the machine is idle; give up after --timeout",
        )
        parser.add_argument(
            "--json",
            type=Path,
            metavar="FILE",
            help="write the figures as JSON to FILE; - for standard output",
        )
        add_bundle_arguments(parser)
        add_handout_arguments(parser)

    def handle(self, *, definition: str, pools: str, **options: Any) -> None:
        """Run the comparison. Raise CommandError for bad input, an unavailable broker, or a timeout."""
        check_handout(options)
        for option in ("json", "bundle", "plot", "html"):
            _check_writable(f"--{option}", options[option])
        if options["stored"]:
            self._end(stored_comparison(options["stored"]), options)
            return
        if options["import_file"] is not None:
            comparison = import_bundle(options["import_file"])
            out = self.stderr if options["markdown"] else self.stdout
            out.write(f"imported as {comparison.pk}")
            self._end(comparison, options)
            return
        if options["check"] is None:
            self._run(partial(_planned, definition, pools, options), options)
        else:
            self._check(options["check"], pools, options)

    def _check(self, file: Path, pools: str, options: dict[str, Any]) -> None:
        allowed = options["max_regression"]
        with failing_with(NO_RESULT):
            earlier = read_bundle(file)
            names = pools_to_check(earlier, pools)
            self.stderr.write(refuse_unless_baseline(earlier, names, allowed))
            comparison = self._run(partial(planned_as, earlier, names), options)
        for line in result_of_check(earlier, comparison, allowed):
            self.stderr.write(line)

    def _run(self, plan: Callable[[], tuple[Comparison, list[str]]], options: dict[str, Any]) -> Comparison:
        names = _checked(plan)
        try:
            with LocalProcesses() as processes, _interrupted_by_sigterm():
                self._show_started(processes.start_missing(names))
                self._before_the_start(names, options)
                comparison, _ = plan()
                if processes.own_all(names):
                    lab.renew_workers(comparison)
                with _stopped_unless_finished(comparison):
                    self._follow(
                        comparison, options["timeout"], partial(_keep_up, processes, comparison, names)
                    )
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except (BrokerUnavailable, TimeoutError) as error:
            raise CommandError(str(error)) from error
        self._end(comparison, options)
        return comparison

    def _end(self, comparison: Comparison, options: dict[str, Any]) -> None:
        patiently(partial(self._show, comparison, options["json"], as_markdown=options["markdown"]))
        write_files(comparison, options["bundle"], options["plot"])
        write_html(comparison, options["html"])

    def _before_the_start(self, pools: list[str], options: dict[str, Any]) -> None:
        if options["wait_until_idle"]:
            wait_until_idle(pools, options["timeout"], self.stderr.write)
        else:
            show_disturbances(pools, self.stderr.write)

    def _show_started(self, started: list[str]) -> None:
        for name in started:
            self.stderr.write(f"started {name} (none was running)")

    def _follow(self, comparison: Comparison, timeout_s: float, start_again: Callable[[], list[str]]) -> None:
        until_mono = time.monotonic() + timeout_s
        shown = ""
        notes: set[str] = set()
        began_mono = time.monotonic()
        while True:
            patiently(comparison.refresh_from_db, until_mono=until_mono)
            shown = patiently(partial(self._show_progress, comparison, shown, notes), until_mono=until_mono)
            if comparison.state == Comparison.State.FINISHED:
                break
            if comparison.state == Comparison.State.CANCELLED:
                raise CommandError(f"The comparison was cancelled. {comparison.end_reason}".strip())
            if time.monotonic() > until_mono:
                raise TimeoutError(
                    f"Timed out after {timeout_s:g} s ({shown}); the remaining jobs were cancelled."
                )
            self._show_started(patiently(start_again, until_mono=until_mono))
            elapsed_s = time.monotonic() - began_mono
            time.sleep(min(_MAX_POLL_S, max(_MIN_POLL_S, elapsed_s * _POLL_SHARE)))
        if sys.stderr.isatty():
            self.stderr.write("")

    def _show_progress(self, comparison: Comparison, shown: str, notes: set[str]) -> str:
        counts = lab.progress(comparison)
        for note in {done["note"] for done in counts.values()} - {""} - notes:
            notes.add(note)
            self.stderr.write(note)
        line = " · ".join(f"{pool} {done['ended']}/{done['planned']}" for pool, done in counts.items())
        if line != shown and sys.stderr.isatty():
            left_s = lab.estimate_s(comparison)
            left = "" if left_s is None else f" · {left_s:.0f} s left  "
            self.stderr.write(f"\r{comparison.definition}: {line}{left}", ending="")
            self.stderr.flush()
        return line

    def _show(self, comparison: Comparison, file: Path | None, *, as_markdown: bool) -> None:
        as_text = json.dumps(as_json(comparison), indent=2)
        if str(file) == "-":
            self.stdout.write(as_text)
            return
        self.stdout.write(markdown_of(comparison) if as_markdown else comparison_text(comparison))
        if file is not None:
            file.write_text(as_text + "\n")


def _planned(definition: str, pools: str, options: dict[str, Any]) -> tuple[Comparison, list[str]]:
    """Return the planned comparison and its pools. Raise CommandError."""
    if not definition:
        raise CommandError("Name a definition such as io.wait, or give a bundle with --check or --import.")
    names = [name.strip() for name in pools.split(",") if name.strip()] or list(all_pools())
    try:
        declared = definitions.get(definition)
        params, vary = parameters(declared, options["param"]), vary_of(declared, options["vary"])
        chosen = plan_options(options)
        return lab.plan(definition, params, names, vary=vary, **chosen), names
    except PoolwiseError as error:
        raise CommandError(str(error)) from error


def _keep_up(processes: LocalProcesses, comparison: Comparison, names: list[str]) -> list[str]:
    """Start workers again that are due for it; return the names of others that had ended and were started."""
    processes.renew(lab.to_renew(comparison))
    return processes.start_again(names)


def _checked(plan: Callable[[], tuple[Comparison, list[str]]]) -> list[str]:
    """Return the pools of the plan, and store nothing: what is wrong shows before anything starts or waits."""
    with transaction.atomic():
        _, names = plan()
        transaction.set_rollback(True)
    return names


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM too, so that what was started is stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _stopped_unless_finished(comparison: Comparison) -> Iterator[None]:
    """Cancel the comparison on any error or signal, before its workers are stopped."""
    try:
        yield
    except BaseException:
        with suppress(*AWAY):  # then it goes on without this command
            lab.stop(comparison)
        raise


def _check_writable(option: str, file: Path | None) -> None:
    """Raise CommandError before the comparison runs, rather than when the file is written."""
    if file is None or str(file) == "-":
        return
    try:
        file.open("a").close()
    except OSError as error:
        raise CommandError(f"{option}: {file} cannot be written ({error.strerror}).") from error
