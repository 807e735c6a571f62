"""The samples of a bundle: a row per job, as CSV."""

import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from poolwise.lab.bundle.shape import MAX_SAMPLES
from poolwise.lab.report import SAMPLE_COLUMNS, Sample
from poolwise.support import MAX_VARIANT_NAME_CHARS, VARIANT_NAME, BadBundle, as_written

_TEXTS = ("pool", "role", "state")
_WHOLE = ("round", "slots")
_STAMPS = ("published_at", "started_at", "finished_at")
_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
_ROLES = ("measured", "warmup", "calibration", "pilot")
_MAX_S = 1e9
_STAMP = TypeAdapter(datetime)
_VARIANT_NAME = re.compile(VARIANT_NAME)

type SampleRow = list[Any]


def as_csv(samples: Iterable[Sample]) -> str:
    """Return the samples as CSV; times are ISO 8601, values that were not measured are empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SAMPLE_COLUMNS)
    writer.writerows(map(_text, sample) for sample in samples)
    return out.getvalue()


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else value


def from_csv(text: str) -> list[SampleRow]:
    """Return the rows, in the order of SAMPLE_COLUMNS and ready for JSON. Raise BadBundle."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[SampleRow] = []
    try:
        if tuple(next(reader, ())) != SAMPLE_COLUMNS:
            raise BadBundle(f"samples.csv must begin with the columns {', '.join(SAMPLE_COLUMNS)}.")
        for number, cells in enumerate(reader, start=2):
            if number > MAX_SAMPLES + 1:
                raise BadBundle(f"samples.csv has more than {MAX_SAMPLES} jobs.")
            rows.append(_row(cells, number))
    except csv.Error as error:
        raise BadBundle(f"samples.csv is not valid CSV: {error}.") from error
    return rows


def _row(cells: list[str], number: int) -> SampleRow:
    try:
        return [_value(name, cell) for name, cell in zip(SAMPLE_COLUMNS, cells, strict=True)]
    except (ValueError, ValidationError, OverflowError) as error:
        raise BadBundle(f"samples.csv, line {number}: {str(error).splitlines()[0]}.") from error


def _value(name: str, cell: str) -> Any:
    if name in _TEXTS:
        allowed = {"role": _ROLES, "state": _STATES}.get(name)
        if (
            (allowed and cell not in allowed)
            or len(cell) > MAX_VARIANT_NAME_CHARS
            or not _VARIANT_NAME.fullmatch(cell)
        ):
            raise ValueError(f"{cell[:40]!r} is not a valid {name}")
        return cell
    cell = as_written(cell)
    if name in _WHOLE:
        whole = int(cell[:12])
        if not 0 <= whole <= 1_000_000:
            raise ValueError(f"{name} is out of range")
        return whole
    if cell == "":
        return None
    if name in _STAMPS:
        stamp = _STAMP.validate_python(cell[:40])
        if stamp.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
        return stamp.isoformat()
    seconds = float(cell[:40])
    if not 0 <= seconds <= _MAX_S:  # false for NaN, too
        raise ValueError(f"{name} is out of range")
    return seconds
