from poolwise.coordinator.recovery.missing_since import MissingSince
from tests.coordinator.recovery.conftest import Clock


def test_only_what_is_missing_without_a_break_counts(clock: Clock) -> None:
    missing_since = MissingSince[str]()
    assert missing_since.longer_than(2, ["a", "b"]) == set()
    clock.advance(1)
    assert missing_since.longer_than(2, ["b"]) == set()
    clock.advance(1)
    assert missing_since.longer_than(2, ["a", "b"]) == {"b"}
    missing_since.reset()
    assert missing_since.longer_than(2, ["b"]) == set()
    assert missing_since.longer_than(0, ["b"]) == {"b"}
