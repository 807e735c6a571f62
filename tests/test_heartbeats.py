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

from jobs import heartbeats, process_stats_thread, report_thread, worker
from jobs.cores import usable_cores
from jobs.environment import machine, versions
from jobs.errors import BrokerUnavailable
from jobs.heartbeats import (
    COORDINATOR,
    Beat,
    coordinator_is_up,
    forget_silent,
    pools_up,
    read_all,
    send,
    withdraw,
    workers,
)
from jobs.pools import vitals
from jobs.redis_client import key
from jobs.worker import Heart
from tests.pace import limit_s


def beat(name: str = "w1@h", pool: str = "threads", **fields: Any) -> Beat:
    return Beat(name, pool, 42, "h", **fields)


def silence(client: Any, name: str, for_s: float) -> None:
    client.zincrby(key("heartbeats", "at"), -for_s, name)


def test_a_sign_of_life_comes_back_as_it_was_sent_with_its_age(own_keys: Any) -> None:
    sent = beat(
        slots=4, in_use=2, memory_bytes=9, loop_lag_s=0.1, started_at=1.5, versions={"python": "3.13"}
    )
    send(own_keys, sent)
    [read] = read_all(own_keys)
    assert read.beat == sent
    assert 0 <= read.seen_s_ago < 1
    assert read.is_alive
    assert (read.name, read.slots, read.versions["python"]) == ("w1@h", 4, "3.13")


def test_a_sign_of_life_touches_the_file_of_health_checks(
    own_keys: Any, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "alive")
    send(own_keys, beat())
    assert time.time() - (tmp_path / "alive").stat().st_mtime < 5
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "nowhere" / "alive")
    send(own_keys, beat("w2@h"))
    assert "JOB_HEARTBEAT_FILE cannot be written" in caplog.text
    assert len(read_all(own_keys)) == 2
    settings.JOB_HEARTBEAT_FILE = str(tmp_path / "without broker")
    send(own_keys, beat("w3@h", is_connected=False))
    assert not (tmp_path / "without broker").exists()
    assert len(read_all(own_keys)) == 3


def test_a_later_sign_takes_the_place_of_the_earlier(own_keys: Any) -> None:
    send(own_keys, beat(in_use=1))
    silence(own_keys, "w1@h", 30)
    send(own_keys, beat(in_use=2))
    [read] = read_all(own_keys)
    assert (read.in_use, read.is_alive) == (2, True)


def test_a_silent_worker_is_read_but_not_alive(own_keys: Any, settings: Any) -> None:
    settings.JOB_WORKER_DEAD_AFTER_S = 5
    send(own_keys, beat("quiet"))
    send(own_keys, beat("lively"))
    silence(own_keys, "quiet", 5.5)
    silence(own_keys, "lively", 3)
    assert {read.name: read.is_alive for read in read_all(own_keys)} == {"quiet": False, "lively": True}
    assert [worker.name for worker in workers()] == ["lively"]


def test_a_worker_that_stops_on_purpose_is_gone_at_once(own_keys: Any) -> None:
    send(own_keys, beat())
    withdraw(own_keys, "w1@h")
    withdraw(own_keys, "never was")
    assert read_all(own_keys) == []


@pytest.mark.parametrize("said", ["", "{", "[]", "null", '{"name": "w2@h"}', '"text"'])
def test_what_cannot_be_read_is_passed_over(own_keys: Any, said: str) -> None:
    send(own_keys, beat("w1@h"))
    send(own_keys, beat("w2@h"))
    own_keys.hset(key("heartbeats"), "w2@h", said)
    assert [read.name for read in read_all(own_keys)] == ["w1@h"]


@pytest.mark.parametrize("said", ["", "{", "[]", "null", "[[1]]", '[["a", "x"]]', "7"])
def test_what_a_worker_holds_is_nothing_where_it_cannot_be_read(own_keys: Any, said: str) -> None:
    send(own_keys, beat("w1@h"), [("a", 1), ("b", 3)])
    own_keys.hset(key("heartbeats", "held"), "w2@h", said)
    assert heartbeats.held_attempts(own_keys) == {"w1@h": {("a", 1), ("b", 3)}, "w2@h": frozenset()}
    withdraw(own_keys, "w1@h")
    assert set(heartbeats.held_attempts(own_keys)) == {"w2@h"}


def test_another_release_may_say_more_or_leave_out_what_has_a_default(own_keys: Any) -> None:
    send(own_keys, beat())
    said = {"name": "w1@h", "pool": "threads", "pid": 1, "host": "h", "mood": "good"}
    own_keys.hset(key("heartbeats"), "w1@h", json.dumps(said))
    assert read_all(own_keys)[0].slots == 0


def test_only_who_is_silent_for_an_hour_is_forgotten(own_keys: Any) -> None:
    for name in ("a", "b"):
        send(own_keys, beat(name))
    silence(own_keys, "a", 3601)
    silence(own_keys, "b", 3500)
    forget_silent(own_keys, {read.name: read.seen_s_ago for read in read_all(own_keys)})
    assert [read.name for read in read_all(own_keys)] == ["b"]


def test_workers_are_found_by_pool_and_the_coordinator_is_none_of_them(own_keys: Any) -> None:
    assert (pools_up(), coordinator_is_up()) == ({}, False)
    for name, pool in (("a", "threads"), ("b", "threads"), ("c", "gevent"), ("d", COORDINATOR)):
        send(own_keys, beat(name, pool))
    assert {pool: {w.name for w in found} for pool, found in pools_up().items()} == {
        "threads": {"a", "b"},
        "gevent": {"c"},
    }
    assert coordinator_is_up()
    silence(own_keys, "d", 3600)
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
    held = lambda: [("a", 2)]  # noqa: E731
    return SimpleNamespace(hostname="threads-1@h", pool=pool, held_attempts=held, unconnected_s=0.0)


