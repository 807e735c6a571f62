import errno
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from poolwise.lifecycle import heartbeats
from poolwise.lifecycle.environment import machine, versions
from poolwise.lifecycle.heartbeats import (
    COORDINATOR,
    Heartbeat,
    coordinator_is_up,
    mark_ended,
    pools_up,
    read_all,
    remove_dead,
    send,
    withdraw,
    workers,
)
from poolwise.metering import process_stats
from poolwise.support import dropped, signing
from poolwise.support.cpu import usable_cores
from poolwise.support.errors import BrokerUnavailable
from poolwise.support.redis import key
from poolwise.worker import heartbeat_thread as worker
from poolwise.worker import process_stats_thread, report_thread
from poolwise.worker.heartbeat_thread import HeartbeatThread
from tests.helpers.pace import limit_s


def heartbeat(name: str = "w1@h", pool: str = "threads", **fields: Any) -> Heartbeat:
    return Heartbeat(name, pool, 42, "h", **fields)


def age_heartbeat(client: Any, name: str, for_s: float) -> None:
    client.zincrby(key("heartbeats", "at"), -for_s, name)


def test_a_heartbeat_comes_back_as_it_was_sent_with_its_age(own_keys: Any) -> None:
    sent = heartbeat(
        slots=4, in_use=2, memory_bytes=9, loop_lag_s=0.1, started_at=1.5, versions={"python": "3.13"}
    )
    send(own_keys, sent)
    [read] = read_all(own_keys)
    assert read.heartbeat == sent
    assert 0 <= read.seen_s_ago < 1
    assert read.is_alive
    assert (read.name, read.slots, read.versions["python"]) == ("w1@h", 4, "3.13")


def test_a_heartbeat_touches_the_file_of_health_checks(
    own_keys: Any, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "alive")
    send(own_keys, heartbeat())
    assert time.time() - (tmp_path / "alive").stat().st_mtime < 5
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "nowhere" / "alive")
    send(own_keys, heartbeat("w2@h"))
    assert "JOB_HEARTBEAT_FILE cannot be written" in caplog.text
    assert len(read_all(own_keys)) == 2
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "without broker")
    send(own_keys, heartbeat("w3@h", is_connected=False))
    assert not (tmp_path / "without broker").exists()
    assert len(read_all(own_keys)) == 3


def test_a_later_heartbeat_replaces_the_earlier(own_keys: Any) -> None:
    send(own_keys, heartbeat(in_use=1))
    age_heartbeat(own_keys, "w1@h", 30)
    send(own_keys, heartbeat(in_use=2))
    [read] = read_all(own_keys)
    assert (read.in_use, read.is_alive) == (2, True)


def test_a_worker_without_heartbeats_is_read_but_not_alive(own_keys: Any, settings: Any) -> None:
    settings.JOB_WORKER_DEAD_AFTER_S = 5
    send(own_keys, heartbeat("quiet"))
    send(own_keys, heartbeat("lively"))
    age_heartbeat(own_keys, "quiet", 5.5)
    age_heartbeat(own_keys, "lively", 3)
    assert {read.name: read.is_alive for read in read_all(own_keys)} == {"quiet": False, "lively": True}
    assert [worker.name for worker in workers()] == ["lively"]


def test_a_worker_that_stops_on_purpose_is_gone_at_once(own_keys: Any) -> None:
    send(own_keys, heartbeat())
    withdraw(own_keys, "w1@h")
    withdraw(own_keys, "never was")
    assert read_all(own_keys) == []


def test_a_worker_whose_end_was_seen_is_not_alive_and_has_a_mark_with_a_stamp_of_its_own(
    own_keys: Any, settings: Any, tmp_path: Path
) -> None:
    send(own_keys, heartbeat(slots=4), [("a", 1)])
    [before] = read_all(own_keys)
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "alive")
    assert mark_ended(own_keys, "w1@h", 42)
    [marked] = read_all(own_keys)
    assert (marked.has_ended, marked.is_alive, marked.slots) == (True, False, 4)
    assert marked.stamp > before.stamp
    assert heartbeats.reserved_attempts(own_keys) == {"w1@h": {("a", 1)}}, "it is to run again"
    assert not Path(settings.JOB_HEARTBEAT_FILE).exists()
    assert pools_up() == {}
    assert not mark_ended(own_keys, "w1@h", 42), "its end was already reported"
    assert read_all(own_keys)[0].stamp == marked.stamp


