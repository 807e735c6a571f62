"""The platform's own Redis client."""

from concurrent.futures import ThreadPoolExecutor

import redis

from poolwise.support.redis import connect


def test_no_call_waits_for_the_connections_of_others(redis_client: redis.Redis) -> None:
    """Each of 150 slots makes a call that Redis answers late."""
    client = connect(timeout_s=2.0)
    with ThreadPoolExecutor(150) as slots:
        answers = list(slots.map(lambda number: client.blpop([f"empty-{number}"], 0.5), range(150)))
    assert answers == [None] * 150
    client.connection_pool.disconnect()
