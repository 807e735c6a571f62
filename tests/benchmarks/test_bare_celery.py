"""The benchmark of Celery without Poolwise: its bodies are those of the cases, and its ratios are paired."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.answers.cases import CASES, EXTRA
from benchmarks.bare_celery import ratio, row, standings
from benchmarks.bare_worker import BODIES


def test_the_bodies_have_the_parameters_of_the_cases() -> None:
    params = {case.name: case.params for case in (*CASES, *EXTRA)}
    assert {name: body_params for name, (_, body_params) in BODIES.items()} == {
        name: params[name] for name in BODIES
    }


def test_a_ratio_is_paired_by_round() -> None:
    # Rounds differ tenfold, the pools of a round always by a factor of two.
    assert ratio([2.0, 20.0, 8.0], [1.0, 10.0, 4.0]) == pytest.approx((2.0, 2.0, 2.0))
    # The logarithms are ln 2 ± 0.1 for n = 2: t(0.975, 1) = 12.706, s / √n = 0.1.
    wide = ratio([2.0 * 1.105170918, 2.0 / 1.105170918], [1.0, 1.0])
    assert wide == pytest.approx((2.0, 2.0 * 0.28066, 2.0 * 3.5631), rel=1e-3)


def test_a_row_shows_both_ratios_of_poolwise_beside_its_own(tmp_path: Path) -> None:
    standing = {"name": "gevent", "ratio": 1.8, "low": 1.7, "high": 1.9, "net_ratio": 2.0, "net_low": 1.9}
    file = tmp_path / "answers.json"
    file.write_text(json.dumps([{"case": "json", "answer": {"standings": [{**standing, "net_high": 2.1}]}}]))
    own = {"gevent": (0.5, 0.4, 0.6)}
    ratios = {"faster_than_prefork": own, "time_over_fastest": {"gevent": (2.0, 1.6, 2.5)}}
    shown = row("json", "gevent", ratios, standings(file)["json", "gevent"])
    figures = ["0.5 (0.4–0.6)", "2 (1.6–2.5)", "1.8 (1.7–1.9)", "2 (1.9–2.1)"]
    assert re.split(r"\s{2,}", shown) == ["json", "gevent", *figures]
    assert re.split(r"\s{2,}", row("json", "gevent", ratios, {})) == ["json", "gevent", *figures[:2]]
