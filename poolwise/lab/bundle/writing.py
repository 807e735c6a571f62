"""Write a comparison's report as one zip file."""

import hashlib
import io
import json
import shlex
import subprocess
import zipfile
from typing import Any

import structlog
from django.utils import timezone

from poolwise.charts import export
from poolwise.lab import charts as comparison_charts
from poolwise.lab import report
from poolwise.lab.bundle import rows
from poolwise.lab.bundle.shape import COMMAND, FIGURES, FORMAT, MANIFEST, SAMPLES, VERSION
from poolwise.lab.report import Report, Sample
from poolwise.lab.variants import value_text
from poolwise.models import Comparison
from poolwise.support import PoolwiseError, parameters, shown

log = structlog.get_logger(__name__)
#: A fixed timestamp: the same report gives the same bytes, except for the times in the manifest.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(comparison: Comparison) -> bytes:
    """Return the bundle of a comparison: manifest, samples, figures, charts, and the command that repeats it.

    Raise PoolwiseError when the comparison has no report.
    """
    loaded = report.load(comparison)
    if loaded is None:
        raise PoolwiseError("The comparison has no report yet: wait until it ends.")
    samples = report.samples(comparison)
    files = {
        SAMPLES: rows.as_csv(samples).encode(),
        FIGURES: _json(loaded.model_dump(mode="json")),
        COMMAND: f"{command(comparison, loaded)}\n".encode(),
        **charts(comparison, loaded, samples),
    }
    return _zipped({MANIFEST: _json(_manifest(comparison, loaded, files)), **files})


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _manifest(comparison: Comparison, loaded: Report, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "written_at": timezone.now().isoformat(timespec="seconds"),
        "created_at": comparison.created_at.isoformat(timespec="seconds"),
        "answer": loaded.answer.text,
        "comparison": plan_options(comparison, loaded),
        "environment": loaded.environment,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
    }


def plan_options(comparison: Comparison, loaded: Report) -> dict[str, Any]:
    """Return the arguments of `lab.plan` that repeat the comparison; the pools in the order of the report."""
    names = ("definition", "params", "copies", "rounds", "seed", "warmup", "calibrate", "baseline", "preset",
             "budget_s", "in_flight", "arrival_rate_per_s", "slots", "is_sweep", "vary")  # fmt: skip
    pools = dict.fromkeys(variant.pool for variant in loaded.pools)
    return {**{name: getattr(comparison, name) for name in names}, "pools": list(pools)}


_OPTIONS = {
    "--copies": "copies", "--rounds": "rounds", "--seed": "seed", "--slots": "slots", "--in-flight": "in_flight",
    "--rate": "arrival_rate_per_s", "--baseline": "baseline",
}  # fmt: skip
_FLAGS = {"--warmup": "warmup", "--calibrate": "calibrate", "--sweep": "is_sweep"}


def command(comparison: Comparison, loaded: Report) -> str:
    """Return the command that runs the same comparison again."""
    given = plan_options(comparison, loaded)
    arguments = ["manage.py", "compare", given["definition"], "--pools", ",".join(given["pools"])]
    if given["budget_s"] is not None:  # the pilot sizes the batches again
        arguments += ["--budget", f"{given['budget_s']:g}"]
        given |= {"copies": None, "rounds": None, "warmup": False}
    for option, name in _OPTIONS.items():
        arguments += [option, str(given[name])] if given[name] not in (None, "") else []
    arguments += [option for option, name in _FLAGS.items() if given[name]]
    for name, values in (given["vary"] or {}).items():
        arguments += ["--vary", f"{name}={','.join(map(value_text, values))}"]
    for name, value in given["params"].items():
        arguments += ["--param", f"{name}={json.dumps(shown(value), ensure_ascii=False)}"]
    return shlex.join(arguments)


def charts(comparison: Comparison, loaded: Report, samples: list[Sample]) -> dict[str, bytes]:
    """Return every chart that the report has data for, as SVG by its path; none when they cannot be drawn."""
    subtitle = " · ".join(
        filter(
            None,
            [comparison.definition, parameters(comparison.shown_params), comparison.size],
        )
    )
    try:
        made = comparison_charts.charts(loaded, samples)
        specs = {key: export.with_look(chart.spec, subtitle) for key, chart in made.items()}
        drawn = export.draw_all(specs)
    except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
        log.warning("cannot draw the charts of a bundle", comparison=str(comparison.pk), error=str(error))
        return {}
    return {f"charts/{key}.svg": svg.encode() for key, svg in drawn.items()}
