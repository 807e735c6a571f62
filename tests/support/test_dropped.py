import pytest

from poolwise.support import dropped


@pytest.fixture(autouse=True)
def _nothing_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropped, "_counts", {})
    monkeypatch.setattr(dropped, "_logged", {})


def test_each_kind_is_logged_once_a_minute_with_its_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr("poolwise.support.dropped.time.monotonic", lambda: now)
    for _ in range(100):
        dropped.drop("report", "forged")
    dropped.drop("heartbeat", "forged")
    now = 60.0
    dropped.drop("report", "forged")
    lines = [record.getMessage() for record in caplog.records]
    assert [(line.split()[1], line.rpartition("; ")[2]) for line in lines] == [
        ("report", "1 since the last such line"),
        ("heartbeat", "1 since the last such line"),
        ("report", "100 since the last such line"),
    ]
    assert (dropped.total(), dropped.total("report"), dropped.total("pause")) == (102, 101, 0)


def test_what_a_stranger_wrote_stays_one_short_line_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    dropped.drop("report", "a\nforged line" * 1000, "\udcff\n" * 10_000)
    [record] = caplog.records
    line = record.getMessage()
    assert "\n" not in line
    assert len(line) < 500
    line.encode()