def test_only_a_heartbeat_that_stands_and_is_of_the_process_that_ended_gets_a_mark(own_keys: Any) -> None:
    assert not mark_ended(own_keys, "w1@h", 42)
    assert read_all(own_keys) == []
    send(own_keys, heartbeat())
    assert not mark_ended(own_keys, "w1@h", 43)
    assert [read.is_alive for read in read_all(own_keys)] == [True]
    own_keys.hset(key("heartbeats"), "w1@h", "forged")
    assert not mark_ended(own_keys, "w1@h", 42)


def test_a_mark_that_is_replayed_or_forged_ends_no_other_worker(own_keys: Any) -> None:
    for name in ("ended@h", "lives@h"):
        send(own_keys, heartbeat(name))
    lives = own_keys.hget(key("heartbeats"), "lives@h")
    mark_ended(own_keys, "ended@h", 42)
    mark = own_keys.hget(key("heartbeats"), "ended@h")
    for forged in (
        mark,
        mark.replace("ended@h", "lives@h"),
        lives.replace('"has_ended": false', '"has_ended": true'),
    ):
        assert forged != lives
        own_keys.hset(key("heartbeats"), "lives@h", forged)
        assert [read.name for read in read_all(own_keys)] == ["ended@h"], "dropped, as if it were not there"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "w2@h"}', '"text"'])
def test_what_cannot_be_read_is_passed_over(own_keys: Any, text: str) -> None:
    send(own_keys, heartbeat("w1@h"))
    send(own_keys, heartbeat("w2@h"))
    own_keys.hset(key("heartbeats"), "w2@h", text)
    assert [read.name for read in read_all(own_keys)] == ["w1@h"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[[1]]", '["w2@h", [["a", "x"]]]', '["w1@h", []]', "7"]
)
def test_a_worker_is_absent_whose_reserved_attempts_cannot_be_read(own_keys: Any, text: str) -> None:
    send(own_keys, heartbeat("w1@h"), [("a", 1), ("b", 3)])
    for value in (text, signing.signed(signing.HEARTBEAT, text)):
        own_keys.hset(key("heartbeats", "reserved"), "w2@h", value)
        assert heartbeats.reserved_attempts(own_keys) == {"w1@h": {("a", 1), ("b", 3)}}
    withdraw(own_keys, "w1@h")
    assert heartbeats.reserved_attempts(own_keys) == {}


def test_another_release_may_send_more_or_leave_out_what_has_a_default(own_keys: Any) -> None:
    send(own_keys, heartbeat())
    values = {"name": "w1@h", "pool": "threads", "pid": 1, "host": "h", "mood": "good"}
    own_keys.hset(key("heartbeats"), "w1@h", signing.signed(signing.HEARTBEAT, json.dumps(values)))
    assert read_all(own_keys)[0].slots == 0


@pytest.mark.parametrize("value", ["x", None, "NUMBER", True, [], -1, 1.5, float("nan")], ids=str)
@pytest.mark.parametrize("field", ["slots", "memory_bytes", "pid"])
def test_a_signed_heartbeat_of_other_types_is_as_if_there_were_none(
    own_keys: Any, field: str, value: Any
) -> None:
    send(own_keys, heartbeat())
    values = {"name": "w1@h", "pool": "threads", "pid": 1, "host": "h", field: value}
    text = json.dumps(values).replace('"NUMBER"', "1" + "0" * 400)
    before = dropped.total("heartbeat")
    own_keys.hset(key("heartbeats"), "w1@h", signing.signed(signing.HEARTBEAT, text))
    assert read_all(own_keys) == []
    assert dropped.total("heartbeat") == before + 1


def test_a_heartbeat_is_only_that_of_the_worker_that_signed_it(own_keys: Any, settings: Any) -> None:
    send(own_keys, heartbeat("w1@h"), [("a", 1)])
    send(own_keys, heartbeat("w2@h"), [("b", 1)])
    for part in ((), ("reserved",)):
        name = key("heartbeats", *part)
        own_keys.hset(name, "w2@h", own_keys.hget(name, "w1@h"))
    assert [read.name for read in read_all(own_keys)] == ["w1@h"]
    assert set(heartbeats.reserved_attempts(own_keys)) == {"w1@h"}
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]
    assert [read.name for read in read_all(own_keys)] == ["w1@h"]
    settings.SECRET_KEY_FALLBACKS = []
    assert read_all(own_keys) == []
    assert heartbeats.reserved_attempts(own_keys) == {}


