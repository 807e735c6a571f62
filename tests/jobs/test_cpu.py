"""Jobs that compute, against known answers."""

import hashlib
import subprocess
import sys
from typing import Any

import pytest

from jobs.data import MIB, seeded
from tests.jobs.conftest import Bodies


@pytest.mark.parametrize(
    ("limit", "count", "largest"), [(2, 1, 2), (3, 2, 3), (4, 2, 3), (100, 25, 97), (10**5, 9592, 99991)]
)
def test_primes_are_counted(run: Bodies, limit: int, count: int, largest: int) -> None:
    assert run("cpu.primes", limit=limit) == [{"primes": count, "largest": largest}]


@pytest.mark.parametrize(("size", "solutions"), [(1, 1), (2, 0), (3, 0), (4, 2), (6, 4), (8, 92), (10, 724)])
def test_queens_are_placed(run: Bodies, size: int, solutions: int) -> None:
    assert run("cpu.queens", size=size) == [{"size": size, "solutions": solutions}]


def test_sha256_hashes_all_of_the_data(run: Bodies) -> None:
    expected = hashlib.sha256(seeded(7).randbytes(MIB) * 3).hexdigest()
    assert run("cpu.sha256", size_mib=3, seed=7) == [{"bytes": 3 * MIB, "sha256": expected}]


@pytest.mark.parametrize("level", [1, 9])
def test_compression_halves_the_data_and_restores_it(run: Bodies, level: int) -> None:
    [result] = run("cpu.compress", size_mib=1, level=level)
    assert result["bytes"] == MIB
    assert 0.45 < result["compressed_bytes"] / MIB < 0.65


def test_pbkdf2_derives_the_key(run: Bodies) -> None:
    random = seeded(1)
    key = hashlib.pbkdf2_hmac("sha256", random.randbytes(16), random.randbytes(16), 10)
    assert run("cpu.pbkdf2", iterations=10) == [{"iterations": 10, "key": key.hex()}]


def test_a_json_document_comes_back_the_same(run: Bodies) -> None:
    [result] = run("cpu.json_round_trip", items=10)
    assert result["items"] == 10
    assert result["bytes"] > 10 * len('{"id": 1, "name": "item 1", "price": 1}')


def test_a_matrix_product_is_exact(run: Bodies) -> None:
    [result] = run("cpu.matrix_product", size=1)
    assert result["trace"] == int(result["trace"]) <= 81
    assert run("cpu.matrix_product", size=50) == run("cpu.matrix_product", size=50)


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(400, 200, (64, 32)), (16, 32, (16, 32)), (4000, 16, (64, 1))]
)
def test_a_thumbnail_keeps_the_proportions_and_never_grows(
    run: Bodies, width: int, height: int, expected: tuple[int, int]
) -> None:
    [result] = run("cpu.thumbnail", width_px=width, height_px=height, thumbnail_px=64)
    assert (result["width"], result["height"]) == expected


SMALL: list[tuple[str, dict[str, Any]]] = [
    ("cpu.sha256", {"size_mib": 1}),
    ("cpu.compress", {"size_mib": 1}),
    ("cpu.pbkdf2", {"iterations": 5}),
    ("cpu.json_round_trip", {"items": 50}),
    ("cpu.matrix_product", {"size": 20}),
    ("cpu.thumbnail", {"width_px": 100, "height_px": 100}),
]


@pytest.mark.parametrize(("name", "params"), SMALL)
def test_the_same_seed_gives_the_same_result_and_another_seed_another(
    run: Bodies, name: str, params: dict[str, Any]
) -> None:
    assert run(name, seed=5, **params) == run(name, seed=5, **params)
    assert run(name, seed=5, **params) != run(name, seed=6, **params)


@pytest.mark.slow
def test_a_matrix_product_computes_in_its_own_thread_alone() -> None:
    source = """
import django, time
django.setup()
from jobs.cpu import matrix_product
begin = time.process_time(), time.thread_time()
matrix_product.func(1500, 1)
print((time.thread_time() - begin[1]) / (time.process_time() - begin[0]))
"""
    shown = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(shown.stdout) > 0.95
