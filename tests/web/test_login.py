"""Logging in: throttled by name and address together; responses do not reveal which users exist."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from poolwise.web.client_ip import client_address

pytestmark = pytest.mark.django_db
PAGES = ["/accounts/login/", "/admin/login/"]


def attempt(page: str, name: str = "bob", password: str = "wrong", **headers: str) -> Any:
    client = Client()
    return client.post(page, {"username": name, "password": password, "next": "/"}, **headers)


@pytest.mark.parametrize("page", PAGES)
def test_the_fifth_wrong_password_is_answered_by_429_and_the_right_one_waits_too(
    page: str, user: Any
) -> None:
    user.is_staff = True
    user.save()
    assert [attempt(page).status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    locked = attempt(page, password="bob-bob-bob")
    assert locked.status_code == 429
    text = locked.content.decode()
    assert "Too many attempts to log in" in text
    assert "10 min 00 s" in text
    assert "'unsafe" not in locked["Content-Security-Policy"]


def test_another_address_and_another_name_are_not_locked(user: Any, administrator: Any) -> None:
    for _ in range(5):
        attempt(PAGES[0])
    assert attempt(PAGES[0], "ada", "ada-ada-ada").status_code == 302
    assert attempt(PAGES[0], "bob", "bob-bob-bob", REMOTE_ADDR="10.0.0.9").status_code == 302


def test_a_lock_ends_after_the_cool_off_time(user: Any, settings: Any) -> None:
    for _ in range(5):
        attempt(PAGES[0])
    settings.AXES_COOLOFF_TIME = settings.AXES_COOLOFF_TIME * 0
    assert attempt(PAGES[0], password="bob-bob-bob").status_code == 302


def test_a_login_that_succeeds_forgets_the_mistakes_before_it(user: Any) -> None:
    for _ in range(3):
        for _ in range(4):
            assert attempt(PAGES[0]).status_code == 200
        assert attempt(PAGES[0], password="bob-bob-bob").status_code == 302


def test_a_name_that_does_not_exist_is_answered_like_one_that_does(user: Any) -> None:
    def answers_to(name: str) -> list[tuple[int, str]]:
        answers = [attempt(PAGES[0], name) for _ in range(6)]
        return [(a.status_code, a.content.decode().split("</form>")[-1].replace(name, "")) for a in answers]

    assert answers_to("bob") == answers_to("eve")


def test_an_inactive_user_gets_the_same_answer_as_a_stranger(user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    answer = attempt(PAGES[0], password="bob-bob-bob")
    assert answer.status_code == 200
    assert "inactive" not in answer.content.decode()


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "", "9.9.9.9"),
        (0, "1.1.1.1", "9.9.9.9"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 2.2.2.2", "1.1.1.1"),
        (2, "1.1.1.1", "9.9.9.9"),
        (1, "", "9.9.9.9"),
        (1, " , ", "9.9.9.9"),
        (1, "x" * 100, "9.9.9.9"),
        (1, "2001:DB8::0:1", "2001:db8::1"),
    ],
)
def test_the_address_is_what_a_trusted_proxy_saw(
    rf: Any, settings: Any, proxies: int, forwarded: str, address: str
) -> None:
    settings.PROXY_COUNT = proxies
    request = rf.get("/", REMOTE_ADDR="9.9.9.9", headers={"X-Forwarded-For": forwarded})
    assert client_address(request) == address


def test_a_client_that_forges_its_address_stays_locked(user: Any) -> None:
    for number in range(5):
        attempt(PAGES[0], headers={"X-Forwarded-For": f"10.0.0.{number}"})
    assert (
        attempt(PAGES[0], password="bob-bob-bob", headers={"X-Forwarded-For": "10.0.0.99"}).status_code == 429
    )