def test_only_a_worker_without_heartbeats_for_an_hour_is_removed(own_keys: Any) -> None:
    for name in ("a", "b"):
        send(own_keys, heartbeat(name))
    age_heartbeat(own_keys, "a", 3601)
    age_heartbeat(own_keys, "b", 3500)
    remove_dead(own_keys, {read.name: read.seen_s_ago for read in read_all(own_keys)})
    assert [read.name for read in read_all(own_keys)] == ["b"]


def test_workers_are_found_by_pool_and_the_coordinator_is_none_of_them(own_keys: Any) -> None:
    assert (pools_up(), coordinator_is_up()) == ({}, False)
    for name, pool in (("a", "threads"), ("b", "threads"), ("c", "gevent"), ("d", COORDINATOR)):
        send(own_keys, heartbeat(name, pool))
    assert {pool: {w.name for w in workers} for pool, workers in pools_up().items()} == {
        "threads": {"a", "b"},
        "gevent": {"c"},
    }
    assert coordinator_is_up()
    age_heartbeat(own_keys, "d", 3600)
    assert not coordinator_is_up()


@pytest.mark.parametrize("ask", [workers, pools_up, coordinator_is_up])
def test_while_redis_is_down_or_frozen_the_answer_comes_soon(own_redis: Any, ask: Any) -> None:
    with pytest.raises(BrokerUnavailable):
        ask()
    own_redis.start()
    ask()
    own_redis.freeze()
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        ask()
    own_redis.thaw()
    assert time.monotonic() - began < limit_s(1.0)
    assert ask() in ([], {}, False)


# --- the heart of a worker ------------------------------------------------------------------------------
@pytest.fixture
def consumer(settings: Any) -> Any:
    settings.JOB_HEARTBEAT_S = 0.1
    pool = SimpleNamespace(limit=8)
    reserved = lambda: [("a", 2)]  # noqa: E731
    parts = {"pool": pool, "reserved_attempts": reserved, "report_places": lambda: None}
    return SimpleNamespace(hostname="threads-1@h", unconnected_s=0.0, **parts)


def test_a_heartbeat_thread_sends_until_it_is_stopped_and_then_never_again(
    own_keys: Any, consumer: Any, eventually: Any
) -> None:
    heartbeat_thread = HeartbeatThread()
    heartbeat_thread.start(consumer, "threads")
    [read] = eventually(lambda: read_all(own_keys))
    assert (read.name, read.pool, read.slots) == ("threads-1@h", "threads", 8)
    assert read.memory_bytes > 1_000_000
    assert heartbeats.reserved_attempts(own_keys) == {"threads-1@h": {("a", 2)}}
    heartbeat_thread.stop()
    time.sleep(0.3)
    assert read_all(own_keys) == []


def test_a_heartbeat_reports_a_lost_broker_once_it_is_away_for_ten_seconds(
    own_keys: Any, consumer: Any, eventually: Any
) -> None:
    heartbeat_thread, consumer.unconnected_s = HeartbeatThread(), 9.9
    heartbeat_thread.start(consumer, "threads")
    assert eventually(lambda: read_all(own_keys))[0].is_connected
    consumer.unconnected_s = 10.1
    eventually(lambda: not read_all(own_keys)[0].is_connected)
    consumer.unconnected_s = 0.0
    eventually(lambda: read_all(own_keys)[0].is_connected)
    heartbeat_thread.stop()


