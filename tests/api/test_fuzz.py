"""The API against what its own schema allows and forbids: no call may fail on the server's side."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings

from poolwise.api import api
from poolwise.control import tokens
from poolwise.lifecycle import submission
from project.wsgi import application

pytestmark = pytest.mark.django_db
#: Of each endpoint; all of them take some 15 s.
EXAMPLES = 8


@pytest.fixture(autouse=True)
def _within_the_tests_transaction() -> Iterator[None]:
    """Keep the connection open between calls, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(administrator: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))
    return tokens.create(administrator, "fuzz")[1]


@pytest.mark.slow
def test_whatever_is_sent_the_answer_is_as_the_schema_says(token: str, subtests: pytest.Subtests) -> None:
    import schemathesis  # here: every process of the tests would take seconds to load it
    from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

    schema = schemathesis.openapi.from_dict(deepcopy(api.get_openapi_schema()))
    schema.app = application
    # A definition that does not exist fits the schema and is refused; each call bears a token, whatever cookie it has.
    not_here = [positive_data_acceptance, ignored_auth]
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert operations
    for operation in operations:
        with subtests.test(operation.label), transaction.atomic():
            call_often(operation, token, not_here)
            transaction.set_rollback(True)


def call_often(operation: Any, token: str, not_here: list[Any]) -> None:
    @seed(4)
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        response = case.call(headers={"Authorization": f"Bearer {token}"})
        assert response.status_code < 500 or response.status_code == 503, response.text
        case.validate_response(response, excluded_checks=not_here)

    call()
