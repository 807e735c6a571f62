"""What the results of each hazard show, worded with their own figures."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from jobs.hazards import tables
from jobs.hazards.tables import size
from poolwise.definitions import Lesson
from poolwise.definitions.lesson import ByVariant, Result
from poolwise.support.formats import percent, seconds

type Results = Sequence[Result]


def _by(results: Results, key: str) -> dict[Any, list[Result]]:
    """Return the results by variant, in the order in which they come."""
    groups: dict[Any, list[Result]] = {}
    for result in results:
        groups.setdefault(result[key], []).append(result)
    return groups


def _of(results: Results, key: str) -> float:
    return float(median(result[key] for result in results))


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) < 2 else f"{', '.join(names[:-1])} or {names[-1]}"


_GUARDS = {"lock": "a lock", "queue": "a queue", "f": "F()"}
_MISTAKES = {"none": "without a guard", "save": "with a row that is read and saved"}


def _shared_counter(by: ByVariant) -> list[str]:
    lost = {guard: sum(result["lost"] for result in found) for guard, found in by.items()}
    made = {guard: sum(result["updates"] for result in found) for guard, found in by.items()}
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
    "compute": "computing in one go",
    "pauses": "with a pause every 5 ms",
    "process": "in a process of its own",
}


def _blocked_loop(by: ByVariant) -> list[str]:
    found: dict[str, dict[str, str]] = {}
    for work, results in by.items():
        for where, same in _by(results, "where").items():
            found.setdefault(where, {})[work] = seconds(_of(same, "sibling_late_max_s"))
    computed = seconds(_of([result for results in by.values() for result in results], "compute_s"))
    return [
        f"On {_PLACES[where]} a job that computed for {computed} made another job of its worker wake late by up to "
        + ", ".join(f"{late[work]} {text}" for work, text in _WORK.items() if work in late)
        + "."
        for where, late in found.items()
    ]


_WAYS = {"json": "as JSON", "msgpack": "as msgpack", "reference": "by reference"}


def _large_payload(by: ByVariant) -> list[str]:
    largest = {way: [result["sizes"][-1] for result in found] for way, found in by.items()}
    smallest = {way: [result["sizes"][0] for result in found] for way, found in by.items()}
    parts = [
        f"{percent(_of(largest[way], 'share'))} {text} ({size(_of(largest[way], 'message_bytes'))} of messages)"
        for way, text in _WAYS.items()
        if way in largest
    ]
    way = next(iter(by))
    kib, work_ms = _of(largest[way], "size_kib"), _of(by[way], "work_ms")
    least, least_kib = percent(_of(smallest[way], "share")), _of(smallest[way], "size_kib")
    against = f", against {least} for {least_kib:,.0f} KiB {_WAYS[way]}" if least_kib < kib else ""
    return [
        f"Passing {kib:,.0f} KiB to a job of {work_ms:.0f} ms and back took this share of its time: "
        f"{', '.join(parts)}{against}."
    ]


def _backlog(by: ByVariant) -> list[str]:
    texts = []
    if found := by.get("none"):
        texts.append(
            f"Without a bound {_of(found, 'most_items'):,.0f} items ({size(_of(found, 'most_bytes'))}) piled up, and "
            f"the last waited {seconds(_of(found, 'wait_max_s'))}."
        )
    if found := by.get("wait"):
        texts.append(
            f"With a bound of {_of(found, 'most_items'):,.0f} no item waited longer than "
            f"{seconds(_of(found, 'wait_max_s'))} and {size(_of(found, 'most_bytes'))} were held: the producer waited, "
            f"{seconds(_of(found, 'producer_waited_s'))} in all."
        )
    if found := by.get("refuse"):
        texts.append(
            f"A full queue that refuses turned {_of(found, 'refused'):,.0f} of {_of(found, 'items'):,.0f} away, and "
            f"the others waited at most {seconds(_of(found, 'wait_max_s'))}."
        )
    return texts


def _lock_held(by: ByVariant) -> list[str]:
    texts = []
    if found := by.get("all"):
        texts.append(
            f"With the lock held over the wait {_of(found, 'workers'):.0f} threads took "
            f"{seconds(_of(found, 'duration_s'))}, {_of(found, 'duration_s') / _of(found, 'alone_s'):.1f} times as long "
            f"as one alone, and one waited {seconds(_of(found, 'lock_wait_max_s'))} for the lock."
        )
    if found := by.get("update"):
        texts.append(
            f"With the lock held over the update only they took {seconds(_of(found, 'duration_s'))}, "
            f"and none waited longer than {seconds(_of(found, 'lock_wait_max_s'))}."
        )
    return texts


def _head_of_line(by: ByVariant) -> list[str]:
    texts = []
    for prefetch, found in sorted(by.items(), reverse=True):
        stuck, short = _of(found, "stuck"), _of(found, "short_jobs")
        texts.append(
            f"With a prefetch of {prefetch}, {f'{stuck:.0f}' if stuck else 'none'} of {short:.0f} short jobs had to "
            f"wait out a slow one of {seconds(_of(found, 'slow_s'))}: "
            f"the longest wait of a short job was {seconds(_of(found, 'short_wait_max_s'))}."
        )
    return texts


def _tiny_jobs(by: ByVariant) -> list[str]:
    work_us = min(_of(results, "work_us") for results in by.values())
    texts = []
    if found := by.get("process"):
        each_us = _of(found, "per_job_us")
        texts.append(
            f"A job of {work_us:.3g} µs cost {each_us:.3g} µs in another process: "
            f"{each_us / work_us:.0f} times its own work."
        )
    if found := by.get("batch"):
        texts.append(f"In batches of {_of(found, 'batch'):.0f} it cost {_of(found, 'per_job_us'):.3g} µs.")
    if found := by.get("inline"):
        texts.append(f"In place it cost {_of(found, 'per_job_us'):.3g} µs.")
    return texts


SHARED_COUNTER = Lesson("guard", tables.SHARED_COUNTER, _shared_counter)
BLOCKED_LOOP = Lesson("work", tables.BLOCKED_LOOP, _blocked_loop, models=("gevent", "asyncio", "threads"))
LARGE_PAYLOAD = Lesson("way", tables.LARGE_PAYLOAD, _large_payload)
BACKLOG = Lesson("bound", tables.BACKLOG, _backlog)
LOCK_HELD = Lesson("held", tables.LOCK_HELD, _lock_held)
HEAD_OF_LINE = Lesson("prefetch", tables.HEAD_OF_LINE, _head_of_line)
TINY_JOBS = Lesson("place", tables.TINY_JOBS, _tiny_jobs)
