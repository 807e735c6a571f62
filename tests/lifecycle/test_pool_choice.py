"""`auto`: a pin, else the newest answer, else the kind; the job has the reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from poolwise import definitions
from poolwise.lifecycle.environment import code_version
from poolwise.lifecycle.pool_choice import Choice, by_kind, choose
from poolwise.lifecycle.submission import submit
from poolwise.models import Comparison, Job, PinnedDefinition

pytestmark = pytest.mark.django_db
WAIT = "io.wait"


@pytest.fixture(autouse=True)
def _pools(settings: Any, own_keys: Any) -> Any:
    """Pools that nobody serves."""
    prefix = settings.JOB_KEY_PREFIX.strip(":")
    settings.JOB_POOLS = {
        name: {"model": name, "queue": f"{prefix}-{name}", "concurrency": 2}
        for name in ("prefork", "threads", "gevent", "asyncio")
    }
    yield
    for name in settings.JOB_POOLS:
        own_keys.delete(f"{prefix}-{name}", f"_kombu.binding.{prefix}-{name}")


def found_best(
    pool: str, *, state: str = "settled", age_days: int = 0, code: str = "", **fields: Any
) -> Comparison:
    report = {
        "answer": {"state": state, "text": f"Run io.wait on {pool or 'none'} (2 slots).", "pool": pool},
        "environment": {"code": code or code_version()},
    }
    at = timezone.now() - timedelta(days=age_days)
    return Comparison.objects.create(definition=WAIT, copies=1, report=report, created_at=at, **fields)


def chosen() -> Choice:
    return choose(definitions.get(WAIT))


def test_without_a_report_the_kind_chooses(settings: Any) -> None:
    assert chosen().pool == settings.JOB_DEFAULT_POOLS["io"]
    assert chosen().why.startswith("kind: the pool for jobs of kind io")


def test_a_definition_that_names_its_pool_runs_there() -> None:
    definition = definitions.Definition(**{**vars(definitions.get(WAIT)), "pool": "threads"})
    assert by_kind(definition).pool == "threads"


def test_the_newest_answer_chooses() -> None:
    found_best("threads", age_days=2)
    newest = found_best("asyncio", age_days=1)
    found_best("", state="none")
    assert chosen().pool == "asyncio"
    assert chosen().why.startswith(f"measured: comparison {str(newest.pk)[:8]} of ")
    assert chosen().why.endswith(": Run io.wait on asyncio (2 slots).")


def test_a_report_of_the_present_code_goes_before_a_newer_one_of_another() -> None:
    found_best("threads", age_days=2)
    found_best("asyncio", code="0ld")
    assert chosen().pool == "threads"
    Comparison.objects.filter(report__answer__pool="threads").delete()
    assert chosen().pool == "asyncio"
    assert "by an earlier version of the code" in chosen().why


def test_an_open_answer_chooses_too() -> None:
    found_best("asyncio", age_days=1)
    found_best("threads", state="open")
    assert chosen().pool == "threads"


def test_a_comparison_without_an_answer_or_of_parameters_chooses_nothing(settings: Any) -> None:
    found_best("", state="none")
    found_best("threads", vary={"duration_s": [1, 2]})
    Comparison.objects.create(definition=WAIT, copies=1)
    assert chosen().pool == settings.JOB_DEFAULT_POOLS["io"]


def test_imported_reports_and_pools_that_are_gone_choose_nothing(settings: Any) -> None:
    found_best("threads", imported_at=timezone.now())
    found_best("closed")
    assert chosen().pool == settings.JOB_DEFAULT_POOLS["io"]


def test_a_pin_goes_before_a_report_as_long_as_its_pool_exists() -> None:
    found_best("asyncio")
    pin = PinnedDefinition.objects.create(
        definition=WAIT, pool="prefork", reason="its library is not patched"
    )
    assert chosen() == Choice("prefork", "pinned: its library is not patched")
    PinnedDefinition.objects.filter(pk=pin.pk).update(pool="closed")
    assert chosen().pool == "asyncio"


def test_a_job_submitted_to_auto_says_how_its_pool_was_chosen() -> None:
    found_best("asyncio")
    [job] = submit(WAIT, {}, pool="auto")
    assert job.pool == "asyncio"
    assert Job.objects.get().chosen_by.startswith("measured: ")
    [other] = submit(WAIT, {}, pool="threads")
    assert other.chosen_by == ""


def test_the_form_offers_auto_and_the_job_page_says_why(client: Client, administrator: Any) -> None:
    client.force_login(administrator)
    found_best("asyncio")
    address = reverse("poolwise:definition", args=[WAIT])
    assert "now asyncio · measured: comparison" in client.get(address).content.decode()
    answer = client.post(address, {"param-duration_s": "0.1", "pools": ["auto"], "copies": "1"}, follow=True)
    assert "Chosen by auto" in answer.content.decode()
    assert Job.objects.get().pool == "asyncio"


def test_an_administrator_pins_a_definition(client: Client, administrator: Any) -> None:
    client.force_login(administrator)
    address = reverse("admin:poolwise_pinneddefinition_add")
    assert "io.wait" in client.get(address).content.decode()
    client.post(address, {"definition": WAIT, "pool": "prefork", "reason": "because"})
    assert chosen().why == "pinned: because"
    change = reverse("admin:poolwise_pinneddefinition_change", args=[WAIT])
    client.post(change, {"pool": "threads", "reason": ""})
    assert chosen().pool == "threads"


def test_a_pin_names_a_pool_that_exists(client: Client, administrator: Any) -> None:
    client.force_login(administrator)
    address = reverse("admin:poolwise_pinneddefinition_add")
    answer = client.post(address, {"definition": WAIT, "pool": "nowhere", "reason": ""})
    assert "nowhere is not one of the available choices" in answer.content.decode()
    assert not PinnedDefinition.objects.exists()
