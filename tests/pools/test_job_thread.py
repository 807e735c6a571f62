import threading

import pytest

from poolwise.pools import job_thread
from poolwise.pools.job_thread import JobThread
from poolwise.support import DaemonThreads
from tests.helpers.pace import limit_s


def test_a_job_has_one_thread_until_its_end() -> None:
    thread = JobThread()
    assert len({thread.submit(threading.get_ident).result(limit_s(5)) for _ in range(3)}) == 1
    ended = thread.end()
    assert ended is not None
    ended.result(limit_s(5))
    with pytest.raises(RuntimeError, match="has ended"):
        thread.submit(threading.get_ident)


def test_a_job_without_such_calls_has_no_thread() -> None:
    assert JobThread().end() is None


def test_jobs_beyond_the_limit_wait_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_thread, "_THREADS", DaemonThreads(1))
    first, second = JobThread(), JobThread()
    held = first.submit(threading.get_ident).result(limit_s(5))
    waiting = second.submit(threading.get_ident)
    assert not waiting.done()
    first.end()
    assert waiting.result(limit_s(5)) == held
    second.end()


def test_an_error_in_the_thread_reaches_its_caller() -> None:
    thread = JobThread()
    with pytest.raises(ZeroDivisionError):
        thread.submit(lambda: 1 / 0).result(limit_s(5))
    assert thread.submit(int).result(limit_s(5)) == 0
    thread.end()
