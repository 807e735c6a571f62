"""Workers of every pool under broker faults: nothing is lost, nothing runs twice at once, nobody exits."""

import random
import signal
import time

import pytest

from tests.broker.conftest import MODELS, Lab
from tests.pace import eventually, limit_s

pytestmark = pytest.mark.services


def test_a_cut_connection_starts_no_running_job_again(lab: Lab) -> None:
    workers = lab.start(*MODELS)
    for model in MODELS:
        lab.send("wait", model, 2.0, to=model)
    for model in MODELS:
        eventually(lab.has(f"start {model}"))
    lab.broker.cut_connections("normal")
    time.sleep(0.7)
    lab.broker.cut_connections("normal")  # some are still connecting again
    for model in MODELS:
        eventually(lab.has(f"end {model}"))
    eventually(lambda: lab.broker.is_settled)
    time.sleep(0.5)
    assert {model: lab.count(f"start {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)
    assert all(worker.is_alive for worker in workers)


def test_workers_live_through_a_restart_of_redis(lab: Lab) -> None:
    workers = lab.start(*MODELS)
    for model in MODELS:
        lab.send("wait", model, 2.0, to=model)
    for model in MODELS:
        eventually(lab.has(f"start {model}"))
    lab.broker.stop()
    time.sleep(0.5)
    lab.broker.start()
    for model in MODELS:
        lab.send("effect", f"{model}-next", to=model)
    for model in MODELS:
        eventually(lab.has(f"start {model}-next"))
        eventually(lab.has(f"end {model}"))
    eventually(lambda: lab.broker.is_settled)
    assert {model: lab.count(f"start {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)
    assert all(worker.is_alive for worker in workers)


def test_a_redis_that_stands_still_longer_than_the_visibility_timeout_doubles_nothing(lab: Lab) -> None:
    lab.start(*MODELS, *MODELS, visibility_s=3)
    for model in MODELS:
        lab.send("wait", model, 7.0, to=model)
    for model in MODELS:
        eventually(lab.has(f"start {model}"))
    lab.broker.process.send_signal(signal.SIGSTOP)
    time.sleep(4.5)
    lab.broker.process.send_signal(signal.SIGCONT)
    for model in MODELS:
        eventually(lab.has(f"end {model}"))
    eventually(lambda: lab.broker.is_settled)
    assert {model: lab.count(f"start {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)


def test_the_jobs_of_a_killed_worker_run_again_after_the_visibility_timeout(lab: Lab) -> None:
    visibility_s = 4.0
    doomed = lab.start(*MODELS, visibility_s=visibility_s)
    for model in MODELS:
        lab.send("wait", model, 1.5, to=model)
    for model in MODELS:
        eventually(lab.has(f"start {model}"))
    for worker in doomed:
        worker.kill()
    killed_at = time.monotonic()
    lab.start(*MODELS, visibility_s=visibility_s)
    for model in MODELS:
        eventually(lab.has(f"end {model}"), visibility_s + 5)
    assert time.monotonic() - killed_at > visibility_s / 2
    eventually(lambda: lab.broker.is_settled)


def test_a_computing_gevent_job_longer_than_the_visibility_timeout_keeps_its_lease(lab: Lab) -> None:
    lab.start("gevent", "gevent", visibility_s=2)
    lab.send("compute", "long", 5.0, to="gevent")
    eventually(lab.has("end long"), 40)
    eventually(lambda: lab.broker.is_settled)
    assert lab.count("start long") == 1


def test_a_stopping_worker_ends_its_job_and_leaves_nothing_unacknowledged(lab: Lab) -> None:
    workers = lab.start(*MODELS)
    for model in MODELS:
        lab.send("effect", model, to=model)
        lab.send("wait", model, 1.5, to=model)
    for model in MODELS:
        eventually(lambda model=model: lab.count(f"start {model}") == 2)
    for worker in workers:
        worker.process.terminate()
    assert [worker.process.wait(20) for worker in workers] == [0] * len(workers)
    assert {model: lab.count(f"end {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)
    assert lab.broker.is_settled
    assert not any(lab.broker.client.llen(model) for model in MODELS)


def test_a_gevent_worker_answers_again_after_its_control_connection_was_cut(lab: Lab) -> None:
    lab.start("gevent")
    lab.broker.cut_connections("pubsub")
    eventually(lambda: lab.app.control.ping(timeout=0.5, limit=1), 20)


def test_jobs_wait_no_poll_interval_when_gevent_slots_refill(lab: Lab) -> None:
    lab.start("gevent", slots=2)
    for key in range(12):
        lab.send("wait", key, 0.1, to="gevent")
    eventually(lab.has("start 0"))
    started = time.monotonic()
    eventually(lambda: all(lab.count(f"end {key}") for key in range(12)))
    assert time.monotonic() - started < limit_s(1.8)  # 0.6 s of waiting; Celery's own needs 10 s


def test_repeated_kills_under_tiny_jobs_lose_none(lab: Lab) -> None:
    jobs, chance = 2000, random.Random(7)
    for key in range(jobs):
        lab.send("effect", key, to="threads")
    for _ in range(4):
        (worker,) = lab.start("threads", visibility_s=1)
        time.sleep(chance.uniform(0.02, 0.12))
        worker.kill()
    lab.start("threads", visibility_s=1)
    eventually(lambda: lab.broker.is_settled and not lab.broker.client.llen("threads"), 40)
    done = set(lab.witness.read_text().split())
    assert [key for key in range(jobs) if str(key) not in done] == []
