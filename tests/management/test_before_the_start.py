"""What `compare` says before it starts, and how it waits until nothing disturbs it."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from poolwise import lab
from poolwise.management import before_the_start, local_processes
from poolwise.models import Comparison, Job

pytestmark = pytest.mark.django_db
BUSY = "On threads 1 job is running."


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no time, start no process, and end the comparison once it has been planned."""

    def end(self: Any, pools: Any) -> list[str]:
        Comparison.objects.update(state=Comparison.State.CANCELLED)
        return []

    monkeypatch.setattr(before_the_start, "_CPU_OVER_S", 0.0)
    monkeypatch.setattr(before_the_start, "_POLL_S", 0.01)
    monkeypatch.setattr(local_processes.LocalProcesses, "start_missing", lambda self, pools: [])
    monkeypatch.setattr(local_processes.LocalProcesses, "start_again", end)


def compare(*options: str) -> str:
    """Return what the command wrote to standard error until its comparison was cancelled."""
    shown = StringIO()
    with pytest.raises(CommandError, match="was cancelled"):
        call_command("compare", "io.wait", "--pools", "threads", *options, stderr=shown)
    return shown.getvalue()


def running() -> Job:
    return Job.objects.create(definition="io.wait", kind="io", pool="threads", state="running")


def test_what_disturbs_is_said_before_the_start(own_keys: Any) -> None:
    running()
    output = compare()
    assert BUSY in output
    assert "--wait-until-idle waits" in output
    assert Comparison.objects.count() == 1


def test_nothing_is_said_where_all_is_idle(own_keys: Any) -> None:
    assert "disturbs" not in compare()
    assert "Waiting" not in compare("--wait-until-idle")


def test_the_comparison_is_planned_only_once_all_is_idle(
    own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [[BUSY], ["On threads 2 jobs are running."], []]
    planned_before: list[int] = []

    def disturbances(pools: list[str], *, cpu_over_s: float) -> list[str]:
        planned_before.append(Comparison.objects.count())
        return found.pop(0)

    monkeypatch.setattr(lab, "disturbances", disturbances)
    output = compare("--wait-until-idle")
    assert found == []
    assert planned_before == [0, 0, 0]
    assert output.count("Waiting until idle:") == 1
    assert BUSY in output
    assert Comparison.objects.count() == 1


def test_waiting_ends_with_the_timeout_and_names_what_still_runs(own_keys: Any) -> None:
    running()
    with pytest.raises(CommandError, match=r"Not idle after 0\.05 s; nothing was started\. On threads 1 job"):
        call_command("compare", "io.wait", "--pools", "threads", "--wait-until-idle", "--timeout", "0.05")
    assert not Comparison.objects.exists()


def test_bad_input_is_refused_before_waiting(own_keys: Any) -> None:
    running()
    with pytest.raises(CommandError, match="copies"):
        call_command("compare", "io.wait", "--copies", "0", "--wait-until-idle")
    assert not Comparison.objects.exists()
