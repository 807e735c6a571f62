"""The tables of a run, from its JSON: medians, ratios of the same round with their intervals, shares of the limits."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.bare_celery import Ratio, ratio

type Rows = Sequence[Mapping[str, Any]]

_ROLES = ("workers", "coordinator", "redis", "database")
_HEAD = (
    "system", "jobs/s", "lowest–highest", "CPU a job, ms", "workers + coordinator + Redis + database",
    "Poolwise / it", "share of limit", "stores, promises",
)  # fmt: skip


def tables(run: Mapping[str, Any]) -> str:
    """Return a run in Markdown: a table for each workload and database, then settings and versions."""
    parts = [_setting(run)]
    for database, workload in _groups(run["measured"]):
        rows = [row for row in run["measured"] if (row["database"], row["workload"]) == (database, workload)]
        parts.append(f"### {workload}, {database}\n\n{_table(rows, run)}")
        parts += filter(None, [_lags(rows)])
    if run.get("limits"):
        parts.append(f"### Limits of the machine in this run\n\n{_limits(run['limits'])}")
    return "\n\n".join([*parts, _settings_of_systems(run)]) + "\n"


def _groups(rows: Rows) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["database"], row["workload"]) for row in rows))


def _setting(run: Mapping[str, Any]) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in run["versions"].items())
    return f"{run['cores']} cores, {run['rounds']} rounds, {run['begun']}. {machine}. {run['servers']}."


def _table(rows: Rows, run: Mapping[str, Any]) -> str:
    by_system = rounds_by_system(rows)
    ordered = sorted(by_system, key=lambda name: -_median(by_system[name], "rate"))
    lines = [_line(name, by_system, run) for name in ordered]
    return "\n".join([_joined(_HEAD), _joined(["---"] * len(_HEAD)), *map(_joined, lines)])


def rounds_by_system(rows: Rows) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Return the measurements by system and round."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["system"], {})[row["round"]] = row
    return found


def _line(
    name: str, by_system: Mapping[str, Mapping[int, Mapping[str, Any]]], run: Mapping[str, Any]
) -> list[str]:
    rounds = by_system[name]
    rates = [row["rate"] for row in rounds.values()]
    return [
        name,
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        _ms(_median(rounds, "total_cpu_us")),
        " + ".join(_roles(rounds)),
        shown(against(name, by_system)),
        _share(rounds, run),
        run["systems"][name]["note"],
    ]


def _roles(rounds: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    for role in _ROLES:
        spent = [row["cpu_us"][role] for row in rounds.values() if role in row["cpu_us"]]
        yield _ms(median(spent)) if spent else "–"


def against(name: str, by_system: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> Ratio | None:
    """Return how many times as fast Poolwise is, on the same model of pool if both have it, else on threads."""
    own = f"poolwise-{name.rpartition('-')[2]}"
    own = own if own in by_system else "poolwise-threads"
    if name.startswith("poolwise-") or own not in by_system:
        return None
    shared = sorted(set(by_system[own]) & set(by_system[name]))
    if not shared:
        return None
    # How many times as long the other takes: `ratio` compares seconds.
    return ratio(
        [1 / by_system[name][number]["rate"] for number in shared],
        [1 / by_system[own][number]["rate"] for number in shared],
    )


def shown(value: Ratio | None) -> str:
    """Return a ratio with its 95 % interval."""
    if value is None:
        return "–"
    middle, low, high = (f"{number:.2g}" if number < 10 else f"{number:.0f}" for number in value)
    return f"{middle} ×" if low == high else f"{middle} × ({low}–{high})"


def limit_of(workload: str, database: str, stores_rows: bool, limits: Mapping[str, float]) -> float | None:
    """Return the jobs/s at which this machine stops a system: see `benchmarks.limits`."""
    if workload in ("wait", "compute"):
        return None
    rows = limits.get(f"rows/s, {database}")
    bounds = [limits.get("Redis round trips/s"), rows if stores_rows else None]
    return min((bound for bound in bounds if bound), default=None)


def _share(rounds: Mapping[int, Mapping[str, Any]], run: Mapping[str, Any]) -> str:
    row = next(iter(rounds.values()))
    if row["ideal_s"]:
        return f"{_median(rounds, 'ideal_share'):.0%} of ideal"
    medians = {name: median(values) for name, values in run.get("limits", {}).items()}
    stores_rows = bool(run["systems"][row["system"]]["database"])
    limit = limit_of(row["workload"], row["database"], stores_rows, medians)
    return f"{_median(rounds, 'rate') / limit:.1%}" if limit else "–"


def _lags(rows: Rows) -> str:
    """Return how soon after a job 99 % of the outcomes were stored, of the systems that note it."""
    by_system = rounds_by_system([row for row in rows if row["lag_p99_s"] is not None])
    lines = [_joined(("end of a job → stored, p99", "s", "lowest–highest")), _joined(["---"] * 3)]
    for name, rounds in sorted(by_system.items()):
        lags_s = [row["lag_p99_s"] for row in rounds.values()]
        lines.append(_joined((name, f"{median(lags_s):.2f}", f"{min(lags_s):.2f}–{max(lags_s):.2f}")))
    return "\n".join(lines) if by_system else ""


def _limits(limits: Mapping[str, Sequence[float]]) -> str:
    lines = [_joined(("limit", "median", "lowest–highest")), _joined(["---"] * 3)]
    for name, values in limits.items():
        digits = 2 if max(values) < 10 else 0
        spread = f"{min(values):,.{digits}f}–{max(values):,.{digits}f}"
        lines.append(_joined((name, f"{median(values):,.{digits}f}", spread)))
    return "\n".join(lines)


def _settings_of_systems(run: Mapping[str, Any]) -> str:
    lines = [
        f"- {name}: {', '.join(system['versions'])}; {system['settings']}"
        for name, system in run["systems"].items()
    ]
    return "\n".join(["### Settings", "", *lines])


def _median(rounds: Mapping[int, Mapping[str, Any]], name: str) -> float:
    return float(median(row[name] for row in rounds.values()))


def _ms(us: float) -> str:
    return f"{us / 1000:.2f}"


def _joined(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
