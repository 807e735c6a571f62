"""The locks of duties that one of several coordinators runs."""

from typing import Any

import pytest

from poolwise.coordinator import duties
from poolwise.lifecycle.stream import Reader
from poolwise.support.redis import key


@pytest.mark.parametrize("expires_ms", [None, 10**9], ids=["never", "in days"])
def test_a_lock_that_no_coordinator_took_stops_a_duty_only_once(
    own_keys: Any, expires_ms: int | None
) -> None:
    ran: list[int] = []
    duty = duties._alone(Reader(own_keys, "c1"), "sample", 5.0, lambda: ran.append(1))
    own_keys.set(key("duty", "sample"), "stranger", px=expires_ms)
    duty.run()
    assert ran == []
    duty.run()
    assert ran == [1]
    other = duties._alone(Reader(own_keys, "c2"), "sample", 5.0, lambda: ran.append(2))
    other.run()
    other.run()
    assert ran == [1], "another coordinator holds the lock"
