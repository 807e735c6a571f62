"""A chart of a run: jobs/s of each system, a picture in SVG."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import altair as alt

from benchmarks.peers.report import rounds_by_system


def write(run: Mapping[str, Any], file: Path) -> None:
    """Write the medians of each workload and database as bars, a column for each."""
    groups = dict.fromkeys((row["workload"], row["database"]) for row in run["measured"])
    columns = [_bars(run, *group) for group in groups]
    alt.hconcat(*columns).resolve_scale(x="independent").save(str(file))


def _bars(run: Mapping[str, Any], workload: str, database: str) -> Any:
    rows = [row for row in run["measured"] if (row["workload"], row["database"]) == (workload, database)]
    values = [
        {
            "system": name,
            "rate": median(row["rate"] for row in rounds.values()),
            "own": name.startswith("poolwise"),
        }
        for name, rounds in rounds_by_system(rows).items()
    ]
    return (
        alt.Chart({"values": values}, title=f"{workload}, {database}", width=260)
        .mark_bar()
        .encode(
            x=alt.X("rate:Q", title="jobs/s"),
            y=alt.Y("system:N", sort="-x", title=None),
            color=alt.Color("own:N", legend=None),
            tooltip=["system:N", alt.Tooltip("rate:Q", format=",.0f")],
        )
    )