@pytest.mark.parametrize("is_shared", [True, False])
def test_heartbeats_go_on_while_slow_figures_are_read_where_jobs_share_the_process(
    own_keys: Any, consumer: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    asked, answer, sent = threading.Semaphore(0), threading.Semaphore(1), threading.Semaphore(0)
    consumer.pool.limit = 9

    def read(_: Any, slots: int, *__: Any) -> process_stats.MemoryReading:
        if slots == 9:  # the thread of an earlier test may still make its last heartbeat
            asked.release()
            answer.acquire()
        return process_stats.MemoryReading(memory_bytes=7, db_connections=1)

    monkeypatch.setattr(process_stats.ProcessStats, "read", read)
    pool = consumer.pool if is_shared else None
    monkeypatch.setattr(process_stats_thread, "base", SimpleNamespace(running_pool=lambda: pool))
    monkeypatch.setattr(worker.heartbeats, "send", lambda *values: (send(*values), sent.release()))
    heartbeat_thread = HeartbeatThread()
    heartbeat_thread.start(consumer, "threads")
    try:
        assert asked.acquire(timeout=20)
        assert asked.acquire(timeout=20)  # this time there is no answer
        eventually(lambda: read_all(own_keys))
        while sent.acquire(blocking=False):
            pass
        assert all(sent.acquire(timeout=20 if is_shared else 2) for _ in range(3)) == is_shared
        [values] = read_all(own_keys)
        assert (values.memory_bytes, values.peak_memory_bytes, values.db_connections) == (7, 7, 1)
        assert (values.machine, values.versions["cores"]) == (machine(), f"{usable_cores():g}")
    finally:
        answer.release(1000)
        heartbeat_thread.stop()


def test_a_heartbeat_thread_outlives_a_redis_that_is_away_or_full(
    own_redis: Any, consumer: Any, eventually: Any
) -> None:
    heartbeat_thread, client = HeartbeatThread(), own_redis.client()
    heartbeat_thread.start(consumer, "threads")
    time.sleep(0.15)
    own_redis.start()
    assert eventually(lambda: read_all(client), timeout_s=5)
    client.config_set("maxmemory", 1)
    time.sleep(0.4)
    client.config_set("maxmemory", 0)
    heartbeats.withdraw(client, "threads-1@h")
    assert eventually(lambda: read_all(client), timeout_s=5)
    heartbeat_thread.stop()


def test_stopping_a_heartbeat_thread_while_redis_is_away_is_no_error(own_redis: Any, consumer: Any) -> None:
    heartbeat_thread = HeartbeatThread()
    heartbeat_thread.start(consumer, "threads")
    heartbeat_thread.stop()


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("fault", [OSError(errno.EMFILE, "Too many open files"), ValueError("a mistake")])
@pytest.mark.parametrize("place", ["read", "cpu_s", "reserved"])
def test_a_heartbeat_thread_outlives_whatever_its_heartbeat_raises(
    own_keys: Any,
    consumer: Any,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
    is_shared: bool,
    fault: Exception,
    place: str,
) -> None:
    raised: list[int] = []

    def fail(*_: Any) -> Any:
        raised.append(1)
        raise fault

    pool = consumer.pool if is_shared else None
    monkeypatch.setattr(process_stats_thread, "base", SimpleNamespace(running_pool=lambda: pool))
    heartbeat_thread = HeartbeatThread()
    with monkeypatch.context() as patch:
        if place == "read":
            patch.setattr(process_stats.ProcessStats, "read", fail)
        elif place == "cpu_s":
            patch.setattr(process_stats, "cpu_s", fail)
        else:
            patch.setattr(consumer, "reserved_attempts", fail)
        heartbeat_thread.start(consumer, "threads")
        eventually(lambda: len(raised) > 2)
        assert bool(read_all(own_keys)) == (place == "read")
    eventually(lambda: read_all(own_keys) and read_all(own_keys)[0].memory_bytes > 1_000_000)
    heartbeat_thread.stop()


def test_without_a_file_descriptor_figures_of_a_process_stay_or_are_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    stats = process_stats.ProcessStats(os.getpid())
    processes = stats.process_tree("before")
    monkeypatch.setattr(psutil, "Process", refuse)
    monkeypatch.setattr(psutil._psplatform.Process, "memory_info", refuse)
    monkeypatch.setattr(psutil._psplatform.Process, "cpu_times", refuse)
    monkeypatch.setattr(psutil._psplatform.Process, "open_files", refuse)
    assert stats.process_tree("after") == processes
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
    assert stats.read("after", database) == process_stats.MemoryReading(0, 0)
    assert process_stats.cpu_s(stats.last_tree) == 0


def test_a_report_that_cannot_be_sent_delays_no_other(
    own_keys: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def report(client: Any, outcome: Any) -> None:
        if outcome.job_id == "bad":
            raise TypeError("not JSON")
        sent.append(outcome.job_id)

    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(report_thread.stream, "report", report)
    poster = report_thread._Poster()
    outcomes = [SimpleNamespace(job_id=name) for name in ("first", "bad", "last")]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            poster.post(outcomes[0], 0.0)
    for outcome in outcomes[1:]:
        poster.post(outcome, 0.0)
    poster.flush(10.0)
    assert sent == ["first", "last"]
    eventually(lambda: poster._unsent == 0)


def test_the_memory_of_a_process_that_is_gone_is_nothing() -> None:
    stats = process_stats.ProcessStats(2**22 + 1)
    assert stats.process_tree() == []
    assert stats.memory_bytes(stats.process_tree()) == 0


def test_a_worker_says_what_it_runs_on() -> None:
    assert set(versions()) == {"python", "gil", "celery", "django", "gevent", "cores", "code", "prefetch"}
