"""Poolwise beside other queues: `python -m benchmarks.peers --systems poolwise,celery-ignored --workload empty`.

A name stands for all systems that begin with it. Each round measures every system once, in another order.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.peers import chart, processes, report
from benchmarks.peers.measuring import Measured
from benchmarks.peers.run import Machine, Plan, described, measured
from benchmarks.peers.systems import SYSTEMS, chosen
from benchmarks.peers.workloads import WORKLOADS

_ROW = "{:>2}  {:28}  {:8}  {:8}  {:>8.0f} jobs/s  {:>6.2f} ms of CPU a job  {}"


def main() -> int:
    """Measure and report, or report what a file has; exit status 1 if a measurement failed."""
    options = _arguments()
    if options.table:
        run = json.loads(options.table.read_text())
        _report(run, options)
        return 0
    processes.clean_up_at_sigterm()
    plan = _plan(options)
    results: list[Measured] = []
    machine = Machine()
    for one in measured(plan, machine):
        results.append(one)
        print(_row(one), flush=True)
    run = described(plan, results, machine)
    if options.json:
        options.json.write_text(json.dumps(run, indent=1) + "\n")
    _report(run, options)
    return 1 if machine.failures else 0


def _report(run: dict[str, object], options: argparse.Namespace) -> None:
    print(report.tables(run))
    if options.chart:
        chart.write(run, options.chart)


def _row(one: Measured) -> str:
    lag = "" if one.lag_p99_s is None else f"; stored after {one.lag_p99_s:.3f} s (p99)"
    roles = ", ".join(f"{role} {us / 1000:.2f}" for role, us in one.cpu_us.items())
    return _ROW.format(
        one.round, one.system, one.workload, one.database, one.rate, one.total_cpu_us / 1000, roles + lag
    )


def _plan(options: argparse.Namespace) -> Plan:
    try:
        systems = chosen(options.systems.split(","))
        workloads = [WORKLOADS[name] for name in options.workload.split(",")]
    except (ValueError, KeyError) as error:
        sys.exit(f"{error}")
    if missing := [system.name for system in systems if not system.is_installed]:
        sys.exit(f"Not installed: {', '.join(missing)}. Run `make .bench/peers .bench/arq`.")
    return Plan(
        systems,
        workloads,
        options.database.split(","),
        options.rounds,
        options.jobs,
        durable=not options.no_fsync,
        limits=not options.no_limits,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    families = dict.fromkeys(name.partition("-")[0] for name in SYSTEMS)
    parser.add_argument(
        "--systems", default=",".join(families), help=f"of {', '.join(SYSTEMS)} (default: all)"
    )
    parser.add_argument("--workload", default="empty", help=f"of {', '.join(WORKLOADS)} (default: empty)")
    parser.add_argument("--database", default="postgres", help="postgres, sqlite or both (default: postgres)")
    parser.add_argument("--jobs", type=int, default=0, help="jobs of a measurement (default: the workload's)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--no-fsync", action="store_true", help="PostgreSQL does not wait for the disk")
    parser.add_argument("--no-limits", action="store_true", help="do not measure what the machine can do")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run to FILE")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="write a chart to FILE.svg")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="print the tables of an earlier run's FILE"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
