"""Named points of a job's way at which a process kills itself, once, when a drill has armed them.

A drill arms a point for a pool by making the file `armed/<point>@<pool>`. The first process that reaches it moves the file
to `crashed/` and dies of SIGKILL, as in a power cut. The platform's code knows nothing about it: its steps are wrapped
here, when a process with the drills' settings starts.
"""

import functools
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from drills.points import WHOLE_WORKER, file_name

FOLDER = Path(os.environ["POOLWISE_DRILL_FOLDER"])
ARMED, CRASHED = FOLDER / "armed", FOLDER / "crashed"
_ARMED = f"{ARMED}/"


def reach(point: str, *pools: str) -> None:
    """End this process by SIGKILL if the point is armed for one of the pools."""
    for pool in pools:
        name = file_name(point, pool)
        if not os.path.exists(_ARMED + name):  # a `Path` takes ten times as long, at each step of each job
            continue
        try:
            victim = (ARMED / name).read_text()
            (ARMED / name).rename(CRASHED / name)
        except FileNotFoundError:  # another process was first
            continue
        if victim == WHOLE_WORKER:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


_OWN_POOL = (os.environ.get("POOLWISE_POOL", ""),)


def _own_pool(*_: Any, **__: Any) -> Iterable[str]:
    return _OWN_POOL


def _wrap(
    owner: Any,
    name: str,
    pools_of: Callable[..., Iterable[str]] = _own_pool,
    *,
    before: str = "",
    after: str = "",
    only_if: Callable[[Any], bool] = lambda value: True,
) -> None:
    step = getattr(owner, name)  # an AttributeError: the step was renamed

    @functools.wraps(step)
    def watched(*args: Any, **kwargs: Any) -> Any:
        pools = list(pools_of(*args, **kwargs))
        if before:
            reach(before, *pools)
        value = step(*args, **kwargs)
        if after and only_if(value):
            reach(after, *pools)
        return value

    setattr(owner, name, watched)


class _Batch:
    """The pools of the jobs that the recorder wrote last."""

    def __init__(self) -> None:
        self.pools: set[str] = set()

    def note(self, outcomes: Iterable[tuple[Any, ...]], **_: Any) -> Iterable[str]:
        # A worker's name is that of its pool, a dash, a number and its host.
        names = (outcome.place.worker.partition("@")[0] for _, outcome, *_ in outcomes)
        self.pools = {name.rpartition("-")[0] for name in names}
        return self.pools

    def last(self, *_: Any, **__: Any) -> Iterable[str]:
        return self.pools


def install() -> None:
    """Wrap the steps of execution, recording and publishing."""
    from poolwise.lifecycle import publishing, recorder, stream, submission
    from poolwise.worker import request

    _install_exchange(stream)
    _wrap(
        request.JobRequest, "acknowledge",
        before="before the acknowledgement", after="after the acknowledgement",
    )  # fmt: skip
    batch = _Batch()
    _wrap(recorder, "_write_results", batch.note, after="before the recorder's commit")
    _install_after_recording(recorder, stream, batch)
    _wrap(submission, "publish_from_web", _pools_of, before="after the commit, before publishing")
    _wrap(publishing, "_mark_published", _pools_of, before="after publishing, before noting it")
    _wrap(submission, "prepare", _pool_option, after="before the commit")


def _install_exchange(stream: Any) -> None:
    exchange = stream.exchange

    @functools.wraps(exchange)
    def watched(client: Any, claims: Any, outcomes: Any) -> Any:
        steps = [*["the stream entry"] * bool(outcomes), *["the claim"] * bool(claims)]
        for step in steps:
            reach(f"before {step}", *_OWN_POOL)
        answers = exchange(client, claims, outcomes)
        for step in steps:
            reach(f"after {step}", *_OWN_POOL)
        return answers

    stream.exchange = watched


def _install_after_recording(recorder: Any, stream: Any, batch: _Batch) -> None:
    record = recorder.record

    @functools.wraps(record)
    def recorded(entries: Any) -> Any:
        batch.pools = set()  # of this batch alone
        value = record(entries)
        reach("after the recorder's commit", *batch.pools)
        return value

    recorder.record = recorded
    _wrap(
        stream.Reader, "acknowledge", batch.last,
        before="before the stream's acknowledgement", after="after the stream's acknowledgement",
    )  # fmt: skip


def _pools_of(jobs: Iterable[Any], **_: Any) -> Iterable[str]:
    return {job.pool for job in jobs}


def _pool_option(*_: Any, pool: str, **__: Any) -> Iterable[str]:
    return (pool,)
