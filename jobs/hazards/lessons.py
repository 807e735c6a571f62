"""The lesson of each hazard: sentences that state what its jobs returned, with their figures."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from jobs.hazards import tables
from jobs.hazards.tables import percent, seconds, size
from poolwise import Lesson

type Result = Mapping[str, Any]
type Results = Sequence[Result]
type ByVariant = Mapping[Any, Results]


def _by(results: Results, key: str) -> dict[Any, list[Result]]:
    """Return the results grouped by a figure, in their order."""
    groups: dict[Any, list[Result]] = {}
    for result in results:
        groups.setdefault(result[key], []).append(result)
    return groups


def _of(results: Results, key: str) -> float:
    return float(median(result[key] for result in results))


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) < 2 else f"{', '.join(names[:-1])} or {names[-1]}"


_GUARDS = {"lock": "a lock", "queue": "a queue", "f": "F()"}
_MISTAKES = {"none": "without a guard", "save": "by reading and saving a row"}


def _shared_counter(by: ByVariant) -> list[str]:
    lost = {guard: sum(result["lost"] for result in results) for guard, results in by.items()}
    made = {guard: sum(result["updates"] for result in results) for guard, results in by.items()}
    harmed = [
        f"{text} {lost[guard]:,} of {made[guard]:,}"
        for guard, text in (_MISTAKES | {guard: f"with {text}" for guard, text in _GUARDS.items()}).items()
        if lost.get(guard) or (guard in _MISTAKES and guard in lost)
    ]
    safe = [text for guard, text in _GUARDS.items() if lost.get(guard) == 0]
    unharmed = [f"with {_joined(safe)} none{'' if harmed else ' of the updates was lost'}"] if safe else []
    if harmed:
        harmed = [f"{harmed[0]} updates were lost", *harmed[1:]]
    text = "; ".join(filter(None, [", ".join(harmed), *unharmed]))
    return [f"{text[:1].upper()}{text[1:]}."]


_PLACES = {"gevent hub": "gevent", "event loop": "asyncio", "threads": "threads"}
_WORK = {
    "compute": "without a pause",
    "pauses": "with a pause every 5 ms",
    "process": "in a separate process",
}


def _blocked_loop(by: ByVariant) -> list[str]:
    late_by_place: dict[str, dict[str, str]] = {}
    for work, results in by.items():
        for where, same in _by(results, "where").items():
            late_by_place.setdefault(where, {})[work] = seconds(_of(same, "sibling_late_max_s"))
    computed = seconds(_of([result for results in by.values() for result in results], "compute_s"))
    return [
        f"On {_PLACES[where]} a job that computed for {computed} made another job of its worker wake late by up to "
        + ", ".join(f"{late[work]} {text}" for work, text in _WORK.items() if work in late)
        + "."
        for where, late in late_by_place.items()
    ]


_WAYS = {"json": "as JSON", "msgpack": "as msgpack", "reference": "by reference"}


def _large_payload(by: ByVariant) -> list[str]:
    largest = {way: [result["sizes"][-1] for result in results] for way, results in by.items()}
    smallest = {way: [result["sizes"][0] for result in results] for way, results in by.items()}
    parts = [
        f"{percent(_of(largest[way], 'share'))} {text} ({size(_of(largest[way], 'message_bytes'))} of messages)"
        for way, text in _WAYS.items()
        if way in largest
    ]
    way = next(iter(by))
    kib, work_ms = _of(largest[way], "size_kib"), _of(by[way], "work_ms")
    least, least_kib = percent(_of(smallest[way], "share")), _of(smallest[way], "size_kib")
    small = f", compared with {least} for {least_kib:,.0f} KiB {_WAYS[way]}" if least_kib < kib else ""
    return [
        f"Passing {kib:,.0f} KiB to a job of {work_ms:.0f} ms and back took this share of the time: "
        f"{', '.join(parts)}{small}."
    ]


def _backlog(by: ByVariant) -> list[str]:
    texts = []
    if results := by.get("none"):
        texts.append(
            f"Without a limit {_of(results, 'most_items'):,.0f} items ({size(_of(results, 'most_bytes'))}) piled up, and "
            f"one waited for {seconds(_of(results, 'wait_max_s'))}."
        )
    if results := by.get("wait"):
        texts.append(
            f"With a limit of {_of(results, 'most_items'):,.0f} items no item waited longer than "
            f"{seconds(_of(results, 'wait_max_s'))}, and the queue took {size(_of(results, 'most_bytes'))}: the producer "
            f"waited for {seconds(_of(results, 'producer_waited_s'))} in total."
        )
    if results := by.get("refuse"):
        texts.append(
            f"A full queue refused {_of(results, 'refused'):,.0f} of {_of(results, 'items'):,.0f} items, and "
            f"the others waited for at most {seconds(_of(results, 'wait_max_s'))}."
        )
    return texts


def _lock_held(by: ByVariant) -> list[str]:
    texts = []
    if results := by.get("all"):
        duration_s, alone_s = _of(results, "duration_s"), _of(results, "alone_s")
        texts.append(
            f"With the lock held during the wait, {_of(results, 'workers'):.0f} threads took {seconds(duration_s)}, "
            f"{duration_s / alone_s:.1f} times as long as one alone, and one waited "
            f"{seconds(_of(results, 'lock_wait_max_s'))} for the lock."
        )
    if results := by.get("update"):
        texts.append(
            f"With the lock held for the update alone they took {seconds(_of(results, 'duration_s'))}, "
            f"and none waited longer than {seconds(_of(results, 'lock_wait_max_s'))}."
        )
    return texts


def _head_of_line(by: ByVariant) -> list[str]:
    texts = []
    for prefetch, results in sorted(by.items(), reverse=True):
        stuck, short = _of(results, "stuck"), _of(results, "short_jobs")
        texts.append(
            f"With a prefetch of {prefetch}, {f'{stuck:.0f}' if stuck else 'none'} of {short:.0f} short jobs "
            f"waited for a slow one of {seconds(_of(results, 'slow_s'))}: "
            f"the longest wait of a short job was {seconds(_of(results, 'short_wait_max_s'))}."
        )
    return texts


def _tiny_jobs(by: ByVariant) -> list[str]:
    work_us = min(_of(results, "work_us") for results in by.values())
    texts = []
    if results := by.get("process"):
        each_us = _of(results, "per_job_us")
        texts.append(
            f"A job of {work_us:.3g} µs cost {each_us:.3g} µs in another process: "
            f"{each_us / work_us:.0f} times its own work."
        )
    if results := by.get("batch"):
        texts.append(
            f"In batches of {_of(results, 'batch'):.0f} it cost {_of(results, 'per_job_us'):.3g} µs."
        )
    if results := by.get("inline"):
        texts.append(f"In place it cost {_of(results, 'per_job_us'):.3g} µs.")
    return texts


SHARED_COUNTER = Lesson("guard", tables.SHARED_COUNTER, _shared_counter)
BLOCKED_LOOP = Lesson("work", tables.BLOCKED_LOOP, _blocked_loop, models=("gevent", "asyncio", "threads"))
LARGE_PAYLOAD = Lesson("way", tables.LARGE_PAYLOAD, _large_payload)
BACKLOG = Lesson("bound", tables.BACKLOG, _backlog)
LOCK_HELD = Lesson("held", tables.LOCK_HELD, _lock_held)
HEAD_OF_LINE = Lesson("prefetch", tables.HEAD_OF_LINE, _head_of_line)
TINY_JOBS = Lesson("place", tables.TINY_JOBS, _tiny_jobs)
