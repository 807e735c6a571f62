"""Result bundles: writing and reading keeps everything, and an untrusted file is checked."""

import csv
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from poolwise.lab import bundle as bundles
from poolwise.lab import report
from poolwise.models import Comparison, Job
from poolwise.support.errors import BadBundle, PoolwiseError
from tests.helpers.comparison_rows import FAST, SLOW, batch, compared

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.usefixtures("two_pools")]


def frozen(**fields: Any) -> Comparison:
    comparison = compared({"prefork": SLOW, "gevent": FAST}, seed=7, warmup=True, **fields)
    report.freeze(comparison)
    return comparison


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def changed(name: str, change: Callable[[bytes], bytes]) -> io.BytesIO:
    """Return a bundle of which one file is changed and the manifest agrees with it."""
    files = files_of(bundles.write(frozen()))
    files[name] = change(files[name])
    if name != "manifest.json":
        manifest = json.loads(files["manifest.json"])
        manifest["files"][name]["sha256"] = hashlib.sha256(files[name]).hexdigest()
        files["manifest.json"] = json.dumps(manifest).encode()
    return packed(files)


def test_a_bundle_holds_manifest_samples_figures_charts_and_the_command() -> None:
    comparison = frozen()
    files = files_of(bundles.write(comparison))
    assert {
        "manifest.json",
        "samples.csv",
        "figures.json",
        "command.txt",
        "charts/ratios.svg",
    } <= files.keys()
    assert files["charts/ratios.svg"].startswith(b"<svg")
    assert json.loads(files["figures.json"]) == comparison.report
    rows = list(csv.DictReader(io.StringIO(files["samples.csv"].decode())))
    assert len(rows) == 40
    assert rows[0]["run_s"] == "1.0"
    manifest = json.loads(files["manifest.json"])
    assert manifest["comparison"]["pools"] == ["prefork", "gevent"]
    assert all(
        manifest["files"][name]["bytes"] == len(files[name]) for name in files if name != "manifest.json"
    )


def test_the_command_repeats_the_comparison() -> None:
    comparison = frozen(in_flight=3)
    assert bundles.command(comparison, report.load(comparison)) == (
        "manage.py compare io.wait --pools prefork,gevent --copies 4 --rounds 5 --seed 7 --in-flight 3 --warmup "
        "--param duration_s=0.1"
    )


def test_the_command_repeats_a_comparison_with_a_budget_by_its_budget() -> None:
    comparison = frozen(budget_s=30.0)
    command = bundles.command(comparison, report.load(comparison))
    assert command == (
        "manage.py compare io.wait --pools prefork,gevent --budget 30 --seed 7 --param duration_s=0.1"
    )


@pytest.mark.usefixtures("no_charts")
def test_a_bundle_keeps_pilots_and_the_budget() -> None:
    comparison = compared({"prefork": SLOW, "gevent": FAST}, seed=7, budget_s=30.0)
    batch(comparison, "gevent", 0, 0.1, role="pilot")
    report.freeze(comparison)
    imported = bundles.store(bundles.read(io.BytesIO(bundles.write(comparison))))
    assert imported.budget_s == 30
    assert (
        imported.batches.filter(role="pilot").count() == comparison.batches.filter(role="pilot").count() == 1
    )


@pytest.mark.usefixtures("no_charts")
def test_an_imported_bundle_is_the_same_report_without_a_job() -> None:
    comparison = frozen()
    samples = report.samples(comparison)
    content = bundles.write(comparison)
    Job.objects.all().delete()
    imported = bundles.store(bundles.read(io.BytesIO(content)))
    imported.refresh_from_db()
    assert imported.report == comparison.report
    assert imported.imported_at is not None
    assert imported.state == Comparison.State.FINISHED
    assert (imported.params, imported.rounds, imported.seed, imported.warmup) == (
        {"duration_s": 0.1},
        5,
        7,
        True,
    )
    assert imported.batches.count() == 10
    assert not Job.objects.exists()
    by_start = {json.dumps(row, default=str) for row in samples}
    assert {json.dumps(row, default=str) for row in report.samples(imported)} == by_start


@pytest.mark.usefixtures("no_charts")
def test_a_bundle_of_an_imported_comparison_is_the_same_bundle() -> None:
    first = files_of(bundles.write(frozen()))
    again = files_of(bundles.write(bundles.store(bundles.read(packed(first)))))
    assert again["figures.json"] == first["figures.json"]
    assert sorted(again["samples.csv"].splitlines()) == sorted(first["samples.csv"].splitlines())


def test_a_comparison_without_a_report_has_no_bundle() -> None:
    with pytest.raises(PoolwiseError, match="no report yet"):
        bundles.write(Comparison.objects.create(definition="io.wait", copies=1))


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize("name", ["samples.csv", "figures.json"])
def test_a_file_that_does_not_match_the_manifest_is_refused(name: str) -> None:
    files = files_of(bundles.write(frozen()))
    with pytest.raises(BadBundle, match="changed or damaged"):
        bundles.read(packed({**files, name: files[name] + b" "}))


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize(
    "name", ["../outside.txt", "/etc/passwd", "charts/../../x.svg", "more.txt", "charts/X.svg"]
)
def test_a_bundle_with_any_other_file_is_refused(name: str) -> None:
    with pytest.raises(BadBundle, match="Unknown file"):
        bundles.read(packed({**files_of(bundles.write(frozen())), name: b"x"}))


