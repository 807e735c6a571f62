"""Workers of every pool and the visibility timeout: only messages of dead workers are redelivered."""

import random
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.pace import eventually
from tests.transport.conftest import MODELS, Lab, need_redis_server

pytestmark = pytest.mark.services
VISIBILITY_S = 3.0


def test_a_redis_stopped_for_longer_than_the_visibility_timeout_causes_no_duplicate(lab: Lab) -> None:
    lab.crew(*MODELS, *MODELS)
    lab.begin_everywhere(7.0)
    lab.broker.process.send_signal(signal.SIGSTOP)
    time.sleep(4.5)
    lab.broker.process.send_signal(signal.SIGCONT)
    for model in MODELS:
        eventually(lab.has(f"end {model}"))
    eventually(lambda: lab.broker.is_settled)
    assert {model: lab.count(f"start {model}") for model in MODELS} == dict.fromkeys(MODELS, 1)


def test_a_gevent_job_that_computes_beyond_the_visibility_timeout_stays_reserved(lab: Lab) -> None:
    lab.crew("gevent", "gevent")
    lab.send("compute", "long", 6.0, to="gevent")
    eventually(lab.has("end long"), 40)
    eventually(lambda: lab.broker.is_settled)
    assert lab.count("start long") == 1


def test_the_jobs_of_a_killed_worker_run_again_after_the_visibility_timeout(lab: Lab) -> None:
    lab.crew(*MODELS, *MODELS)
    lab.begin_everywhere(1.5)
    for model in MODELS:
        lab.runner_of(model).kill()
    killed_at = time.monotonic()
    for model in MODELS:
        eventually(lab.has(f"end {model}"), VISIBILITY_S + 5)
    assert time.monotonic() - killed_at > VISIBILITY_S / 2
    assert {model: lab.count(f"start {model}") for model in MODELS} == dict.fromkeys(MODELS, 2)
    eventually(lambda: lab.broker.is_settled)


def test_repeated_kills_under_tiny_jobs_lose_none(tmp_path: Path) -> None:
    need_redis_server()
    jobs, chance = 1000, random.Random(7)
    with closing(Lab(tmp_path, visibility_s=1)) as lab:
        for key in range(jobs):
            lab.send("effect", key, to="threads")
        for _ in range(4):
            (worker,) = lab.start("threads")
            time.sleep(chance.uniform(0.02, 0.12))
            worker.kill()
        lab.start("threads")
        eventually(lambda: lab.is_idle, 40)
        done = set(lab.witness.read_text().split())
    assert [key for key in range(jobs) if str(key) not in done] == []
