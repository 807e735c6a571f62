"""Read a bundle from an untrusted source: limited in size, known file names only, checked against its manifest."""

import hashlib
import re
import struct
import zipfile
import zlib
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
from poolwise.support import BadBundle, count

_KNOWN = re.compile(
    rf"{re.escape(MANIFEST)}|{re.escape(SAMPLES)}|{re.escape(FIGURES)}|{re.escape(COMMAND)}|{CHART}"
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: What the standard library raises on a damaged file, from its directory to its compressed data.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: the plan of the comparison, its report, and a row per job."""

    manifest: Manifest
    report: Report
    samples: list[rows.SampleRow]


def read(file: Path | BinaryIO) -> Bundle:
    """Return a bundle's content without its charts. Raise BadBundle, or OSError of a file."""
    stream = file.open("rb") if isinstance(file, Path) else file
    with stream:
        if stream.seek(0, 2) > MAX_FILE_BYTES:
            raise BadBundle(f"The bundle is larger than {MAX_FILE_BYTES:,} bytes.")
        try:
            with zipfile.ZipFile(stream) as archive:
                return _read(archive)
        except _DAMAGED as error:
            raise BadBundle(f"Not a readable zip file: {error}.") from error


def _read(archive: zipfile.ZipFile) -> Bundle:
    _check_entries(archive.infolist())
    manifest = _parsed(Manifest, _content(archive, MANIFEST, MAX_JSON_BYTES), MANIFEST)
    contents = {
        name: _checked(_content(archive, name, limit), name, manifest)
        for name, limit in ((SAMPLES, MAX_UNPACKED_BYTES), (FIGURES, MAX_JSON_BYTES))
    }
    report = _parsed(Report, contents[FIGURES], FIGURES)
    samples = rows.from_csv(_decoded(contents[SAMPLES], SAMPLES))
    names, pools = {variant.name for variant in report.pools}, {variant.pool for variant in report.pools}
    if unknown := ({row[0] for row in samples} - names) | (set(manifest.comparison.pools) - pools):
        raise BadBundle(f"{FIGURES} has no pool {min(unknown)!r}.")
    return Bundle(manifest, report, samples)


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_ENTRIES or len(set(names)) != len(names):
        raise BadBundle(f"A bundle has at most {MAX_ENTRIES} files, with unique names.")
    if unknown := next((name for name in names if not _KNOWN.fullmatch(name)), None):
        raise BadBundle(f"Unknown file {unknown[:80]!r} in the bundle.")
    if any(entry.flag_bits & 0x1 or entry.compress_type not in _METHODS for entry in entries):
        raise BadBundle("A bundle must not be encrypted, and must be stored or compressed by deflate.")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise BadBundle(f"The bundle unpacks to more than {MAX_UNPACKED_BYTES:,} bytes.")
    if missing := [name for name in (MANIFEST, SAMPLES, FIGURES) if name not in names]:
        raise BadBundle(f"The bundle has no {missing[0]}.")


def _content(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    # The sizes in the directory may be wrong, so limit what is read.
    with archive.open(name) as entry:
        content = entry.read(limit + 1)
    if len(content) > limit:
        raise BadBundle(f"{name} is larger than {limit:,} bytes.")
    return content


def _checked(content: bytes, name: str, manifest: Manifest) -> bytes:
    listed = manifest.files.get(name)
    if listed is None or listed.sha256 != hashlib.sha256(content).hexdigest():
        raise BadBundle(f"{name} does not match the manifest: the bundle was changed or damaged.")
    return content


def _decoded(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadBundle(f"{name} is not UTF-8.") from error
    if "\0" in text or "\\u0000" in text:  # PostgreSQL stores no NUL
        raise BadBundle(f"{name} contains a NUL character.")
    return text


def _parsed[Model: BaseModel](model: type[Model], content: bytes, name: str) -> Model:
    try:
        return model.model_validate_json(_decoded(content, name))
    except ValidationError as error:
        raise BadBundle(f"{name}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:120]
    return f"{place or 'the file'}: {first['msg']} ({count(error.error_count(), 'error')})"
