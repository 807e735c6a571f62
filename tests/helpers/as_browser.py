"""The data that a browser posts of a form, untouched or with some inputs changed."""

import re
from html.parser import HTMLParser
from typing import Any

from django import forms
from django.http import QueryDict

_NUMBER = re.compile(r"-?(\d+|\d*\.\d+)([eE][-+]?\d+)?")


class _Inputs(HTMLParser):
    """Reads the values of a form's inputs as a browser does."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._within = ""
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes: dict[str, Any] = dict(attrs)
        if tag == "input":
            self._input(attributes)
        elif tag in ("textarea", "select"):
            self._within, self._text = attributes["name"], ""
        elif tag == "option" and ("selected" in attributes or self._within not in self.values):
            self.values[self._within] = attributes["value"]

    def _input(self, attributes: dict[str, Any]) -> None:
        value = re.sub(r"[\r\n]", "", attributes.get("value", ""))
        if attributes["type"] == "checkbox":
            value = attributes.get("value", "on")
            if "checked" not in attributes:
                return
        elif attributes["type"] == "number" and not _NUMBER.fullmatch(value):
            value = ""
        self.values[attributes["name"]] = value

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            lines = re.split(r"\r\n|\r|\n", self._text)
            self.values[self._within] = "\r\n".join(lines if lines[0] or len(lines) == 1 else lines[1:])


def sent(form: forms.Form, **typed: str) -> QueryDict:
    """Return the data that a browser posts of the form, with some inputs typed over."""
    inputs = _Inputs()
    inputs.feed("".join(map(str, form)))
    data = QueryDict(mutable=True)
    data.update({**inputs.values, **{form.add_prefix(name): value for name, value in typed.items()}})
    return data
