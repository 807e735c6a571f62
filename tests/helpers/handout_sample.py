"""A report with an answer, for the tests of what is handed over."""

from typing import Any

from poolwise.lab.report import Report
from poolwise.models import Comparison
from tests.helpers import report_sample as sample


def standing(name: str, role: str, *ratios: float, **more: Any) -> dict[str, Any]:
    """Return where a variant stands; `ratios` are its ratio with both bounds."""
    bounds = dict(zip(("ratio", "low", "high"), ratios, strict=False))
    return {"name": name, "role": role, "of_fastest": bounds.get("ratio"), **bounds, **more}


def answer(**changes: Any) -> dict[str, Any]:
    """Return an answer with two candidates; `changes` replace its keys."""
    plain = {
        "state": "settled",
        "text": "gevent and asyncio are equally fast within 8 %; take gevent (50 slots): least memory per slot (1.2 MB).",
        "pool": "gevent",
        "slots": 50,
        "tie_reason": "least memory per slot (1.2 MB)",
        "next_step": "",
        "why": "The job waits for 99 % of its run.",
        "would_change": "If the job computes for more than 30 % of its run, use prefork.",
        "margin": 0.05,
        "within": 0.08,
        "rounds": 5,
        "standings": [
            standing("gevent", "best", 1.0, 1.0, 1.0),
            standing("asyncio", "candidate", 1.04, 1.0, 1.08),
            standing("threads", "out", 1.49, 1.4, 1.55, net_ratio=1.6),
            standing("prefork", "out", 16.8, 15.9, 17.6),
        ],
    }
    return plain | changes


def report(**changes: Any) -> Report:
    """Return the report; `changes` replace its top-level keys."""
    return sample.report(**({"answer": answer()} | changes))


def comparison(**changes: Any) -> Comparison:
    """Return the comparison of the report, not stored; `changes` replace its columns."""
    plain = {"definition": "io.wait", "params": {"duration_s": 0.1}, "copies": 20, "rounds": 5, "seed": 7}
    return Comparison(**(plain | changes))
