"""Signatures: who wrote a text, by which key, and for what."""

from typing import Any

import pytest

from poolwise.support import signing


@pytest.mark.parametrize("text", ["", "a text", "é😀", "half a pair: \ud83d"])
def test_a_text_is_verified_for_its_purpose_only(text: str) -> None:
    signature = signing.sign(signing.REPORT, text)
    assert signing.is_signed(signing.REPORT, text, signature)
    assert not signing.is_signed(signing.MESSAGE, text, signature)
    assert not signing.is_signed(signing.REPORT, f"{text}.", signature)
    assert signing.verified(signing.REPORT, signing.signed(signing.REPORT, text)) == text


@pytest.mark.parametrize("given", [None, 7, "", "é", "0" * 48])
def test_what_is_no_signature_verifies_nothing(given: object) -> None:
    assert not signing.is_signed(signing.REPORT, "a text", given)


def test_a_signature_of_an_earlier_key_verifies_while_that_is_a_fallback(settings: Any) -> None:
    before = settings.SECRET_KEY
    signature = signing.sign(signing.MESSAGE, "a text")
    settings.SECRET_KEY = f"{before}-new"
    assert not signing.is_signed(signing.MESSAGE, "a text", signature)
    settings.SECRET_KEY_FALLBACKS = [before]
    assert signing.is_signed(signing.MESSAGE, "a text", signature)
    assert signing.sign(signing.MESSAGE, "a text") != signature
