"""Secret parameters: the body reads them, and nobody else does."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import structlog
from django.tasks import default_task_backend
from django.test import Client
from django_celery_results.models import TaskResult
from pydantic import Field

from poolwise import lab
from poolwise.definitions import Definition, Secret
from poolwise.lifecycle import execution, recorder, submission
from poolwise.lifecycle.stream import Ending
from poolwise.models import Comparison, Job, JobLog, JobState
from poolwise.support.errors import InvalidParameters
from poolwise.support.formats import parameters
from poolwise.support.logs import LogBuffer, attempt_log, logging_config
from poolwise.web.forms import ParametersForm
from tests.helpers.attempts import execute
from tests.helpers.core import messages, reports

CANARY = 'canary-"7f3a\\9\N{SNOWMAN}-canary'
log = structlog.get_logger("tests.secrets")


def call_home(token: Annotated[str, Field(max_length=100), Secret()], careless: bool = False) -> str:
    """Use a secret, and be careless with it if asked to."""
    log.info("calling", token=token, nested=[token])
    logging.getLogger("tests.secrets").warning("plain %s", token)
    if careless:
        raise RuntimeError(f"the server refused {token}")
    return f"called with {token} of {len(token)}"


def born(pin: Annotated[str, Secret()]) -> dict[str, object]:
    """Return numbers that hold the digits of a secret."""
    return {"year": 20241, "by": [pin, 7]}


def maybe(token: Annotated[str | None, Secret()] = None) -> bool:
    """Tell whether there is a secret."""
    return token is not None


@pytest.fixture
def definition(define: Callable[..., Definition]) -> Definition:
    return define(call_home, name="t.call_home", kind="io")


@pytest.fixture(params=["console", "json"])
def printed(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a worker prints, in either style."""
    config = logging_config(style=request.param, level="INFO")["formatters"]["poolwise"]
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(config.pop("()")(**config))
    logger = logging.getLogger()
    logger.addHandler(handler)
    yield handler.stream
    logger.removeHandler(handler)


def holds_canary(text: str) -> bool:
    return any(part in text for part in (CANARY, "7f3a", json.dumps(CANARY)[1:-1]))


def delivered(job: Job) -> execution.Delivery:
    return execution.Delivery(str(job.pk), 1, job.definition, job.params, "threads", "w@h")


