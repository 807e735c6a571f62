"""Workers of every pool under broker faults: no job is lost or runs twice at once, and no worker exits."""

import time

import pytest

from tests.helpers.pace import eventually, limit_s
from tests.transport.conftest import MODELS, Lab

pytestmark = pytest.mark.services
VISIBILITY_S = 30.0


def test_a_cut_connection_starts_no_running_job_again(lab: Lab) -> None:
    workers = lab.crew(*MODELS)
    lab.begin_everywhere(2.0)
    lab.broker.cut_connections("normal")
    time.sleep(0.7)
    lab.broker.cut_connections("normal")  # some are still connecting again
    for model in MODELS:
        eventually(lab.has(f"end {model}"))
    eventually(lambda: lab.broker.is_settled)
    time.sleep(0.5)
    assert {model: lab.count(f"start {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)
    assert all(worker.is_alive for worker in workers)


def test_workers_survive_a_restart_of_redis(lab: Lab) -> None:
    workers = lab.crew(*MODELS)
    lab.begin_everywhere(2.0)
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


def test_a_gevent_worker_answers_again_after_its_control_connection_was_cut(lab: Lab) -> None:
    lab.crew("gevent")
    lab.broker.cut_connections("pubsub")
    eventually(lambda: lab.app.control.ping(timeout=0.5, limit=1), 20)


def test_freed_gevent_slots_are_filled_without_a_poll_interval(lab: Lab) -> None:
    lab.crew("gevent")
    for key in range(12):
        lab.send("wait", key, 0.1, to="gevent")
    eventually(lab.has("start 0"))
    started = time.monotonic()
    eventually(lambda: all(lab.count(f"end {key}") for key in range(12)))
    assert time.monotonic() - started < limit_s(1.8)  # 0.6 s of waiting; Celery's own needs 10 s


def test_a_stopping_worker_ends_its_job_and_leaves_nothing_unacknowledged(lab: Lab) -> None:
    workers = lab.crew(*MODELS)
    for model in MODELS:
        lab.send("effect", model, to=model)
        lab.send("wait", model, 1.5, to=model)
    for model in MODELS:
        eventually(lambda model=model: lab.count(f"start {model}") == 2)
    for worker in workers:
        worker.process.terminate()
    assert [worker.process.wait(20) for worker in workers] == [0] * len(workers)
    assert {model: lab.count(f"end {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)
    assert lab.is_idle
