from typing import Any

import pytest
from celery import concurrency
from django.conf import settings as declared

from poolwise.apps import _sync_pools
from poolwise.management.commands.pool import worker_command, worker_environment, worker_name
from poolwise.models import Pool
from poolwise.pools import MODELS, POOL_CLASSES, PoolSpec, all_pools, get_pool, install
from poolwise.support.errors import BadPool, UnknownPool

SOUND = {"model": "threads", "queue": "q", "concurrency": 2}


def test_the_settings_declare_the_four_models() -> None:
    pools = all_pools()
    assert {pool.model for pool in pools.values()} == set(MODELS)
    assert {name: pool.concurrency for name, pool in pools.items() if name != "prefork"} == {
        "threads": 32, "gevent": 200, "asyncio": 200,
    }  # fmt: skip
    assert declared.JOB_DEFAULT_POOLS.keys() == {"io", "cpu", "mixed", "hazard"}


def test_model_and_queue_default_to_the_name_of_the_pool() -> None:
    assert PoolSpec.parse("gevent", {"concurrency": 5}) == PoolSpec("gevent", "gevent", "gevent", 5)
    assert PoolSpec.parse("fast", {**SOUND}) == PoolSpec("fast", "threads", "q", 2)


def test_the_error_of_an_unknown_pool_lists_the_declared_pools(settings: Any) -> None:
    settings.JOB_POOLS = {"a": SOUND, "b": {**SOUND, "queue": "r"}}
    with pytest.raises(UnknownPool, match="'c'; JOB_POOLS has a, b"):
        get_pool("c")
    settings.JOB_POOLS = {}
    with pytest.raises(UnknownPool, match="none"):
        get_pool("c")


def test_two_pools_with_one_queue_are_refused(settings: Any) -> None:
    settings.JOB_POOLS = {"a": SOUND, "b": SOUND}
    with pytest.raises(BadPool, match="'a' and 'b' share the queue 'q'"):
        get_pool("a")


@pytest.mark.parametrize("concurrency", [1, 10_000])
def test_the_limits_of_concurrency_are_inclusive(concurrency: int) -> None:
    assert PoolSpec.parse("a", {**SOUND, "concurrency": concurrency}).concurrency == concurrency


@pytest.mark.parametrize("queue", ["q", "jobs.fast", "a-b_c:d", "x" * 100])
def test_queue_names_that_celery_accepts_are_accepted(queue: str) -> None:
    assert PoolSpec.parse("a", {**SOUND, "queue": queue}).queue == queue


@pytest.mark.django_db
def test_the_table_of_pools_follows_the_settings(settings: Any) -> None:
    _sync_pools()  # the database may have been made while a test had pools of its own
    assert set(Pool.objects.values_list("name", flat=True)) == set(settings.JOB_POOLS)
    settings.JOB_POOLS = {"threads": {**SOUND, "concurrency": 9}}
    _sync_pools()
    assert Pool.objects.values_list("name", "queue", "concurrency").get() == ("threads", "q", 9)


def test_celery_finds_our_pool_classes_by_its_own_names() -> None:
    install()
    for model, path in POOL_CLASSES.items():
        module, _, name = path.partition(":")
        pool_class = concurrency.get_implementation(model if model != "asyncio" else path)
        assert (pool_class.__module__, pool_class.__name__) == (module, name)


@pytest.mark.parametrize("model", MODELS)
def test_the_command_of_a_worker_has_model_slots_queue_and_a_unique_name(model: str) -> None:
    pool = PoolSpec("fast", model, "q", 7)
    first = worker_command(pool, 5, worker_name(pool))
    assert first[first.index("--concurrency") + 1] == "5"
    assert first[first.index("--queues") + 1] == "q"
    assert first[first.index("--pool") + 1] == model
    name = first[first.index("--hostname") + 1]
    assert name.startswith("fast-")
    assert name != worker_name(pool), "a restarted worker needs a new name"
    assert worker_environment(pool)["POOLWISE_POOL"] == "fast"
