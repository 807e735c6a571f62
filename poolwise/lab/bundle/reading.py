"""Read a bundle that anybody may have made: bounded, by known names alone, and checked against its manifest."""

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ValidationError

from poolwise.lab.bundle import rows
from poolwise.lab.bundle.shape import (
    CHART,
    COMMAND,
    FIGURES,
    MANIFEST,
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_JSON_BYTES,
    MAX_UNPACKED_BYTES,
    SAMPLES,
    Manifest,
)
from poolwise.lab.report import Report
from poolwise.support import BadBundle

_KNOWN = re.compile(
    rf"{re.escape(MANIFEST)}|{re.escape(SAMPLES)}|{re.escape(FIGURES)}|{re.escape(COMMAND)}|{CHART}"
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that holds together: what was asked for, the report, and the jobs behind it."""

    manifest: Manifest
    report: Report
    samples: list[rows.SampleRow]


def read(file: Path | BinaryIO) -> Bundle:
    """Return a bundle's content; its charts are not looked at. Raise BadBundle, or OSError of a file."""
    stream = file.open("rb") if isinstance(file, Path) else file
    with stream:
        if stream.seek(0, 2) > MAX_FILE_BYTES:
            raise BadBundle(f"The bundle is larger than {MAX_FILE_BYTES:,} bytes.")
        try:
            with zipfile.ZipFile(stream) as archive:
                return _read(archive)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise BadBundle(f"It is no zip file that can be read: {error}.") from error


def _read(archive: zipfile.ZipFile) -> Bundle:
    _check_entries(archive.infolist())
    manifest = _parsed(Manifest, _content(archive, MANIFEST, MAX_JSON_BYTES), MANIFEST)
    contents = {
        name: _checked(_content(archive, name, limit), name, manifest)
        for name, limit in ((SAMPLES, MAX_UNPACKED_BYTES), (FIGURES, MAX_JSON_BYTES))
    }
    report = _parsed(Report, contents[FIGURES], FIGURES)
    samples = rows.from_csv(_decoded(contents[SAMPLES], SAMPLES))
    named, pools = {variant.name for variant in report.pools}, {variant.pool for variant in report.pools}
    if strange := ({row[0] for row in samples} - named) | (set(manifest.comparison.pools) - pools):
        raise BadBundle(f"{FIGURES} knows no pool {min(strange)!r}.")
    return Bundle(manifest, report, samples)


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_ENTRIES or len(set(names)) != len(names):
        raise BadBundle(f"A bundle has at most {MAX_ENTRIES} files, each once.")
    if strange := next((name for name in names if not _KNOWN.fullmatch(name)), None):
        raise BadBundle(f"{strange[:80]!r} is no file of a bundle.")
    if any(entry.flag_bits & 0x1 or entry.compress_type not in _METHODS for entry in entries):
        raise BadBundle("A bundle is neither encrypted nor packed by anything but deflate.")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise BadBundle(f"The bundle unpacks to more than {MAX_UNPACKED_BYTES:,} bytes.")
    if missing := [name for name in (MANIFEST, SAMPLES, FIGURES) if name not in names]:
        raise BadBundle(f"The bundle has no {missing[0]}.")


def _content(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    # The directory may lie about sizes: what counts is what is read.
    with archive.open(name) as entry:
        content = entry.read(limit + 1)
    if len(content) > limit:
        raise BadBundle(f"{name} is larger than {limit:,} bytes.")
    return content


def _checked(content: bytes, name: str, manifest: Manifest) -> bytes:
    listed = manifest.files.get(name)
    if listed is None or listed.sha256 != hashlib.sha256(content).hexdigest():
        raise BadBundle(f"{name} is not the file that the manifest lists: the bundle was changed or damaged.")
    return content


def _decoded(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadBundle(f"{name} is not UTF-8.") from error
    if "\0" in text or "\\u0000" in text:  # PostgreSQL stores no NUL
        raise BadBundle(f"{name} holds a NUL character.")
    return text


def _parsed[Model: BaseModel](model: type[Model], content: bytes, name: str) -> Model:
    try:
        return model.model_validate_json(_decoded(content, name))
    except ValidationError as error:
        raise BadBundle(f"{name}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"])[:120]
    return f"{place or 'the file'}: {found['msg']} ({error.error_count()} errors)"
