"""Data in a message instead of a reference to it."""

import json
import time
from typing import Annotated, Any, Literal

from kombu.serialization import dumps, loads
from kombu.transport.virtual.base import Base64
from pydantic import Field

from jobs.data import Seed, seeded, temporary_file
from jobs.hazards import lessons
from jobs.hazards.together import spin
from poolwise import job

_SIZES_KIB = (1, 10, 100, 1000, 4000)
_RECORD_BYTES = 72
_REPEATS = 3
_codec = Base64()

Way = Annotated[
    Literal["json", "msgpack", "reference"],
    Field(description="The whole data as JSON or as msgpack, or a reference to a file that holds it."),
]


@job(
    kind="hazard",
    name="hazard.large_payload",
    title="Large arguments and results",
    lesson=lessons.LARGE_PAYLOAD,
)
def large_payload(
    way: Way = "json",
    largest_kib: Annotated[int, Field(ge=1, le=4000, description="Largest size to try.")] = 1000,
    work_ms: Annotated[int, Field(ge=1, le=1000, description="Computing time of the job itself.")] = 10,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Pass data of several sizes to a job and its result back, as Celery's messages do; return serialisation's share.

    Lesson: arguments and results are copied about eight times on their way (encoded, packed, unpacked, decoded), with
    the GIL held. msgpack takes about half the time of JSON and is smaller; a reference costs next to nothing in the
    broker. Pass references.
    """
    sizes = [size for size in _SIZES_KIB if size <= largest_kib]
    return {
        "way": way,
        "work_ms": work_ms,
        "sizes": [_best_of(way, size_kib, work_ms / 1000, seed) for size_kib in sizes],
    }


def _best_of(way: str, size_kib: int, work_s: float, seed: int) -> dict[str, Any]:
    """Return the fastest of several measurements."""
    records = _records(size_kib, seed)
    tries = [_measure(way, records, work_s) for _ in range(_REPEATS)]
    return {
        "size_kib": size_kib,
        "records": len(records),
        **min(tries, key=lambda figures: figures["passing_s"]),
    }


def _records(size_kib: int, seed: int) -> list[dict[str, Any]]:
    random = seeded(seed)
    return [
        {"id": i, "customer": f"customer {random.randrange(1000)}", "amount": random.randrange(100_000) / 100}
        for i in range(max(1, size_kib * 1024 // _RECORD_BYTES))
    ]


def _measure(way: str, records: list[dict[str, Any]], work_s: float) -> dict[str, Any]:
    passed = _by_reference if way == "reference" else _by_value
    passing_s, worked_s, message_bytes = passed(way, records, work_s)
    return {
        "message_bytes": message_bytes,
        "passing_s": round(passing_s, 6),
        "work_s": round(worked_s, 6),
        "share": round(passing_s / (passing_s + worked_s), 4),
    }


def _by_value(way: str, records: list[dict[str, Any]], work_s: float) -> tuple[float, float, int]:
    begin = time.perf_counter()
    message = _pack(way, records)
    received = _unpack(way, message)
    worked_s = _work(work_s)
    answer = _pack(way, received)
    if _unpack(way, answer) != records:
        raise ValueError("The data that came back differs from what was sent.")
    return time.perf_counter() - begin - worked_s, worked_s, len(message) + len(answer)


def _by_reference(way: str, records: list[dict[str, Any]], work_s: float) -> tuple[float, float, int]:
    with temporary_file() as source, temporary_file() as target:
        source.write(json.dumps(records).encode())
        source.seek(0)
        begin = time.perf_counter()
        message = _pack("json", {"file": source.fileno()})
        _unpack("json", message)
        received = json.loads(source.read())
        worked_s = _work(work_s)
        target.write(json.dumps(received).encode())
        answer = _pack("json", {"file": target.fileno()})
        _unpack("json", answer)
        return time.perf_counter() - begin - worked_s, worked_s, len(message) + len(answer)


def _work(work_s: float) -> float:
    begin = time.perf_counter()
    spin(work_s)
    return time.perf_counter() - begin


def _pack(serializer: str, value: Any) -> str:
    """Return a message as kombu writes it for Redis: the body encoded, in Base64, in an envelope of JSON."""
    content_type, encoding, body = dumps(value, serializer=serializer)
    return json.dumps({"body": _codec.encode(body), "type": content_type, "encoding": encoding})


def _unpack(serializer: str, message: str) -> Any:
    envelope = json.loads(message)
    body = _codec.decode(envelope["body"])
    return loads(body, envelope["type"], envelope["encoding"], accept=[envelope["type"]])
