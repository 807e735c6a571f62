"""The cases: twelve jobs, one with three lengths, and the pools that are best on two cores by construction.

On asyncio, a body without a coroutine runs in one of 32 threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLOTS: Mapping[str, int] = {"prefork": 2, "threads": 32, "gevent": 200, "asyncio": 200}


@dataclass(frozen=True)
class Case:
    """A job with its parameters, and the pools that are best: one, or several that are equal by construction.

    The answer must also say the words in `says`.
    """

    name: str
    definition: str
    params: Mapping[str, float]
    best: frozenset[str]
    reason: str
    says: str = ""


def _case(name: str, job: str, params: Mapping[str, float], best: str, reason: str, says: str = "") -> Case:
    return Case(name, f"answers.{job}", params, frozenset(best.split()), reason, says)


_WAITS = "200 waits at once; threads have 32 slots, prefork 2"
_HOLDS_GIL = "it holds the GIL: only two processes use two cores"
_RELEASES_GIL = "one call of C without the GIL: threads and processes use two cores, greenlets one"

CASES: Sequence[Case] = (
    _case("wait-0.25", "wait", {"duration_s": 0.25}, "gevent asyncio", _WAITS),
    _case("wait-0.5", "wait", {"duration_s": 0.5}, "gevent asyncio", _WAITS),
    _case("wait-1", "wait", {"duration_s": 1.0}, "gevent asyncio", _WAITS),
    _case("http", "http", {"wait_ms": 500}, "gevent asyncio", f"{_WAITS}; it has a coroutine"),
    _case("python", "python", {"steps": 250_000}, "prefork", _HOLDS_GIL),
    _case("sha256", "sha256", {"size_mib": 128}, "prefork threads asyncio", _RELEASES_GIL),
    _case("numpy", "matrix", {"size": 1_000}, "prefork threads asyncio", _RELEASES_GIL),
    _case("json", "json_round_trip", {"items": 10_000}, "prefork", _HOLDS_GIL),
    _case(
        *("half", "half", {"duration_s": 0.05, "size_mib": 64}, "threads"),
        "two hash while others wait; prefork's two slots wait half of the time, loops hash on one core",
    ),
    _case(
        *("tiny", "tiny", {}, "prefork threads gevent asyncio"),
        "the platform's own cost, about the same on all, is all that is measured",
        says="put many into one job",
    ),
    _case("payload", "payload", {}, "prefork", f"{_HOLDS_GIL}; to pass 100 kB to a child costs far less"),
    _case(
        *("subprocess", "child_process", {"duration_s": 1.0}, "asyncio"),
        "its coroutine waits for 200 programs at once; threads have 32 slots, gevent forks in Python: 30 ms each",
    ),
    _case(
        *("sql", "sql", {"duration_s": 1.0}, "gevent"),
        "200 waits at once; threads have 32 slots, asyncio 32 threads for a body without a coroutine",
    ),
    _case(
        *("coroutine", "blocking", {"duration_s": 0.3}, "asyncio"),
        "its coroutine waits 200 times at once; the body blocks gevent's hub, and threads have 32 slots",
    ),
)
#: Not among the twelve, since the cost of a job decides it; compared with Celery without Poolwise.
EXTRA: Sequence[Case] = (
    _case("wait-0.1", "wait", {"duration_s": 0.1}, "threads gevent asyncio", _WAITS),
    _case("http-0.1", "http", {"wait_ms": 100}, "threads gevent asyncio", _WAITS),
)
