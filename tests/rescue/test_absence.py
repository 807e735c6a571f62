from jobs.rescue.absence import Absence
from tests.rescue.conftest import Clock


def test_only_what_is_missing_without_a_break_counts(clock: Clock) -> None:
    absence = Absence[str]()
    assert absence.longer_than(2, ["a", "b"]) == set()
    clock.advance(1)
    assert absence.longer_than(2, ["b"]) == set()
    clock.advance(1)
    assert absence.longer_than(2, ["a", "b"]) == {"b"}
    absence.forget()
    assert absence.longer_than(2, ["b"]) == set()
    assert absence.longer_than(0, ["b"]) == {"b"}
