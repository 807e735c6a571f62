"""Is the answer right? `python -m benchmarks.answers`: compares jobs whose best pool is known by construction.

Exit status 1 when fewer than 95 % answer within 30 s of measuring, or fewer than 95 % are right; with --busy, when more
than 5 % are wrong.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import live
from benchmarks.answers import platform
from benchmarks.answers.cases import CASES, EXTRA, SLOTS, Case
from benchmarks.answers.judging import Run, passes, shares


def main() -> int:
    """Run the cases and print a line for each; return the exit status."""
    options = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the platform ends with its block
    chosen = [case for case in (*CASES, *EXTRA) if case.name in options.cases]
    sql = any(case.name == "sql" for case in chosen)
    with platform.platform(sql=sql) as directory, platform.busy_core() if options.busy else nullcontext():
        if sql and not os.environ["ANSWERS_SQL_URL"]:
            print("sql is left out: PostgreSQL is not installed here")
            chosen = [case for case in chosen if case.name != "sql"]
        runs = [_run(case, directory, options) for _ in range(options.repeat) for case in chosen]
    if options.json:
        options.json.write_text(json.dumps([_as_json(run) for run in runs], indent=2) + "\n")
    print(f"{len(runs)} runs: " + ", ".join(f"{name} {share:.0%}" for name, share in shares(runs).items()))
    return 0 if passes(runs, busy=options.busy) else 1


def _run(case: Case, directory: Path, options: argparse.Namespace) -> Run:
    run = Run(case, _compare(case, directory / "figures.json", options.compare), _measured_s())
    expected = " ".join(pool for pool in SLOTS if pool in case.best)
    row = (case.name, expected, f"{run.measured_s:.1f} s", run.judgement, run.answer["text"])
    print("{:10}  {:30}  {:>7}  {:9}  {}".format(*row), flush=True)
    return run


def _compare(case: Case, file: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the answer of `manage.py compare`."""
    params = [part for name, value in case.params.items() for part in ("--param", f"{name}={value}")]
    command = [sys.executable, "manage.py", "compare", case.definition, *params, "--json", str(file)]
    done = subprocess.run([*command, *arguments], cwd=live.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"compare {case.definition} failed:\n{done.stdout}{done.stderr}")
    return dict(json.loads(file.read_text())["answer"])


def _measured_s() -> float:
    """Return the seconds from the newest comparison's first measured batch to the end of its last."""
    from django.db.models import Max, Min

    from poolwise.models import Batch, Comparison

    comparison = Comparison.objects.order_by("-created_at")[0]
    measured = comparison.batches.filter(role=Batch.Role.MEASURED)
    span = measured.aggregate(length=Max("finished_at") - Min("released_at"))["length"]
    return float((span or timedelta()).total_seconds())


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "case": run.case.name,
        "best": sorted(run.case.best),
        "judgement": run.judgement,
        "measured_s": run.measured_s,
        "answer": run.answer,
    }


def _names(text: str) -> list[str]:
    names, known = text.split(","), [case.name for case in (*CASES, *EXTRA)]
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(
            f"no case {', '.join(sorted(unknown))}; choose from {', '.join(known)}"
        )
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    everything = ",".join(case.name for case in CASES)
    parser.add_argument(
        "--cases",
        type=_names,
        default=everything,
        metavar="A,B",
        help=f"cases to run (default: {everything})",
    )
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="run each case N times (default 1)"
    )
    parser.add_argument("--busy", action="store_true", help="keep one core busy with another process")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the answers as JSON to FILE")
    parser.add_argument(
        "compare", nargs="*", default=["--preset", "quick"],
        help="after --: other options of compare (default: --preset quick)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