def test_a_heart_beats_until_it_is_stopped_and_then_never_again(
    own_keys: Any, consumer: Any, eventually: Any
) -> None:
    heart = Heart()
    heart.start(consumer, "threads")
    [read] = eventually(lambda: read_all(own_keys))
    assert (read.name, read.pool, read.slots) == ("threads-1@h", "threads", 8)
    assert read.memory_bytes > 1_000_000
    assert heartbeats.held_attempts(own_keys) == {"threads-1@h": {("a", 2)}}
    heart.stop()
    time.sleep(0.3)
    assert read_all(own_keys) == []


def test_a_heart_tells_of_a_lost_broker_once_it_is_away_for_ten_seconds(
    own_keys: Any, consumer: Any, eventually: Any
) -> None:
    heart, consumer.unconnected_s = Heart(), 9.9
    heart.start(consumer, "threads")
    assert eventually(lambda: read_all(own_keys))[0].is_connected
    consumer.unconnected_s = 10.1
    eventually(lambda: not read_all(own_keys)[0].is_connected)
    consumer.unconnected_s = 0.0
    eventually(lambda: read_all(own_keys)[0].is_connected)
    heart.stop()


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_heart_whose_jobs_share_its_process_beats_on_while_what_it_tells_is_being_read(
    own_keys: Any, consumer: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    asked, answer, beats = threading.Semaphore(0), threading.Semaphore(1), threading.Semaphore(0)

    def read(*_: Any) -> vitals.Reading:
        asked.release()
        answer.acquire()
        return vitals.Reading(memory_bytes=7, db_connections=1)

    monkeypatch.setattr(vitals.Gauge, "read", read)
    pool = consumer.pool if is_shared else None
    monkeypatch.setattr(process_stats_thread, "base", SimpleNamespace(running_pool=lambda: pool))
    monkeypatch.setattr(worker, "send", lambda *told: (heartbeats.send(*told), beats.release()))
    heart = Heart()
    heart.start(consumer, "threads")
    try:
        assert asked.acquire(timeout=20)
        assert asked.acquire(timeout=20)  # this time there is no answer
        eventually(lambda: read_all(own_keys))
        while beats.acquire(blocking=False):
            pass
        assert all(beats.acquire(timeout=20 if is_shared else 2) for _ in range(3)) == is_shared
        [told] = read_all(own_keys)
        assert (told.memory_bytes, told.peak_memory_bytes, told.db_connections) == (7, 7, 1)
        assert (told.machine, told.versions["cores"]) == (machine(), f"{usable_cores():g}")
    finally:
        answer.release(1000)
        heart.stop()


def test_a_heart_outlives_a_redis_that_is_away_or_full(
    own_redis: Any, consumer: Any, eventually: Any
) -> None:
    heart, client = Heart(), own_redis.client()
    heart.start(consumer, "threads")
    time.sleep(0.15)
    own_redis.start()
    assert eventually(lambda: read_all(client), timeout_s=5)
    client.config_set("maxmemory", 1)
    time.sleep(0.4)
    client.config_set("maxmemory", 0)
    heartbeats.withdraw(client, "threads-1@h")
    assert eventually(lambda: read_all(client), timeout_s=5)
    heart.stop()


def test_stopping_a_heart_while_redis_is_away_is_no_error(own_redis: Any, consumer: Any) -> None:
    heart = Heart()
    heart.start(consumer, "threads")
    heart.stop()


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("fault", [OSError(errno.EMFILE, "Too many open files"), ValueError("a mistake")])
@pytest.mark.parametrize("place", ["read", "cpu_s", "held"])
def test_a_heart_outlives_whatever_its_beat_raises(
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
    heart = Heart()
    with monkeypatch.context() as patch:
        if place == "read":
            patch.setattr(vitals.Gauge, "read", fail)
        elif place == "cpu_s":
            patch.setattr(vitals, "cpu_s", fail)
        else:
            patch.setattr(consumer, "held_attempts", fail)
        heart.start(consumer, "threads")
        eventually(lambda: len(raised) > 2)
        assert bool(read_all(own_keys)) == (place == "read")
    eventually(lambda: read_all(own_keys) and read_all(own_keys)[0].memory_bytes > 1_000_000)
    heart.stop()


def test_without_a_file_descriptor_figures_of_a_process_stay_or_are_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    gauge = vitals.Gauge(os.getpid())
    found = gauge.family("before")
    monkeypatch.setattr(psutil, "Process", refuse)
    monkeypatch.setattr(psutil._psplatform.Process, "memory_info", refuse)
    monkeypatch.setattr(psutil._psplatform.Process, "cpu_times", refuse)
    monkeypatch.setattr(psutil._psplatform.Process, "open_files", refuse)
    assert gauge.family("after") == found
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
    assert gauge.read("after", database) == vitals.Reading(0, 0)
    assert vitals.cpu_s(gauge.found) == 0


def test_a_report_that_cannot_be_sent_holds_up_no_other(
    own_keys: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def report(client: Any, outcome: Any) -> None:
        if outcome.job_id == "bad":
            raise TypeError("not JSON")
        sent.append(outcome.job_id)

    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(report_thread, "report", report)
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
    gauge = vitals.Gauge(2**22 + 1)
    assert gauge.family() == []
    assert gauge.memory_bytes(gauge.family()) == 0


def test_a_worker_says_what_it_runs_on() -> None:
    assert set(versions()) == {"python", "gil", "celery", "django", "gevent", "cores", "code", "prefetch"}