@pytest.mark.django_db
@pytest.mark.parametrize("careless", [False, True])
def test_only_the_body_sees_a_secret_in_clear(
    definition: Definition, own_keys: Any, unserved_pool: str, administrator: Any, printed: io.StringIO, careless: bool,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        [job] = submission.submit(
            "t.call_home", {"token": CANARY, "careless": careless}, pool=unserved_pool, user=administrator
        )
    assert not holds_canary(json.dumps(messages(own_keys, unserved_pool)))
    outcome = execute(delivered(job))
    assert outcome is not None
    assert outcome.ending is (Ending.FAILED if careless else Ending.SUCCEEDED)
    assert careless or f"of {len(CANARY)}" in str(outcome.result)
    recorder.record(reports(own_keys))
    job.refresh_from_db()
    stored = [*Job.objects.values(), *TaskResult.objects.values(), *JobLog.objects.values()]
    assert not holds_canary(repr(stored))
    assert "calling" in repr(stored), "the lines are kept, without the secret"
    assert "calling" in printed.getvalue()
    assert not holds_canary(printed.getvalue())
    browser = Client()
    browser.force_login(administrator)
    for address in (
        "/jobs/?owner=all", job.get_absolute_url(), f"/definitions/t.call_home/?from={job.pk}", "/admin/poolwise/job/",
        f"/jobs/{job.pk}/result.json",
        f"/admin/django_celery_results/taskresult/{TaskResult.objects.get().pk}/change/",
    ):  # fmt: skip
        assert not holds_canary(browser.get(address).content.decode()), address
    for action in ("export_csv", "export_json"):
        chosen = {"action": action, "_selected_action": [str(job.pk)]}
        text = b"".join(browser.post("/admin/poolwise/job/", chosen)).decode()
        assert "t.call_home" in text
        assert not holds_canary(text)
        assert "$secret" not in text
    assert "••••••" in browser.get(job.get_absolute_url()).content.decode()


@pytest.mark.django_db
def test_a_result_can_be_read_though_its_numbers_contain_the_secret(
    define: Callable[..., Definition], own_keys: Any, unserved_pool: str, administrator: Any
) -> None:
    define(born, name="t.born")
    [job] = submission.submit("t.born", {"pin": "2024"}, pool=unserved_pool, user=administrator)
    execute(delivered(job))
    recorder.record(reports(own_keys))
    assert default_task_backend.get_result(str(job.pk)).return_value == {
        "year": "••••••",
        "by": ["••••••", 7],
    }
    browser = Client()
    browser.force_login(administrator)
    shown = browser.get(f"/jobs/{job.pk}/result.json").json()
    assert shown == {"year": "••••••", "by": ["••••••", 7]}


@pytest.mark.parametrize("printed", ["json"], indirect=True)
def test_a_log_line_stays_json_though_its_numbers_contain_the_secret(printed: io.StringIO) -> None:
    token = attempt_log.set(LogBuffer(3, secrets=("2024",)))
    try:
        log.info("born", year=20241)
    finally:
        attempt_log.reset(token)
    assert json.loads(printed.getvalue())["year"] == "••••••"


@pytest.mark.django_db
def test_a_job_runs_again_with_the_secret_of_the_first(definition: Definition, unserved_pool: str) -> None:
    [job] = submission.submit("t.call_home", {"token": CANARY}, pool=unserved_pool)
    again = submission.run_again(job, user=None)
    assert again.params == job.params
    assert definition.call_arguments(again.params)["token"] == CANARY


@pytest.mark.django_db
def test_a_comparison_keeps_its_secret_and_shows_none(definition: Definition) -> None:
    planned = lab.plan("t.call_home", {"token": CANARY}, ["threads"], 1)
    stored = Comparison.objects.get(pk=planned.pk)
    assert not holds_canary(repr(Comparison.objects.values()))
    assert definition.call_arguments(stored.params)["token"] == CANARY
    assert parameters(stored.params) == 'token="••••••", careless=false'


def test_a_form_never_shows_a_secret_again(definition: Definition) -> None:
    form = ParametersForm(definition, {"param-token": CANARY})
    assert form.is_valid(), form.errors
    assert not holds_canary(str(form))
    assert 'type="password"' in str(form)
    assert definition.call_arguments(form.params)["token"] == CANARY
    assert not holds_canary(str(ParametersForm(definition, initial=form.params)))
    assert "$secret" not in str(ParametersForm(definition, initial=form.params)["token"])


def test_a_secret_keeps_its_limits(definition: Definition) -> None:
    with pytest.raises(InvalidParameters, match="token: String should have at most 100 characters"):
        definition.validate({"token": "x" * 101})


def test_no_secret_is_none(define: Callable[..., Definition]) -> None:
    definition = define(maybe, name="t.maybe")
    assert definition.validate({}) == {"token": None}
    assert definition.call_arguments({"token": None}) == {"token": None}


@pytest.mark.parametrize("token", ["", "no token", "gAAAAA", 7, None, {"a": 1}])
def test_an_unreadable_token_asks_for_the_secret_again(definition: Definition, token: Any) -> None:
    with pytest.raises(
        InvalidParameters, match="token: This secret can no longer be decrypted: enter it again"
    ):
        definition.validate({"token": {"$secret": token}})


def test_a_token_of_another_definition_or_key_cannot_be_read(
    definition: Definition, define: Callable[..., Definition], settings: Any
) -> None:
    stored = define(maybe, name="t.maybe").validate({"token": CANARY})
    with pytest.raises(InvalidParameters, match="can no longer be decrypted"):
        definition.validate(stored)
    own = definition.validate({"token": CANARY})
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert definition.call_arguments(own)["token"] == CANARY
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidParameters, match="can no longer be decrypted"):
        definition.call_arguments(own)


@pytest.mark.django_db
def test_a_job_with_an_unreadable_secret_fails_with_the_reason(
    definition: Definition, own_keys: Any, unserved_pool: str, settings: Any
) -> None:
    [job] = submission.submit("t.call_home", {"token": CANARY}, pool=unserved_pool)
    settings.SECRET_KEY = "lost"
    outcome = execute(delivered(job))
    assert outcome is not None
    assert outcome.ending is Ending.FAILED
    assert "enter it again" in outcome.error
    recorder.record(reports(own_keys))
    job.refresh_from_db()
    assert job.state == JobState.FAILED