@pytest.mark.usefixtures("no_charts")
def test_a_zip_bomb_is_refused_by_its_directory_and_by_what_it_unpacks_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = packed({**files_of(bundles.write(frozen())), "charts/bomb.svg": bytes(200_000_000)})
    assert len(bomb.getvalue()) < 1_000_000
    with pytest.raises(BadBundle, match="unpacks to more than"):
        bundles.read(bomb)
    monkeypatch.setattr("poolwise.lab.bundle.reading.MAX_JSON_BYTES", 100)
    with pytest.raises(BadBundle, match=r"manifest.json is larger than 100 bytes"):
        bundles.read(packed(files_of(bundles.write(frozen()))))


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("figures.json", b'"outcome": "faster"', b'"outcome": "great"', r"pairs.0.outcome: Input should be"),
        ("figures.json", b'"ratio": ', b'"ratio": -', "greater than or equal to 0"),
        ("figures.json", b'"ratio": ', b'"ratio": NaN, "x": ', "finite number"),
        ("figures.json", b'"text": "', b'"text": "\\u0000', "NUL"),
        ("figures.json", b'"text": "', b'"text": "' + b"x" * 3000, "at most 2000 characters"),
        ("figures.json", b'"role": "best"', b'"role": "worst"', r"answer.standings.0.role: Input should be"),
        ("manifest.json", b'"version": 1', b'"version": 2', "version"),
        ("manifest.json", b'"definition": "io.wait"', b'"definition": "<b>"', "definition"),
        ("manifest.json", b'"created_at": "2', b'"created_at": "x2', "created_at"),
        ("manifest.json", b'{', b'[' * 100_000 + b'{', "manifest.json"),
        ("samples.csv", b"gevent,", b"<script>,", "is not a valid pool"),
        ("samples.csv", b"gevent,", b"threads,", "has no pool 'threads'"),
        ("samples.csv", b",0.001,", b",inf,", "out of range"),
        ("samples.csv", b",0.001,", b",0.0_01,", "is not a number"),
        ("samples.csv", b",succeeded,", b",splendid,", "is not a valid state"),
        ("samples.csv", b"pool,round", b"round,pool", "must begin with the columns"),
        ("samples.csv", b"gevent,1", b"gevent,1,1", "line"),
    ],
)  # fmt: skip
def test_invalid_content_is_refused(name: str, before: bytes, after: bytes, message: str) -> None:
    bundle = changed(name, lambda content: content.replace(before, after, 1))
    with pytest.raises(BadBundle, match=message):
        bundles.store(bundles.read(bundle))
    assert Comparison.objects.count() == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"text"])
def test_a_file_that_is_no_zip_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(content)
    with pytest.raises(BadBundle, match="Not a readable zip file"):
        bundles.read(file)


@pytest.mark.usefixtures("no_charts")
def test_a_damaged_file_is_refused_whatever_bytes_differ() -> None:
    content, chance = bundles.write(frozen()), random.Random(1)
    refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 2, 12))):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        with suppress(BadBundle):
            bundles.read(io.BytesIO(damaged))  # what does not matter, such as a date, may differ
            continue
        refused += 1
    assert refused > 300


@pytest.mark.usefixtures("no_charts")
def test_a_comparison_of_variants_comes_back_with_its_variants_and_their_pool() -> None:
    vary = {"duration_s": [0.1, 1]}
    comparison = compared({"gevent": FAST, "prefork": SLOW}, seed=7, vary=vary, baseline="duration_s=0.1")
    for pool, value in (("gevent", 0.1), ("prefork", 1)):
        batches = comparison.batches.filter(pool=pool)
        batches.update(pool="gevent", label=f"duration_s={value}", params={"duration_s": value})
    report.freeze(comparison)
    assert (
        comparison.report["answer"]["text"]
        == "duration_s=0.1 is the fastest. It is 10.0× as fast as duration_s=1."
    )
    assert comparison.report["pairs"][0]["ratio"] == pytest.approx(0.1)
    content = bundles.write(comparison)
    command = files_of(content)["command.txt"].decode()
    assert "--pools gevent " in command
    assert "--vary duration_s=0.1,1" in command
    imported = bundles.store(bundles.read(io.BytesIO(content)))
    imported.refresh_from_db()
    assert imported.report == comparison.report
    assert imported.vary == vary
    assert {(batch.pool, batch.variant) for batch in imported.batches.all()} == {
        ("gevent", "duration_s=0.1"),
        ("gevent", "duration_s=1"),
    }
    again = files_of(bundles.write(imported))["samples.csv"]
    assert sorted(again.splitlines()) == sorted(files_of(content)["samples.csv"].splitlines())
