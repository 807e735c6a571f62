"""The thread that measures the memory of jobs, with a fake process."""

import errno
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from celery.worker import state

from poolwise.worker import memory_watch
from poolwise.worker.memory_watch import MemoryWatch
from tests.helpers.pace import eventually


class Request:
    """A job that begins to run."""

    id = "a job"

    def __init__(self) -> None:
        self.ended: list[tuple[int, int]] = []
        self.refusals: list[Exception] = []

    def end_over_memory(self, used_bytes: int, limit_bytes: int) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.ended.append((used_bytes, limit_bytes))


class Process:
    """The results of psutil: values, of which the last repeats, or an error that is raised."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)

    def memory_info(self) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(rss=answer)


def ended(request: Request) -> list[tuple[int, int]]:
    """Wait until the job is ended; return by what."""
    return eventually(lambda: request.ended)


NO_FILE = OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def request_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Request]]:
    """Begin a job with a limit of 10 bytes, in a process that answers so."""
    monkeypatch.setattr(memory_watch, "CHECK_EVERY_S", 0.01)
    begun: list[Request] = []

    def request_of(watch: MemoryWatch, *answers: int | Exception) -> Request:
        begun.append(request := Request())
        state.active_requests.add(request)
        process = Process(*answers)
        monkeypatch.setattr(psutil, "Process", lambda pid: process)
        watch.watch(request, 42, 10)
        return request

    yield request_of
    for request in begun:
        state.active_requests.discard(request)


def test_a_check_that_cannot_open_a_file_ends_no_watching(request_of: Callable[..., Request]) -> None:
    request = request_of(MemoryWatch(), 100, 100, NO_FILE, NO_FILE, 105, 120)
    assert ended(request) == [(20, 10)]


def test_a_process_that_cannot_be_read_at_its_start_is_watched_from_the_first_check_that_can(
    request_of: Callable[..., Request],
) -> None:
    request = request_of(MemoryWatch(), NO_FILE, NO_FILE, 100, 100, 111)
    assert ended(request) == [(11, 10)]


@pytest.mark.parametrize("refusal", [NO_FILE, RuntimeError("can't start new thread")])
def test_a_job_that_could_not_be_ended_is_ended_by_a_later_check(
    request_of: Callable[..., Request], refusal: Exception
) -> None:
    watch = MemoryWatch()
    request = request_of(watch, 100)
    request.refusals = [refusal, refusal]
    other = request_of(watch, 100, 100, 100, 100, 200)
    assert ended(other) == [(100, 10)]
    greedy = request_of(watch, 100, 100, 200)
    greedy.refusals = [refusal, refusal]
    assert ended(greedy) == [(100, 10)]


def test_after_the_last_job_the_next_one_is_watched_again(request_of: Callable[..., Request]) -> None:
    watch = MemoryWatch()
    assert ended(request_of(watch, 0, 0, 11)) == [(11, 10)]
    eventually(lambda: not watch._is_checking)
    gone = request_of(watch, 0, 0, psutil.NoSuchProcess(42))
    eventually(lambda: not watch._is_checking)
    assert not gone.ended
    assert ended(request_of(watch, 0, 0, 11)) == [(11, 10)]


def test_a_machine_without_a_thread_to_give_does_not_end_the_watching_for_good(
    request_of: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    watch = MemoryWatch()
    with monkeypatch.context() as patch:
        patch.setattr(memory_watch.threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            request_of(watch, 0)
    assert ended(request_of(watch, 0, 0, 11)) == [(11, 10)]
